"""What a batch cluster under test can do: the same for recorded PBS, real Slurm and real OpenPBS."""

from __future__ import annotations

import pwd
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Unix accounts of the tests, made where they are missing: two researchers, and the hub's own, without any right.
USERS = ("vretest1", "vretest2")
HUB_ACCOUNT = "vretesthub"
#: What is waited for may take so many times longer than it does on a machine that has little else to do: the suites of
#: the gate run side by side on two cores. Only a failure takes that long.
PATIENCE = 3.0


@dataclass(frozen=True)
class NodeSize:
    """What each node of a cluster under test poses as."""

    cores: int = 8
    memory_gib: int = 40


class BatchCluster(Protocol):
    """A running cluster of two nodes, whose users are `USERS`."""

    #: As the run prints it: ``recorded PBS``, ``Slurm 22.05.8``, ``OpenPBS 23.06.06``.
    title: str
    #: Whether the scheduler is a real one.
    is_real: bool
    #: ``pbs`` or ``slurm``.
    engine: str
    #: Folder of the scheduler's commands, for ``batch.commands`` of the settings.
    commands: Path
    #: Environment variables that the commands need; empty for most.
    environment: dict[str, str]
    #: Name or address by which a node reaches this machine.
    hub_address: str
    #: Names of the nodes, as the scheduler prints them where a job runs.
    node_names: tuple[str, ...]
    node: NodeSize
    #: A queue or partition that takes jobs of everybody, and the default.
    queue: str
    #: One whose jobs may run for half an hour at most, and one that takes no jobs at all.
    short_queue: str
    closed_queue: str
    #: Whether memory is enforced, so that a job or a kernel that uses more is killed.
    enforces_memory: bool

    def filled(self) -> AbstractContextManager[str]:
        """Have another account's jobs take all cores of all nodes for as long as the context lasts.

        Yields the id of one of these jobs.
        """

    def scheduler_down(self) -> AbstractContextManager[None]:
        """Stop the scheduler for as long as the context lasts; jobs go on, commands fail as they really do."""

    def node_lost(self, name: str) -> AbstractContextManager[None]:
        """Have a node die with everything on it, until the scheduler knows; it is back when the context ends."""

    def live_jobs(self) -> set[str]:
        """Return the ids of all jobs that wait or run, whoever owns them."""

    def kill_session_on_node(self, job_id: str) -> None:
        """Kill the job's processes behind the scheduler's back, as a crash would."""

    def stop(self) -> None:
        """End the cluster and everything in it."""


def ensure_accounts() -> None:
    """Make the accounts of the tests where they are missing; only root can.

    Their homes are open to nobody else, as on a site.
    """
    for name in (*USERS, HUB_ACCOUNT):
        try:
            pwd.getpwnam(name)
        except KeyError:
            subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", name], check=True)
        Path(pwd.getpwnam(name).pw_dir).chmod(0o700)


def wait_until(happened: Callable[[], bool], what: str, seconds: float, explain: Callable[[], str] = str) -> None:
    """Wait until ``happened``, or fail with what ``explain`` says."""
    deadline = time.monotonic() + PATIENCE * seconds
    while not happened():
        assert time.monotonic() < deadline, f"waited {PATIENCE * seconds:g} s for {what}\n{explain()}"
        time.sleep(0.1)
