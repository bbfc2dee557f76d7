"""Runs the commands of an engine on a cluster under test, as the hub does."""

from __future__ import annotations

import pwd
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cluster import HUB_ACCOUNT, USERS, wait_until

from swotvre_hub.engines.base import CommandResult, Engine, JobEnd, JobRequest, JobState, JobStatus

USER, STRANGER = USERS
GIB = 2**30


class Driver:
    """Runs the engine's commands as the hub does: as the owner of a job, or as the hub's account."""

    def __init__(self, engine: Engine, log_name: str) -> None:
        self.engine = engine
        self.log = Path(pwd.getpwnam(USER).pw_dir) / log_name
        self.request = JobRequest(
            name=f"vre-{secrets.token_hex(4)}",
            cores=1,
            memory_bytes=GIB,
            walltime=timedelta(minutes=10),
            log=str(self.log),
        )
        self.submitted: list[str] = []

    def run(self, command: Sequence[str], account: str = HUB_ACCOUNT, script: str = "") -> CommandResult:
        """Run a command in the small environment of the hub's."""
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": pwd.getpwnam(account).pw_dir}
        environment |= {"USER": account, "LOGNAME": account}
        prefix = ["/usr/sbin/runuser", "-u", account, "--"]
        done = subprocess.run(
            [*prefix, *command], input=script, env=environment, cwd="/", capture_output=True, text=True, check=False
        )
        return CommandResult([*prefix, *command], done.returncode, done.stdout, done.stderr)

    def submit(self, script: str = "sleep 300", **changes: Any) -> str:
        """Submit a job of the user and return its id."""
        request = replace(self.request, **changes)
        result = self.run(self.engine.submit_command(request), USER, f"#!/bin/bash\n{script}\n")
        self.submitted.append(self.engine.parse_submitted(result))
        return self.submitted[-1]

    def status(self, job_id: str) -> JobStatus:
        """Return what the engine makes of the one question for all jobs."""
        return self.engine.parse_status(self.run(self.engine.status_command([job_id])), [job_id])[job_id]

    def wait_for(self, job_id: str, state: JobState, seconds: float = 30) -> JobStatus:
        """Wait until the job is in ``state`` and return its status."""
        wait_until(lambda: self.status(job_id).state is state, f"job {job_id} to be {state.value}", seconds)
        return self.status(job_id)

    def ended(self, job_id: str, seconds: float = 30) -> JobEnd:
        """Wait until the job is over and return how it ended."""
        end = self.wait_for(job_id, JobState.ENDED, seconds).end
        assert end is not None
        return end

    def history(self, job_id: str) -> JobEnd | None:
        """Return what the further command says."""
        command = self.engine.history_command(job_id)
        assert command is not None
        return self.engine.parse_history(self.run(command), job_id)

    def free(self) -> tuple[int, int, int]:
        """Return the cores of all nodes, those that are free, and the free memory in bytes."""
        nodes = self.engine.parse_nodes(self.run(self.engine.nodes_command()))
        cores, free_cores = sum(node.cores for node in nodes), sum(node.free_cores for node in nodes)
        return cores, free_cores, sum(node.free_memory_bytes for node in nodes)

    def cancel(self, job_id: str, account: str = USER) -> None:
        """Cancel the job."""
        self.engine.parse_cancelled(self.run(self.engine.cancel_command(job_id), account))
