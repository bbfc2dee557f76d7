"""What Dask clusters that a notebook submits by itself (``dask_jobqueue``) need of the node: TLS, and its address.

Without TLS whoever reaches the scheduler's port runs code as its user. One key and self-signed certificate per user and
year, in the user's home, which the nodes share, serves the schedulers, workers and clients of all sessions.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

_ENGINES = ("PBS", "SLURM")
#: A session may begin at the end of a year, and its jobs in the next.
_VALIDITY = datetime.timedelta(days=2 * 366)


def settle_dask_jobs(environment: dict[str, str]) -> None:
    """Complete the defaults of ``dask_jobqueue`` in ``environment``, where the hub sent any; the site's values win."""
    engine = next((name for name in _ENGINES if f"DASK_JOBQUEUE__{name}__WALLTIME" in environment), None)
    if engine is None:
        return
    # Stands even without a certificate: a scheduler does not start then, rather than stand open.
    defaults = {"DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME": "tls"}
    jobqueue = f"DASK_JOBQUEUE__{engine}__"
    scheduler: dict[str, str] = {"dashboard_address": "127.0.0.1:0"}
    if f"{jobqueue}INTERFACE" not in environment and (address := address_towards(environment["JUPYTERHUB_API_URL"])):
        scheduler["host"] = address
    defaults[f"{jobqueue}SCHEDULER_OPTIONS"] = repr(scheduler)
    try:
        pem = ensure_certificate(Path(environment["XDG_DATA_HOME"]) / "swot-vre" / "dask-tls")
    except OSError as error:
        print(f"session: no certificate for Dask clusters of dask_jobqueue: {error}", file=sys.stderr, flush=True)  # noqa: T201
    else:
        defaults |= _tls(str(pem))
        arguments = ["--no-dashboard", "--tls-ca-file", str(pem), "--tls-cert", str(pem), "--tls-key", str(pem)]
        defaults[f"{jobqueue}WORKER_EXTRA_ARGS"] = repr(arguments)
        defaults[f"{jobqueue}SHARED_TEMP_DIRECTORY"] = repr(str(pem.parent))
    for name, value in defaults.items():
        environment.setdefault(name, value)


def ensure_certificate(folder: Path, today: datetime.date | None = None) -> Path:
    """Return the file with key and certificate of this year, made if it is not there.

    Raises:
        OSError: when it cannot be made.
    """
    year = (today or datetime.datetime.now(datetime.UTC).date()).year
    path = folder / f"{year}.pem"
    if path.exists():
        return path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as partial:  # readable by its owner alone
        partial.write(_make_pem())
        partial.flush()
        os.fsync(partial.fileno())
        with contextlib.suppress(FileExistsError):  # another session of the user was quicker
            os.link(partial.name, path)
    return path


def address_towards(url: str) -> str:
    """Return the address of this node as the host of ``url`` sees it; empty: unknown."""
    parts = urlsplit(url)
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(
            parts.hostname, parts.port or 443, type=socket.SOCK_DGRAM
        )
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _tls(pem: str) -> dict[str, str]:
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    names = [f"{role}__{what}" for role in ("CLIENT", "SCHEDULER", "WORKER") for what in ("CERT", "KEY")]
    return {f"{prefix}{name}": pem for name in ("CA_FILE", *names)}


def _make_pem() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dask-internal")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of nodes differ.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("dask-internal")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
