"""What the settings make of the service that ends idle sessions, and how it decides."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from traitlets.config import Config

from swotvre_hub.idle_culler import IdleArbiter
from swotvre_hub.services import configure_idle, idle_roles, idle_service
from swotvre_hub.settings import Settings, load_settings
from swotvre_hub.spawner.records import SessionRecords
from swotvre_hub.state import State

SESSION = {"name": "", "url": "/user/alice/", "started": "2026-11-21T09:00:00Z"}
LIMIT = 600.0


@pytest.fixture
def settings() -> Settings:
    return load_settings()


def test_service_takes_its_times_from_the_settings_and_no_secret(settings: Settings, tmp_path: Path) -> None:
    service = idle_service(settings, State(tmp_path))
    assert service["command"][-2:] == ["--timeout=7200", "--cull-every=60"]
    assert service["environment"]["SWOTVRE_LOCAL_ADDRESS"] == "http://127.0.0.1:8000"


def test_service_may_look_ask_and_end_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    (role,) = idle_roles(settings, State(tmp_path))
    assert role["services"] == [idle_service(settings, State(tmp_path))["name"]]
    assert set(role["scopes"]) == {
        *("list:users", "read:users:activity", "read:servers", "access:servers", "delete:servers")
    }


def test_switched_off_nothing_changes(settings: Settings, tmp_path: Path) -> None:
    off = settings.model_copy(update={"idle": settings.idle.model_copy(update={"enabled": False})})
    c = Config()
    configure_idle(c, off, State(tmp_path))
    assert c == Config()


@asynccontextmanager
async def session_that_says(body: str, status: int = 200) -> AsyncIterator[str]:
    """Serve ``body`` where a session answers, to who comes with the token."""

    class Answer(web.RequestHandler):
        def get(self) -> None:
            if self.request.headers["Authorization"] != "token secret":
                raise web.HTTPError(403)
            self.set_status(status)
            self.finish(body)

    listener, port = bind_unused_port()
    server = HTTPServer(web.Application([(r"/user/alice/swotvre/session", Answer)]))
    server.add_socket(listener)
    yield f"http://127.0.0.1:{port}"
    server.stop()
    await server.close_all_connections()


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


async def decides(address: str, state: State, inactive_seconds: float = LIMIT + 1) -> bool:
    arbiter = IdleArbiter(address, "secret", state)
    return await arbiter(inactive=timedelta(seconds=inactive_seconds), inactive_limit=LIMIT, server=SESSION)


@pytest.mark.parametrize(
    ("idle_seconds", "ended"), [(0, False), (LIMIT - 1, False), (LIMIT, True), (LIMIT + 1.5, True)]
)
async def test_session_has_the_last_word_and_its_user_is_told(idle_seconds: float, ended: bool, state: State) -> None:
    async with session_that_says(json.dumps({"idle_seconds": idle_seconds})) as address:
        assert await decides(address, state) is ended
    reason = SessionRecords(state).history("alice").stop_reason
    assert (reason is not None and reason.startswith("nothing ran in it for")) is ended


@pytest.mark.parametrize("body", ["", "[]", "{}", "null", '{"idle_seconds": null}', '{"idle_seconds": true}', "<html>"])
async def test_answer_that_says_nothing_ends_no_session(body: str, state: State) -> None:
    async with session_that_says(body) as address:
        assert not await decides(address, state)


async def test_session_that_refuses_or_is_not_there_is_not_ended_at_once(state: State) -> None:
    async with session_that_says('{"idle_seconds": 9999}', status=503) as address:
        assert not await decides(address, state)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert not await decides(f"http://127.0.0.1:{nobody.getsockname()[1]}", state)


async def test_silent_session_is_ended_after_a_whole_timeout_of_silence(state: State) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        arbiter = IdleArbiter(f"http://127.0.0.1:{nobody.getsockname()[1]}", "secret", state)
        asked = {"inactive": timedelta(seconds=10), "inactive_limit": 0.0, "server": SESSION}
        assert await arbiter(**asked)
        assert not await arbiter(**{**asked, "inactive_limit": 5.0})


async def test_session_that_was_just_active_is_not_asked(state: State) -> None:
    assert not await decides("http://127.0.0.1:1", state, inactive_seconds=LIMIT - 1)
