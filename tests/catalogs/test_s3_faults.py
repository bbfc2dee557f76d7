"""Faults of an object store: an HTTP server of our own that answers as S3 does when things go wrong."""

import http.server
import pickle
import re
import socket
import struct
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swotvre_catalogs import DatalakeError, MissingDatalakeError, MissingGranuleError, UnreadableDatalakeError
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.object_store import (
    AccessDeniedError,
    ExpiredCredentialsError,
    FileIdentity,
    RangeRequest,
    ReplacedFileError,
    S3RangeReader,
)
from swotvre_catalogs.s3_access import S3Access

CONTENT = bytes(range(256)) * 40
SECRETS = ("secret-of-1", "token-of-1", "secret-of-2", "token-of-2")


class FaultyStore(http.server.ThreadingHTTPServer):
    """One object under every key; keys with a fault in ``faults`` get that first, as often as it is listed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.faults: dict[str, list[Any]] = defaultdict(list)
        #: Access keys that are let in; None lets all in.
        self.accepted: set[str] | None = None
        self.refused = (400, "ExpiredToken")
        self.etag = '"first"'
        self.requests: list[tuple[str, str, str]] = []
        self.threads: set[int] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that gave up."""


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyStore

    def do_GET(self) -> None:
        key = self.path.partition("?")[0].rsplit("/", 1)[-1]
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        access_key = signed[1] if signed else ""
        self.server.requests.append((key, access_key, self.headers.get("X-Amz-Security-Token", "")))
        if self.server.accepted is not None and access_key not in self.server.accepted:
            return self.fail(*self.server.refused)
        fault = self.server.faults[key].pop(0) if self.server.faults[key] else None
        if fault == "hang":
            time.sleep(3)
            return None
        if isinstance(fault, tuple):
            return self.fail(*fault)
        if "list-type" in self.path:
            listed = "<Contents><Key>swot/a.nc</Key><Size>9</Size></Contents>"
            return self.answer(200, f"<ListBucketResult>{listed}</ListBucketResult>")
        return self.send(broken=fault == "reset")

    def send(self, *, broken: bool) -> None:
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        if self.headers.get("If-Match") not in (None, self.server.etag):
            return self.fail(412, "PreconditionFailed")
        if first >= len(CONTENT):
            return self.fail(416, "InvalidRange")
        body = CONTENT[first : last + 1]
        self.send_response(206)
        for name, value in {
            "Content-Length": len(body),
            "Content-Range": f"bytes {first}-{first + len(body) - 1}/{len(CONTENT)}",
            "ETag": self.server.etag,
            "Last-Modified": "Tue, 01 Jan 2019 00:00:00 GMT",
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if broken:
            self.wfile.write(body[: len(body) // 2])
            # A linger of zero seconds ends the connection by a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return None
        self.wfile.write(body)
        return None

    def fail(self, status: int, code: str) -> None:
        # As S3 does for a wrong signature, the answer quotes the request with its token.
        token = self.headers.get("X-Amz-Security-Token", "")
        self.answer(status, f"<Error><Code>{code}</Code><CanonicalRequest>{token}</CanonicalRequest></Error>")

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


@pytest.fixture
def store() -> Iterator[FaultyStore]:
    with FaultyStore() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("SWOTVRE_PROJECT_CREDENTIALS", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def user(monkeypatch, store):
    """Put the credentials of a number in the environment, as a user does."""

    def become(number: int) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"key-{number}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"secret-of-{number}")
        monkeypatch.setenv("AWS_SESSION_TOKEN", f"token-of-{number}")

    become(1)
    return become


def reader(store: FaultyStore, **options: Any) -> S3RangeReader:
    quick = {"retries": {"max_attempts": 2}, "read_timeout": 0.4, "connect_timeout": 1}
    return S3RangeReader("s3://lake/swot", {"endpoint_url": store.url, "config_kwargs": quick, **options})


@pytest.mark.parametrize(
    "fault", [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests"), "reset", "hang"]
)
def test_a_passing_fault_is_retried(store, user, fault):
    store.faults["a.nc"] = [fault]
    assert reader(store).read("a.nc", 100, 1000) == CONTENT[100:1100]
    assert len(store.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ((503, "SlowDown"), UnreadableDatalakeError, "answered 503 SlowDown, 3 times; try again later"),
        ("hang", UnreadableDatalakeError, "gave no answer in time, 3 times"),
        ((404, "NoSuchKey"), MissingGranuleError, r"a\.nc is not there any more \(the store answered 404 NoSuchKey\)"),
        ((404, "NoSuchBucket"), MissingDatalakeError, "the bucket does not exist"),
        (
            (403, "AccessDenied"),
            AccessDeniedError,
            "answered 403 AccessDenied for the credentials from AWS_ACCESS_KEY_ID",
        ),
        ((403, "InvalidAccessKeyId"), AccessDeniedError, "does not accept the credentials from AWS_ACCESS_KEY_ID"),
        ((403, "SignatureDoesNotMatch"), AccessDeniedError, "does not accept the credentials"),
        ((403, "RequestTimeTooSkewed"), AccessDeniedError, "the clock of this machine is wrong"),
        ((400, "ExpiredToken"), ExpiredCredentialsError, "have expired: .*400 ExpiredToken.*; get new ones"),
        ((403, "ExpiredToken"), ExpiredCredentialsError, "have expired: .*403 ExpiredToken"),
    ],
)
def test_a_lasting_fault_is_an_error_in_words_without_a_secret(store, user, fault, error, said):
    store.faults["a.nc"] = [fault] * 3
    with pytest.raises(error, match=said) as raised:
        reader(store).read("a.nc", 0, 10)
    shown = "".join(traceback.format_exception(raised.value))
    assert not any(secret in shown for secret in SECRETS)


def test_a_store_that_is_not_there_is_named(store, user):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UnreadableDatalakeError, match=f"{url} cannot be reached"):
            reader(store, endpoint_url=url, config_kwargs={"retries": {"max_attempts": 0}}).read("a.nc", 0, 10)


def test_credentials_renewed_in_the_middle_of_a_compute_are_used(store, user):
    ranges = reader(store)
    requests = [RangeRequest(f"{number}.nc", number, 10) for number in range(40)]
    store.accepted = {"key-1"}
    got = []
    for number, data in enumerate(ranges.read_many(requests, in_flight=4)):
        got.append(bytes(data))
        if number == 10:
            user(2)
            store.accepted = {"key-2"}
    assert got == [CONTENT[number : number + 10] for number in range(40)]
    assert {token for _, key, token in store.requests if key == "key-2"} == {"token-of-2"}


def test_credentials_that_expire_in_the_middle_of_a_compute_stop_it_in_words(store, user):
    ranges = reader(store)
    store.accepted = {"key-1"}
    results = ranges.read_many([RangeRequest(f"{number}.nc", 0, 10) for number in range(40)], in_flight=4)
    assert next(results) == CONTENT[:10]
    store.accepted = set()
    with pytest.raises(ExpiredCredentialsError, match=r"AWS_ACCESS_KEY_ID of the environment have expired"):
        list(results)
    user(2)
    store.accepted = {"key-2"}
    assert ranges.read("0.nc", 0, 10) == CONTENT[:10]


def test_a_store_that_forgets_expired_keys_says_the_same(store, user):
    ranges = reader(store)
    ranges.read("a.nc", 0, 10)
    store.accepted, store.refused = set(), (403, "InvalidAccessKeyId")
    with pytest.raises(ExpiredCredentialsError, match="have expired: the store answered 403 InvalidAccessKeyId"):
        ranges.read("a.nc", 0, 10)


def test_a_replaced_object_is_refused(store, user):
    ranges = reader(store)
    expected = FileIdentity(len(CONTENT), etag="first")  # some listings give an etag without its quotes
    assert ranges.read("a.nc", 0, 10, expect=expected) == CONTENT[:10]
    store.etag = '"second"'
    with pytest.raises(ReplacedFileError, match=r"s3://lake/swot/a\.nc was replaced after it was indexed"):
        ranges.read("a.nc", 0, 10, expect=expected)


@pytest.mark.parametrize("expected", [FileIdentity(1), FileIdentity(len(CONTENT), modified_ns=1_000_000_000)])
def test_an_object_of_another_size_or_time_is_refused(store, user, expected):
    with pytest.raises(ReplacedFileError, match="was replaced"):
        reader(store).read("a.nc", 0, 10, expect=expected)


@pytest.mark.parametrize("offset", [len(CONTENT) - 5, len(CONTENT) + 5])
def test_a_range_beyond_the_end_is_refused(store, user, offset):
    with pytest.raises(ReplacedFileError, match=f"expected 10 bytes from byte {offset}, but the file ends"):
        reader(store).read("a.nc", offset, 10)


def test_a_range_is_read_into_a_buffer(store, user):
    buffer = bytearray(20)
    reader(store).read("a.nc", 5, 10, into=buffer)
    assert buffer == CONTENT[5:15] + bytes(10)


def test_requests_are_under_way_together(store, user):
    # Each answer waits for the others: one request after the other would never end.
    together = threading.Barrier(8, timeout=20)
    answer = _Answers.send

    class Waiting(_Answers):
        def send(self, *, broken: bool) -> None:
            together.wait()
            answer(self, broken=broken)

    store.RequestHandlerClass = Waiting
    ranges = reader(store, config_kwargs={"read_timeout": 30})
    requests = [RangeRequest(f"{number}.nc", number, 10) for number in range(8)]
    assert [data[0] for data in ranges.read_many(requests, in_flight=8)] == list(range(8))
    ranges.close()


def test_the_credentials_of_the_project_are_read_from_its_file_and_renewed(store, user, monkeypatch, tmp_path):
    file = tmp_path / "project"
    file.write_text(
        "[swot-currents]\naws_access_key_id = project-1\naws_secret_access_key = secret-of-2\n"
        f"endpoint_url = {store.url}\nregion = eu-west-3\n"
    )
    monkeypatch.setenv("SWOTVRE_PROJECT_CREDENTIALS", str(file))
    ranges = S3RangeReader("s3://lake/swot")
    ranges.read("a.nc", 0, 10)
    store.accepted = {"project-2"}
    file.write_text(file.read_text().replace("project-1", "project-2"))
    ranges.read("a.nc", 0, 10)
    assert [request[1:] for request in store.requests] == [("project-1", ""), ("project-1", ""), ("project-2", "")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nx = 1\n[b]\nx = 1\n", r"needs a section \[default\], or one section only; it has: a, b"),
        ("[default]\naws_access_key_id = 1\n", r"\[default\] of .* lacks aws_secret_access_key"),
        ("secret-of-1", "is not in the format of ~/.aws/credentials"),
        (None, "which cannot be read: No such file"),
    ],
)
def test_a_wrong_file_of_the_project_is_refused_in_words(monkeypatch, tmp_path, text, said):
    file = tmp_path / "project"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("SWOTVRE_PROJECT_CREDENTIALS", str(file))
    with pytest.raises(DatalakeError, match=said) as raised:
        S3RangeReader("s3://lake/swot").read("a.nc", 0, 1)
    assert "secret-of-1" not in "".join(traceback.format_exception(raised.value))


def test_a_profile_gives_credentials_endpoint_and_region(store, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(f"[profile swot]\nendpoint_url = {store.url}\nregion = eu-west-3\n")
    (tmp_path / "keys").write_text("[swot]\naws_access_key_id = of-profile\naws_secret_access_key = secret-of-2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    S3RangeReader("s3://lake/swot", {"profile": "swot"}).read("a.nc", 0, 10)
    assert store.requests == [("a.nc", "of-profile", "")]
    with pytest.raises(DatalakeError, match=r"profile \(swto\) could not be found; check AWS_PROFILE"):
        S3RangeReader("s3://lake/swot", {"profile": "swto"})


def test_given_keys_are_not_completed_from_the_environment(store, user, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    reader(store, key="given", secret="secret-of-2").read("a.nc", 0, 10)
    assert store.requests == [("a.nc", "given", "")]


def test_without_credentials_requests_are_not_signed(store):
    assert reader(store).read("a.nc", 0, 10) == CONTENT[:10]
    assert store.requests == [("a.nc", "", "")]
    store.faults["a.nc"] = [(403, "AccessDenied")]
    with pytest.raises(AccessDeniedError, match="no credentials were found; set AWS_ACCESS_KEY_ID"):
        reader(store, anon=True).read("a.nc", 0, 10)


def test_a_worker_without_the_environment_reads_with_the_credentials_of_the_sender(store, user, monkeypatch):
    ranges = reader(store)
    ranges.read("a.nc", 0, 10)
    sent = pickle.dumps(ranges)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    assert pickle.loads(sent).read("a.nc", 5, 5) == CONTENT[5:10]  # noqa: S301
    assert {request[1:] for request in store.requests} == {("key-1", "token-of-1")}


def test_no_secret_is_shown(store, user):
    access = S3Access.resolve({"key": "key", "secret": "secret-of-2", "endpoint_url": store.url})
    shown = repr(access) + repr(access.keys()) + repr(reader(store, key="key", secret="secret-of-2"))
    assert not any(secret in shown for secret in SECRETS)
    assert access.redact("a secret-of-2 b") == "a *** b"


@pytest.mark.parametrize(
    ("refused", "error", "said"),
    [
        ((403, "AccessDenied"), AccessDeniedError, "403 AccessDenied for the credentials from AWS_ACCESS_KEY_ID"),
        ((400, "ExpiredToken"), ExpiredCredentialsError, "have expired"),
        ((404, "NoSuchBucket"), MissingDatalakeError, "does not exist"),
    ],
)
def test_a_datalake_that_refuses_is_told_apart_from_a_missing_one(store, user, refused, error, said):
    store.accepted, store.refused = set(), refused
    quick = {"retries": {"max_attempts": 0}}
    with pytest.raises(error, match=said) as raised:
        Datalake("s3://lake/swot", {"endpoint_url": store.url, "config_kwargs": quick, "skip_instance_cache": True})
    shown = "".join(traceback.format_exception(raised.value))
    assert not any(secret in shown for secret in SECRETS)


def test_a_datalake_lists_on_with_renewed_credentials(store, user):
    store.accepted = {"key-1"}
    datalake = Datalake("s3://lake/swot", {"endpoint_url": store.url, "skip_instance_cache": True})
    assert [file.path for file in datalake.glob("*.nc")] == ["a.nc"]
    store.accepted = {"key-2"}
    with pytest.raises(ExpiredCredentialsError, match="AWS_ACCESS_KEY_ID of the environment have expired"):
        datalake.glob("*.nc")
    user(2)
    assert [file.path for file in datalake.glob("*.nc")] == ["a.nc"]


def test_a_file_of_certificates_that_is_missing_is_named(store, user, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(Path("gone.pem")))
    with pytest.raises(DatalakeError, match=r"the certificates gone\.pem \(AWS_CA_BUNDLE\) cannot be read"):
        reader(store).read("a.nc", 0, 10)
