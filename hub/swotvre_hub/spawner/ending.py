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
            kernels = "a process" if self.memory_kills == 1 else f"{self.memory_kills} processes"
            extra = f" In it, {kernels} had been killed for using more than {memory_gib} GiB of memory."
        return f"{session} ended{when}: {reason}.{extra}"


def describe_status(status: int) -> str:
    """Return in words how a program that nobody stopped ended."""
    if status == 0:
        return "JupyterLab was shut down"
    if status > 0:
        return f"JupyterLab ended by itself with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"JupyterLab was killed by {name}"


def read_end(path: Path) -> SessionEnd:
    """Return the end that the supervisor wrote to ``path``; what is missing or damaged is a lost session."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        cause, status, kills, ended = (content[key] for key in ("cause", "status", "memory_kills", "ended"))
        if cause in CAUSES and type(status) is int and type(kills) is int and math.isfinite(ended):
            return SessionEnd(cause, status, kills, datetime.fromtimestamp(ended, UTC))
    except (OSError, ValueError, TypeError, LookupError, OverflowError):
        pass
    return SessionEnd("lost", 1, 0, None)
