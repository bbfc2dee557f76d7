"""A real Jupyter server with the extension, one for each way of starting it."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A running Jupyter server, spoken to as a user with its token."""

    url: str
    token: str
    log: Path

    def request(self, method: str, path: str, body: object = None, token: str | None = None) -> httpx.Response:
        """Send one request; with this server's token unless another (or the empty one) is given."""
        token = self.token if token is None else token
        headers = {"Authorization": f"token {token}"} if token else {}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=30)

    def session(self) -> dict[str, Any]:
        """Return the answer of ``GET swotvre/session``."""
        answer = self.request("GET", "swotvre/session").raise_for_status()
        return dict(answer.json())

    def wait_for(self, what: str, holds: Callable[[], bool], seconds: float = 90) -> None:
        """Wait until something holds, or fail with the server's log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if holds():
                return
            time.sleep(0.1)
        pytest.fail(f"not within {seconds} s: {what}\n{self.log.read_text()}")


class Kernel:
    """A kernel of the server, run through its websocket as JupyterLab does."""

    def __init__(self, server: Server, notebook: str = "") -> None:
        self.server = server
        kernel = {"name": "test-python"}
        if notebook:
            body = {"path": notebook, "name": "", "type": "notebook", "kernel": kernel}
            self.kernel_id = server.request("POST", "api/sessions", body).raise_for_status().json()["kernel"]["id"]
        else:
            self.kernel_id = server.request("POST", "api/kernels", kernel).raise_for_status().json()["id"]
        self.path = f"api/kernels/{self.kernel_id}"

    def pid(self) -> int:
        """Return the process id of the kernel: its command line names its connection file."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"kernel-{self.kernel_id}.json" in path.read_text(errors="replace"):
                    return int(path.parent.name)
        raise ProcessLookupError(self.kernel_id)

    def has_process_other_than(self, pid: int) -> bool:
        """Return whether the kernel was started again since it was ``pid``."""
        try:
            return self.pid() != pid
        except ProcessLookupError:
            return False

    def state(self) -> str:
        return str(self.server.request("GET", self.path).raise_for_status().json()["execution_state"])

    async def connect(self) -> WebSocketClientConnection:
        url = f"{self.server.url}{self.path}/channels?token={self.server.token}"
        return await websocket_connect(url.replace("http", "ws", 1))

    def send(self, message_type: str, content: dict[str, object], *, wait: bool = True, channel: str = "shell") -> None:
        """Send one message; wait until the kernel is idle after it, or leave at once."""

        async def exchange() -> None:
            socket = await self.connect()
            header = {"msg_id": uuid.uuid4().hex, "msg_type": message_type, "session": uuid.uuid4().hex}
            header |= {"username": "ana", "version": "5.4"}
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel}
            await socket.write_message(json.dumps(message))
            while text := await asyncio.wait_for(socket.read_message(), 60):
                answer = json.loads(text)
                states = {"idle"} if wait else {"busy"}
                if (
                    answer["msg_type"] == "status"
                    and answer["parent_header"].get("msg_id") == header["msg_id"]
                    and answer["content"]["execution_state"] in states
                ):
                    break
            socket.close()
            while await socket.read_message() is not None:
                pass

        asyncio.run(exchange())

    def execute(self, code: str, *, wait: bool = True) -> None:
        self.send("execute_request", {"code": code, "silent": False, "store_history": True}, wait=wait)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_configuration(folder: Path) -> None:
    """Enable the extension the way an installation does, and let the state stay in the folder."""
    installed = Path(__file__).parents[2] / "extensions/swotvre-lab/jupyter-config/server-config/swotvre_lab.json"
    enabled = folder / "config" / "jupyter_server_config.d"
    enabled.mkdir(parents=True)
    (enabled / installed.name).write_text(installed.read_text())
    kernel = folder / "data" / "kernels" / "test-python"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "test", "language": "python"}))


#: A program that carries out the order in its first argument: a Jupyter server with the other arguments.
SUPERVISE = """
import sys
from swotvre_lab.order import SessionOrder
from swotvre_lab.supervisor import supervise
def serve():
    from jupyter_server.serverapp import main
    main(sys.argv[2:])
sys.exit(abs(supervise(SessionOrder.from_json(open(sys.argv[1]).read()), serve)))
"""


def supervised(folder: Path, cgroup: Path, environment: dict[str, str], log: Path) -> list[str]:
    """Return the command that starts Jupyter servers below a supervisor, in a memory cgroup; write its order."""
    fields = {"environment": environment, "folder": str(folder), "log": str(log), "cores": [], "cgroup": str(cgroup)}
    fields |= {"ends_at": time.time() + 600, "grace_seconds": 10.0, "end_record": str(folder / "end.json")}
    order = folder / "order.json"
    order.write_text(json.dumps(fields))
    return [sys.executable, "-c", SUPERVISE, str(order)]


@contextlib.contextmanager
def running_server(folder: Path, session_environment: dict[str, str], cgroup: Path | None = None) -> Iterator[Server]:
    """Start a Jupyter server in a folder, in a memory cgroup below a supervisor if given; end it, kernels included."""
    write_configuration(folder)
    (folder / "work").mkdir()
    token = secrets.token_hex(16)
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SWOTVRE_", "JUPYTER", "CPU_", "MEM_"))}
    environment |= {
        "HOME": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
        "JUPYTER_TOKEN": token,
        "JUPYTER_PREFER_ENV_PATH": "0",
        "PYTHONPATH": str(Path(__file__).parents[2] / "extensions/swotvre-lab"),
        **session_environment,
    }
    arguments = ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--no-browser", "--allow-root"]
    arguments += [f"--ServerApp.root_dir={folder / 'work'}", "--ServerApp.base_url=/user/ana/"]
    log = folder / "server.log"
    command = [sys.executable, "-m", "jupyter_server"]
    if cgroup is not None:
        command = supervised(folder, cgroup, environment, log)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *arguments],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}/user/ana/", token, log)
    try:
        wait_until_up(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_up(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            server.request("GET", "api/status")
            return
        time.sleep(0.1)
    pytest.fail(f"the Jupyter server did not come up:\n{server.log.read_text()}")


@pytest.fixture(scope="module")
def session_end() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, session_end: datetime) -> Iterator[Server]:
    """A session of size medium for three hours, ended after 100 s of idleness."""
    environment = {
        "SWOTVRE_SIZE": "medium",
        "CPU_LIMIT": "4.0",
        "MEM_LIMIT": str(32 * 2**30),
        "SWOTVRE_SESSION_END": session_end.isoformat(),
        "SWOTVRE_IDLE_TIMEOUT_SECONDS": "100",
        "SWOTVRE_IDLE_WARNING_SECONDS": "20",
    }
    with running_server(tmp_path_factory.mktemp("session"), environment) as server:
        yield server


@pytest.fixture(scope="session")
def connect_kernel() -> type[Kernel]:
    """Start a kernel in a server, of a notebook if one is named."""
    return Kernel


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with an environment of the test's own, and a memory cgroup if it has one."""
    with contextlib.ExitStack() as servers:
        yield lambda *how: servers.enter_context(running_server(tmp_path, *how))
