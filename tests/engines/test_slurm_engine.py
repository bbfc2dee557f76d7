"""The Slurm engine's own commands on a real Slurm, and what it makes of the answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cluster import wait_until
from engine_driver import GIB, STRANGER, USER, Driver
from slurm_cluster import SlurmCluster

from swotvre_hub.engines.base import (
    CancelRefusedError,
    EndCause,
    JobEnd,
    JobState,
    SchedulerUnavailableError,
    SubmitRefusedError,
)
from swotvre_hub.engines.slurm import SlurmEngine

PYTHON = "/usr/bin/python3"


@pytest.fixture
def driver(slurm_cluster: SlurmCluster) -> Iterator[Driver]:
    own = Driver(SlurmEngine(slurm_cluster.commands), f"100%j-{secrets.token_hex(4)}.log")
    yield own
    for job_id in own.submitted:
        own.cancel(job_id)
    wait_until(lambda: slurm_cluster.live_jobs().isdisjoint(own.submitted), "the test's jobs to end", 30)
    own.log.unlink(missing_ok=True)


def test_a_job_runs_and_can_be_found(slurm_cluster: SlurmCluster, driver: Driver) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    job = driver.submit(cores=2)
    status = driver.wait_for(job, JobState.RUNNING)
    assert status.host in slurm_cluster.node_names
    assert status.queue == slurm_cluster.queue
    assert status.started is not None
    assert before < status.started < datetime.now(UTC) + timedelta(seconds=1)
    found = driver.engine.parse_found(driver.run(driver.engine.find_command(driver.request.name)))
    assert found == [job]


def test_a_job_has_the_small_environment_of_the_hub_and_writes_its_log_while_it_runs(driver: Driver) -> None:
    job = driver.submit("env; echo end; sleep 100")
    driver.wait_for(job, JobState.RUNNING)
    wait_until(lambda: driver.log.exists() and driver.log.read_text().endswith("end\n"), "the log", 10)
    names = {line.partition("=")[0] for line in driver.log.read_text().splitlines()}
    assert {name for name in names if not name.startswith("SLURM")} == {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG"),
        *("HOSTNAME", "ENVIRONMENT", "TMPDIR", "PWD", "SHLVL", "_", "end"),
    }


def test_a_waiting_job_says_what_it_waits_for_and_where_it_stands(slurm_cluster: SlurmCluster, driver: Driver) -> None:
    with slurm_cluster.filled():
        first = driver.submit(cores=4, memory_bytes=8 * GIB)
        second = driver.submit(cores=4, memory_bytes=8 * GIB)
        wait_until(lambda: driver.status(first).reason == "Resources", "the reason", 15)
        status = driver.status(first)
        assert status.state is JobState.WAITING
        assert status.explanation == "waiting for 4 free cores and 8 GiB of free memory on one node"
        wait_until(lambda: driver.status(first).estimated_start is not None, "an estimate", 15)
        places = driver.engine.parse_places(driver.run(driver.engine.waiting_command()), {first, second})
        assert [(places[job].number, places[job].of) for job in (first, second)] == [(1, 2), (2, 2)]
        driver.cancel(first)
        assert driver.ended(first).cause is EndCause.CANCELLED


def test_a_held_job_is_held(slurm_cluster: SlurmCluster, driver: Driver) -> None:
    with slurm_cluster.filled():
        job = driver.submit()
        slurm_cluster.ask("scontrol", "hold", job)
        assert driver.wait_for(job, JobState.HELD).explanation.startswith("held by an administrator")


def test_a_running_job_is_cancelled_by_its_owner_alone(driver: Driver) -> None:
    job = driver.submit()
    driver.wait_for(job, JobState.RUNNING)
    with pytest.raises(CancelRefusedError):
        driver.cancel(job, STRANGER)
    driver.cancel(job)
    end = driver.ended(job)
    assert end.cause is EndCause.CANCELLED
    assert end.ran is not None
    driver.cancel(job)


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("true", 0), ("kill -9 $$", 137)])
def test_the_exit_status_is_known(driver: Driver, script: str, status: int) -> None:
    job = driver.submit(script)
    assert driver.ended(job).cause is EndCause.ENDED
    end = driver.history(job)
    assert end is not None
    assert (end.cause, end.exit_status) == (EndCause.ENDED, status)


def test_memory_beyond_the_limit_is_told(driver: Driver) -> None:
    job = driver.submit(f'exec {PYTHON} -c "bytearray(300 * 2**20)"', memory_bytes=64 * 2**20)
    end = driver.ended(job)
    assert end.cause is EndCause.MEMORY
    assert end.memory_exceeded


def test_a_kernel_that_is_killed_for_its_memory_is_told_at_the_end_of_its_job(driver: Driver) -> None:
    script = f'setsid {PYTHON} -c "bytearray(300 * 2**20)"; echo survived; exit 0'
    job = driver.submit(script, memory_bytes=64 * 2**20)
    assert driver.ended(job).memory_exceeded
    assert "survived" in driver.log.read_text()


def test_a_log_that_cannot_be_written_means_that_the_job_did_not_start(driver: Driver) -> None:
    job = driver.submit(log="/nonexistent/session.log")
    driver.ended(job)
    end = driver.history(job)
    assert end is not None
    assert end.cause is EndCause.NOT_STARTED


def test_walltime_is_told(driver: Driver) -> None:
    job = driver.submit(walltime=timedelta(seconds=1))
    assert driver.ended(job, 150).cause is EndCause.WALLTIME


def test_a_lost_node_is_told(slurm_cluster: SlurmCluster, driver: Driver) -> None:
    job = driver.submit()
    host = driver.wait_for(job, JobState.RUNNING).host
    with slurm_cluster.node_lost(host):
        assert driver.ended(job).cause is EndCause.NODE
        nodes = driver.engine.parse_nodes(driver.run(driver.engine.nodes_command()))
        assert {node.name: node.available for node in nodes} == {
            name: name != host for name in slurm_cluster.node_names
        }


def test_unknown_jobs_are_forgotten(driver: Driver) -> None:
    assert driver.status("99999999").end == JobEnd(EndCause.FORGOTTEN)
    job = driver.submit()
    ids = [job, "99999999", "99999998"]
    statuses = driver.engine.parse_status(driver.run(driver.engine.status_command(ids)), ids)
    assert statuses[job].state is not JobState.ENDED
    assert [statuses[other].end for other in ids[1:]] == [JobEnd(EndCause.FORGOTTEN)] * 2


@pytest.mark.parametrize(
    ("changes", "meaning"),
    [
        ({"queue": "nope"}, "does not exist"),
        ({"queue": "closed"}, "takes no jobs at present"),
        ({"queue": "short", "walltime": timedelta(hours=1)}, "more time than partition 'short' allows"),
        ({"memory_bytes": 400 * GIB}, "as much memory"),
        ({"cores": 9}, "can hold it|as many cores"),
        ({"gpus": 1}, "no such GPUs"),
    ],
)
def test_refusals_are_explained(driver: Driver, changes: dict[str, object], meaning: str) -> None:
    with pytest.raises(SubmitRefusedError, match=meaning):
        driver.submit(**changes)


def test_nodes_queues_and_what_is_free(slurm_cluster: SlurmCluster, driver: Driver) -> None:
    engine = driver.engine
    driver.wait_for(driver.submit(cores=3, memory_bytes=2 * GIB), JobState.RUNNING)
    wait_until(lambda: driver.free() == (16, 13, 78 * GIB), "the nodes to show the job", 15, lambda: str(driver.free()))
    nodes = engine.parse_nodes(driver.run(engine.nodes_command()))
    assert {node.name for node in nodes} == set(slurm_cluster.node_names)
    queues = engine.parse_queues(driver.run(engine.queues_command()))
    assert queues[slurm_cluster.queue].is_default
    assert queues[slurm_cluster.short_queue].max_walltime == timedelta(minutes=30)
    assert not queues[slurm_cluster.closed_queue].accepts(USER, ())
    assert all(queues[slurm_cluster.queue].name in node.queues for node in nodes)
    command = engine.releases_command(nodes)
    assert command is not None
    (release,) = engine.parse_releases(driver.run(command))
    assert (release.cores, release.memory_bytes) == (3, 2 * GIB)
    assert timedelta(minutes=9) < release.at - datetime.now(UTC) < timedelta(minutes=11)


def test_a_controller_that_is_down_ends_nothing(slurm_cluster: SlurmCluster, driver: Driver) -> None:
    job = driver.submit()
    driver.wait_for(job, JobState.RUNNING)
    with slurm_cluster.scheduler_down():
        for ask in (lambda: driver.status(job), lambda: driver.cancel(job), driver.submit):
            with pytest.raises(SchedulerUnavailableError):
                ask()
        assert driver.history(job) is None
    assert driver.status(job).state is JobState.RUNNING


def test_a_session_that_crashes_ends_its_job(slurm_cluster: SlurmCluster, driver: Driver) -> None:
    job = driver.submit("sleep 200")
    driver.wait_for(job, JobState.RUNNING)
    time.sleep(0.5)
    slurm_cluster.kill_session_on_node(job)
    assert driver.ended(job).cause is EndCause.ENDED
