"""The hub as the settings configure it: what it answers to input that nobody meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from swotvre_hub.trial import Trial, trial_folder, trial_hub


@pytest.fixture(scope="module")
def hub(installed_state: Path) -> Iterator[Trial]:
    with trial_folder(installed_state) as state, trial_hub(state) as trial:
        yield trial


@pytest.fixture
def visitor(hub: Trial) -> Iterator[httpx.Client]:
    """Return a browser that is on the login page."""
    with httpx.Client(base_url=hub.url, follow_redirects=True, timeout=60) as client:
        client.get("hub/login")
        yield client


def _log_in(visitor: httpx.Client, name: str, password: str) -> httpx.Response:
    form = {"username": name, "password": password, "_xsrf": visitor.cookies.get("_xsrf", path="/hub/")}
    return visitor.post("hub/login", data=form)


@pytest.mark.parametrize("password", ["", "wrong", "x" * 10_000, "' OR 1=1 --"])
def test_nobody_gets_in_with_another_password(visitor: httpx.Client, password: str) -> None:
    answer = _log_in(visitor, "maria", password)
    assert answer.status_code == 403
    assert "Invalid username or password" in answer.text
    assert visitor.get("hub/api/user").status_code == 403


@pytest.mark.parametrize("name", ["o'brien", '"; drop', "a\nb", "$(id)", "../etc", "é" * 10, "m" * 10_000])
def test_a_user_name_that_cannot_be_is_explained_to_who_knows_the_password(
    visitor: httpx.Client, hub: Trial, name: str
) -> None:
    answer = _log_in(visitor, name, hub.password)
    assert answer.status_code == 400
    assert "expected one that matches" in answer.text
    assert len(answer.text) < 100_000


def test_it_is_not_explained_to_who_does_not(visitor: httpx.Client) -> None:
    answer = _log_in(visitor, "$(id)", "wrong")
    assert answer.status_code == 403
    assert "expected one that matches" not in answer.text


@pytest.mark.parametrize("field", ["size", "walltime_hours", "next", "anything"])
def test_bytes_that_are_no_text_are_refused_in_words(visitor: httpx.Client, hub: Trial, field: str) -> None:
    assert _log_in(visitor, "maria", hub.password).status_code == 200
    answer = visitor.get(f"hub/spawn?{field}=%ff%fe")
    assert answer.status_code == 400, answer.text
    assert "Traceback" not in answer.text


def test_the_hub_listens_on_loopback_only(hub: Trial) -> None:
    import psutil

    own = psutil.Process(hub.process.pid)
    for process in (own, *own.children(recursive=True)):
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in {"127.0.0.1", "::1"}, process.cmdline()
