"""Idle sessions end, by what their kernels do: a real hub, proxy, culler and single-user servers, with short times."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

TIMEOUT_SECONDS = 6
SETTINGS = f"""
hub: {{address: 127.0.0.1, port: PORT, base_url: /}}
idle: {{enabled: true, timeout_minutes: {TIMEOUT_SECONDS / 60}, warning_minutes: 0.05, check_every_seconds: 1}}
"""
BLOCK = """
from swotvre_hub.services import configure_idle, idle_roles, idle_service
from swotvre_hub.settings import load_settings
from swotvre_hub.state import find_state
state = find_state({state!r})
settings = load_settings(state.site_file)
configure_idle(c, settings, state)
c.JupyterHub.services.append(idle_service(settings, state))
c.JupyterHub.load_roles.extend(idle_roles(settings, state))
c.JupyterHub.last_activity_interval = 1
c.JupyterHub.cleanup_servers = True
c.Spawner.environment = {{"JUPYTERHUB_ACTIVITY_INTERVAL": "1"}}
c.Spawner.args += ["--ServerApp.jpserver_extensions=swotvre_lab=True"]
"""

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jupyterlab", "ipykernel", "swotvre_lab"))),
    reason="JupyterLab, ipykernel and swotvre_lab are not all in this environment; a session needs them",
)


@pytest.fixture
def start(tmp_path: Path, start_hub, free_port) -> Callable[[], Any]:
    """Return a function that starts a hub, and starts it again after it was killed."""

    def start() -> Any:
        (tmp_path / "vre.yaml").write_text(SETTINGS.replace("PORT", str(free_port)))
        return start_hub(free_port, BLOCK.format(state=str(tmp_path / ".vre")))

    return start


async def start_kernel(hub: Any, user: str) -> tuple[httpx.AsyncClient, WebSocketClientConnection]:
    """Start a kernel in the session of ``user``, as a page does; return its HTTP and WebSocket connections."""
    url, token = f"{hub.url}user/{user}/", hub.api.headers["Authorization"]
    page = httpx.AsyncClient(base_url=url, headers={"Authorization": token}, timeout=20)
    started = await page.post("api/kernels", json={})
    assert started.status_code == 201, started.text
    channels = f"{url.replace('http', 'ws', 1)}api/kernels/{started.json()['id']}/channels"
    return page, await websocket_connect(HTTPRequest(channels, headers={"Authorization": token}))


async def execute(socket: WebSocketClientConnection, code: str) -> None:
    """Send ``code`` to the kernel and return when it runs."""
    message_id = uuid.uuid4().hex
    header = {"msg_id": message_id, "msg_type": "execute_request", "username": "", "session": "test", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    await socket.write_message(
        json.dumps(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}, default=str
        )
    )
    while True:
        text = await asyncio.wait_for(socket.read_message(), 30)
        message = json.loads(text)
        if message["parent_header"].get("msg_id") == message_id and message["msg_type"] == "execute_input":
            return


async def close(page: httpx.AsyncClient, socket: WebSocketClientConnection) -> None:
    """Close the page."""
    socket.close()
    while await socket.read_message() is not None:
        pass
    await page.aclose()


async def ends(hub: Any, user: str, seconds: float, meanwhile: Callable[[], Any] | None = None) -> bool:
    """Return whether the session of ``user`` ends within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not hub.server(user):
            return True
        if meanwhile:
            await meanwhile()
        await asyncio.sleep(0.5)
    return False


async def test_open_page_on_an_idle_kernel_does_not_keep_the_session(start) -> None:
    hub = start()
    hub.start_session("alice")
    page, socket = await start_kernel(hub, "alice")
    assert await ends(hub, "alice", 60, lambda: page.get("api/kernels")), hub.log.read_text()
    await close(page, socket)


async def test_busy_kernel_without_a_page_keeps_the_session_until_it_is_done(start) -> None:
    hub = start()
    hub.start_session("bob")
    page, socket = await start_kernel(hub, "bob")
    busy_seconds = 3 * TIMEOUT_SECONDS
    await execute(socket, f"import time; time.sleep({busy_seconds})")
    await close(page, socket)
    assert not await ends(hub, "bob", busy_seconds - 1), hub.log.read_text()
    assert await ends(hub, "bob", 60), hub.log.read_text()


async def test_session_that_hangs_does_not_keep_another_one(start) -> None:
    hub = start()
    hanging = hub.start_session("dave")
    hanging.suspend()
    try:
        hub.start_session("carol")
        assert await ends(hub, "carol", 60), hub.log.read_text()
        assert hub.server("dave"), "a session that does not answer is given a second time-out"
        assert await ends(hub, "dave", 90), hub.log.read_text()
    finally:
        if hanging.is_running():
            hanging.resume()


async def test_busy_session_survives_a_hub_that_was_down_for_longer_than_the_timeout(start) -> None:
    hub = start()
    session = hub.start_session("erin")
    page, socket = await start_kernel(hub, "erin")
    await execute(socket, "import time; time.sleep(90)")
    await close(page, socket)
    os.kill(hub.process.pid, signal.SIGKILL)
    hub.process.wait()
    await asyncio.sleep(TIMEOUT_SECONDS + 2)
    try:
        again = start()
        assert not await ends(again, "erin", 2 * TIMEOUT_SECONDS), again.log.read_text()
        assert session.is_running()
    finally:
        with suppress(psutil.NoSuchProcess):
            for process in (*session.children(recursive=True), session):
                process.kill()
