"""A real hub with a real proxy, for the tests that need one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from swotvre_hub.ports import free_ports

#: What is waited for may take so many times longer than on a machine that has little else to do.
PATIENCE = 3.0
CONFIGURATION = """
c.JupyterHub.bind_url = {bind_url!r}
c.JupyterHub.hub_bind_url = {hub_bind_url!r}
c.JupyterHub.db_url = "sqlite:///" + {database!r}
c.JupyterHub.cookie_secret_file = {cookie_secret!r}
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.services = []
c.JupyterHub.load_roles = []
c.Authenticator.allow_all = True
c.DummyAuthenticator.password = {password!r}
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = {proxy_api_url!r}
c.ConfigurableHTTPProxy.pid_file = {proxy_pid!r}
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.args = ["--allow-root", "--ServerApp.terminals_enabled=False"]
"""
DRIVER = """
c.JupyterHub.services.append({{"name": "driver", "api_token": {token!r}}})
c.JupyterHub.load_roles.append(
    {{"name": "driver", "services": ["driver"], "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"]}}
)
"""


@dataclass
class RunningHub:
    """A hub that a test started."""

    url: str
    api: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path
    password: str

    def start_session(self, user: str) -> psutil.Process:
        """Start the session of ``user`` and return the process of its server, once it answers."""
        assert self.api.post(f"/users/{user}").status_code in {201, 409}
        assert self.api.post(f"/users/{user}/server", timeout=120).status_code in {201, 202}
        self.wait(lambda: self.server(user).get("ready"), f"the session of {user} to start", 60)
        for child in psutil.Process(self.process.pid).children():
            if child.environ().get("JUPYTERHUB_USER") == user:
                return child
        raise AssertionError(f"no process of the session of {user}; the log says:\n{self.log.read_text()}")

    def server(self, user: str) -> dict[str, Any]:
        """Return the hub's model of the session of ``user``; empty when none runs."""
        servers: dict[str, dict[str, Any]] = self.api.get(f"/users/{user}").json()["servers"]
        return servers.get("", {})

    def wait(self, happened: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Wait until ``happened``, or fail with the hub's log."""
        seconds *= PATIENCE
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:g} s for {what}; the log says:\n{self.log.read_text()}", pytrace=False)
            time.sleep(0.1)


@pytest.fixture(scope="session")
def proxy_command() -> list[str]:
    """Return the command of the proxy: of the environment, or of the installation."""
    named = os.environ.get("SWOTVRE_PROXY")
    candidates = [named] if named else [str(Path(".vre/node/proxy").absolute()), "configurable-http-proxy"]
    for candidate in candidates:
        if shutil.which(candidate):
            return [candidate]
    pytest.skip(f"no configurable-http-proxy (looked for {', '.join(candidates)}); run 'make up' or set SWOTVRE_PROXY")


@pytest.fixture
def kernel_python() -> Path:
    """Return the interpreter of a kernel environment."""
    named = os.environ.get("SWOTVRE_KERNEL_PYTHON")
    if not named:
        pytest.skip("SWOTVRE_KERNEL_PYTHON does not name the interpreter of a built kernel")
    return Path(named)


@pytest.fixture
def start_hub(tmp_path: Path, proxy_command: list[str]) -> Iterator[Callable[..., RunningHub]]:
    """Start a hub on ``port`` with a block of configuration, and end it with all that it started."""
    with _hubs(tmp_path, proxy_command) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_hub(
    tmp_path_factory: pytest.TempPathFactory, proxy_command: list[str]
) -> Iterator[Callable[..., RunningHub]]:
    """Start a hub that the tests of one module share, each as users of its own."""
    with _hubs(tmp_path_factory.mktemp("hub"), proxy_command) as start:
        yield lambda block: start(free_ports(1)[0], block)


@contextmanager
def _hubs(folder: Path, proxy: list[str]) -> Iterator[Callable[[int, str], RunningHub]]:
    started: list[RunningHub] = []
    # The same at each start, as those of an installation: a session that outlives its hub finds the next one there.
    hub_port = free_ports(1)[0]

    def start(port: int, block: str) -> RunningHub:
        hub = _start(folder, proxy, port, hub_port, block)
        started.append(hub)
        hub.wait(lambda: _answers(hub), "the hub to answer", 60)
        return hub

    try:
        yield start
    finally:
        for hub in started:
            _end(hub)


@pytest.fixture
def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    return free_ports(1)[0]


def _start(folder: Path, proxy: list[str], port: int, hub_port: int, block: str) -> RunningHub:
    token, password = secrets.token_hex(16), secrets.token_hex(16)
    url = f"http://127.0.0.1:{port}/"
    (folder / "homes").mkdir(exist_ok=True)
    configuration = folder / "jupyterhub_config.py"
    configuration.write_text(
        CONFIGURATION.format(
            bind_url=url,
            hub_bind_url=f"http://127.0.0.1:{hub_port}",
            database=str(folder / "hub.sqlite"),
            cookie_secret=str(folder / "cookie_secret"),
            proxy=proxy,
            proxy_api_url=f"http://127.0.0.1:{free_ports(1)[0]}",
            proxy_pid=str(folder / "proxy.pid"),
            homes=str(folder / "homes"),
            password=password,
        )
        + block
        + DRIVER.format(token=token),
        encoding="utf-8",
    )
    log = folder / "hub.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--config", str(configuration)],
            cwd=folder,
            env={
                **os.environ,
                "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    api = httpx.Client(base_url=f"{url}hub/api", headers={"Authorization": f"token {token}"}, timeout=60)
    return RunningHub(url, api, process, log, password)


def _answers(hub: RunningHub) -> bool:
    assert hub.process.poll() is None, f"the hub ended; the log says:\n{hub.log.read_text()}"
    try:
        return hub.api.get("/").is_success
    except httpx.TransportError:
        return False


def _end(hub: RunningHub) -> None:
    hub.api.close()
    children = psutil.Process(hub.process.pid).children(recursive=True) if hub.process.poll() is None else []
    hub.process.send_signal(signal.SIGTERM)
    try:
        hub.process.wait(40)
    except subprocess.TimeoutExpired:
        hub.process.kill()
        hub.process.wait()
    for child in psutil.wait_procs(children, timeout=5)[1]:
        child.kill()
