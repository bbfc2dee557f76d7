"""Which process is meant: its number alone is given to another one sooner or later."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

#: Every process of a session carries the session's id under this name.
SESSION_ID_VARIABLE = "SWOTVRE_SESSION_ID"


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of this machine, for as long as the machine runs."""

    pid: int
    #: When it started, in clock ticks since boot.
    start_ticks: int
    #: Which boot: after the next one, ticks are counted anew.
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the identity of the running process ``pid``.

        Raises:
            ProcessLookupError: when there is none.
        """
        found = _state_and_ticks(pid)
        if found is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, found[1], boot_id())

    @classmethod
    def from_json(cls, content: object) -> Self | None:
        """Return the identity that ``to_json`` wrote, or None when ``content`` is not one."""
        if not isinstance(content, dict) or set(content) != {"pid", "start_ticks", "boot"}:
            return None
        pid, ticks, boot = content["pid"], content["start_ticks"], content["boot"]
        if type(pid) is not int or type(ticks) is not int or not isinstance(boot, str) or pid <= 1:
            return None
        return cls(pid, ticks, boot)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return asdict(self)

    def is_alive(self) -> bool:
        """Return whether the process still runs; one that only waits to be collected does not."""
        found = _state_and_ticks(self.pid)
        return found is not None and found[0] not in "ZX" and found[1] == self.start_ticks and self.boot == boot_id()

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to the process; return False when it is gone."""
        if not self.is_alive():
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def boot_id() -> str:
    """Return what tells this boot of the machine from others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def session_processes(session_id: str, leader: ProcessIdentity | None = None) -> Iterator[psutil.Process]:
    """Yield the processes of a session: those that carry its id, wherever they put themselves, and its leader's.

    Args:
        session_id: the session's id; every program that was started in it has it in its environment.
        leader: its supervisor, alive or not; a forked server shows the environment of the process it was forked from,
            but is in the supervisor's Unix session.
    """
    unix_session = None
    if leader is not None and leader.boot == boot_id():
        found = _state_and_ticks(leader.pid)
        # Linux gives a number to no new process while a Unix session has it: another owner means that ours is over.
        unix_session = leader.pid if found is None or found[1] == leader.start_ticks else None
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and (
                os.getsid(process.pid) == unix_session or process.environ().get(SESSION_ID_VARIABLE) == session_id
            ):
                yield process


def kill_session_processes(
    session_id: str, leader: ProcessIdentity | None = None, patience_seconds: float = 5.0
) -> None:
    """Kill every process of a session; they are collected by whoever started them."""
    deadline = time.monotonic() + patience_seconds
    while (processes := list(session_processes(session_id, leader))) and time.monotonic() < deadline:
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.02)


def _state_and_ticks(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])
