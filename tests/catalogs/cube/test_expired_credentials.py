"""Credentials that expire while a cube is read: the error says so, nothing is computed from half of the files."""

import http.client
import http.server
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy
import pytest
import s3fs

from swotvre_catalogs import open_catalog
from swotvre_catalogs.object_store import ExpiredCredentialsError

EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


class ExpiringStore(http.server.ThreadingHTTPServer):
    """Answers as an S3 server until a number of ranges of netCDF files were given out: then the token has expired."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.behind = urlsplit(behind).netloc
        self.given_out = 0
        self.limit: int | None = None
        self.lock = threading.Lock()

    def refuses(self, path: str) -> bool:
        """Count a request; return whether it comes too late."""
        with self.lock:
            if self.limit is not None and path.partition("?")[0].endswith(".nc"):
                self.given_out += 1
            return self.limit is not None and self.given_out > self.limit


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ExpiringStore

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuses(self.path):
            return self.answer(400, {"Content-Type": "application/xml"}, EXPIRED)
        connection = http.client.HTTPConnection(self.server.behind, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        headers = {
            name: value for name, value in answer.getheaders() if name not in ("Connection", "Transfer-Encoding")
        }
        connection.close()
        return self.answer(answer.status, headers, content)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - as the base class wants

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name != "Content-Length":
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


@pytest.fixture
def front(s3_options: dict[str, str]) -> Iterator[ExpiringStore]:
    with ExpiringStore(s3_options["endpoint_url"]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def entry(root, front, s3_options) -> Any:
    store = s3fs.S3FileSystem(**s3_options, skip_instance_cache=True)
    store.mkdir("expiring")
    store.put(f"{root}/", "expiring/lake/", recursive=True)
    options = {**s3_options, "endpoint_url": f"http://127.0.0.1:{front.server_port}", "skip_instance_cache": True}
    entry = open_catalog("s3://expiring/lake", storage_options=options)["l2_lr_ssh_basic"]
    entry.build_cube()
    yield entry
    store.rm("expiring", recursive=True)


@pytest.mark.parametrize("how", ["kernel", "xarray"])
def test_credentials_that_expire_half_way_end_a_mean_in_words_and_new_ones_finish_it(entry, front, how):
    def mean() -> float:
        found = entry.mean("ssha_karin_2") if how == "kernel" else entry.cube()["ssha_karin_2"].mean()
        return float(found)

    expected = mean()
    assert numpy.isfinite(expected)
    front.limit = 2
    with pytest.raises(ExpiredCredentialsError, match=r"have expired.*get new ones"):
        mean()
    assert front.given_out > 2
    front.limit = None
    assert mean() == expected
