"""The certificate and the address of Dask clusters that a notebook submits by itself."""

from __future__ import annotations

import datetime
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swotvre_lab.dask_jobs import address_towards, ensure_certificate, settle_dask_jobs

SESSION = {"DASK_JOBQUEUE__PBS__WALLTIME": "'01:00:00'", "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api"}


def test_certificate_is_made_once_a_year_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "dask-tls"
    first = ensure_certificate(folder, datetime.date(2026, 12, 31))
    assert first == ensure_certificate(folder, datetime.date(2026, 1, 1))
    content = first.read_bytes()
    second = ensure_certificate(folder, datetime.date(2027, 1, 1))
    assert (first.name, second.name) == ("2026.pem", "2027.pem")
    assert first.read_bytes() == content != second.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["2026.pem", "2027.pem"]


def test_sessions_that_start_at_once_agree_on_one_certificate(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def start() -> bytes:
        barrier.wait()
        return ensure_certificate(tmp_path / "dask-tls").read_bytes()

    with ThreadPoolExecutor(4) as sessions:
        contents = {future.result() for future in [sessions.submit(start) for _ in range(4)]}
    assert len(contents) == 1


def test_both_sides_with_the_certificate_trust_each_other_and_nobody_else(tmp_path: Path) -> None:
    ours, theirs = ensure_certificate(tmp_path / "ours"), ensure_certificate(tmp_path / "theirs")
    assert handshake(ours, ours) == "verified"
    with pytest.raises(ssl.SSLError):
        handshake(ours, theirs)


def handshake(server: Path, client: Path) -> str:
    """Connect two contexts that Dask would make of the files."""

    def context(pem: Path, purpose: ssl.Purpose) -> ssl.SSLContext:
        made = ssl.create_default_context(purpose, cafile=str(pem))
        made.check_hostname, made.verify_mode = False, ssl.CERT_REQUIRED
        made.load_cert_chain(pem, pem)
        return made

    # In memory: no thread, no port.
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepting = context(server, ssl.Purpose.CLIENT_AUTH).wrap_bio(to_server, to_client, server_side=True)
    connecting = context(client, ssl.Purpose.SERVER_AUTH).wrap_bio(to_client, to_server)
    waiting = [connecting, accepting]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return "verified"
    raise AssertionError("no end of the handshake")


def test_sites_own_values_win_and_an_interface_takes_the_place_of_the_address(tmp_path: Path) -> None:
    environment = {
        **SESSION,
        "XDG_DATA_HOME": str(tmp_path),
        "DASK_JOBQUEUE__PBS__INTERFACE": "ib0",
        "DASK_JOBQUEUE__PBS__WORKER_EXTRA_ARGS": "[]",
    }
    settle_dask_jobs(environment)
    assert environment["DASK_JOBQUEUE__PBS__WORKER_EXTRA_ARGS"] == "[]"
    assert environment["DASK_JOBQUEUE__PBS__SCHEDULER_OPTIONS"] == "{'dashboard_address': '127.0.0.1:0'}"


def test_without_a_certificate_a_cluster_does_not_stand_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "swot-vre").write_text("a file in the place of the folder")
    environment = {**SESSION, "XDG_DATA_HOME": str(tmp_path)}
    settle_dask_jobs(environment)
    assert environment["DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME"] == "tls"
    assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" not in environment
    assert "no certificate for Dask clusters" in capsys.readouterr().err


def test_session_of_another_engine_is_left_alone() -> None:
    environment = {"JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api"}
    settle_dask_jobs(environment)
    assert list(environment) == ["JUPYTERHUB_API_URL"]


def test_address_is_the_one_by_which_the_hub_is_reached() -> None:
    assert address_towards("https://127.0.0.1:8081/hub/api") == "127.0.0.1"
    assert address_towards("https://no.such.host.invalid/hub/api") == ""
