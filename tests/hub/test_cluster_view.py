"""What would happen to a session now, in words; and one question for all who look at the launch page."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.cluster_view import (
    UNKNOWN,
    ClusterState,
    ClusterView,
    describe_age,
    describe_resources,
    offered_queues,
)
from swotvre_hub.engines.base import Cluster, Node, Queue, Release
from swotvre_hub.engines.pbs import PbsEngine
from swotvre_hub.settings import SessionSize, load_settings

GIB = 2**30
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def size(cores: int = 4, memory_gib: int = 8, gpus: int = 0) -> SessionSize:
    return SessionSize(
        title="T", cores=cores, memory_gib=memory_gib, gpus=gpus, max_walltime_hours=2, good_for="A test"
    )


def node(
    name: str = "n1",
    cores: tuple[int, int] = (8, 8),
    memory_gib: tuple[int, int] = (64, 64),
    gpus: tuple[int, int] = (0, 0),
    queues: frozenset[str] = frozenset(),
    available: bool = True,
) -> Node:
    """Return a node; of each pair, the first is free."""
    free = [value if available else 0 for value in (cores[0], memory_gib[0] * GIB, gpus[0])]
    return Node(name, available, cores[1], free[0], memory_gib[1] * GIB, free[1], gpus[1], free[2], queues)


def cluster(*nodes: Node, queues: dict[str, Queue] | None = None, releases: tuple[Release, ...] = ()) -> ClusterState:
    return ClusterState(Cluster(nodes, queues or {}), releases)


def release(minutes: float, cores: int, memory_gib: int = 0, name: str = "n1", gpus: int = 0) -> Release:
    return Release(name, NOW + timedelta(minutes=minutes), cores, memory_gib * GIB, gpus)


def words(state: ClusterState, wanted: SessionSize, queue: str = "") -> tuple[str, str]:
    found = state.availability(wanted, queue, NOW)
    return found.kind, found.words


# -- what would happen now -------------------------------------------------------------------------------------------


def test_a_session_that_fits_what_is_free_starts_now() -> None:
    assert words(cluster(node(cores=(0, 8)), node("n2")), size()) == ("now", "Starts now")


def test_nothing_is_claimed_while_no_node_is_known() -> None:
    assert cluster().availability(size()) == UNKNOWN


def test_free_cores_on_two_nodes_are_not_free_cores_on_one() -> None:
    state = cluster(node(cores=(3, 8)), node("n2", cores=(1, 8)))
    assert words(state, size()) == ("wait", "Waits: at most 3 cores are free on one node")


def test_one_free_core_is_told_in_the_singular() -> None:
    assert words(cluster(node(cores=(1, 8))), size())[1] == "Waits: at most 1 core is free on one node"


def test_memory_that_is_missing_beside_free_cores_is_told() -> None:
    state = cluster(node(memory_gib=(5, 64)), node("n2", cores=(0, 8)))
    assert words(state, size()) == ("wait", "Waits: at most 5 GiB are free beside them on one node")


def test_gpus_that_are_missing_are_told() -> None:
    state = cluster(node(gpus=(1, 4)), node("n2"))
    assert words(state, size(gpus=2)) == ("wait", "Waits: at most 1 GPU is free on one node")


def test_a_session_without_gpus_does_not_wait_for_them() -> None:
    assert words(cluster(node(gpus=(0, 4))), size())[0] == "now"


def test_what_is_free_on_different_nodes_is_not_told_as_missing_memory() -> None:
    state = cluster(node(gpus=(0, 0)), node("n2", cores=(0, 8), gpus=(1, 1)))
    assert "64 GiB" not in words(state, size(gpus=1))[1]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (size(cores=16), "needs 16 cores, 8 GiB on one node; the largest node has 8 cores, 64 GiB"),
        (size(memory_gib=65), "needs 4 cores, 65 GiB on one node; the largest node has 8 cores, 64 GiB"),
        (size(gpus=1), "needs 4 cores, 8 GiB, 1 GPU on one node; the largest node has 8 cores, 64 GiB"),
    ],
)
def test_what_no_node_can_hold_never_runs(wanted: SessionSize, reason: str) -> None:
    state = cluster(node(), node("n2", cores=(4, 4)))
    assert state.lacks(wanted.cores, wanted.memory_gib, wanted.gpus) == reason
    assert words(state, wanted) == ("never", f"Does not fit any node: it {reason}")


def test_a_drained_node_may_come_back_but_starts_nothing_now() -> None:
    state = cluster(node(available=False), node("small", cores=(1, 1)))
    assert state.lacks(4, 8) is None
    assert words(state, size())[0] == "wait"


def test_a_cluster_whose_nodes_are_all_down_is_told_so() -> None:
    assert words(cluster(node(available=False)), size()) == ("wait", "Waits: no node takes jobs at present")


def test_nothing_is_lacking_while_nothing_is_known() -> None:
    assert cluster().lacks(10**6, 10**6) is None


# -- when something becomes free -------------------------------------------------------------------------------------


def test_the_moment_at_which_enough_is_given_back_is_told() -> None:
    state = cluster(node(cores=(1, 8)), releases=(release(60, 4), release(12, 2), release(5, 1)))
    assert words(state, size()) == (
        "wait",
        "About 12 minutes, at the latest: at most 1 core is free on one node",
    )


def test_memory_has_to_be_given_back_too() -> None:
    state = cluster(node(cores=(0, 8), memory_gib=(0, 64)), releases=(release(5, 8, 1), release(30, 0, 16)))
    assert words(state, size())[1].startswith("About 30 minutes")


def test_the_node_that_is_free_first_counts() -> None:
    nodes = (node(cores=(0, 8)), node("n2", cores=(0, 8)))
    state = cluster(*nodes, releases=(release(90, 8), release(20, 8, name="n2")))
    assert words(state, size())[1].startswith("About 20 minutes")


def test_releases_of_a_drained_node_are_no_promise() -> None:
    state = cluster(node(available=False), node("n2", cores=(0, 8)), releases=(release(5, 8),))
    assert words(state, size())[1].startswith("Waits: ")


def test_a_job_that_is_over_its_walltime_is_about_to_end() -> None:
    state = cluster(node(cores=(0, 8)), releases=(release(-10, 8),))
    assert words(state, size())[1].startswith("About 1 minute, ")


# -- queues ----------------------------------------------------------------------------------------------------------


def test_only_nodes_of_the_queue_count() -> None:
    nodes = (node(queues=frozenset({"gpu"})), node("n2", cores=(0, 2), queues=frozenset({"short"})))
    state = cluster(*nodes)
    assert words(state, size(), "gpu")[0] == "now"
    assert words(state, size(), "short")[1].endswith("the largest node of this queue has 2 cores, 64 GiB")


def test_a_node_of_no_queue_serves_every_one() -> None:
    assert words(cluster(node()), size(), "any")[0] == "now"


def test_a_stopped_queue_starts_nothing() -> None:
    state = cluster(node(), queues={"night": Queue("night", enabled=True, started=False)})
    assert words(state, size(), "night") == ("wait", "Queue night is stopped: a session waits until it is started")


@pytest.mark.parametrize(
    ("wanted", "limit", "reason"),
    [
        (size(cores=4), {"max_cores": 2}, "needs 4 cores; queue small allows 2 cores"),
        (size(cores=4), {"max_cores": 1}, "needs 4 cores; queue small allows 1 core"),
        (size(memory_gib=9), {"max_memory_bytes": 8 * GIB}, "needs 9 GiB; queue small allows 8 GiB"),
        (size(gpus=1), {"max_gpus": 0}, "needs 1 GPU; queue small allows 0 GPUs"),
    ],
)
def test_what_a_queue_does_not_allow_never_runs_in_it(wanted: SessionSize, limit: dict[str, int], reason: str) -> None:
    queue = Queue("small", enabled=True, started=True, **limit)  # type: ignore[arg-type]
    state = cluster(node(gpus=(4, 4)), queues={"small": queue})
    assert state.lacks(wanted.cores, wanted.memory_gib, wanted.gpus, "small") == reason
    assert words(state, wanted, "small")[0] == "never"
    assert words(state, wanted)[0] == "now"


def test_a_queue_takes_what_is_exactly_its_limit() -> None:
    queue = Queue("small", enabled=True, started=True, max_cores=4, max_memory_bytes=8 * GIB, max_gpus=0)
    assert words(cluster(node(), queues={"small": queue}), size(), "small")[0] == "now"


def test_a_user_is_offered_the_queues_that_take_his_jobs_in_the_order_of_the_site() -> None:
    queues = {
        "open": Queue("open", enabled=True, started=True),
        "closed": Queue("closed", enabled=False, started=True),
        "ada-only": Queue("ada-only", enabled=True, started=True, users=frozenset({"ada"})),
        "swot": Queue("swot", enabled=True, started=True, groups=frozenset({"swot"})),
    }
    names = ("swot", "gone", "ada-only", "closed", "open")
    assert offered_queues(names, queues, "ada", {"users"}) == ("ada-only", "open")
    assert offered_queues(names, queues, "bob", {"swot"}) == ("swot", "open")


def test_all_queues_are_offered_while_nothing_is_known_of_them() -> None:
    assert offered_queues(("b", "a"), {}, "ada", ()) == ("b", "a")


# -- in words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, ""), (0.2, "1 s ago"), (-5.0, "1 s ago"), (12.4, "12 s ago"), (89, "89 s ago"), (150, "2 minutes ago")],
)
def test_the_age_of_an_answer_is_told(seconds: float | None, expected: str) -> None:
    assert describe_age(seconds) == expected


def test_resources_are_told_in_the_singular_and_plural() -> None:
    assert describe_resources(1, 8, 1) == "1 core, 8 GiB, 1 GPU"
    assert describe_resources(4, 32, 2) == "4 cores, 32 GiB, 2 GPUs"


# -- the question ----------------------------------------------------------------------------------------------------

NODES = {"n1": {"state": "free", "resources_available": {"ncpus": 8, "mem": "64gb"}}}
PROGRAM = "#!/bin/sh\necho $(basename $0) $* >> {folder}/calls\n. {folder}/say\n"
ANSWER = f"""[ $(basename $0) = pbsnodes ] && echo '{json.dumps({"nodes": NODES})}' || echo '{{"Queue": {{}}}}'"""


@pytest.fixture
def make_view(tmp_path: Path) -> Callable[..., ClusterView]:
    """Make a view on a cluster that answers by the file ``say``."""
    for name in ("pbsnodes", "qstat"):
        (tmp_path / name).write_text(PROGRAM.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "say").write_text(ANSWER)

    def make(capacity_seconds: float) -> ClusterView:
        scheduler = load_settings().scheduler.model_copy(update={"capacity_seconds": capacity_seconds})
        return ClusterView(PbsEngine(tmp_path), CommandRunner(10), scheduler, logging.getLogger("test"))

    return make


async def test_many_who_look_at_once_ask_once(make_view: Callable[..., ClusterView], tmp_path: Path) -> None:
    view = make_view(60)
    assert view.age_seconds is None
    states = await asyncio.gather(*[view.refresh(30) for _ in range(50)])
    await view.refresh(30)
    assert {state.availability(size()).kind for state in states} == {"now"}
    assert sorted((tmp_path / "calls").read_text().splitlines()) == ["pbsnodes -a -F json", "qstat -Q -f -F json"]
    assert view.age_seconds is not None


async def test_an_old_answer_is_asked_for_anew(make_view: Callable[..., ClusterView], tmp_path: Path) -> None:
    view = make_view(0.01)
    for _ in range(2):
        await view.refresh(30)
        await asyncio.sleep(0.02)
    assert (tmp_path / "calls").read_text().count("pbsnodes") == 2


@pytest.mark.parametrize("say", ["exit 255", "sleep 60", "echo '{\"nodes\": '", "echo garbage"])
async def test_a_scheduler_that_does_not_answer_leaves_the_old_answer_with_its_age(
    make_view: Callable[..., ClusterView], tmp_path: Path, say: str
) -> None:
    view = make_view(0.01)
    known = await view.refresh(30)
    (tmp_path / "say").write_text(say)
    await asyncio.sleep(0.05)
    assert await view.refresh(1) is known
    assert view.age_seconds is not None
    assert view.age_seconds >= 0.05


async def test_a_page_does_not_wait_for_a_slow_scheduler(make_view: Callable[..., ClusterView], tmp_path: Path) -> None:
    (tmp_path / "say").write_text("sleep 3\n" + ANSWER)
    view = make_view(60)
    began = time.monotonic()
    state = await view.refresh(patience_seconds=0.05)
    assert time.monotonic() - began < 2
    assert state.availability(size()) == UNKNOWN
    assert (await view.refresh(30)).availability(size()).kind == "now"
