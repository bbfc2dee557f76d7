"""Processes as ``/proc`` shows them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class Process:
    """One process of a job."""

    pid: int
    session: int
    #: Of itself and of its children that have ended.
    cpu_seconds: float
    #: What it does not share with files; the sum over a job is near to what a cgroup counts.
    memory_kb: int
    virtual_kb: int


def start_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks after boot; None when it is gone, or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def children(pid: int) -> list[int]:
    """Return what a process has started, or, as a subreaper, has inherited."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.scandir(f"/proc/{pid}/task"):
            with suppress(OSError):
                found += map(int, (PROC / str(pid) / "task" / task.name / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """Return every process below one, those of ended parents included when it is a subreaper."""
    found, unseen = [], [pid]
    while unseen:
        below = children(unseen.pop())
        found += below
        unseen += below
    return found


def snapshot(pids: list[int]) -> list[Process]:
    """Return what is known of those that still live."""
    return [process for pid in pids if (process := _process(pid))]


def send(pids: list[int], signal_number: signal.Signals) -> None:
    """Signal those that still live."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def kill_below() -> None:
    """Kill everything below this very process, a subreaper, and what that starts meanwhile; leave no zombie."""
    while below := descendants(os.getpid()):
        send(below, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/PID/stat`` after the name: the state, the parent, the group, the session, ..."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _process(pid: int) -> Process | None:
    fields = _stat(pid)
    if fields is None or fields[0] == "Z":
        return None
    try:
        size, resident, shared, *_ = map(int, (PROC / str(pid) / "statm").read_text().split())
    except OSError:
        return None
    ticks = sum(map(int, fields[11:15]))
    return Process(pid, int(fields[3]), ticks / TICKS, (resident - shared) * PAGE_KB, size * PAGE_KB)
