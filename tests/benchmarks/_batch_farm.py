"""Play the sessions of virtual jobs: ``python _batch_farm.py SOCKET FIRST-LAST VERSION``, until its input ends.

The stand-in for PBS announces each job that starts. For each, the farm reads the session's environment from the job,
listens on a port of the range, and sends the hub what a JupyterLab session sends: its port, a look at the hub's
version, and its activity, now and every five minutes. It answers what the hub asks a session. It has no time of its own
for coming up: what is measured is the hub's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import resource
import shlex
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

#: How often a session says when it was used last: ``JUPYTERHUB_ACTIVITY_INTERVAL``, and its share of chance.
ACTIVITY_SECONDS, ACTIVITY_JITTER = 300.0, 0.1
#: A hub that does not answer is asked again, after pauses that double.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 15.0


def session_environment(announced: dict[str, str]) -> dict[str, str]:
    """Return what a session is told: by its job's script or, as stock batchspawner does it, by ``-v``.

    PBS spoils quotes and backslashes in ``-v``; nothing that the farm needs has any.
    """
    script = Path(announced["script_path"])
    variables = json.loads(script.with_suffix(".json").read_text())["variables"]
    environment = dict(variable.partition("=")[::2] for variable in variables)
    for line in script.read_text().splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            with suppress(ValueError):  # a value of several lines; none that is needed here
                environment[name] = "".join(shlex.split(value))
    return environment


class Session:
    """One session."""

    def __init__(self, environment: dict[str, str], port: int, version: str) -> None:
        self._api = environment["JUPYTERHUB_API_URL"].rstrip("/")
        self._user = environment["JUPYTERHUB_USER"]
        self._server_name = environment.get("JUPYTERHUB_SERVER_NAME", "")
        self._headers = {"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"}
        self._port = port
        body = json.dumps({"version": "2.17.0"}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-JupyterHub-Version: {version}\r\n"
        self._answer = f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer whatever is asked as ``/api`` is answered."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer)
            await writer.drain()
        writer.close()

    async def live(self) -> None:
        """Tell the port, then what every session tells, until the hub does not know this session any more."""
        if not await self._ask("POST", "/batchspawner", {"port": self._port}):
            return
        await self._ask("GET", "/", None)
        used = datetime.now(UTC).isoformat()
        servers = {self._server_name: {"last_activity": used}}
        activity = {"servers": servers, "last_activity": used}
        # As if the sessions had been started at all times of the day: the reports are spread evenly from the beginning.
        pause = random.uniform(0, ACTIVITY_SECONDS)  # noqa: S311 - no secret
        while await self._ask("POST", f"/users/{self._user}/activity", activity):
            await asyncio.sleep(pause)
            pause = ACTIVITY_SECONDS * random.uniform(1 - ACTIVITY_JITTER, 1 + ACTIVITY_JITTER)  # noqa: S311

    async def _ask(self, method: str, path: str, content: object) -> bool:
        """Ask the hub until it answers; return whether it knows this session."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            with suppress(OSError, ValueError, asyncio.IncompleteReadError):
                status = await fetch(method, self._api + path, self._headers, content)
                if status < 500 and status != 409:
                    return status < 400
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def fetch(method: str, url: str, headers: dict[str, str], content: object) -> int:
    """Send one request; return the status of its answer."""
    address = urlsplit(url)
    body = b"" if content is None else json.dumps(content).encode()
    sent = {**headers, "Host": address.netloc, "Connection": "close", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"{method} {address.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1])


class Farm:
    """All sessions of a cluster."""

    def __init__(self, ports: range, version: str) -> None:
        self._ports = itertools.cycle(ports)
        self._version = version
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, listener: socket.socket) -> None:
        """Begin the sessions of the jobs that were announced."""
        with suppress(BlockingIOError):
            while True:
                announced = json.loads(listener.recv(1 << 16))
                task = asyncio.get_running_loop().create_task(self._begin(announced))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _begin(self, announced: dict[str, str]) -> None:
        try:
            environment = session_environment(announced)
        except FileNotFoundError:
            return  # deleted meanwhile
        while True:
            port = next(self._ports)
            session = Session(environment, port, self._version)
            with suppress(OSError):  # somebody else's port
                await asyncio.start_server(session.answer, "0.0.0.0", port)
                break
        await session.live()


async def main(path: str, ports: str, version: str) -> None:
    """Play sessions until the standard input ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    first, _, last = ports.partition("-")
    farm = Farm(range(int(first), int(last) + 1), version)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, lambda: os.read(sys.stdin.fileno(), 1) or ended.set())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(path)
        loop.add_reader(listener, farm.hear, listener)
        print("listening", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
