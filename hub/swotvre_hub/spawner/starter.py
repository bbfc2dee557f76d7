"""Start sessions on this machine: by the fork server where it works, from scratch otherwise; with memory limits."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from logging import Logger
from pathlib import Path
from typing import Any

from swotvre_hub import cgroups
from swotvre_hub.cgroups import CgroupError, MemoryCgroups
from swotvre_hub.spawner.environment import base_environment
from swotvre_hub.spawner.forkserver import ForkServer, ForkServerError, environment_fingerprint
from swotvre_hub.spawner.identity import ProcessIdentity
from swotvre_hub.state import State

#: A fork server that is not ready by then is given up for this start.
WARM_UP_SECONDS = 20.0
#: After a failure, the fork server is not tried again for so long.
PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class StartedSession:
    """A session that was just started."""

    process: ProcessIdentity
    #: The child to collect at its end; None when the fork server collects it.
    child: subprocess.Popen[bytes] | None


class SessionStarter:
    """Starts the sessions of one installation; one per hub process."""

    def __init__(self, python: Path, state: State, log: Logger) -> None:
        self._python = python
        self._state = state
        self._log = log
        self._fork_server: ForkServer | None = None
        self._no_fork_server_before = 0.0
        self._scope: list[str] = []
        self._scope_was_tried = False
        self._memory: MemoryCgroups | None = None
        #: Held from the choice of a session's cores until they are noted: two starts at once see each other's.
        self.choosing = asyncio.Lock()
        #: Why memory is not limited; empty: it is.
        self.unlimited_because = ""
        try:
            self._memory = cgroups.find_memory_cgroups()
        except CgroupError as error:
            self.unlimited_because = str(error)
            self._scope = cgroups.scope_command()
            self._log.info("Sessions have no memory limit in the hub's own cgroup: %s", error)

    def warm_up(self) -> None:
        """Make sure that a fork server runs, of the lab environment as it is now; it may still be importing.

        Raises:
            ForkServerError: when none can be had.
        """
        server = self._fork_server
        if server is not None and server.is_alive() and server.fingerprint == environment_fingerprint(self._python):
            return
        if time.monotonic() < self._no_fork_server_before:
            raise ForkServerError("the fork server failed a short while ago")
        self.stop()
        self._state.log.mkdir(parents=True, exist_ok=True)
        log = self._state.log / "forkserver.log"
        self._fork_server = ForkServer(self._python, log, base_environment(self._python), self._scope)

    async def prepare(self) -> None:
        """Wait for the fork server, and leave it aside for a while if it fails."""
        try:
            self.warm_up()
            if self._fork_server is not None:
                await self._fork_server.wait_until_ready(WARM_UP_SECONDS)
                if self._scope:
                    self._limit_by_scope(self._fork_server.pid)
        except ForkServerError as error:
            self._leave_aside(error)

    async def start(self, order: Mapping[str, Any]) -> StartedSession:
        """Start the session that ``order`` describes.

        Raises:
            OSError: when not even the slow way could start it.
        """
        if self._fork_server is not None:
            try:
                return StartedSession(await self._fork_server.start(order), None)
            except ForkServerError as error:
                self._leave_aside(error)
        return self._start_from_scratch(order)

    def limit_memory(self, session_id: str, memory_bytes: int) -> Path | None:
        """Return the new cgroup of a session, or None where memory cannot be limited."""
        if self._memory is None:
            return None
        try:
            cgroup = self._memory.create(session_id, memory_bytes)
        except CgroupError as error:
            self.unlimited_because = str(error)
            self._log.warning("%s", error)
            return None
        self.unlimited_because = ""
        return cgroup

    def why_unlimited(self, fork_server: bool) -> str | None:
        """Return why the memory of the next session will not be limited; None: it will, or may be.

        Args:
            fork_server: whether sessions are started by the fork server, whose scope may be limited.
        """
        if fork_server and self._scope and not self._scope_was_tried:
            return None
        return self.unlimited_because or None

    def stop(self) -> None:
        """End the fork server; sessions live on."""
        if self._fork_server is not None:
            self._fork_server.stop()
            self._fork_server = None

    def _start_from_scratch(self, order: Mapping[str, Any]) -> StartedSession:
        arguments = [str(self._python), "-m", "swotvre_lab.launcher"]
        with Path(order["log"]).open("ab") as output:
            child = subprocess.Popen(
                arguments,
                env=base_environment(self._python),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
            )
        process = ProcessIdentity.of(child.pid)
        # A program that ended already does not read its order; that it ended is noticed soon enough.
        with suppress(BrokenPipeError):
            if child.stdin is not None:
                with child.stdin as pipe:
                    pipe.write(json.dumps(order).encode("ascii"))
        return StartedSession(process, child)

    def _leave_aside(self, error: ForkServerError) -> None:
        self._log.warning("%s; sessions are started from scratch", error)
        self._no_fork_server_before = max(self._no_fork_server_before, time.monotonic() + PAUSE_SECONDS)
        self.stop()

    def _limit_by_scope(self, pid: int) -> None:
        self._scope_was_tried = True
        try:
            self._memory = cgroups.cgroups_of_scope(pid)
        except CgroupError as error:
            self.unlimited_because = str(error)
        else:
            self.unlimited_because = ""


@cache
def starter_of(python: Path, state: State, log: Logger) -> SessionStarter:
    """Return the one starter of this process for an installation."""
    return SessionStarter(python, state, log)
