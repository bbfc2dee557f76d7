"""Whatever is asked for, by whichever way, is started or refused in words: never an HTTP 500."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyterhub.spawner import SpawnException

from swotvre_hub.errors import SessionRequestError
from swotvre_hub.machine import Machine
from swotvre_hub.sessions import parse_session_request
from swotvre_hub.settings import load_settings
from swotvre_hub.spawner.local import LocalSpawner

SETTINGS = load_settings()
MACHINE = Machine(cores=4, memory_bytes=32 * 2**30)

#: What is asked for, and a piece of the refusal.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"size": "enormous"}, "unknown session size 'enormous'"),
    ({"size": "tinny"}, "did you mean 'tiny'?"),
    ({"size": "giant"}, "needs 4096 cores"),
    ({"size": ["tiny"]}, "unknown session size"),
    ({"size": 7}, "unknown session size 7"),
    ({"size": {"cores": 64}}, "unknown session size"),
    ({"size": "x" * 10_000}, "(10002 characters)"),
    ({"size": 'tiny\'; "drop" $(reboot) `id`\n\0'}, "unknown session size"),
    ({"size": "<script>alert(1)</script>"}, "unknown session size"),
    ({"walltime_hours": 0}, "received a duration of 0 hours"),
    ({"walltime_hours": -1}, "received a duration of -1 hours"),
    ({"walltime_hours": 10**9}, "received a duration of 1000000000 hours"),
    ({"walltime_hours": 10**400}, "as duration"),
    ({"walltime_hours": "soon"}, "received 'soon' as duration"),
    ({"walltime_hours": "nan"}, "received 'nan' as duration"),
    ({"walltime_hours": True}, "received True as duration"),
    ({"walltime_hours": [1, 2]}, "as duration"),
    ({"cmd": "/bin/sh"}, "unknown session option 'cmd'"),
    ({"sise": "tiny"}, "did you mean 'size'?"),
    ({"": ""}, "unknown session option ''"),
    ({"k" * 10_000: 1}, "unknown session option"),
]


@contextmanager
def logged_in(hub: Any, user: str) -> Iterator[httpx.Client]:
    """Yield the browser of a user that logged in."""
    with httpx.Client(base_url=hub.url, follow_redirects=False, timeout=30) as browser:
        browser.get("hub/login")
        form = {"username": user, "password": hub.password, "_xsrf": browser.cookies["_xsrf"]}
        assert browser.post("hub/login", data=form).status_code == 302
        browser.get("hub/spawn")
        yield browser


def shown_error(page: httpx.Response) -> str:
    """Return what the page says in its error paragraph."""
    found = re.search(r'<p class="spawn-error-msg[^"]*">Error: (.*?)</p>', page.text, re.DOTALL)
    assert found, f"no error on the page: {page.status_code}"
    return html.unescape(found.group(1))


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=range(len(REFUSED)))
async def test_a_spawner_refuses_in_words(
    make_spawner: Callable[..., LocalSpawner], options: dict[str, Any], words: str
) -> None:
    spawner = make_spawner()
    with pytest.raises(SpawnException) as caught:
        spawner.accept_options(options)
    assert caught.value.status_code == 400
    assert words in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("options", [None, [], [1], 7, "size", 1.5, True])
async def test_options_that_are_no_mapping_are_refused(
    make_spawner: Callable[..., LocalSpawner], options: object
) -> None:
    with pytest.raises(SpawnException, match="expected a mapping with: size, walltime_hours"):
        make_spawner().accept_options(options)


@pytest.mark.parametrize("name", ["../ada", "a b", "ada\n", "$(id)", "", "a" * 10_000, "A"])
async def test_a_user_name_that_names_no_folder_is_refused(
    make_spawner: Callable[..., LocalSpawner], name: str
) -> None:
    with pytest.raises(SpawnException, match="received the user name"):
        make_spawner(name).accept_options({})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    JSON
    | st.fixed_dictionaries({}, optional={"size": JSON | st.sampled_from(list(SETTINGS.sizes)), "walltime_hours": JSON})
)
def test_any_json_is_a_request_within_limits_or_refused(options: object) -> None:
    try:
        request = parse_session_request(options, SETTINGS, MACHINE)
    except SessionRequestError as error:
        assert 0 < len(str(error)) < 600
    else:
        assert request.walltime.total_seconds() <= request.size.max_walltime_hours * 3600
        assert request.size.cores <= MACHINE.cores


def test_the_rest_api_refuses_with_400_and_the_reason(hub: Any) -> None:
    assert hub.api.post("/users/ada").status_code == 201
    for options, words in REFUSED:
        answer = hub.api.post("/users/ada/server", json=options)
        assert (answer.status_code, words in answer.json()["message"]) == (400, True), (options, answer.text)
    for body in ("[1]", "7", '"size"', '{"user_options": [1]}', "{", '{"size": ' + "[" * 900 + "]" * 900 + "}"):
        answer = hub.api.post("/users/ada/server", content=body)
        assert answer.status_code == 400, (body[:100], answer.text)
    assert not hub.server("ada")


def test_form_and_url_refuse_with_400_and_show_the_reason_on_the_launch_page(hub: Any) -> None:
    texts = [(o, w) for o, w in REFUSED if all(isinstance(v, str) for v in o.values()) and "" not in o]
    with logged_in(hub, "ada") as browser:
        for options, words in texts:
            for page in (
                browser.post(f"hub/spawn?_xsrf={browser.cookies['_xsrf']}", data=options),
                browser.get(f"hub/spawn?{urlencode(options)}"),
            ):
                assert page.status_code == 400, (options, page.text[:500])
                assert words in shown_error(page), (options, shown_error(page))
                assert "SpawnException" not in page.text
                assert "<script>alert" not in page.text
    assert not hub.server("ada")


def test_a_refused_request_is_not_what_the_next_start_uses(hub: Any, tmp_path: Path) -> None:
    hub.api.post("/users/ada")
    assert hub.api.post("/users/ada/server", json={"size": "enormous"}).status_code == 400
    hub.api.post("/users/ada/server")
    hub.wait(lambda: hub.server("ada").get("ready"), "the session to start", 60)
    history = json.loads((tmp_path / "state" / "run" / "sessions" / "ada+.history.json").read_text())
    assert history["options"] == {"size": "tiny", "walltime_hours": 1.0}


def test_a_second_start_while_the_first_is_pending_is_answered_in_peace(hub: Any) -> None:
    with logged_in(hub, "ada") as browser:
        form = {"size": "tiny", "walltime_hours": "1"}
        path = f"hub/spawn?_xsrf={browser.cookies['_xsrf']}"
        assert hub.api.post("/users/ada/server", json=form).status_code in {201, 202}
        second = browser.post(path, data=form)
        assert second.status_code == 400
        assert "pending spawn" in second.text or "already running" in second.text
        hub.wait(lambda: hub.server("ada").get("ready"), "the session to start", 60)


def test_starts_at_the_same_moment_give_one_session_and_no_server_error(hub: Any) -> None:
    with logged_in(hub, "ada") as browser:
        path = f"hub/spawn?_xsrf={browser.cookies['_xsrf']}"
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: browser.post(path, data={"size": "tiny"}).status_code, range(4)))
        assert set(answers) <= {302, 400}, answers
        assert 302 in answers
        hub.wait(lambda: hub.server("ada").get("ready"), "the session to start", 60)
