"""``pbs_server``: takes calls from a socket that everybody may use, and reports from the mom.

Run as ``python -m recorded_pbs.server FOLDER``; it ends when its standard input does, and leaves the jobs running.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .batch import Batch
from .commands import Commands
from .control import Control
from .faults import Faults
from .folders import Folders
from .site import Site
from .wire import Answer, caller, decode_call

#: Seconds between two looks for jobs whose shepherd is gone.
_LOOK_INTERVAL = 2.0
#: How many commands may wait to be taken at once.
_BACKLOG = 1024


class Server:
    """One daemon."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._batch = Batch(folders, Site.load(folders.site))
        self._faults = Faults()
        self._commands = Commands(self._batch)
        self._control = Control(self._batch, self._faults)
        self._trusted = {0, os.geteuid()}

    async def run(self) -> None:
        """Answer until the standard input ends."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(sys.stdin, lambda: os.read(sys.stdin.fileno(), 1) or ended.set())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as events:
            self._folders.bind(events, self._folders.events_socket)
            loop.add_reader(events, self._listen, events)
            self._batch.recover()
            with socket.socket(socket.AF_UNIX) as listener:
                self._folders.bind(listener, self._folders.server_socket, 0o666)
                server = await asyncio.start_unix_server(self._answer, sock=listener, backlog=_BACKLOG, limit=1 << 26)
                look = loop.create_task(self._look_after_jobs())
                await ended.wait()
                look.cancel()
                server.close()

    def _listen(self, events: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                self._batch.told(json.loads(events.recv(1 << 16)))

    async def _look_after_jobs(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_INTERVAL)
            self._batch.look_after_jobs()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A command that is killed while it is asked is no matter of the server's.
        with suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            length = int(await reader.readline())
            call = decode_call(await reader.readexactly(length), caller(writer.get_extra_info("socket")))
            if call.command == "control":
                allowed = call.uid in self._trusted
                answer = self._controlled(call.arguments) if allowed else Answer(159, stderr="Unauthorized Request\n")
            else:
                self._faults.asked[call.command, int(time.time())] += 1
                await asyncio.sleep(self._faults.seconds_to_hang(call.command))
                answer = self._faults.spoil(call.command, self._commands.answer(call))
            writer.write(answer.encode())
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def _controlled(self, arguments: list[str]) -> Answer:
        name, parameters = arguments[0], json.loads(arguments[1])
        method: Callable[..., Any] = getattr(self._control, name)
        return Answer(stdout=json.dumps(method(**parameters)))


async def main(folder: Path) -> None:
    """Run one daemon for the cluster of a folder."""
    await Server(Folders(folder)).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
