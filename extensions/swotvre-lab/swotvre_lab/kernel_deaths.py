"""Which kernels of this server ended unexpectedly, and whether they were killed for the session's memory.

Jupyter starts such a kernel again and says that it "appears to have died". Linux counts, in the memory cgroup of the
session, the processes that it killed because the memory was used up: a kernel that was killed when that number has
just grown was one of them. ``watch_kernel_deaths`` notes both, for the endpoints of this package, and for the record
of the session's end that the supervisor writes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from tornado.ioloop import IOLoop, PeriodicCallback

from swotvre_lab.kernel_starts import call_at_kernel_start
from swotvre_lab.linux import memory_cgroup
from swotvre_lab.supervisor import KERNEL_DEATHS_VARIABLE, count_memory_kills

#: So many deaths are kept, the newest.
KEPT_DEATHS = 10
#: Seconds between two looks at the number of killed processes.
LOOK_SECONDS = 5
#: Jupyter notices the death of a kernel after at most 3 s; a kill so long ago was not a kernel's, but its child's.
RECENT_SECONDS = 15.0
#: Exit statuses of a killed process, and of a shell that waited for one.
KILLED = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})


@dataclass(frozen=True)
class KernelDeath:
    """The unexpected end of one kernel."""

    #: Path of its notebook, name of its console, or the kernel's own name.
    name: str
    #: When it was noticed, UTC.
    time: datetime
    #: Whether it was killed because the session's memory was used up.
    memory: bool


class MemoryKills:
    """The processes of a cgroup that Linux killed because its memory was used up."""

    def __init__(self, cgroup: str) -> None:
        self._cgroup = cgroup
        self._count = count_memory_kills(cgroup)
        #: When each kill was first seen (``time.monotonic()``) that explains no kernel's death yet.
        self._unexplained: list[float] = []

    def look(self) -> None:
        """Note what was killed since the last look; forget what was killed long ago."""
        now, count = time.monotonic(), count_memory_kills(self._cgroup)
        recent = [seen for seen in self._unexplained if now - seen <= RECENT_SECONDS]
        self._unexplained = recent + [now] * (count - self._count)
        self._count = count

    def explain_death(self) -> bool:
        """Return whether a process was killed lately; each explains one death."""
        self.look()
        if self._unexplained:
            self._unexplained.pop(0)
            return True
        return False


class KernelDeaths:
    """The unexpected ends of the kernels of one Jupyter server.

    Args:
        kernels: the server's kernel manager.
        sessions: the server's session manager: knows the notebook of a kernel.
        kills: what was killed for memory.
        file: where the names of kernels are appended that were killed for memory, one JSON string per line; None:
            nowhere.
    """

    def __init__(self, kernels: Any, sessions: Any, kills: MemoryKills, file: Path | None = None) -> None:
        self._kernels = kernels
        self._sessions = sessions
        self._kills = kills
        self._file = file
        self._deaths: list[KernelDeath] = []
        self._names: dict[str, str] = {}

    def latest(self) -> list[KernelDeath]:
        """Return the last ``KEPT_DEATHS`` deaths, the newest last."""
        return list(self._deaths)

    def watch(self, kernel_id: str) -> None:
        """Note each unexpected end of a kernel from now on, also after it was started again."""
        kernel = self._kernels.get_kernel(kernel_id)
        # "dead": it ended once more, and is given up.
        for event in ("restart", "dead"):
            kernel.add_restart_callback(lambda: self._note(kernel_id, kernel), event)

    def _note(self, kernel_id: str, kernel: Any) -> None:
        process = getattr(kernel.provisioner, "process", None)
        was_killed = getattr(process, "returncode", None) in KILLED
        memory = was_killed and self._kills.explain_death()
        IOLoop.current().add_callback(self._keep, kernel_id, kernel, datetime.now(UTC), memory)

    async def _keep(self, kernel_id: str, kernel: Any, now: datetime, memory: bool) -> None:
        name = await self._name_of(kernel_id) or self._names.get(kernel_id) or kernel.kernel_spec.display_name
        self._names[kernel_id] = name
        self._deaths = [*self._deaths, KernelDeath(name, now, memory)][-KEPT_DEATHS:]
        if not memory:
            return
        self._kernels.log.warning("The kernel of %s was killed: the memory of the session is used up.", name)
        if self._file is not None:
            try:
                with self._file.open("a", encoding="ascii") as stream:
                    stream.write(f"{json.dumps(name)}\n")
            except OSError as error:
                self._kernels.log.error("swotvre_lab: this could not be kept in %s: %s", self._file, error)

    async def _name_of(self, kernel_id: str) -> str | None:
        """Return the notebook of a kernel, or else its console; None: it has none, or was given up already."""
        sessions = [
            session
            for session in await ensure_async(self._sessions.list_sessions())
            if (session["kernel"] or {}).get("id") == kernel_id
        ]
        notebooks = [str(session["path"]) for session in sessions if session["type"] == "notebook"]
        others = [str(session["name"] or session["path"]) for session in sessions]
        return next(iter(notebooks + others), None)


def watch_kernel_deaths(web_app: Any) -> KernelDeaths:
    """Note the unexpected ends of this server's kernels from now on.

    Args:
        web_app: the server's ``ServerWebApplication``; its event loop has to run.
    """
    settings = web_app.settings
    cgroup, file = memory_cgroup(), os.environ.get(KERNEL_DEATHS_VARIABLE)
    kills = MemoryKills(cgroup)
    deaths = KernelDeaths(settings["kernel_manager"], settings["session_manager"], kills, Path(file) if file else None)
    call_at_kernel_start(settings, deaths.watch)
    if cgroup:
        PeriodicCallback(kills.look, LOOK_SECONDS * 1000).start()
    return deaths
