"""What counts as activity: kernels and changes, not open browsers. Asked of a real server with real kernels."""

import os
import signal
import time
from datetime import datetime, timedelta

import pytest


@pytest.fixture
def kernel(server, connect_kernel):
    kernel = connect_kernel(server)
    kernel.execute("1")
    yield kernel
    server.request("DELETE", kernel.path)


def idle_since(server) -> str | None:
    return server.session()["idle_since"]


def test_idle_time_grows_while_the_session_is_polled(server):
    first = server.session()
    time.sleep(1.2)
    second = server.session()
    assert second["idle_since"] == first["idle_since"]
    assert second["idle_seconds"] >= first["idle_seconds"] + 1


@pytest.mark.parametrize(
    "path", ["api/kernels", "api/sessions", "api/terminals", "api/contents?content=1", "api/kernelspecs"]
)
def test_reading_of_an_open_browser_is_no_activity(server, path):
    before = idle_since(server)
    for _ in range(3):
        assert server.request("GET", path).status_code == 200
    assert idle_since(server) == before


def test_layout_that_a_tab_writes_by_itself_is_no_activity(server):
    """JupyterLab writes its workspace every ten seconds."""
    before = idle_since(server)
    workspace = {"data": {}, "metadata": {"id": "default"}}
    assert server.request("PUT", "lab/api/workspaces/default", workspace).status_code == 204
    assert idle_since(server) == before


def test_keeping_the_session_is_activity(server):
    before = server.session()
    answer = server.request("POST", "swotvre/activity").json()
    assert answer["idle_since"] > before["idle_since"]
    assert answer["idle_seconds"] < before["idle_seconds"] + 1
    server.request("GET", "api/kernels")
    kept = datetime.fromisoformat(idle_since(server)) - datetime.fromisoformat(answer["idle_since"])
    assert timedelta(0) <= kept < timedelta(seconds=0.1), "a read right after is not what counts"


def test_saving_a_file_is_activity(server):
    before = idle_since(server)
    body = {"type": "file", "format": "text", "content": "cycle 3, pass 14"}
    assert server.request("PUT", "api/contents/notes.txt", body).status_code == 201
    assert idle_since(server) > before


def test_running_a_cell_is_activity(server, kernel):
    before = idle_since(server)
    kernel.execute("6 * 7")
    assert idle_since(server) > before


@pytest.mark.parametrize(("message_type", "channel"), [("kernel_info_request", "shell"), ("usage_request", "control")])
def test_message_that_only_asks_the_kernel_is_no_activity(server, kernel, message_type, channel):
    """A page that connects asks for the kernel's name, the resource display for its memory."""
    before = idle_since(server)
    kernel.send(message_type, {}, channel=channel)
    assert idle_since(server) == before


def test_silent_busy_kernel_is_never_idle_with_the_browser_closed(server, kernel):
    kernel.execute("import time; time.sleep(600)", wait=False)
    time.sleep(2)
    answer = server.session()
    assert (answer["busy_kernels"], answer["idle_since"], answer["idle_seconds"]) == (1, None, 0)
    assert answer["idle_ends_at"] is None
    server.request("POST", f"{kernel.path}/interrupt")
    server.wait_for("the kernel is idle again", lambda: kernel.state() == "idle")
    assert server.session()["idle_ends_at"] is not None


def test_server_itself_reports_a_busy_kernel_as_active(server, kernel):
    """What the single-user server tells the hub, though nobody asks the endpoints."""
    kernel.execute("import time; time.sleep(600)", wait=False)
    started = server.request("GET", "api/status").json()["last_activity"]
    server.wait_for(
        "last_activity moves while the kernel computes in silence",
        lambda: server.request("GET", "api/status").json()["last_activity"] > started,
    )


def test_kernel_that_dies_while_busy_leaves_the_session_idle(server, kernel):
    kernel.execute("import os, time; time.sleep(2); os._exit(1)", wait=False)
    server.wait_for("no kernel is busy", lambda: server.session()["busy_kernels"] == 0, seconds=60)


def test_kernel_that_died_at_work_and_says_nothing_since_is_not_busy(server, connect_kernel):
    """Its first words are often missed; here it has none: the next process finds this file in place of ipykernel's."""
    kernel = connect_kernel(server, "silent.ipynb")
    kernel.execute("1")
    dead = kernel.pid()
    launcher = server.log.parent / "work" / "ipykernel_launcher.py"
    kernel.execute("import time; time.sleep(600)", wait=False)
    launcher.write_text("import time; time.sleep(600)")
    try:
        assert server.session()["busy_kernels"] == 1
        os.kill(dead, signal.SIGKILL)
        server.wait_for("the kernel was started again", lambda: kernel.has_process_other_than(dead))
        server.wait_for("no kernel is busy", lambda: server.session()["busy_kernels"] == 0, seconds=10)
    finally:
        launcher.unlink()
        server.request("DELETE", kernel.path)


def test_kernel_that_died_and_was_started_again_is_still_watched(server, kernel):
    dead = kernel.pid()
    kernel.execute("import os, time; time.sleep(0.5); os._exit(1)", wait=False)
    server.wait_for("the kernel was started again", lambda: kernel.has_process_other_than(dead))
    kernel.execute("1")
    assert server.session()["busy_kernels"] == 0
    kernel.execute("import time; time.sleep(600)", wait=False)
    server.wait_for("the kernel is busy", lambda: server.session()["busy_kernels"] == 1, seconds=10)
    server.request("POST", f"{kernel.path}/interrupt")
    server.wait_for("the kernel is idle again", lambda: server.session()["busy_kernels"] == 0)
