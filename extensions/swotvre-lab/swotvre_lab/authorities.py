"""Whom the programs of a session trust: everybody whom the node trusts, and the gateway of this site.

Dask's client of the gateway has no setting of its own for that; ``SSL_CERT_FILE`` is what OpenSSL has.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

#: In which the hub sends the gateway's authority, PEM.
VARIABLE = "SWOTVRE_GATEWAY_CA"
#: Where systems keep the authorities that they trust.
_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def trust_gateway(environment: dict[str, str]) -> None:
    """Let the programs of ``environment`` trust the gateway too, where the hub sent its authority.

    The file is in the user's home: jobs that a notebook submits may look for it on another node.
    """
    os.environ.pop(VARIABLE, None)
    authority = environment.pop(VARIABLE, "")
    if not authority:
        return
    target = Path(environment["XDG_DATA_HOME"]) / "swot-vre" / "authorities.pem"
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        partial.write_text(f"{trusted_by_node(environment.get('SSL_CERT_FILE', ''))}\n{authority}", encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        print(f"session: Dask Gateway cannot be trusted: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return
    environment["SSL_CERT_FILE"] = str(target)


def trusted_by_node(named: str) -> str:
    """Return the certificates, PEM, of the first of these files that can be read: ``named``, Python's, the system's."""
    for name in (named, ssl.get_default_verify_paths().cafile or "", *_SYSTEM_FILES):
        try:
            if name and (text := Path(name).read_text(encoding="utf-8", errors="replace")):
                return text
        except OSError:
            continue
    return ""
