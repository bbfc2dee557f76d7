"""Which process is meant: its number alone is given to another one sooner or later."""

from __future__ import annotations

import os
import signal
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


def session_processes(session_id: str) -> Iterator[psutil.Process]:
    """Yield the processes that carry ``session_id``, whatever process group or session they put themselves in."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(SESSION_ID_VARIABLE) == session_id:
                yield process


def kill_session_processes(session_id: str) -> int:
    """Kill every process that carries ``session_id``; return how many there were."""
    count = 0
    while processes := list(session_processes(session_id)):
        count += len(processes)
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=5)
        if all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
            break  # not ours to kill: looping would not help
    return count


def _state_and_ticks(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])
