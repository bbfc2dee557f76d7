"""A real OpenPBS, wherever ``qstat --version`` names one: the same behaviours as on the other clusters.

Its operator says by the variable SWOTVRE_OPENPBS_CONTROL which program brings faults about: ``server-stop``,
``server-start``, ``node-kill NODE``, ``node-start NODE``, ``requeue-after SECONDS``; without it those are skipped.
SWOTVRE_OPENPBS_HUB names this machine as nodes reach it, where that is not the server's name.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster import USERS, NodeSize, ensure_accounts, wait_until

PLACES = ("/opt/pbs/bin",)


def find_commands() -> Path | None:
    """Return the folder of the commands of a real OpenPBS, or None."""
    on_path = shutil.which("qstat")
    for folder in [*(Path(place) for place in PLACES), *([Path(on_path).parent] if on_path else [])]:
        if not (folder / "qstat").exists():
            continue
        said = subprocess.run([folder / "qstat", "--version"], capture_output=True, text=True, check=False).stdout
        if re.search(r"pbs_version = \d", said) and _run(folder, "qstat", "-B").returncode == 0:
            return folder
    return None


class OpenPbsCluster:
    """A cluster that runs already; nothing of it is started or ended here but jobs of the tests' accounts."""

    is_real = True
    engine = "pbs"
    node = NodeSize()
    queue, short_queue, closed_queue = "workq", "short", "closed"
    enforces_memory = True

    def __init__(self, commands: Path) -> None:
        ensure_accounts()
        self.commands = commands
        self.environment: dict[str, str] = {}
        self.control = os.environ.get("SWOTVRE_OPENPBS_CONTROL", "")
        server = self._json("qstat", "-B", "-f", "-F", "json")
        self.title = f"OpenPBS {server['pbs_version']}"
        self.hub_address = os.environ.get("SWOTVRE_OPENPBS_HUB") or server["pbs_server"]
        self.node_names = tuple(self._nodes())

    @contextmanager
    def filled(self) -> Iterator[str]:
        # A job that is ending holds cores that are free a moment later.
        wait_until(lambda: not _run(self.commands, "qselect", "-s", "E").stdout.strip(), "ending jobs to be over", 60)
        ids = []
        for name, node in self._nodes().items():
            free = node["resources_available"]["ncpus"] - node.get("resources_assigned", {}).get("ncpus", 0)
            if free > 0:
                select = f"select=1:ncpus={free}:mem=100mb:vnode={name}"
                # Its output is copied nowhere: a job whose output cannot be copied ends a minute and a half later.
                kept = ["-j", "oe", "-k", "doe", "-o", "localhost:/dev/null"]
                ids.append(self._as(USERS[1], "qsub", "-N", "fill", "-l", select, "-l", "walltime=00:20:00", *kept))
        try:
            wait_until(lambda: all(self._state(job_id) == "R" for job_id in ids), "the filling jobs to run", 60)
            yield ids[0]
        finally:
            for job_id in ids:
                _run(self.commands, "qdel", job_id)
            wait_until(lambda: not self.live_jobs() & set(ids), "the filling jobs to end", 60)

    @contextmanager
    def scheduler_down(self) -> Iterator[None]:
        self._fault("server-stop")
        try:
            yield
        finally:
            self._fault("server-start")
            wait_until(lambda: _run(self.commands, "qstat", "-B").returncode == 0, "the server to answer", 60)

    @contextmanager
    def node_lost(self, name: str) -> Iterator[None]:
        self._fault("requeue-after", "5")
        jobs = self.live_jobs()
        self._fault("node-kill", name)
        # What a program that kills the node's daemon alone has left; not before, or that daemon tells how it ended.
        for job_id in jobs:
            self.kill_session_on_node(job_id, quiet=True)
        try:
            yield
        finally:
            self._fault("node-start", name)
            self._fault("requeue-after", "310")
            wait_until(lambda: self._nodes()[name]["state"] == "free", "the node to be back", 60)

    def live_jobs(self) -> set[str]:
        listed = _run(self.commands, "qselect", "-u", ",".join(USERS))
        return {line.strip() for line in listed.stdout.splitlines() if line.strip()}

    def kill_session_on_node(self, job_id: str, quiet: bool = False) -> None:
        killed = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PBS_JOBID") == job_id:
                    process.kill()
                    killed.append(process)
            except psutil.Error:
                continue
        assert killed or quiet, f"no process of job {job_id}"

    def stop(self) -> None:
        for job_id in self.live_jobs():
            _run(self.commands, "qdel", "-W", "force", job_id)

    def _nodes(self) -> dict[str, Any]:
        nodes: dict[str, Any] = self._json("pbsnodes", "-a", "-F", "json")["nodes"]
        return nodes

    def _state(self, job_id: str) -> str:
        jobs = self._json("qstat", "-x", "-f", "-F", "json", job_id)["Jobs"]
        return str(jobs[job_id]["job_state"])

    def _json(self, *arguments: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(_run(self.commands, *arguments).stdout, strict=False)
        return content

    def _as(self, user: str, *arguments: str) -> str:
        done = subprocess.run(
            ["/usr/sbin/runuser", "-u", user, "--", str(self.commands / arguments[0]), *arguments[1:]],
            input="sleep 1200\n",
            capture_output=True,
            text=True,
            check=True,
            cwd=pwd.getpwnam(user).pw_dir,
        )
        return done.stdout.strip()

    def _fault(self, *arguments: str) -> None:
        if not self.control:
            pytest.skip("SWOTVRE_OPENPBS_CONTROL names no program that stops and starts this OpenPBS")
        subprocess.run([self.control, *arguments], check=True, stdout=subprocess.DEVNULL)


def _run(commands: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(commands / program), *arguments], capture_output=True, text=True, check=False)
