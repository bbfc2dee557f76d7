"""What the endpoints of a session answer, asked of a real server."""

import subprocess
import sys
from datetime import datetime

import pytest

ENDPOINTS = [("GET", "swotvre/session"), ("POST", "swotvre/activity")]


def test_session_is_described(server, session_end):
    answer = server.session()
    assert (answer["size"], answer["title"]) == ("medium", "medium")
    assert (answer["cores"], answer["memory_gib"]) == (4.0, 32.0)
    assert datetime.fromisoformat(answer["ends_at"]) == session_end
    left = session_end - datetime.fromisoformat(answer["now"])
    assert answer["seconds_left"] == pytest.approx(left.total_seconds(), abs=0.001)
    assert (answer["idle_timeout_seconds"], answer["idle_warning_seconds"]) == (100, 20)


def test_times_of_the_answer_agree(server):
    answer = server.session()
    now, since, end = (datetime.fromisoformat(answer[key]) for key in ("now", "idle_since", "idle_ends_at"))
    assert answer["idle_seconds"] == pytest.approx((now - since).total_seconds(), abs=0.001)
    assert (end - since).total_seconds() == answer["idle_timeout_seconds"]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_endpoint_refuses_who_has_no_token(server, method, path, token):
    before = server.session()["idle_since"]
    answer = server.request(method, path, token=token)
    assert answer.status_code == 403
    assert "medium" not in answer.text
    assert server.session()["idle_since"] == before


def test_every_route_is_checked_above(server):
    """The list of endpoints in this file is the list of the server."""
    from swotvre_lab import routes

    added = []
    web_app = type(
        "Routes", (), {"settings": {"base_url": "/"}, "add_handlers": lambda _self, _host, rules: added.extend(rules)}
    )
    routes.add_routes(web_app(), None, None, None)
    assert sorted(path for path, _, _ in added) == sorted(f"/{path}" for _, path in ENDPOINTS)


@pytest.mark.parametrize(("method", "path"), [("POST", "swotvre/session"), ("GET", "swotvre/activity")])
def test_other_method_is_refused(server, method, path):
    assert server.request(method, path).status_code == 405


def test_wrong_environment_is_logged_and_answered_as_unknown(start_server):
    server = start_server({"SWOTVRE_SIZE": "medium", "SWOTVRE_SESSION_END": "soon"})
    answer = server.session()
    assert answer["title"] == "session"
    unknown = ["size", "cores", "memory_gib", "ends_at", "seconds_left", "idle_timeout_seconds", "idle_ends_at"]
    assert [answer[key] for key in unknown] == [None] * len(unknown)
    assert answer["idle_seconds"] >= 0
    assert "SWOTVRE_SESSION_END is 'soon'; expected a time" in server.log.read_text()


def test_past_end_leaves_zero_seconds(start_server):
    assert start_server({"SWOTVRE_SESSION_END": "2026-01-01T00:00:00+00:00"}).session()["seconds_left"] == 0


def test_importing_the_package_imports_no_server():
    """The package is imported at every session start."""
    program = (
        "import sys, swotvre_lab; print(*[m for m in ('tornado', 'jupyter_server', 'jupyterlab') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
