"""The PBS engine's own commands on recorded PBS and on a real OpenPBS, and what it makes of the answers.

That the same tests pass on both is also what shows that the stand-in answers as PBS does.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cluster import BatchCluster, wait_until
from engine_driver import GIB, STRANGER, USER, Driver

from swotvre_hub.engines.base import (
    CancelRefusedError,
    EndCause,
    JobEnd,
    JobState,
    SchedulerUnavailableError,
    SubmitRefusedError,
)
from swotvre_hub.engines.pbs import PbsEngine

PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.parametrize("cluster", ["recorded PBS", "OpenPBS"], indirect=True, scope="module")


@pytest.fixture
def driver(cluster: BatchCluster) -> Iterator[Driver]:
    own = Driver(PbsEngine(cluster.commands), f"100%j {secrets.token_hex(4)}.log")
    yield own
    for job_id in own.submitted:
        own.cancel(job_id)
    wait_until(lambda: cluster.live_jobs().isdisjoint(own.submitted), "the test's jobs to end", 60)
    own.log.unlink(missing_ok=True)


def test_a_job_runs_and_can_be_found(cluster: BatchCluster, driver: Driver) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    job = driver.submit(cores=2)
    driver.wait_for(job, JobState.RUNNING)
    # PBS tells a moment later when it started.
    wait_until(lambda: driver.status(job).started is not None, "the time of its start", 20)
    status = driver.status(job)
    assert status.host in cluster.node_names
    assert status.queue == cluster.queue
    assert status.started is not None
    assert before < status.started < datetime.now(UTC) + timedelta(seconds=1)
    assert driver.engine.parse_found(driver.run(driver.engine.find_command(driver.request.name))) == [job]
    assert driver.engine.parse_found(driver.run(driver.engine.find_command("vre-nobody"))) == []


def test_a_job_writes_its_log_while_it_runs_and_has_nothing_of_the_submitters_environment(driver: Driver) -> None:
    job = driver.submit("env; echo end; sleep 100")
    driver.wait_for(job, JobState.RUNNING)
    wait_until(lambda: driver.log.exists() and driver.log.read_text().endswith("end\n"), "the log", 20)
    names = {line.partition("=")[0] for line in driver.log.read_text().splitlines()}
    assert {"HOME", "LOGNAME", "PATH", "PBS_JOBID"} <= names
    assert not {name for name in names if name.startswith(("JUPYTERHUB", "SWOTVRE", "PYTEST"))}


def test_a_waiting_job_says_what_it_waits_for_and_where_it_stands(cluster: BatchCluster, driver: Driver) -> None:
    with cluster.filled():
        first = driver.submit(cores=4, memory_bytes=8 * GIB)
        second = driver.submit(cores=4, memory_bytes=8 * GIB)
        wait_until(lambda: bool(driver.status(second).reason), "the reason", 20)
        status = driver.status(first)
        assert status.state is JobState.WAITING
        assert status.explanation.startswith("waiting for")
        assert not status.hopeless
        places = driver.engine.parse_places(driver.run(driver.engine.waiting_command()), {first, second})
        assert [(places[job].number, places[job].of) for job in (first, second)] == [(1, 2), (2, 2)]
        driver.cancel(first)
        assert driver.ended(first).cause is EndCause.CANCELLED


def test_a_job_that_waits_for_a_part_of_a_node_says_how_much_is_free(cluster: BatchCluster, driver: Driver) -> None:
    # Five of eight cores on each node, so that three are free on each, and six in all.
    for job in [driver.submit(cores=5) for _ in cluster.node_names]:
        driver.wait_for(job, JobState.RUNNING)
    waiting = driver.submit(cores=8)
    wait_until(lambda: bool(driver.status(waiting).reason), "the reason", 20)
    assert driver.status(waiting).explanation == "waiting for 8 free cores; 6 are free"


def test_a_job_that_no_node_can_hold_is_hopeless(driver: Driver) -> None:
    job = driver.submit(memory_bytes=400 * GIB)
    wait_until(lambda: driver.status(job).hopeless, "PBS to say so", 20)
    explanation = driver.status(job).explanation
    assert explanation == "it can never run: it asks for 400 GiB of memory, more than the 80 GiB that the nodes have"


def test_a_job_in_a_stopped_queue_says_so(driver: Driver) -> None:
    job = driver.submit(queue="stopped")
    wait_until(lambda: bool(driver.status(job).reason), "the reason", 20)
    status = driver.status(job)
    assert (status.state, status.hopeless) == (JobState.WAITING, False)
    assert status.explanation.startswith("its queue is stopped")


def test_a_running_job_is_cancelled_by_its_owner_alone(driver: Driver) -> None:
    job = driver.submit("echo begun; sleep 300")
    # PBS forgets who cancelled a job whose node has not said yet that it runs.
    wait_until(lambda: driver.log.exists() and "begun" in driver.log.read_text(), "the script to run", 30)
    time.sleep(1)
    with pytest.raises(CancelRefusedError):
        driver.cancel(job, STRANGER)
    driver.cancel(job)
    end = driver.ended(job)
    assert (end.cause, end.cancelled_by) == (EndCause.CANCELLED, USER)
    assert end.ran is not None
    driver.cancel(job)


def test_a_job_cannot_be_cancelled_twice_nor_can_that_be_a_fault(driver: Driver) -> None:
    # It takes a moment to end: the second command comes in that moment.
    job = driver.submit("trap '' TERM; echo begun; sleep 300")
    wait_until(lambda: driver.log.exists() and "begun" in driver.log.read_text(), "the script to run", 30)
    time.sleep(1)
    driver.cancel(job)
    driver.cancel(job)
    assert driver.ended(job, 60).cause is EndCause.CANCELLED


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("true", 0), ("kill -9 $$", 137)])
def test_the_exit_status_is_known(driver: Driver, script: str, status: int) -> None:
    end = driver.ended(driver.submit(script))
    assert (end.cause, end.exit_status) == (EndCause.ENDED, status)


def test_a_kernel_that_is_killed_for_its_memory_is_told_at_the_end_of_its_job(
    cluster: BatchCluster, driver: Driver
) -> None:
    if not cluster.enforces_memory:
        pytest.skip(f"{cluster.title} does not enforce memory here")
    script = f'setsid -w {PYTHON} -c "bytearray(300 * 2**20)"; echo survived; exit 0'
    end = driver.ended(driver.submit(script, memory_bytes=128 * 2**20), 60)
    assert end.memory_exceeded
    assert end.cause is EndCause.ENDED
    assert "survived" in driver.log.read_text()


def test_walltime_is_told(driver: Driver) -> None:
    job = driver.submit(walltime=timedelta(seconds=2))
    assert driver.ended(job, 60).cause is EndCause.WALLTIME


def test_a_lost_node_is_told(cluster: BatchCluster, driver: Driver) -> None:
    job = driver.submit()
    host = driver.wait_for(job, JobState.RUNNING).host
    with cluster.node_lost(host):
        assert driver.ended(job, 60).cause is EndCause.NODE
        nodes = driver.engine.parse_nodes(driver.run(driver.engine.nodes_command()))
        assert {node.name: node.available for node in nodes} == {name: name != host for name in cluster.node_names}


def test_unknown_jobs_are_forgotten(driver: Driver) -> None:
    job = driver.submit()
    unknown = [f"{number}.{job.partition('.')[2]}" for number in (99999999, 99999998)]
    for one in unknown:
        assert driver.status(one).end == JobEnd(EndCause.FORGOTTEN)
    ids = [job, *unknown]
    statuses = driver.engine.parse_status(driver.run(driver.engine.status_command(ids)), ids)
    assert list(statuses) == [job]  # an answer that shows a job is silent on those that it does not know


def test_jobs_of_every_state_are_told_in_one_answer(driver: Driver) -> None:
    ended, running = driver.submit("exit 4"), driver.submit()
    waiting = driver.submit(queue="stopped")
    driver.ended(ended)
    driver.wait_for(running, JobState.RUNNING)
    ids = [running, ended, waiting]
    statuses = driver.engine.parse_status(driver.run(driver.engine.status_command(ids)), ids)
    assert [statuses[job].state for job in ids] == [JobState.RUNNING, JobState.ENDED, JobState.WAITING]


@pytest.mark.parametrize(
    ("changes", "meaning"),
    [
        ({"queue": "nope"}, "queue 'nope' does not exist"),
        ({"queue": "closed"}, "queue 'closed' takes no jobs at present"),
        ({"queue": "short", "walltime": timedelta(hours=1)}, "more than queue 'short' or the server allows"),
    ],
)
def test_refusals_are_explained(driver: Driver, changes: dict[str, object], meaning: str) -> None:
    with pytest.raises(SubmitRefusedError, match=meaning):
        driver.submit(**changes)


def test_nodes_queues_and_what_is_free(cluster: BatchCluster, driver: Driver) -> None:
    engine = driver.engine
    driver.wait_for(driver.submit(cores=3, memory_bytes=2 * GIB), JobState.RUNNING)
    wait_until(lambda: driver.free() == (16, 13, 78 * GIB), "the nodes to show the job", 30, lambda: str(driver.free()))
    nodes = engine.parse_nodes(driver.run(engine.nodes_command()))
    assert {node.name for node in nodes} == set(cluster.node_names)
    queues = engine.parse_queues(driver.run(engine.queues_command()))
    assert queues[cluster.queue].accepts(USER, ())
    assert queues[cluster.short_queue].max_walltime == timedelta(minutes=30)
    assert not queues[cluster.closed_queue].accepts(USER, ())
    assert not queues["stopped"].started
    command = engine.releases_command(nodes)
    assert command is not None
    (release,) = engine.parse_releases(driver.run(command))
    assert (release.cores, release.memory_bytes) == (3, 2 * GIB)
    assert timedelta(minutes=9) < release.at - datetime.now(UTC) < timedelta(minutes=11)


def test_jobs_share_the_gpus_of_the_node_that_has_them(cluster: BatchCluster, driver: Driver) -> None:
    nodes = driver.engine.parse_nodes(driver.run(driver.engine.nodes_command()))
    with_gpus = [node.name for node in nodes if node.gpus == 2]
    if not with_gpus:
        pytest.skip(f"no node of {cluster.title} has two GPUs (ngpus)")
    first, second = driver.submit(gpus=2), driver.submit(gpus=1)
    assert driver.wait_for(first, JobState.RUNNING).host == with_gpus[0]
    nodes = driver.engine.parse_nodes(driver.run(driver.engine.nodes_command()))
    assert [(node.gpus, node.free_gpus) for node in nodes if node.gpus] == [(2, 0)]
    wait_until(lambda: bool(driver.status(second).reason), "the reason", 20)
    assert "1 free GPU" in driver.status(second).explanation
    command = driver.engine.releases_command(nodes)
    assert command is not None

    def released() -> list[int]:
        return [release.gpus for release in driver.engine.parse_releases(driver.run(command))]

    wait_until(lambda: released() == [2], "the time of the start to be told", 20)
    driver.cancel(first)
    assert driver.wait_for(second, JobState.RUNNING, 60).host == with_gpus[0]


def test_a_server_that_is_down_ends_nothing(cluster: BatchCluster, driver: Driver) -> None:
    job = driver.submit()
    driver.wait_for(job, JobState.RUNNING)
    with cluster.scheduler_down():
        for ask in (lambda: driver.status(job), lambda: driver.cancel(job), driver.submit):
            with pytest.raises(SchedulerUnavailableError):
                ask()
    assert driver.status(job).end is None
    # A server that has just begun does not know yet that the node has taken the job.
    driver.wait_for(job, JobState.RUNNING)


def test_a_session_that_crashes_ends_its_job(cluster: BatchCluster, driver: Driver) -> None:
    job = driver.submit("echo begun; sleep 200")
    wait_until(lambda: driver.log.exists() and "begun" in driver.log.read_text(), "the script to run", 30)
    cluster.kill_session_on_node(job)
    end = driver.ended(job)
    assert (end.cause, end.exit_status) == (EndCause.ENDED, 137)
