"""The hub's end of the fork server: starts it, orders sessions from it, replaces it when the environment changed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from swotvre_hub.errors import VreError
from swotvre_hub.spawner.identity import ProcessIdentity, boot_id

#: An answer to an order takes milliseconds; a fork server that does not give it is broken.
ANSWER_SECONDS = 5.0


class ForkServerError(VreError):
    """The fork server cannot start a session; the slow way can."""


class ForkServer:
    """One fork server process, child of this process."""

    def __init__(self, python: Path, log: Path, environment: Mapping[str, str], command: Sequence[str] = ()) -> None:
        """Start the process, which needs some seconds to get ready.

        Args:
            python: interpreter of the lab environment.
            log: file that its output is appended to.
            environment: its whole environment; no secret belongs there.
            command: what it is started by, for example a scope of systemd.

        Raises:
            ForkServerError: when it cannot be started.
        """
        self._answers = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._is_ready = False
        self.fingerprint = environment_fingerprint(python)
        self._socket, theirs = socket.socketpair()
        arguments = [*command, str(python), "-m", "swotvre_lab.forkserver", str(theirs.fileno())]
        try:
            with theirs, open(log, "ab", opener=_private) as output:
                self._process = subprocess.Popen(
                    arguments,
                    env=dict(environment),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            self._socket.close()
            raise ForkServerError(f"the fork server cannot be started with {python}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Process id of the fork server."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    async def wait_until_ready(self, timeout_seconds: float) -> None:
        """Wait for its imports.

        Raises:
            ForkServerError: when it ends, or is not ready in time.
        """
        async with self._answers:
            if not self._is_ready:
                answer = await self._read(timeout_seconds)
                if answer.get("ready") is not True:
                    raise ForkServerError("the fork server said something else than that it is ready")
                self._is_ready = True

    async def start(self, order: Mapping[str, Any]) -> ProcessIdentity:
        """Start a session and return its supervisor.

        Args:
            order: the fields of ``swotvre_lab.order.SessionOrder``.

        Raises:
            ForkServerError: when no session was started.
        """
        async with self._answers:
            _, writer = await self._connect()
            writer.write(json.dumps(order).encode("ascii") + b"\n")
            try:
                await writer.drain()
            except OSError as error:
                raise ForkServerError("the fork server has closed its end") from error
            answer = await self._read(ANSWER_SECONDS)
        if "error" in answer:
            raise ForkServerError(f"the fork server refused: {answer['error']}")
        try:
            # As the fork server saw it, whose child it is: its number may belong to another process by now.
            identity = {"pid": answer["pid"], "start_ticks": answer["start_ticks"], "boot": boot_id()}
        except LookupError as error:
            raise ForkServerError(f"the fork server did not answer with {error}") from error
        process = ProcessIdentity.from_json(identity)
        if process is None:
            raise ForkServerError("the fork server answered with what is no process")
        return process

    def stop(self) -> None:
        """End the fork server; its sessions do not notice."""
        if self._streams is not None:
            with contextlib.suppress(RuntimeError):  # its event loop is closed already
                self._streams[1].close()
        self._socket.close()
        if self.is_alive():
            self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(sock=self._socket)
        return self._streams

    async def _read(self, timeout_seconds: float) -> dict[str, Any]:
        reader, _ = await self._connect()
        try:
            line = await asyncio.wait_for(reader.readline(), timeout_seconds)
            answer = json.loads(line)
        except TimeoutError as error:
            raise ForkServerError(f"the fork server did not answer within {timeout_seconds:g} s") from error
        except (OSError, ValueError) as error:
            raise ForkServerError("the fork server has ended") from error
        return answer if isinstance(answer, dict) else {}


def environment_fingerprint(python: Path) -> str:
    """Return what changes when something is installed into or removed from the environment of ``python``."""
    digest = hashlib.sha256(str(python).encode())
    for folder in sorted(python.parent.parent.glob("lib/python3*/site-packages")):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.endswith((".dist-info", ".pth", ".egg-link")):
                digest.update(f"{entry.name} {entry.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
