"""A state folder, small session sizes, and spawners whose sessions are real single-user servers."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupyterhub
import pytest
import pytest_asyncio
from jupyterhub.objects import Hub, Server
from traitlets.config import Config

from swotvre_hub.settings import SessionSize, Settings, load_settings
from swotvre_hub.spawner.local import LocalSpawner
from swotvre_hub.state import State

SpawnerFactory = Callable[..., LocalSpawner]

HUB_BLOCK = """
from pathlib import Path
from swotvre_hub.request_guards import guard_requests
from swotvre_hub.settings import SessionSize, load_settings
from swotvre_hub.spawner.local import LocalSpawner
from swotvre_hub.state import State
settings = load_settings()
tiny = SessionSize(title="Tiny", cores=1, memory_gib=1, max_walltime_hours=2, good_for="A test")
giant = SessionSize(title="Giant", cores=4096, memory_gib=65536, max_walltime_hours=2, good_for="Nothing yet")
sessions = settings.sessions.model_copy(update=dict(default_size="tiny", default_walltime_hours=1.0))
c.JupyterHub.spawner_class = LocalSpawner
c.Spawner.args = []
c.JupyterHub.cleanup_servers = True
c.SessionMixin.settings = settings.model_copy(update=dict(sizes=dict(tiny=tiny, giant=giant), sessions=sessions))
c.SessionMixin.state = State(Path({state!r}))
guard_requests()
"""


@pytest.fixture(scope="session")
def lab_prefix() -> Path:
    """Return the environment that sessions run in: of ``SWOTVRE_LAB_PYTHON``, else the one of this interpreter."""
    prefix = Path(os.environ.get("SWOTVRE_LAB_PYTHON", sys.executable)).parent.parent
    if not list(prefix.glob("lib/python3*/site-packages/jupyterlab")):
        pytest.skip(f"no JupyterLab in {prefix}; set SWOTVRE_LAB_PYTHON to an interpreter that has it")
    return prefix


@pytest.fixture
def state(tmp_path: Path, lab_prefix: Path) -> State:
    """Return a state folder with a lab environment."""
    state = State(tmp_path / "state")
    state.run.mkdir(mode=0o700, parents=True)
    state.environment("lab").parent.mkdir()
    state.environment("lab").symlink_to(lab_prefix)
    return state


@pytest.fixture
def settings() -> Settings:
    """Return settings with one size that every machine holds and one that none does."""
    tiny = SessionSize(title="Tiny", cores=1, memory_gib=1, max_walltime_hours=2, good_for="A test")
    giant = SessionSize(title="Giant", cores=4096, memory_gib=65536, max_walltime_hours=2, good_for="Nothing yet")
    defaults = load_settings()
    sessions = defaults.sessions.model_copy(update={"default_size": "tiny", "default_walltime_hours": 1.0})
    return defaults.model_copy(update={"sizes": {"tiny": tiny, "giant": giant}, "sessions": sessions})


@pytest.fixture
def shortest_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow sessions of one second."""
    monkeypatch.setattr("swotvre_hub.sessions.SHORTEST_WALLTIME", timedelta(seconds=1))


class _HubAnswers(BaseHTTPRequestHandler):
    """What a single-user server asks of its hub while it starts."""

    def do_GET(self) -> None:
        """Tell the version."""
        self._answer({"version": jupyterhub.__version__})

    def do_POST(self) -> None:
        """Take a report of activity."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({})

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-JupyterHub-Version", jupyterhub.__version__)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def hub_address() -> Iterator[tuple[str, int]]:
    """Yield where something answers as a hub does to its sessions."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _HubAnswers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield ("127.0.0.1", server.server_address[1])
    server.shutdown()
    server.server_close()
    thread.join()


@pytest_asyncio.fixture
async def make_spawner(state: State, settings: Settings, hub_address: tuple[str, int]) -> AsyncIterator[SpawnerFactory]:
    """Make spawners as the hub does; whatever they started is ended after the test."""
    made: list[LocalSpawner] = []

    def make(user_name: str = "ada", *, fork_server: bool = True, **options: object) -> LocalSpawner:
        changed = settings.model_copy(
            update={"sessions": settings.sessions.model_copy(update={"fork_server": fork_server})}
        )
        hub = Hub(ip=hub_address[0], port=hub_address[1], base_url="/hub/")
        user = SimpleNamespace(name=user_name, escaped_name=user_name, url=f"/user/{user_name}/")
        config = Config({"SessionMixin": {"settings": changed, "state": state}})
        spawner = LocalSpawner(
            config=config, user=user, hub=hub, api_token="not-a-real-token", oauth_client_id=f"user-{user_name}"
        )
        spawner.server = Server(base_url=user.url)
        spawner.user_options = options
        made.append(spawner)
        return spawner

    yield make
    for spawner in made:
        await spawner.stop(now=True)
        spawner.starter.stop()


@pytest.fixture
def hub_block(state: State) -> str:
    """Return the configuration of a hub with local sessions."""
    return HUB_BLOCK.format(state=str(state.root))


@pytest.fixture
def hub(start_hub: Callable[..., Any], free_port: int, hub_block: str) -> Any:
    """Return a running hub with local sessions."""
    return start_hub(free_port, hub_block)
