"""A session under a real hub: a notebook's kernel in it, and a hub that is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

REPORT = """
import json, os, subprocess
child = subprocess.Popen(["sleep", "300"], start_new_session=True)
print(json.dumps({"environment": dict(os.environ), "cores": sorted(os.sched_getaffinity(0)), "child": child.pid}))
"""


class Kernel:
    """A kernel of a running session, by the session's own API."""

    def __init__(self, session_url: str, token: str) -> None:
        self.session = httpx.Client(base_url=session_url, headers={"Authorization": token}, timeout=60)
        self.id = self.session.post("api/kernels", json={}).raise_for_status().json()["id"]
        self._token = token
        self._channels: WebSocketClientConnection | None = None

    async def connect(self) -> None:
        url = f"{self.session.base_url}api/kernels/{self.id}/channels".replace("http", "ws", 1)
        self._channels = await websocket_connect(HTTPRequest(url, headers={"Authorization": self._token}))

    async def run(self, code: str, when_busy: Callable[[], object] = lambda: None) -> tuple[str, str]:
        """Run ``code`` and return what it printed and the name of the error that it raised."""
        assert self._channels is not None
        message_id = uuid.uuid4().hex
        header = {"msg_id": message_id, "msg_type": "execute_request", "username": "", "session": "s", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await self._channels.write_message(json.dumps(message))
        printed, error = "", ""
        while True:
            received = await self._channels.read_message()
            assert received is not None, "the kernel's channel was closed"
            reply = json.loads(received)
            if reply["content"].get("execution_state") in {"restarting", "autorestarting", "dead"}:
                return printed, "KernelDied"
            if reply["parent_header"].get("msg_id") != message_id:
                continue
            if reply["msg_type"] == "stream":
                printed += reply["content"]["text"]
            elif reply["msg_type"] == "error":
                error = reply["content"]["ename"]
            elif reply["msg_type"] == "execute_input":
                when_busy()
            elif reply["msg_type"] == "status" and reply["content"]["execution_state"] == "idle":
                return printed, error

    def interrupt(self) -> None:
        self.session.post(f"api/kernels/{self.id}/interrupt").raise_for_status()

    async def restart(self) -> None:
        """Restart the kernel and connect anew, as JupyterLab does: what the old connection would bring may be lost."""
        self.session.post(f"api/kernels/{self.id}/restart").raise_for_status()
        await self._disconnect()
        await self.connect()

    async def close(self) -> None:
        await self._disconnect()
        self.session.close()

    async def _disconnect(self) -> None:
        if self._channels is None:
            return
        self._channels.close()
        # After a failed test nobody may answer any more.
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                while await self._channels.read_message() is not None:
                    pass


def start_session(hub: Any) -> None:
    hub.api.post("/users/ada")
    assert hub.api.post("/users/ada/server", json={"size": "tiny"}, timeout=60).status_code in {201, 202}
    hub.wait(lambda: hub.server("ada").get("ready"), "the session to start", 60)


@pytest_asyncio.fixture
async def kernel(hub: Any) -> AsyncIterator[Kernel]:
    """Start a kernel in a session of ``ada``."""
    start_session(hub)
    kernel = Kernel(f"{hub.url}user/ada/", hub.api.headers["Authorization"])
    await kernel.connect()
    yield kernel
    await kernel.close()


async def test_a_kernel_has_what_the_size_says_can_be_interrupted_and_ends_with_the_session(
    hub: Any, kernel: Kernel, tmp_path: Path
) -> None:
    printed, error = await kernel.run(REPORT)
    assert error == ""
    report = json.loads(printed)
    environment = report["environment"]
    assert len(report["cores"]) == 1
    expected = {"SWOTVRE_SIZE": "tiny", "CPU_LIMIT": "1.0", "MEM_LIMIT": str(2**30), "OMP_NUM_THREADS": "1"}
    assert {name: environment.get(name) for name in expected} == expected
    assert environment["HOME"] == str(tmp_path / "state" / "home" / "ada")
    assert environment["SWOTVRE_DATALAKE"] == str(tmp_path / "state" / "datalake")
    assert "CONFIGPROXY_AUTH_TOKEN" not in environment

    assert await kernel.run("import time; time.sleep(60)", kernel.interrupt) == ("", "KeyboardInterrupt")

    assert psutil.pid_exists(report["child"])
    hub.api.delete("/users/ada/server", timeout=60)
    hub.wait(lambda: not hub.server("ada"), "the session to stop", 60)
    assert not psutil.pid_exists(report["child"]) or psutil.Process(report["child"]).status() == psutil.STATUS_ZOMBIE


WHERE = "import os; print(os.getpid(), os.environ['JUPYTER_RUNTIME_DIR'])"


#: What a socket that sends says first, in ZeroMQ's protocol.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"


def kind_of_socket(port: int) -> bytes:
    """Return what a ZeroMQ socket that listens on ``port`` says of itself to one that sends to it."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(GREETING + bytes([4, len(READY)]) + READY)
        while b"Socket-Type" not in said or len(said) < said.index(b"Socket-Type") + 19:
            received = connection.recv(4096)
            assert received, f"closed after {said!r}"
            said += received
    return said[said.index(b"Socket-Type") + 15 :][:4]


def check_ports(kernel: psutil.Process) -> None:
    """Check that a kernel has no port that tells anything: its only one takes the output of forks."""
    ports = [found.laddr.port for found in kernel.net_connections("inet")]
    assert [kind_of_socket(port) for port in ports] == [b"PULL"]


async def test_no_other_account_can_reach_a_kernel_and_it_can_be_interrupted_and_restarted(
    hub: Any, kernel: Kernel
) -> None:
    printed, _ = await kernel.run(WHERE)
    process, runtime = psutil.Process(int(printed.split()[0])), printed.split()[1]
    assert os.stat(runtime).st_mode & 0o777 == 0o700  # noqa: PTH116
    assert [name for name in os.listdir(runtime) if "-ipc-" in name]  # noqa: PTH208
    check_ports(process)
    assert await kernel.run("import time; time.sleep(60)", kernel.interrupt) == ("", "KeyboardInterrupt")

    await kernel.restart()
    printed, error = await kernel.run(WHERE)
    assert error == ""
    restarted = psutil.Process(int(printed.split()[0]))
    assert restarted.pid != process.pid
    check_ports(restarted)

    hub.api.delete("/users/ada/server", timeout=60)
    hub.wait(lambda: not hub.server("ada"), "the session to stop", 60)
    assert Path(runtime).name not in os.listdir(Path(runtime).parent)  # noqa: PTH208


async def test_a_session_shows_the_use_of_its_processors_against_its_cores(kernel: Kernel) -> None:
    def used() -> Any:
        return kernel.session.get("api/metrics/v1").raise_for_status().json()

    used()
    await kernel.run("import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass")
    metrics = used()
    assert metrics["cpu_percent"] > 10
    assert metrics["limits"]["cpu"] == {"cpu": 1.0}


async def test_a_kernel_that_uses_too_much_memory_is_killed_and_the_session_is_not(hub: Any, kernel: Kernel) -> None:
    printed, _ = await kernel.run("import os; print(os.environ['SWOTVRE_MEMORY_ENFORCED'])")
    if printed.strip() != "1":
        pytest.skip("memory cannot be limited by this account here; the session says so itself")
    hog = "kept = []\nwhile True: kept.append(bytearray(64 * 2**20))"
    assert await kernel.run(hog) == ("", "KernelDied")
    assert hub.server("ada")["ready"]


def test_a_session_survives_a_killed_hub_and_the_next_hub_finds_it(
    hub: Any, start_hub: Callable[..., Any], free_port: int, hub_block: str, state: Any
) -> None:
    start_session(hub)
    (record,) = (state.run / "sessions").glob("*.live.json")
    supervisor = json.loads(record.read_text())["process"]["pid"]
    hub.process.kill()
    hub.process.wait()
    time.sleep(1)
    os.kill(supervisor, 0)
    following = start_hub(free_port, hub_block)
    following.wait(lambda: following.server("ada").get("ready"), "the hub to find the session", 60)
    assert httpx.get(f"{following.url}user/ada/api").status_code == 200
    assert json.loads(record.read_text())["process"]["pid"] == supervisor
    following.api.delete("/users/ada/server", timeout=60)
    following.wait(lambda: not following.server("ada"), "the session to stop", 60)
    assert not record.exists()


def test_a_session_that_ended_while_no_hub_was_there_is_noticed(
    hub: Any, start_hub: Callable[..., Any], free_port: int, hub_block: str, state: Any
) -> None:
    start_session(hub)
    (record,) = (state.run / "sessions").glob("*.live.json")
    kept = json.loads(record.read_text())
    supervisor = psutil.Process(kept["process"]["pid"])
    assert Path(kept["runtime_folder"]).is_dir()
    hub.process.kill()
    hub.process.wait()
    supervisor.terminate()
    psutil.wait_procs([supervisor], timeout=30)
    following = start_hub(free_port, hub_block)
    following.wait(lambda: not following.server("ada"), "the hub to notice", 30)
    history = json.loads((state.run / "sessions" / "ada+.history.json").read_text())
    assert "it was stopped" in history["last_end"]
    assert not Path(kept["runtime_folder"]).exists()
