"""What Linux knows of processes and Python's standard library does not ask: start times, descendants, ``prctl``."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def set_process_option(option: int, value: int) -> None:
    """Call ``prctl(option, value)``.

    Raises:
        OSError: when the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")


def start_ticks(pid: int) -> int:
    """Return when process ``pid`` started, in clock ticks since boot: tells it from a later one of the same number."""
    return int(_stat_fields(pid)[19])


def parent_of(pid: int) -> int:
    """Return the process id of the parent of ``pid``."""
    return int(_stat_fields(pid)[1])


def descendants(pid: int) -> set[int]:
    """Return the process ids of all children of ``pid``, and of theirs."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        if name.isdecimal():
            try:
                parents[int(name)] = parent_of(int(name))
            except OSError:
                continue
    found: set[int] = set()
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level} - found
        found |= level
    return found


def memory_cgroup() -> str:
    """Return the folder of the memory cgroup that this process is in; empty: it cannot be seen.

    Both versions of cgroups are looked for; the root of a hierarchy limits nothing, and is none. Where only a part of
    a hierarchy is mounted, as in containers, the path that the kernel names begins above what can be seen.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"}:
            continue
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for root in ("/sys/fs/cgroup/memory",) if controllers else ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            for above in range(len(parts)):
                folder = Path(root, *parts[above:])
                if _limits_this_process(folder):
                    return str(folder)
    return ""


def _limits_this_process(cgroup: Path) -> bool:
    """Return whether ``cgroup`` counts memory, and this process is in it."""
    if not any((cgroup / name).exists() for name in ("memory.oom_control", "memory.events")):
        return False
    try:
        members = (cgroup / "cgroup.procs").read_text(encoding="ascii").split()
    except OSError:
        return False
    return str(os.getpid()) in members


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name of the program, which may hold anything."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text[text.rindex(")") + 2 :].split()
