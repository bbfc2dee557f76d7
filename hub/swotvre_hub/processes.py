"""Processes of this installation, known by a mark in their environment, never by their name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from swotvre_hub.state import STATE_VARIABLE, State

#: Says what a process of an installation is for.
ROLE_VARIABLE = "SWOTVRE_ROLE"
#: The hub with its proxy, and the services that it starts.
HUB_ROLE, SERVICE_ROLE = "hub", "service"
#: A Dask scheduler or worker that the gateway started.
CLUSTER_ROLE = "dask-cluster"
#: A proxy that runs on its own.
PROXY_ROLE = "proxy"


def service_mark(state: State, role: str) -> dict[str, str]:
    """Return the environment that marks a process as part of the installation in ``state``."""
    return {STATE_VARIABLE: str(state.root), ROLE_VARIABLE: role}


def find_processes(state: State, roles: Iterable[str]) -> Iterator[psutil.Process]:
    """Yield the living processes of the installation in ``state`` that have one of ``roles``."""
    wanted = set(roles)
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        mark = environment.get(STATE_VARIABLE)
        if mark and environment.get(ROLE_VARIABLE) in wanted and Path(mark) == state.root:
            yield process


def end_processes(processes: Iterable[psutil.Process], patience_seconds: float) -> int:
    """Ask ``processes`` to end, force those that have not after ``patience_seconds``; return how many."""
    asked = []
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
        asked.append(process)
    _, alive = psutil.wait_procs(asked, timeout=patience_seconds)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=patience_seconds)
    return len(asked)
