"""Hub, proxy and sessions know each other: real authorities, and real handshakes between two sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from certipy import Certipy  # type: ignore[import-untyped]
from cryptography import x509

from swotvre_hub.certificates import CertificateError, KeyPair, SessionAuthority

#: As in ``JupyterHub.init_internal_ssl``: who trusts whom.
TRUST: dict[str, list[str]] = {
    "hub-ca": ["proxy-api-ca", "proxy-client-ca", "notebooks-ca", "services-ca"],
    "proxy-api-ca": ["hub-ca", "services-ca", "notebooks-ca"],
    "proxy-client-ca": ["hub-ca", "notebooks-ca"],
    "notebooks-ca": ["hub-ca", "proxy-client-ca"],
    "services-ca": ["hub-ca", "proxy-api-ca"],
}
SESSION, OTHER = "0123456789abcdef", "fedcba9876543210"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of authorities as JupyterHub makes it, with the certificate of a hub."""
    folder = tmp_path_factory.mktemp("tls")
    certipy = Certipy(store_dir=str(folder))
    certipy.trust_from_graph(TRUST)
    certipy.create_signed_pair("hub-internal", "hub-ca", alt_names=["DNS:localhost", "DNS:hub.cluster"])
    return folder


@pytest.fixture
def authority(folder: Path) -> SessionAuthority:
    return SessionAuthority(folder)


def shown(pair: KeyPair) -> bytes:
    """Return what a session shows of its first certificate."""
    return ssl.PEM_cert_to_DER_cert(pair.certificate)


def server_context(folder: Path, key: str, certificate: str, trust: str) -> ssl.SSLContext:
    """Return the side of a session, which wants to know who comes."""
    files = folder / "session.key", folder / "session.crt"
    for path, text in zip(files, (key, certificate), strict=True):
        path.write_text(text, encoding="ascii")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / f"{trust}_trust.crt"))
    context.load_cert_chain(files[1], files[0])
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def hub_context(folder: Path) -> ssl.SSLContext:
    """Return the side of the hub."""
    context = ssl.create_default_context(cafile=str(folder / "hub-ca_trust.crt"))
    own = folder / "hub-internal"
    context.load_cert_chain(own / "hub-internal.crt", own / "hub-internal.key")
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[str | None, str | None]:
    """Have a client connect to a server that it calls ``name``; return why either side refused."""
    refused: dict[str, str | None] = {"server": None, "client": None}

    def talk(side: str, end: socket.socket, context: ssl.SSLContext, **options: Any) -> None:
        try:
            with end, context.wrap_socket(end, **options) as stream:
                stream.sendall(b"hello")
                assert stream.recv(5) == b"hello"
        except (ssl.SSLError, OSError) as error:
            refused[side] = str(error)

    ends = socket.socketpair()
    for end in ends:
        end.settimeout(10)
    thread = threading.Thread(target=talk, args=("server", ends[0], server), kwargs={"server_side": True})
    thread.start()
    talk("client", ends[1], client, server_hostname=name)
    thread.join()
    return refused["server"], refused["client"]


@pytest.mark.parametrize("host", ["n17", "n17.cluster.example", "10.1.2.3", "fd00::17", "node_17", "localhost"])
def test_the_hub_believes_a_session_on_the_node_that_it_was_named_for(
    folder: Path, authority: SessionAuthority, host: str
) -> None:
    pair = authority.begin(SESSION, HOUR)
    certificate = authority.name_node(shown(pair), SESSION, host, HOUR)
    server = server_context(folder, pair.key, certificate, "notebooks-ca")
    assert shake_hands(server, hub_context(folder), host) == (None, None)


@pytest.mark.parametrize(
    ("named", "called"),
    [("n17", "n18"), ("n17", "n17.cluster.example"), ("10.1.2.3", "10.1.2.4"), ("n17", "hub.cluster"), ("n1", "n17")],
)
def test_the_hub_does_not_believe_a_session_on_another_node(
    folder: Path, authority: SessionAuthority, named: str, called: str
) -> None:
    pair = authority.begin(SESSION, HOUR)
    certificate = authority.name_node(shown(pair), SESSION, named, HOUR)
    server = server_context(folder, pair.key, certificate, "notebooks-ca")
    assert "match" in str(shake_hands(server, hub_context(folder), called)[1])


def test_the_first_certificate_is_good_for_no_node(folder: Path, authority: SessionAuthority) -> None:
    pair = authority.begin(SESSION, HOUR)
    server = server_context(folder, pair.key, pair.certificate, "notebooks-ca")
    assert "match" in str(shake_hands(server, hub_context(folder), "n17")[1])


def test_a_session_is_known_to_the_hub_when_it_reports(folder: Path, authority: SessionAuthority) -> None:
    pair = authority.begin(SESSION, HOUR)
    own = folder / "hub-internal"
    hub = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "hub-ca_trust.crt"))
    hub.load_cert_chain(own / "hub-internal.crt", own / "hub-internal.key")
    hub.verify_mode = ssl.CERT_REQUIRED
    (folder / "s.key").write_text(pair.key)
    (folder / "s.crt").write_text(pair.certificate)
    session = ssl.create_default_context(cafile=str(folder / "notebooks-ca_trust.crt"))
    session.load_cert_chain(folder / "s.crt", folder / "s.key")
    assert shake_hands(hub, session, "hub.cluster") == (None, None)


def test_a_session_does_not_serve_another_session(folder: Path, authority: SessionAuthority) -> None:
    pair, other = authority.begin(SESSION, HOUR), authority.begin(OTHER, HOUR)
    certificate = authority.name_node(shown(pair), SESSION, "n17", HOUR)
    server = server_context(folder, pair.key, certificate, "notebooks-ca")
    (folder / "o.key").write_text(other.key)
    (folder / "o.crt").write_text(other.certificate)
    client = ssl.create_default_context(cafile=str(folder / "hub-ca_trust.crt"))
    client.load_cert_chain(folder / "o.crt", folder / "o.key")
    assert "certificate verify failed" in str(shake_hands(server, client, "n17")[0])


def test_the_certificate_of_another_session_is_refused(authority: SessionAuthority) -> None:
    other = authority.begin(OTHER, HOUR)
    with pytest.raises(CertificateError, match="of another session"):
        authority.name_node(shown(other), SESSION, "n17", HOUR)


def test_the_certificate_of_the_hub_is_refused(folder: Path, authority: SessionAuthority) -> None:
    of_hub = ssl.PEM_cert_to_DER_cert((folder / "hub-internal" / "hub-internal.crt").read_text())
    with pytest.raises(CertificateError, match="of another session"):
        authority.name_node(of_hub, "hub-internal", "n17", HOUR)


def test_a_certificate_ends_with_its_session_and_allows_for_clocks_that_differ(authority: SessionAuthority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.begin(SESSION, 5 * HOUR).certificate.encode())
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == 7 * HOUR


def test_a_certificate_of_a_session_signs_no_other(authority: SessionAuthority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.begin(SESSION, HOUR).certificate.encode())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "other key"])
def test_an_authority_that_cannot_be_read_is_told_with_what_to_do(tmp_path: Path, folder: Path, damage: str) -> None:
    files = tmp_path / "notebooks-ca"
    if damage != "missing":
        files.mkdir()
        for ending in ("crt", "key"):
            text = (folder / "notebooks-ca" / f"notebooks-ca.{ending}").read_text()
            is_damaged = damage != "other key" or ending == "key"
            content = {"empty": "", "garbage": "garbage", "other key": "-----BEGIN X-----\n-----END X-----\n"}[damage]
            (files / f"notebooks-ca.{ending}").write_text(content if is_damaged else text)
    with pytest.raises(CertificateError, match="restart the hub"):
        SessionAuthority(tmp_path)


@pytest.mark.parametrize(("certificate", "host"), [(b"garbage", "n17"), (None, "n\u0153ud17")])
def test_what_cannot_be_signed_is_a_certificate_error(
    authority: SessionAuthority, certificate: bytes | None, host: str
) -> None:
    own = shown(authority.begin(SESSION, HOUR))
    with pytest.raises(CertificateError):
        authority.name_node(certificate or own, SESSION, host, HOUR)
