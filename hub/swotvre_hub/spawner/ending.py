"""How a session ended: what the supervisor wrote down, and the words for it."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

#: Causes that the supervisor knows. ``lost``: it was killed itself, and could not say why.
CAUSES = ("ended", "stopped", "walltime", "memory", "lost")


@dataclass(frozen=True)
class SessionEnd:
    """The end of one session."""

    #: One of ``CAUSES``.
    cause: str
    #: Exit status of the single-user server; negative: the signal that ended it.
    status: int
    #: How many processes were killed because the session's memory was used up.
    memory_kills: int
    #: UTC; None when nobody was there to look.
    ended: datetime | None
    #: Notebooks (or the kernels' names) whose kernels were among those processes.
    killed_kernels: tuple[str, ...] = ()

    def describe(self, size_title: str, cores: int, memory_gib: int, stop_reason: str | None = None) -> str:
        """Return the end in words for the user, with the resources that the session had.

        Args:
            size_title: name of the session's size.
            cores: its CPU cores.
            memory_gib: its memory in GiB.
            stop_reason: why it was stopped, when somebody said so.
        """
        when = f" at {self.ended:%Y-%m-%d %H:%M} UTC" if self.ended else ""
        session = f"Your last session ({size_title}: {cores} core{'s' if cores > 1 else ''}, {memory_gib} GiB)"
        if self.cause == "lost":
            return f"{session} is gone; why could not be seen: its processes were killed, or the machine restarted."
        reason = {
            "walltime": "its duration was over",
            "stopped": f"it was stopped: {stop_reason}" if stop_reason else "it was stopped",
            "memory": f"it used more than its {memory_gib} GiB of memory; choose a larger size",
        }.get(self.cause, describe_status(self.status))
        extra = ""
        if self.memory_kills and self.cause != "memory":
            extra = describe_memory_kills(self, memory_gib)
        return f"{session} ended{when}: {reason}.{extra}"


def describe_memory_kills(end: SessionEnd, memory_gib: int) -> str:
    """Return a sentence, after a space, on what was killed in the session for its memory; which kernels, if known."""
    if end.killed_kernels:
        what = f"the kernel{'s' if len(end.killed_kernels) > 1 else ''} of {', '.join(end.killed_kernels)}"
    else:
        what = "a process" if end.memory_kills == 1 else f"{end.memory_kills} processes"
    return f" In it, {what} had been killed for using more than {memory_gib} GiB of memory."


def describe_status(status: int, program: str = "JupyterLab") -> str:
    """Return in words how a program that nobody stopped ended."""
    if status == 0:
        return f"{program} was shut down"
    if status > 0:
        return f"{program} ended by itself with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"{program} was killed by {name}"


def read_end(path: Path) -> SessionEnd:
    """Return the end that the supervisor wrote to ``path``; what is missing or damaged is a lost session."""
    try:
        return parse_end(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return SessionEnd("lost", 1, 0, None)


def parse_end(text: str) -> SessionEnd:
    """Return the end that ``text``, an end record, tells; what is damaged is a lost session."""
    try:
        content = json.loads(text)
        cause, status, kills, ended = (content[key] for key in ("cause", "status", "memory_kills", "ended"))
        kernels = content.get("killed_kernels", [])
        if cause in CAUSES and type(status) is int and type(kills) is int and math.isfinite(ended):
            names = tuple(str(name)[:200] for name in kernels[-5:])
            return SessionEnd(cause, status, kills, datetime.fromtimestamp(ended, UTC), names)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        pass
    return SessionEnd("lost", 1, 0, None)
