"""What counts as activity: kernels and changes, not open browsers. Asked of a real server with real kernels."""

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect


class Kernel:
    """A kernel of the server, run through its websocket as JupyterLab does."""

    def __init__(self, server) -> None:
        self.server = server
        answer = server.request("POST", "api/kernels", {"name": "test-python"})
        self.kernel_id = answer.raise_for_status().json()["id"]
        self.path = f"api/kernels/{self.kernel_id}"

    def state(self) -> str:
        return str(self.server.request("GET", self.path).raise_for_status().json()["execution_state"])

    async def connect(self) -> WebSocketClientConnection:
        url = f"{self.server.url}{self.path}/channels?token={self.server.token}"
        return await websocket_connect(url.replace("http", "ws", 1))

    def send(self, message_type: str, content: dict[str, object], *, wait: bool = True, channel: str = "shell") -> None:
        """Send one message; wait until the kernel is idle after it, or leave at once."""

        async def exchange() -> None:
            socket = await self.connect()
            header = {"msg_id": uuid.uuid4().hex, "msg_type": message_type, "session": uuid.uuid4().hex}
            header |= {"username": "ana", "version": "5.4"}
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel}
            await socket.write_message(json.dumps(message))
            while text := await asyncio.wait_for(socket.read_message(), 60):
                answer = json.loads(text)
                states = {"idle"} if wait else {"busy"}
                if (
                    answer["msg_type"] == "status"
                    and answer["parent_header"].get("msg_id") == header["msg_id"]
                    and answer["content"]["execution_state"] in states
                ):
                    break
            socket.close()
            while await socket.read_message() is not None:
                pass

        asyncio.run(exchange())

    def execute(self, code: str, *, wait: bool = True) -> None:
        self.send("execute_request", {"code": code, "silent": False, "store_history": True}, wait=wait)


@pytest.fixture
def kernel(server) -> Iterator[Kernel]:
    kernel = Kernel(server)
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
