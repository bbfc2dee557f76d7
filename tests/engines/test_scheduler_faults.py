"""Whatever a scheduler prints, however long it takes: a live session is not lost, and what waits is told the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from batch_hub import BatchHub, batch_hub
from cluster import USERS
from recorded_pbs_cluster import RecordedPbsCluster

USER = USERS[0]
Fault = Callable[[RecordedPbsCluster], AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {
    "truncated answers": lambda cluster: cluster.fault_truncated("qstat"),
    "values of other types": lambda cluster: cluster.fault_changed_types("qstat", "pbsnodes"),
    "garbage": lambda cluster: cluster.fault_garbage("qstat", "qselect", "pbsnodes"),
    "no answer in time": lambda cluster: cluster.fault_hang(9, "qstat"),
    "ten thousand jobs of others": lambda cluster: cluster.fault_other_jobs(10_000),
    "a clock an hour ahead": lambda cluster: cluster.fault_clock_jump(3600),
    "a clock a day behind": lambda cluster: cluster.fault_clock_jump(-86400),
}
CHANGES = {
    "batch": {"tls": False},
    "sessions": {"per_user": 5, "start_timeout_seconds": 90},
    "scheduler": {"query_seconds": 0.5, "starting_query_seconds": 0.2, "command_timeout_seconds": 6},
}


@pytest.fixture(scope="module")
def hub(recorded_pbs: RecordedPbsCluster, light_lab: Path) -> Iterator[BatchHub]:
    with batch_hub(recorded_pbs, light_lab, settings=CHANGES) as hub:
        hub.start_session(USER)
        yield hub


@pytest.mark.parametrize("fault", FAULTS)
def test_a_live_session_is_not_lost(hub: BatchHub, recorded_pbs: RecordedPbsCluster, fault: str) -> None:
    job = hub.job(USER)
    with FAULTS[fault](recorded_pbs):
        deadline = time.monotonic() + 6  # several questions
        while time.monotonic() < deadline:
            assert hub.server(USER).get("ready")
            time.sleep(0.5)
    assert hub.job(USER)["job_id"] == job["job_id"]
    assert hub.is_reached(USER)
    assert job["job_id"] in recorded_pbs.live_jobs()
    assert "Traceback" not in hub.log()


def test_a_session_among_ten_thousand_waits_at_its_place(hub: BatchHub, recorded_pbs: RecordedPbsCluster) -> None:
    with recorded_pbs.fault_other_jobs(10_000), recorded_pbs.filled():
        assert hub.request(USER, "second").status_code == 202
        hub.wait(lambda: "of 10001" in last_told(hub), "the place to be told", 60)
        hub.stop_session(USER, "second")
    assert hub.server(USER)["ready"]


def test_a_session_whose_job_the_scheduler_has_forgotten_goes_on_while_it_answers(
    hub: BatchHub, recorded_pbs: RecordedPbsCluster
) -> None:
    hub.start_session(USER, "third")
    job = hub.job(USER, "third")
    recorded_pbs.fault_forget_job(job["job_id"])
    time.sleep(5)
    assert hub.server(USER, "third").get("ready")
    assert hub.answers_at(job)


def test_what_can_never_run_is_taken_back_at_once_although_the_nodes_are_not_known(
    recorded_pbs: RecordedPbsCluster, light_lab: Path
) -> None:
    """What no node holds is refused before there is a job; here PBS itself is the first that knows."""
    before = recorded_pbs.live_jobs()
    with recorded_pbs.fault_garbage("pbsnodes"), batch_hub(recorded_pbs, light_lab, settings=CHANGES) as hub:
        answer = hub.request(USERS[1], size="giant")
        told = answer.json()["message"] if answer.content else ""
        if answer.status_code == 202:
            told = hub.progress(USERS[1], lambda event: bool(event.get("failed")))[-1]["message"]
        assert "It can never run: it asks for 400 GiB of memory, more than the 80 GiB that the nodes have" in told
        assert "taken back at once" in told
        hub.wait(lambda: recorded_pbs.live_jobs() == before, "no job to be left")


def last_told(hub: BatchHub) -> str:
    """Return the line that the progress page of the second session shows now."""
    return "".join(
        str(event["message"])
        for event in hub.progress(USER, lambda event: event.get("kind") == "waiting", name="second")[-1:]
    )
