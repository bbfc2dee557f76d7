"""The real Slurm under the tests does what it says; whoever doubts a failure elsewhere looks here first."""

from __future__ import annotations

import pwd
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import USERS, wait_until
from slurm_cluster import SlurmCluster

USER = USERS[0]
PYTHON = "/usr/bin/python3"


class Jobs:
    """Jobs of a user of the cluster, each with a script of its own."""

    def __init__(self, cluster: SlurmCluster, home: Path) -> None:
        self._cluster = cluster
        self._home = home
        self.submitted: list[str] = []

    def submit(self, script: str, *options: str) -> str:
        """Submit a job and return its id."""
        command = [str(self._cluster.commands / "sbatch"), "--parsable", "--output=job-%j.log", *options]
        done = subprocess.run(
            ["runuser", "-u", USER, "--", *command],
            input=f"#!/bin/sh\n{script}\n",
            cwd=self._home,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        self.submitted.append(done.stdout.strip())
        return self.submitted[-1]

    def field(self, job_id: str, field: str) -> str:
        """Return one field of ``squeue``."""
        return self._cluster.ask("squeue", "-h", "--states=all", f"--jobs={job_id}", f"--format={field}").strip()

    def wait_for(self, job_id: str, state: str, seconds: float = 30) -> None:
        """Wait until the job is in ``state``."""
        wait_until(
            lambda: self.field(job_id, "%T") == state,
            f"{state} of job {job_id}",
            seconds,
            lambda: self._cluster.ask("squeue", "--states=all", "--format=%i %u %T %r %B"),
        )

    def log(self, job_id: str) -> str:
        """Return what the job wrote."""
        file = self._home / f"job-{job_id}.log"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def jobs(slurm_cluster: SlurmCluster) -> Iterator[Jobs]:
    own = Jobs(slurm_cluster, Path(pwd.getpwnam(USER).pw_dir))
    yield own
    if own.submitted:
        slurm_cluster.ask("scancel", *own.submitted)
    wait_until(lambda: slurm_cluster.live_jobs().isdisjoint(own.submitted), "the test's jobs to end", 30)
    for job_id in own.submitted:
        (own._home / f"job-{job_id}.log").unlink(missing_ok=True)


def test_a_job_runs_on_a_node_as_its_user(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    name = slurm_cluster.node_names[0]
    job = jobs.submit("id -un; hostname; cat /proc/sys/kernel/hostname; cd && pwd", f"--nodelist={name}")
    jobs.wait_for(job, "COMPLETED")
    assert jobs.field(job, "%B") == name
    assert jobs.log(job).split() == [USER, name, name, pwd.getpwnam(USER).pw_dir]


def test_a_job_reaches_the_hub(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    with socket.create_server(("", 0)) as server:
        server.settimeout(30)
        port = server.getsockname()[1]
        call = f"import socket; socket.create_connection(('{slurm_cluster.hub_address}', {port}), 10).sendall(b'hello')"
        jobs.submit(f'{PYTHON} -c "{call}"')
        connection, (peer, _) = server.accept()
        with connection:
            assert connection.recv(5) == b"hello"
    assert peer in {socket.gethostbyname(name) for name in slurm_cluster.node_names}


def test_the_hub_reaches_a_job_by_the_name_of_its_node(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    serve = (
        "import socket; s = socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); "
        "s.accept()[0].sendall(b'hello')"
    )
    job = jobs.submit(f'{PYTHON} -c "{serve}"', f"--nodelist={slurm_cluster.node_names[1]}")
    wait_until(lambda: jobs.log(job).endswith("\n"), "the port of the job", 20)
    with socket.create_connection((jobs.field(job, "%B"), int(jobs.log(job))), timeout=10) as connection:
        assert connection.recv(5) == b"hello"


def test_a_job_has_a_loopback_of_its_own(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        try_it = (
            f"import socket; s = socket.create_server(('127.0.0.1', {port})); "
            f"socket.create_connection(('localhost', {port})); print('own')"
        )
        job = jobs.submit(f'{PYTHON} -c "{try_it}"')
        jobs.wait_for(job, "COMPLETED")
    assert jobs.log(job) == "own\n"


def test_memory_over_the_limit_is_killed(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    job = jobs.submit(f"{PYTHON} -c \"b = bytearray(200 * 2**20); print('too much')\"", "--mem=64M")
    jobs.wait_for(job, "OUT_OF_MEMORY")
    assert "too much" not in jobs.log(job)


def test_a_job_waits_for_resources_while_the_cluster_is_full(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    with slurm_cluster.filled() as filler:
        assert filler in slurm_cluster.live_jobs()
        job = jobs.submit("sleep 60", "--cpus-per-task=4")
        wait_until(lambda: jobs.field(job, "%r") == "Resources", "the reason", 10, lambda: jobs.field(job, "%r"))
    jobs.wait_for(job, "RUNNING", 10)
    assert filler not in slurm_cluster.live_jobs()


def test_a_job_outlives_the_scheduler(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    job = jobs.submit("sleep 60")
    jobs.wait_for(job, "RUNNING")
    with slurm_cluster.scheduler_down():
        done = subprocess.run([slurm_cluster.commands / "squeue"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Unable to contact slurm controller" in done.stderr
    assert jobs.field(job, "%T") == "RUNNING"


def test_a_lost_node_takes_its_jobs_with_it(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    lost, other = slurm_cluster.node_names
    gone = jobs.submit("sleep 100", f"--nodelist={lost}")
    stays = jobs.submit("sleep 100", f"--nodelist={other}")
    for job in (gone, stays):
        jobs.wait_for(job, "RUNNING")
    with slurm_cluster.node_lost(lost):
        assert jobs.field(gone, "%T") == "NODE_FAIL"
        assert jobs.field(stays, "%T") == "RUNNING"
    again = jobs.submit("true", f"--nodelist={lost}")
    jobs.wait_for(again, "COMPLETED")


def test_a_session_can_be_killed_behind_slurms_back(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    job = jobs.submit("sleep 100; sleep 100")
    jobs.wait_for(job, "RUNNING")
    time.sleep(0.5)
    slurm_cluster.kill_session_on_node(job)
    jobs.wait_for(job, "FAILED")


def test_the_short_queue_refuses_long_jobs_and_the_closed_one_every_job(
    slurm_cluster: SlurmCluster, jobs: Jobs
) -> None:
    for options in (["--partition=short", "--time=60"], ["--partition=closed", "--time=5"]):
        with pytest.raises(subprocess.CalledProcessError):
            jobs.submit("true", *options)


def test_walltime_ends_a_job(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    job = jobs.submit("sleep 300", "--time=1")
    jobs.wait_for(job, "TIMEOUT", 150)


def test_a_second_cluster_does_not_disturb_the_first(slurm_cluster: SlurmCluster) -> None:
    with tempfile.TemporaryDirectory(prefix="vre-slurm-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        other = SlurmCluster.start(Path(folder))
        try:
            assert set(other.node_names).isdisjoint(slurm_cluster.node_names)
            assert other.live_jobs() == set()
        finally:
            other.stop()
    hosts = Path("/etc/hosts").read_text()
    assert "is UP" in slurm_cluster.ask("scontrol", "ping")
    assert [name in hosts for name in (slurm_cluster.node_names[0], other.node_names[0])] == [True, False]
