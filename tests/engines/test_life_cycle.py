"""Whatever happens, in whichever order: hub and scheduler agree in the end, and no job is left to nobody."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from batch_hub import BatchHub, batch_hub
from cluster import USERS
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from recorded_pbs_cluster import RecordedPbsCluster

#: One account, which has several sessions, by name.
USER = USERS[0]
NAMES = ("", "second", "third")
#: What may happen to a session, and to all of them.
OF_ONE = ("start", "start without waiting", "stop", "stop without waiting", "qdel", "crash")
OF_ALL = ("kill the hub", "restart the hub", "scheduler down", "scheduler up", "fill", "empty", "pause")


@pytest.fixture(scope="module")
def hub(recorded_pbs: RecordedPbsCluster, light_lab: Path) -> Iterator[BatchHub]:
    changes = {
        "batch": {"tls": False},
        "sessions": {"per_user": 5, "start_timeout_seconds": 90},
        "scheduler": {"query_seconds": 1, "starting_query_seconds": 0.2, "command_timeout_seconds": 10},
    }
    with batch_hub(recorded_pbs, light_lab, settings=changes) as hub:
        hub.start_session(USER)  # otherwise all that follows would be about nothing
        hub.stop_session(USER)
        yield hub


class Story:
    """One sequence of events on a hub and its cluster."""

    def __init__(self, hub: BatchHub, cluster: RecordedPbsCluster) -> None:
        self._hub, self._cluster = hub, cluster
        self._down = self._full = None

    def happen(self, event: str, name: str) -> None:
        path = BatchHub._server_path(USER, name)
        job_id = self._hub.job(USER, name).get("job_id")
        match event:
            case "start":
                self._hub.api.post(path, json={"size": "small"}, timeout=40)
            case "start without waiting":
                with suppress(httpx.ReadTimeout):
                    self._hub.api.post(path, json={"size": "small"}, timeout=0.15)
            case "stop":
                self._hub.api.delete(path, timeout=40)
            case "stop without waiting":
                with suppress(httpx.ReadTimeout):
                    self._hub.api.delete(path, timeout=0.1)
            case "qdel" if job_id and self._down is None:
                subprocess.run([self._cluster.commands / "qdel", job_id], capture_output=True, check=False)
            case "crash" if job_id and self._down is None and job_id in self._cluster.live_jobs():
                self._cluster.fault_lose_job(job_id) if name else self._cluster.kill_session_on_node(job_id)
            case "kill the hub":
                self._hub.kill()
                self._hub.start()
            case "restart the hub":
                self._hub.end()
                self._hub.start()
            case "scheduler down" if self._down is None:
                self._down = self._cluster.scheduler_down()
                self._down.__enter__()
            case "scheduler up":
                self._raise_scheduler()
            case "fill" if self._full is None and self._down is None:
                self._full = self._cluster.filled()
                self._full.__enter__()
            case "empty" if self._down is None:
                self._empty()
            case "pause":
                time.sleep(1)

    def end(self) -> None:
        self._raise_scheduler()
        self._empty()

    def _raise_scheduler(self) -> None:
        if self._down is not None:
            down, self._down = self._down, None
            down.__exit__(None, None, None)

    def _empty(self) -> None:
        if self._full is not None:
            full, self._full = self._full, None
            full.__exit__(None, None, None)


EVENTS = st.one_of(
    st.tuples(st.sampled_from(OF_ONE), st.sampled_from(NAMES)), st.tuples(st.sampled_from(OF_ALL), st.just(""))
)


@settings(
    max_examples=6,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=st.lists(EVENTS, min_size=5, max_size=10))
@pytest.mark.timeout(900)
def test_hub_and_scheduler_agree_in_the_end(
    hub: BatchHub, recorded_pbs: RecordedPbsCluster, events: list[tuple[str, str]]
) -> None:
    hub.api.post(f"/users/{USER}")
    story = Story(hub, recorded_pbs)
    try:
        for event, name in events:
            story.happen(event, name)
    finally:
        story.end()
    hub.wait(lambda: agree(hub, recorded_pbs), f"hub and scheduler to agree after {events}", 90)
    check_live_sessions(hub)
    for name in NAMES:
        hub.api.delete(BatchHub._server_path(USER, name), timeout=60)
    hub.wait(lambda: not recorded_pbs.live_jobs(), f"no job to be left after {events}", 90)
    hub.wait(lambda: not list((hub.state / "run" / "jobs").glob("*.json")), "no record to be left", 30)
    assert psutil.pid_exists(hub.process.pid if hub.process else -1)


def agree(hub: BatchHub, cluster: RecordedPbsCluster) -> bool:
    """Return whether the jobs that live are those of the sessions that the hub shows, and nothing is on its way."""
    servers = {name: hub.server(USER, name) for name in NAMES}
    if any(server.get("pending") for server in servers.values()):
        return False
    jobs = [hub.job(USER, name) for name, server in servers.items() if server.get("ready")]
    # While a start that was cancelled is stopped, the hub shows it as ready for a moment; its job has gone.
    if not all(jobs):
        return False
    kept = {path.stem for path in (hub.state / "run" / "jobs").glob("*.json")}
    return cluster.live_jobs() == {job["job_id"] for job in jobs} and len(kept) == len(jobs)


def check_live_sessions(hub: BatchHub) -> None:
    """Check that every session that is shown as running answers."""
    for name in NAMES:
        if hub.server(USER, name).get("ready"):
            job = hub.job(USER, name)
            assert httpx.get(f"http://{job['host']}:{job['port']}/").is_success, name
