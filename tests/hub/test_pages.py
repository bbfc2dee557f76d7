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
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyterhub.slugs import is_valid_safe_slug
from traitlets.config import Config

from swotvre_hub.durations import describe_duration
from swotvre_hub.machine import Machine
from swotvre_hub.pages import (
    NAME_PATTERN,
    Told,
    configure_pages,
    link_support,
    plain_message,
    session_name_in,
    tell,
)
from swotvre_hub.session_view import view_session, view_sessions
from swotvre_hub.sessions import parse_session_request
from swotvre_hub.settings import Settings, load_settings
from swotvre_hub.state import State

SITE = """
site: {name: "Ocean <script>lab</script>", support: "https://example.org/help"}
sizes:
  tiny: {title: "Tiny <b>", cores: 1, memory_gib: 1, max_walltime_hours: 8, good_for: "A first look"}
  vast: {title: Vast, cores: 4096, memory_gib: 65536, max_walltime_hours: 8, good_for: "Everything"}
sessions: {default_size: tiny, default_walltime_hours: 4, walltime_choices_hours: [1, 4], workspace: "",
  start_timeout_seconds: 60, per_user: 3, fork_server: true}
gateway: {enabled: false, idle_timeout_minutes: 1, max_workers: 1, default_size: tiny}
"""
#: A hub with our pages, whose sessions are a small web server; what a user is called decides how the start goes.
BLOCK = """
import asyncio
from datetime import UTC
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
    last_end = None

    def parse_options(self, options):
        return parse_session_request(options, settings, measure_machine())

    @property
    def began_at(self):
        return self.orm_spawner.started and self.orm_spawner.started.replace(tzinfo=UTC)

    @property
    def node(self):
        return "node-<7>" if self.name else ""

    async def start(self):
        try:
            self.parse_options(self.user_options)
        except SessionRequestError as error:
            raise Refusal(str(error)) from error
        if self.user.name == "logged":
            await asyncio.sleep(2)
            raise Refusal("it ended. It said: first <b>line</b> / second line (log: /home/logged/x.log)")
        if self.user.name == "late":
            await asyncio.sleep(2)
            raise Refusal("no room <script>late</script>")
        if self.user.name == "slow":
            await asyncio.sleep(600)
        return await super().start()

c.JupyterHub.spawner_class = SmallSpawner
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = settings.sessions.per_user - 1
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


def panel_of(page: httpx.Response, title: str) -> str:
    """Return the panel of one session on the home page."""
    panels = re.findall(r'<section class="vre-panel vre-session".*?</section>', page.text, flags=re.DOTALL)
    found = [panel for panel in panels if f'aria-label="{title}"' in panel]
    assert len(found) == 1
    return str(found[0])


def start_named(client: httpx.Client, user: str, name: str, **options: str) -> httpx.Response:
    token = xsrf(client.get("hub/home"))
    return client.post(f"hub/spawn/{user}/{name}", params={"_xsrf": token}, data=options)


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
        assert fields == {"size": "tiny", "walltime_hours": "4.0"}
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
    assert "Start again with the same choice" in say(page)
    assert 'action="/hub/spawn/late?_xsrf=' in page.text


def test_the_log_of_a_failed_start_stands_apart_line_by_line(hub: Any) -> None:
    with browse(hub, "logged") as client:
        start_named(client, "logged", "cycle-12", size="tiny", walltime_hours="1")
        path = "hub/spawn-pending/logged/cycle-12"
        hub.wait(lambda: "Session cycle-12 did not start" in say(client.get(path)), "the failure")
        page = client.get(path)
        home = panel_of(client.get("hub/home"), "cycle-12")
    assert "first &lt;b&gt;line&lt;/b&gt;\nsecond line</pre>" in page.text
    assert "it ended. The end of its log:" in say(page)
    assert 'action="/hub/spawn/logged/cycle-12?_xsrf=' in page.text
    assert "second line</pre>" in home


def test_a_named_session_is_started_listed_stopped_and_removed(hub: Any) -> None:
    with browse(hub, "zoe") as client:
        assert "Start another session" not in say(client.get("hub/home"))
        start(client, "zoe", size="tiny", walltime_hours="1")
        hub.wait(lambda: hub.server("zoe").get("ready"), "the default session")
        assert 'data-spawn-url="/hub/spawn/zoe/"' in client.get("hub/home").text
        launch = client.get("hub/spawn/zoe/cycle-12")
        assert "Start session cycle-12" in say(launch)
        assert "It was not started yet." in panel_of(client.get("hub/home"), "cycle-12")
        start_named(client, "zoe", "cycle-12", size="tiny", walltime_hours="4")
        named = lambda: hub.api.get("/users/zoe").json()["servers"].get("cycle-12", {})  # noqa: E731
        hub.wait(lambda: named().get("ready"), "the named session")
        home = client.get("hub/home")
        assert "Your sessions" in say(home)
        assert "Named Servers" not in say(home)
        panel = panel_of(home, "cycle-12")
        assert 'href="/user/zoe/cycle-12/"' in panel
        assert "node-&lt;7&gt;" in panel
        assert "of 4 hours" in " ".join(panel.split())
        assert "of 1 hour" in " ".join(panel_of(home, "Default session").split())
        url = re.search(r'data-stop-url="([^"]+)"', panel)
        assert url is not None
        assert url[1] == "/hub/api/users/zoe/servers/cycle-12"
        headers = {"X-XSRFToken": xsrf(home)}
        assert client.delete(url[1], headers=headers).status_code in {202, 204}
        hub.wait(lambda: not named().get("ready"), "the named session to stop")
        hub.wait(lambda: "Start it again" in panel_of(client.get("hub/home"), "cycle-12"), "its panel")
        panel = panel_of(client.get("hub/home"), "cycle-12")
        assert "data-remove" in panel
        assert "data-remove" not in panel_of(client.get("hub/home"), "Default session")
        assert client.request("DELETE", url[1], headers=headers, json={"remove": True}).status_code == 204
        assert "cycle-12" not in say(client.get("hub/home")).replace("cycle-12, river-gauges", "")


def test_a_named_start_can_be_cancelled_from_its_page(hub: Any) -> None:
    with browse(hub, "slow") as client:
        pending = start_named(client, "slow", "second", size="tiny", walltime_hours="1")
        assert "Session second is starting" in say(pending)
        assert "You may close this page" in say(pending)
        url = re.search(r'data-stop-url="([^"]+)"', pending.text)
        assert url is not None
        assert url[1] == "/hub/api/users/slow/servers/second"
        assert "Starting" in panel_of(client.get("hub/home"), "second")
        assert client.delete(url[1], headers={"X-XSRFToken": xsrf(pending)}).status_code in {202, 204}
        hub.wait(lambda: "Not running" in panel_of(client.get("hub/home"), "second"), "the start to be cancelled")


def test_the_number_of_sessions_is_limited_in_words(hub: Any) -> None:
    with browse(hub, "max") as client:
        for name in ("one", "two"):
            client.get(f"hub/spawn/max/{name}")
        home = client.get("hub/home")
        assert "These are as many sessions as one user may have here." in say(home)
        assert 'id="session-name"' not in home.text
        refused = client.get("hub/spawn/max/three")
    assert refused.status_code == 400
    assert "the default one and 2 with a name. Remove one on the home page" in say(refused)


@pytest.mark.parametrize("name", ["Cycle 12", "12", "a--b", "x" * 31, "<script>alert(1)<script>", "$(id)", "it's"])
def test_a_name_that_jupyterhub_refuses_is_told_with_the_rule(hub: Any, name: str) -> None:
    logged = len(hub.log.read_text())
    with browse(hub, "nan") as client:
        page = client.get(f"hub/spawn/nan/{quote(name, safe='')}")
    assert page.status_code == 400
    assert "A session cannot be called" in say(page)
    assert "lower-case letters, digits and single hyphens" in say(page)
    assert scripts_of_others(page) == []
    assert "Traceback" not in hub.log.read_text()[logged:]


def test_the_page_of_a_session_that_is_gone_leads_home(hub: Any) -> None:
    with browse(hub, "ida") as client:
        page = client.get("hub/spawn-pending/ida/gone")
    assert page.status_code == 404
    assert "The session gone is not there any more" in say(page)
    assert 'href="/hub/home"' in page.text


@pytest.mark.parametrize("name", ["cycle-12", "a", "x" * 30, "n1-2-3"])
def test_names_that_the_field_takes_are_taken_by_jupyterhub(name: str) -> None:
    assert re.fullmatch(NAME_PATTERN, name)
    assert is_valid_safe_slug(name)


@given(st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 30))
def test_the_field_takes_nothing_that_jupyterhub_refuses(name: str) -> None:
    assert is_valid_safe_slug(name)


@pytest.mark.parametrize("name", ["lab", "tree", "api", "Cycle", "1st", "a-", "-a", "a--b", "a b", ""])
def test_names_that_the_field_refuses(name: str) -> None:
    assert re.fullmatch(NAME_PATTERN, name) is None


def test_names_that_only_begin_like_a_page_of_jupyterlab_are_taken() -> None:
    assert re.fullmatch(NAME_PATTERN, "lab-2")
    assert re.fullmatch(NAME_PATTERN, "labrador")


@pytest.fixture
def settings() -> Settings:
    return load_settings()


def spawner(**changes: Any) -> Any:
    """Return what the pages read of a JupyterHub spawner."""
    settings = load_settings()
    values: dict[str, Any] = {
        **dict.fromkeys(("name", "display_name", "node"), ""),
        **dict.fromkeys(("pending", "began_at")),
        "user_options": {},
        "active": False,
        "user": SimpleNamespace(name="ada", escaped_name="ada"),
        "parse_options": lambda options: parse_session_request(options, settings, Machine(64, 2**40)),
    }
    return SimpleNamespace(**{**values, **changes})


def test_the_time_left_counts_from_the_start(settings: Settings) -> None:
    started = datetime.now(UTC) - timedelta(hours=1)
    options = {"size": "small", "walltime_hours": 4}
    view = view_session(settings, spawner(user_options=options, active=True, began_at=started))
    assert (view.phase, view.left, view.left_percent) == ("running", "3 hours", 75)


def test_a_session_past_its_end_has_no_time_left(settings: Settings) -> None:
    view = view_session(settings, spawner(active=True, began_at=datetime(2020, 1, 1, tzinfo=UTC)))
    assert (view.left, view.left_percent) == ("less than a minute", 0)


@pytest.mark.parametrize(
    ("pending", "active", "phase"),
    [("spawn", True, "starting"), ("stop", True, "stopping"), ("check", True, "running"), (None, False, "none")],
)
def test_the_phase_is_the_spawners(settings: Settings, pending: str | None, active: bool, phase: str) -> None:
    assert view_session(settings, spawner(pending=pending, active=active)).phase == phase


@pytest.mark.parametrize(
    ("name", "path", "api_path"),
    [
        ("", "ada", "users/ada/server"),
        ("cycle-12", "ada/cycle-12", "users/ada/servers/cycle-12"),
        ("an old name", "ada/an%20old%20name", "users/ada/servers/an%20old%20name"),
    ],
)
def test_the_addresses_of_a_session_hold_its_escaped_name(
    settings: Settings, name: str, path: str, api_path: str
) -> None:
    view = view_session(settings, spawner(name=name))
    assert (view.path, view.api_path) == (path, api_path)


def test_a_starting_session_shows_its_current_line(settings: Settings) -> None:
    told = "Waiting for a free node."
    assert view_session(settings, spawner(pending="spawn", last_told=told)).now == told
    assert view_session(settings, spawner(pending="spawn", last_told="")).now == ""
    assert view_session(settings, spawner(active=True, last_told=told)).now == ""


def test_a_session_is_on_a_node_only_while_it_runs(settings: Settings) -> None:
    assert view_session(settings, spawner(active=True, node="n1")).node == "n1"
    assert view_session(settings, spawner(node="n1")).node == ""


def test_sessions_are_listed_by_name_after_the_default_one(settings: Settings) -> None:
    names = ("zulu", "", "alpha")
    user = SimpleNamespace(orm_spawners=dict.fromkeys(names), spawners={name: spawner(name=name) for name in names})
    assert [view.name for view in view_sessions(settings, user)] == ["", "alpha", "zulu"]
    single = settings.model_copy(update={"sessions": settings.sessions.model_copy(update={"per_user": 1})})
    assert [view.name for view in view_sessions(single, user)] == [""]


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
    ("message", "told"),
    [
        ("it ended. It said: a / b (log: /home/x.log)", Told("it ended.", "a\nb", "/home/x.log")),
        ("it ended. It said: a (b) / c\nd (log: /home/x.log).", Told("it ended.", "a (b)\nc\nd", "/home/x.log")),
        ("it ended. It said nothing (log: /home/x.log).", Told("it ended.")),
        ("it ended. It said nothing. (log: /home/x.log)", Told("it ended.")),
        ("400 SpawnException(reason=x): no such size", Told("no such size")),
        (None, Told("")),
    ],
)
def test_the_log_in_a_message_is_told_line_by_line(message: str | None, told: Told) -> None:
    assert tell(message) == told


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/hub/spawn/ada/cycle-12?_xsrf=a/b", "cycle-12"),
        ("/base/hub/spawn/ada/an%20old%20name", "an old name"),
        ("/hub/spawn/ada?next=/spawn/x/y", ""),
        ("/hub/spawn", ""),
        (None, ""),
    ],
)
def test_the_launch_page_knows_the_session_from_its_address(url: str | None, name: str) -> None:
    assert session_name_in(url) == name


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
