"""A real Jupyter server with the extension, one for each way of starting it."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

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

    def wait_for(self, what: str, holds: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something holds, or fail with the server's log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if holds():
                return
            time.sleep(0.1)
        pytest.fail(f"not within {seconds} s: {what}\n{self.log.read_text()}")


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


@contextlib.contextmanager
def running_server(folder: Path, session_environment: dict[str, str]) -> Iterator[Server]:
    """Start a Jupyter server in a folder and end it, kernels included."""
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
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *arguments],
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


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Server]]:
    """Start a server with an environment of the test's own."""
    with contextlib.ExitStack() as servers:
        yield lambda environment: servers.enter_context(running_server(tmp_path, environment))
