"""Certificates of sessions: for hub, proxy and node to know each other, signed by an authority of JupyterHub's own.

JupyterHub makes its authorities (``internal_ssl``); it cannot know beforehand on which node a job will run. A session
therefore begins with a certificate that names no node, shows it when it tells its port, and gets one for the node that
the scheduler names, for the same key.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swotvre_hub.errors import VreError

#: Name of JupyterHub's authority for sessions, and of its folder.
AUTHORITY = "notebooks-ca"
#: Clocks of nodes may be behind that of the hub.
CLOCK_TOLERANCE = timedelta(hours=1)


class CertificateError(VreError):
    """A certificate that cannot be made or is not accepted."""


@dataclass(frozen=True)
class KeyPair:
    """A private key and its certificate, both PEM."""

    key: str
    certificate: str


class SessionAuthority:
    """Signs the certificates of sessions with JupyterHub's authority for them."""

    def __init__(self, folder: Path) -> None:
        """Read the authority below ``folder``, JupyterHub's ``internal_certs_location``.

        Raises:
            CertificateError: when it is not there.
        """
        files = folder / AUTHORITY
        try:
            self._certificate = x509.load_pem_x509_certificate((files / f"{AUTHORITY}.crt").read_bytes())
            key = serialization.load_pem_private_key((files / f"{AUTHORITY}.key").read_bytes(), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CertificateError(
                f"the authority of sessions cannot be read in {files}: {error}; restart the hub, which makes it anew"
            ) from error
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise CertificateError(f"the key in {files} is of a kind that cannot sign")
        self._key = key

    def begin(self, session_id: str, lifetime: timedelta) -> KeyPair:
        """Return a new key and a certificate that names the session, and this machine alone."""
        return self.serve(session_id, ["localhost"], lifetime)

    def serve(self, name: str, hosts: list[str], lifetime: timedelta) -> KeyPair:
        """Return a new key and a certificate for a service of this installation that ``hosts`` reach it by."""
        key = ec.generate_private_key(ec.SECP256R1())
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return KeyPair(text.decode("ascii"), self._sign(key.public_key(), name, hosts, lifetime))

    @property
    def certificate(self) -> str:
        """The authority's own certificate, PEM: who has it knows whom to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def name_node(self, shown: bytes, session_id: str, host: str, lifetime: timedelta) -> str:
        """Return a certificate (PEM) for the node ``host`` and the key of the certificate that a session showed.

        Args:
            shown: the certificate, DER, of a connection whose other side proved to have the key.
            session_id: the session that it must name.
            host: name or address of the node, as the scheduler says.
            lifetime: how long the session may run.

        Raises:
            CertificateError: when it is another session's.
        """
        try:
            certificate = x509.load_der_x509_certificate(shown)
        except ValueError as error:
            raise CertificateError("received what is no certificate") from error
        names = [str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        key = certificate.public_key()
        if names != [session_id] or not isinstance(key, ec.EllipticCurvePublicKey):
            raise CertificateError("received the certificate of another session")
        return self._sign(key, session_id, [host, "localhost"], lifetime)

    def _sign(self, key: ec.EllipticCurvePublicKey, session_id: str, hosts: list[str], lifetime: timedelta) -> str:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, session_id)]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_TOLERANCE)
            .not_valid_after(now + lifetime + CLOCK_TOLERANCE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode("ascii")


def client_context(pair: KeyPair) -> ssl.SSLContext:
    """Return what connects to a server that has the same self-signed certificate, and shows it there as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate itself is trusted, and nobody else has its key: names in it do not matter.
    context.check_hostname = False
    context.load_verify_locations(cadata=pair.certificate)
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
        file.write(f"{pair.key}\n{pair.certificate}")
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise CertificateError(f"no certificate can name the node {host!r}: expected a name in ASCII") from error
