"""A session on its node: it finds a port, tells it to the hub and nothing else, and ends when nobody waits for it."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tornado.netutil import bind_sockets

from swotvre_lab import batch
from swotvre_lab.batch import (
    EXIT_NO_HUB,
    EXIT_UNWANTED,
    BatchError,
    Reporter,
    TlsFiles,
    hold_port,
    keep_tls_files,
    trust_gateway,
)
from swotvre_lab.linux import memory_cgroup

TOKEN = "the-token-of-the-session"


class Hub:
    """A small HTTP server in the place of the hub: answers as it is told, one after the other, the last again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, b'{"certificate": null}')]
        self.reports: list[tuple[str, dict[str, str], bytes]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hub.reports.append((self.path, dict(self.headers), body))
                status, answer = hub.answers.pop(0) if len(hub.answers) > 1 else hub.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def environment(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server.server_address[1]}/hub/api/"
        return {"JUPYTERHUB_API_URL": url, "JUPYTERHUB_API_TOKEN": TOKEN}


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()


def tell(hub: Hub, tls: TlsFiles | None = None) -> tuple[BatchError | None, list[float]]:
    """Have a session tell port 20001; return why it cannot go on, and the pauses that it made."""
    pauses: list[float] = []
    reporter = Reporter(hub.environment(), 20001, tls)
    reporter.tell(pauses.append)
    return reporter.error, pauses


def test_the_report_is_the_port_alone_with_the_token_of_the_session(hub: Hub) -> None:
    assert tell(hub) == (None, [])
    ((path, headers, body),) = hub.reports
    assert path == "/hub/api/batchspawner"
    assert headers["Authorization"] == f"token {TOKEN}"
    assert json.loads(body) == {"port": 20001}


def test_no_proxy_of_the_site_comes_between_session_and_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert tell(hub) == (None, [])


@pytest.mark.parametrize("status", [500, 409])
def test_a_hub_in_trouble_is_told_again_at_growing_pauses(hub: Hub, status: int) -> None:
    hub.answers = [(status, b'{"message": "later"}')] * 8 + [(200, b"{}")]
    error, pauses = tell(hub)
    assert error is None
    assert len(pauses) == 8
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert max(pauses) == 15


@pytest.mark.parametrize("answer", [b"", b"<html>", b"\xff"])
def test_an_answer_that_cannot_be_read_is_trouble(hub: Hub, answer: bytes) -> None:
    hub.answers = [(200, answer), (200, b"{}")]
    assert tell(hub)[0] is None
    assert len(hub.reports) == 2


def test_a_hub_that_is_restarted_is_waited_for() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listened on: refused, and nobody else gets it
        environment = {
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{held.getsockname()[1]}/hub/api",
            "JUPYTERHUB_API_TOKEN": TOKEN,
        }
        asked: list[socket.socket] = []

        def come_back(_: float) -> None:
            if not asked:
                held.listen()
                thread.start()

        def answer() -> None:
            connection, _ = held.accept()
            with connection:
                connection.recv(65536)
                asked.append(connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=answer)
        reporter = Reporter(environment, 20001, None)
        reporter.tell(come_back)
        thread.join()
    assert reporter.error is None
    assert len(asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_session_that_nobody_waits_for_ends_at_once_and_says_why(hub: Hub, status: int) -> None:
    hub.answers = [(status, b'{"status": 1, "message": "no session of this token"}')]
    error, pauses = tell(hub)
    assert error is not None
    assert (error.exit_status, pauses, len(hub.reports)) == (EXIT_UNWANTED, [], 1)
    assert str(error) == "the hub does not wait for this session: no session of this token"


def test_a_hub_that_never_answers_is_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "HUB_PATIENCE_SECONDS", 0.0)
    hub.answers = [(500, b"no JSON at all")]
    error, _ = tell(hub)
    assert error is not None
    assert error.exit_status == EXIT_NO_HUB
    assert "cannot be told the port: HTTP 500: no JSON at all" in str(error)


def test_the_token_is_not_printed(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.answers = [(500, b"{}"), (404, b"{}")]
    tell(hub)
    assert "was not told the port yet" in capfd.readouterr().err
    assert TOKEN not in "".join(capfd.readouterr())


def test_an_answer_that_is_no_http_is_trouble() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # as a server that expects TLS

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hub/api"
        reporter = Reporter({"JUPYTERHUB_API_URL": url, "JUPYTERHUB_API_TOKEN": TOKEN}, 20001, None)
        tries: list[float] = []

        def stop(pause: float) -> None:
            tries.append(pause)
            raise KeyboardInterrupt

        try:
            with pytest.raises(KeyboardInterrupt):
                reporter.tell(stop)
        finally:
            thread.join()
    assert len(tries) == 1


def test_without_the_certificate_that_it_needs_a_session_asks_again(hub: Hub, tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path / "key.pem", tmp_path / "certificate.pem", tmp_path / "authorities.pem")
    reporter = Reporter(hub.environment(), 20001, tls)
    for answer in (b'{"certificate": null}', b"{}", b"[]"):
        with pytest.raises(ValueError, match="without a certificate"):
            reporter._take(answer)
    reporter._take(b'{"certificate": "PEM"}')
    assert tls.certificate.read_text() == "PEM"
    assert tls.certificate.stat().st_mode & 0o777 == 0o600


# -- port ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def take_ports() -> Iterator[Callable[..., int]]:
    """Take a range of ports except some; return the first."""
    held: list[socket.socket] = []

    def take(count: int, leave: int | None = None) -> int:
        for first in range(12000, 32000, count):
            try:
                held.extend(socket.create_server(("127.0.0.1", first + offset)) for offset in range(count))
            except OSError:
                release()
                continue
            if leave is not None:
                held.pop(leave).close()
            return first
        raise AssertionError("no range of ports is free")

    def release() -> None:
        while held:
            held.pop().close()

    yield take
    release()


def environment(first: int, last: int) -> dict[str, str]:
    return {"SWOTVRE_PORTS": f"{first}-{last}", "JUPYTERHUB_SERVICE_URL": "https://0.0.0.0:0/user/ada/"}


@pytest.mark.parametrize("free", [0, 3, 7])
def test_the_one_free_port_of_a_range_is_found(take_ports: Callable[..., int], free: int) -> None:
    first = take_ports(8, free)
    told = environment(first, first + 7)
    with hold_port(told) as held:
        assert held.getsockname()[1] == first + free
    assert told["JUPYTERHUB_SERVICE_URL"] == f"https://0.0.0.0:{first + free}/user/ada/"


def test_a_node_without_a_free_port_is_told(take_ports: Callable[..., int]) -> None:
    first = take_ports(4)
    with pytest.raises(BatchError, match=f"no port from {first} to {first + 3} is free on ") as caught:
        hold_port(environment(first, first + 3))
    assert caught.value.exit_status == EXIT_NO_HUB


def test_sessions_that_begin_at_the_same_moment_choose_different_ports(take_ports: Callable[..., int]) -> None:
    first = take_ports(2, 1)
    told = environment(first, first + 1)
    with hold_port(told) as held, pytest.raises(BatchError):
        hold_port(environment(first, first + 1))
    assert held.fileno() == -1


def test_the_server_listens_at_the_port_that_is_held_for_it(take_ports: Callable[..., int]) -> None:
    first = take_ports(2, 0)
    with hold_port(environment(first, first + 1)):
        # A port that is held is not one that answers.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first))
        (server,) = bind_sockets(first, "0.0.0.0")
        # And one that has a server is no other session's.
        with server, socket.create_connection(("127.0.0.1", first)), pytest.raises(BatchError):
            hold_port(environment(first, first + 1))


# -- files and environment -------------------------------------------------------------------------------------------

CONTENTS = {"SWOTVRE_TLS_KEY": "a key", "SWOTVRE_TLS_CERTIFICATE": "a certificate", "SWOTVRE_TLS_CA": "authorities"}


def test_key_and_certificates_leave_the_environment_for_private_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CONTENTS.items():
        monkeypatch.setenv(name, value)
    told = {**CONTENTS, "OTHER": "kept"}
    files = keep_tls_files(told, tmp_path)
    assert files is not None
    for path, content in zip((files.key, files.certificate, files.authorities), CONTENTS.values(), strict=True):
        assert path.read_text() == content
        assert path.stat().st_mode & 0o777 == 0o600
    assert not set(CONTENTS) & (set(told) | set(os.environ))
    assert told == {
        "OTHER": "kept",
        "JUPYTERHUB_SSL_KEYFILE": str(files.key),
        "JUPYTERHUB_SSL_CERTFILE": str(files.certificate),
        "JUPYTERHUB_SSL_CLIENT_CA": str(files.authorities),
    }


def test_without_tls_no_file_is_written(tmp_path: Path) -> None:
    assert keep_tls_files({}, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_part_of_what_tls_needs_is_refused_and_no_key_is_left(tmp_path: Path) -> None:
    told: dict[str, Any] = {"SWOTVRE_TLS_KEY": "a key"}
    with pytest.raises(BatchError, match="SWOTVRE_TLS_CERTIFICATE, SWOTVRE_TLS_CA is missing"):
        keep_tls_files(told, tmp_path)
    assert not told


def test_requests_to_the_hub_check_the_hub(tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path / "no", tmp_path / "such", tmp_path / "file")
    with pytest.raises((OSError, ssl.SSLError)):
        tls.context()


def test_sockets_of_kernels_lie_in_a_private_folder_of_the_node(tmp_path: Path) -> None:
    told = {"SWOTVRE_WALLTIME_SECONDS": "3600"}
    batch.settle(told, tmp_path, 0.0)
    folder = Path(told["JUPYTER_RUNTIME_DIR"])
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_end_of_the_session_counts_from_its_own_beginning(tmp_path: Path) -> None:
    started = time.time()
    told = {"SWOTVRE_WALLTIME_SECONDS": "5400"}
    batch.settle(told, tmp_path, started)
    ends = datetime.fromisoformat(told["SWOTVRE_SESSION_END"]).astimezone(UTC)
    assert abs(ends.timestamp() - started - 5400) <= 1


def test_the_memory_cgroup_is_a_folder_or_not_known() -> None:
    folder = memory_cgroup()
    assert folder == "" or (Path(folder).is_dir() and folder.startswith("/sys/fs/cgroup/"))


def test_a_session_trusts_the_gateway_beside_whom_the_site_trusts(tmp_path: Path) -> None:
    site = tmp_path / "site.pem"
    site.write_text("of the site\n")
    environment = {"SSL_CERT_FILE": str(site), "SWOTVRE_TLS_GATEWAY": "of the gateway\n"}
    trust_gateway(environment, tmp_path)
    assert "SWOTVRE_TLS_GATEWAY" not in environment
    trusted = Path(environment["SSL_CERT_FILE"])
    assert trusted.read_text().split("\n") == ["of the site", "", "of the gateway", ""]
    assert trusted.stat().st_mode & 0o777 == 0o600


def test_a_session_without_a_gateway_trusts_whom_it_trusted_before(tmp_path: Path) -> None:
    environment = {"SSL_CERT_FILE": "/of/the/site"}
    trust_gateway(environment, tmp_path)
    assert environment == {"SSL_CERT_FILE": "/of/the/site"}
