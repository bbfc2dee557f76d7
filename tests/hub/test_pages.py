"""The hub's pages as a real hub serves them, and what the templates are told."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from traitlets.config import Config

from swotvre_hub.durations import describe_duration
from swotvre_hub.pages import configure_pages, link_support, plain_message
from swotvre_hub.session_view import view_session
from swotvre_hub.settings import Settings, load_settings
from swotvre_hub.state import State

SITE = """
site: {name: "Ocean <script>lab</script>", support: "https://example.org/help"}
sizes:
  tiny: {title: "Tiny <b>", cores: 1, memory_gib: 1, max_walltime_hours: 8, good_for: "A first look"}
  vast: {title: Vast, cores: 4096, memory_gib: 65536, max_walltime_hours: 8, good_for: "Everything"}
sessions: {default_size: tiny, default_walltime_hours: 4, walltime_choices_hours: [1, 4], workspace: "",
  start_timeout_seconds: 60, fork_server: true}
gateway: {enabled: false, idle_timeout_minutes: 1, max_workers: 1, default_size: tiny}
"""
#: A hub with our pages, whose sessions are a small web server; what a user is called decides how the start goes.
BLOCK = """
import asyncio
from pathlib import Path
from jupyterhub.spawner import SimpleLocalProcessSpawner, SpawnException
from swotvre_hub.errors import SessionRequestError
from swotvre_hub.launch_form import render_launch_form
from swotvre_hub.machine import measure_machine
from swotvre_hub.pages import configure_pages
from swotvre_hub.sessions import parse_session_request, unpack_form
from swotvre_hub.settings import load_settings
from swotvre_hub.state import State

settings = load_settings(Path({site!r}))

class Refusal(SpawnException):
    def __init__(self, message):
        super().__init__(message, reason="test")

class SmallSpawner(SimpleLocalProcessSpawner):
    async def start(self):
        try:
            parse_session_request(self.user_options, settings, measure_machine())
        except SessionRequestError as error:
            raise Refusal(str(error)) from error
        if self.user.name == "late":
            await asyncio.sleep(2)
            raise Refusal("no room <script>late</script>")
        if self.user.name == "slow":
            await asyncio.sleep(600)
        return await super().start()

c.JupyterHub.spawner_class = SmallSpawner
c.Spawner.cmd = [{python!r}, {server!r}]
c.Spawner.args = []
c.Spawner.options_form = lambda spawner: render_launch_form(settings, measure_machine(), spawner.user_options)
c.Spawner.options_from_form = unpack_form
configure_pages(c, settings, State(Path({state!r})))
"""
SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a session")

address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
HTTPServer((address.hostname, address.port), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, start_shared_hub: Callable[..., Any]) -> Any:
    """Start a hub with our pages."""
    folder = tmp_path_factory.mktemp("site")
    site, server = folder / "vre.yaml", folder / "server.py"
    site.write_text(SITE, encoding="utf-8")
    server.write_text(SERVER, encoding="utf-8")
    values = {"site": str(site), "server": str(server), "python": sys.executable, "state": str(folder / ".vre")}
    return start_shared_hub(BLOCK.format(**values))


@contextmanager
def browse(hub: Any, user: str | None = None) -> Iterator[httpx.Client]:
    """Yield a client that keeps cookies, logged in as ``user``."""
    with httpx.Client(base_url=hub.url, follow_redirects=True, timeout=60) as client:
        if user is not None:
            form = {"username": user, "password": hub.password, "_xsrf": xsrf(client.get("hub/login"))}
            assert client.post("hub/login", data=form, follow_redirects=False).status_code == 302
        yield client


def xsrf(page: httpx.Response) -> str:
    """Return the token that a page's forms and scripts send back."""
    found = re.search(r'xsrf_token: "([^"]+)"', page.text)
    assert found is not None
    return found[1]


def say(page: httpx.Response) -> str:
    """Return what a page says, without markup, scripts and style."""
    text = re.sub(r"<(script|style|noscript)\b.*?</\1>", " ", page.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def start(client: httpx.Client, user: str, **options: str) -> httpx.Response:
    token = xsrf(client.get("hub/home"))
    return client.post(f"hub/spawn/{user}", params={"_xsrf": token}, data=options)


def scripts_of_others(page: httpx.Response) -> list[str]:
    return re.findall(r"<script>(?:lab|late|alert)", page.text)


def test_every_page_is_rendered_with_the_sites_name_escaped(hub: Any) -> None:
    logged = len(hub.log.read_text())
    with browse(hub) as stranger:
        pages = {"login": stranger.get("hub/login"), "not_found_stranger": stranger.get("hub/no-such-page")}
    with browse(hub, "ada") as client:
        for path in ("home", "spawn", "token", "no-such-page", "admin"):
            pages[path] = client.get(f"hub/{path}")
        pages["logout"] = client.get("hub/logout")
    codes = {name: page.status_code for name, page in pages.items()}
    assert codes == {
        **dict.fromkeys(("login", "home", "spawn", "token", "logout"), 200),
        **dict.fromkeys(("not_found_stranger", "no-such-page"), 404),
        "admin": 403,
    }
    for name, page in pages.items():
        assert "Ocean <script>lab</script>" in say(page), name
        assert scripts_of_others(page) == [], name
    assert "There is no such page" in say(pages["no-such-page"])
    assert 'href="/hub/home"' in pages["admin"].text
    assert "scopes" not in say(pages["admin"])
    assert "The password was printed in the terminal" in say(pages["login"])
    assert "Traceback" not in hub.log.read_text()[logged:]


def test_logo_and_icon_are_served_as_a_drawing(hub: Any) -> None:
    with browse(hub) as client:
        icon = re.search(r'<link rel="icon" href="([^"]+)"', client.get("hub/login").text)
        assert icon is not None
        logo = client.get(icon[1])
    assert logo.headers["content-type"] == "image/svg+xml"
    assert logo.text.startswith("<svg")


def test_a_session_is_started_shown_stopped_and_started_again(hub: Any) -> None:
    with browse(hub, "eve") as client:
        assert "No session is running" in say(client.get("hub/home"))
        start(client, "eve", size="tiny", walltime_hours="4")
        hub.wait(lambda: hub.server("eve").get("ready"), "the session")
        running = client.get("hub/home")
        assert "Running" in say(running)
        assert "Tiny <b> 1 core, 1 GiB" in say(running)
        assert re.search(r"Time left (4 hours|3 hours 59 minutes) of 4 hours", say(running))
        stop = re.search(r'data-stop-url="([^"]+)"', running.text)
        assert stop is not None
        assert client.delete(stop[1], headers={"X-XSRFToken": xsrf(running)}).status_code in {202, 204}
        hub.wait(lambda: not hub.server("eve"), "the session to stop")
        stopped = client.get("hub/home")
        assert "You asked last for Tiny <b> (1 core, 1 GiB) for 4 hours." in say(stopped)
        again = re.search(r'<form action="([^"]+)"', stopped.text)
        assert again is not None
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', stopped.text))
        client.post(html.unescape(again[1]), data=fields)
        hub.wait(lambda: hub.server("eve").get("ready"), "the session again")


def test_a_refusal_is_shown_on_the_launch_page(hub: Any) -> None:
    with browse(hub, "bob") as client:
        page = client.get("hub/spawn/bob", params={"opt-size": "huge<script>alert(1)</script>"})
    assert "The session was not started: unknown session size 'huge<script>alert(1)</script>'" in say(page)
    assert scripts_of_others(page) == []
    assert 'id="start-session"' in page.text
    assert page.status_code == 400


def test_a_start_that_takes_long_shows_its_size_and_can_be_cancelled(hub: Any) -> None:
    with browse(hub, "slow") as client:
        pending = start(client, "slow", size="tiny", walltime_hours="1")
        assert "Your session is starting Tiny <b>: 1 core, 1 GiB, for 1 hour." in say(pending)
        assert "Starting" in say(client.get("hub/home"))
        source = re.search(r'data-progress-url="([^"]+)"', pending.text)
        assert source is not None
        with client.stream("GET", html.unescape(source[1])) as events:
            first = next(line for line in events.iter_lines() if line.startswith("data:"))
        assert json.loads(first.removeprefix("data:"))["progress"] == 0
        token = xsrf(pending)
        assert client.delete("hub/api/users/slow/server", headers={"X-XSRFToken": token}).status_code in {202, 204}
        hub.wait(lambda: not hub.server("slow"), "the start to be cancelled")
        assert "No session is running" in say(client.get("hub/home"))


def test_a_start_that_failed_says_why_and_leads_back(hub: Any) -> None:
    with browse(hub, "late") as client:
        start(client, "late", size="tiny", walltime_hours="1")
        hub.wait(lambda: "Your session did not start" in say(client.get("hub/spawn-pending/late")), "the failure")
        page = client.get("hub/spawn-pending/late")
    assert "no room <script>late</script>" in say(page)
    assert scripts_of_others(page) == []
    assert 'href="/hub/spawn/late"' in page.text


@pytest.fixture
def settings() -> Settings:
    return load_settings()


def spawner(**changes: Any) -> Any:
    """Return what the pages read of a JupyterHub spawner."""
    values = {"user_options": {}, "pending": None, "active": False, "orm_spawner": SimpleNamespace(started=None)}
    return SimpleNamespace(**{**values, **changes})


def test_the_time_left_counts_from_the_start(settings: Settings) -> None:
    started = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    options = {"size": "small", "walltime_hours": 4}
    view = view_session(
        settings, spawner(user_options=options, active=True, orm_spawner=SimpleNamespace(started=started))
    )
    assert (view.phase, view.left, view.left_percent) == ("running", "3 hours", 75)


def test_a_session_past_its_end_has_no_time_left(settings: Settings) -> None:
    started = datetime(2020, 1, 1)
    view = view_session(settings, spawner(active=True, orm_spawner=SimpleNamespace(started=started)))
    assert (view.left, view.left_percent) == ("less than a minute", 0)


@pytest.mark.parametrize(
    ("pending", "active", "phase"),
    [("spawn", True, "starting"), ("stop", True, "stopping"), ("check", True, "running"), (None, False, "none")],
)
def test_the_phase_is_the_spawners(settings: Settings, pending: str | None, active: bool, phase: str) -> None:
    assert view_session(settings, spawner(pending=pending, active=active)).phase == phase


def test_options_that_are_no_longer_valid_cannot_be_started_again(settings: Settings) -> None:
    view = view_session(settings, spawner(user_options={"size": "gone"}))
    assert view.request is None
    assert view.had_one


@pytest.mark.parametrize(
    ("support", "link"),
    [
        ("https://example.org/help", "https://example.org/help"),
        ("help@example.org", "mailto:help@example.org"),
        ("room 12", ""),
        ("javascript:alert('@')", ""),
        ("", ""),
    ],
)
def test_a_support_address_becomes_a_link_when_it_is_one(support: str, link: str) -> None:
    assert link_support(support) == link


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ("400 SpawnException(reason=unknown-size): no such size", "no such size"),
        ("a machine with 400 cores", "a machine with 400 cores"),
        (None, ""),
    ],
)
def test_a_refusal_is_told_without_what_jupyterhub_puts_before_it(message: str | None, plain: str) -> None:
    assert plain_message(message) == plain


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(seconds=20), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=1, minutes=30), "1 hour 30 minutes"),
        (timedelta(hours=12), "12 hours"),
        (timedelta(hours=24), "24 hours"),
        (timedelta(days=3), "3 days"),
        (timedelta(days=2, hours=1), "49 hours"),
    ],
)
def test_durations_are_told_in_words(duration: timedelta, words: str) -> None:
    assert describe_duration(duration) == words


def test_the_configuration_is_assigned_not_mutated(settings: Settings, tmp_path: Path) -> None:
    first, second = Config(), Config()
    for c in (first, second):
        configure_pages(c, settings, State(tmp_path))
    assert first.JupyterHub.template_vars["site_name"] == settings.site.name
    assert first.JupyterHub.template_vars is not second.JupyterHub.template_vars
    assert Path(first.JupyterHub.logo_file).is_file()
    assert all(Path(folder).is_dir() for folder in first.JupyterHub.template_paths)
