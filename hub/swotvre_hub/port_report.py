"""How a session on a node tells the hub its port: an integer of the site's range, and nothing else.

This takes the place of batchspawner's handler, which sets whatever attribute of the spawner a session names.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Protocol

from jupyterhub.apihandlers import APIHandler, default_handlers
from tornado import web

from swotvre_hub.certificates import CertificateError

PATH = r"/api/batchspawner"
#: A report is a few bytes.
LARGEST_REPORT_BYTES = 1000


class AwaitsPort(Protocol):
    """A spawner that waits for its session's port."""

    token_digest: str
    port_range: range

    async def accept_port(self, port: int, shown_certificate: bytes | None) -> str | None:
        """Take the port; return the certificate of the session on its node, PEM, or None without TLS."""


class ReportError(Exception):
    """A report that is not accepted."""


def digest_token(token: str) -> str:
    """Return what may be kept of a token: who reads it cannot use it."""
    return hashlib.sha256(token.encode()).hexdigest()


def parse_report(body: bytes, ports: range) -> int:
    """Return the port that ``body`` reports.

    Raises:
        ReportError: when it is anything else than ``{"port": N}`` with a port of ``ports``.
    """
    expected = f'expected {{"port": N}} and nothing else, N from {ports.start} to {ports.stop - 1}'
    try:
        content = json.loads(body) if len(body) <= LARGEST_REPORT_BYTES else None
    except (ValueError, RecursionError) as error:
        raise ReportError(f"received what is not JSON; {expected}") from error
    if not isinstance(content, dict) or set(content) != {"port"}:
        raise ReportError(f"received other keys; {expected}")
    port = content["port"]
    if type(port) is not int or port not in ports:
        raise ReportError(f"received another port; {expected}")
    return port


class PortReportHandler(APIHandler):
    """Takes the port of the session whose token comes with it."""

    @web.authenticated
    async def post(self) -> None:
        """Take the report; answer with the session's certificate for its node."""
        spawner = self._reporting_spawner()
        try:
            port = parse_report(self.request.body, spawner.port_range)
        except ReportError as error:
            raise web.HTTPError(400, str(error)) from error
        shown = self.request.get_ssl_certificate(binary_form=True) if self.request.protocol == "https" else None
        try:
            certificate = await spawner.accept_port(port, shown if isinstance(shown, bytes) else None)
        except CertificateError as error:
            raise web.HTTPError(403, str(error)) from error
        except ReportError as error:
            raise web.HTTPError(409, str(error)) from error
        self.finish(json.dumps({"certificate": certificate}))

    def _reporting_spawner(self) -> AwaitsPort:
        """Return the spawner of the session that reports: its token says which; no user's own token does."""
        digest = digest_token(self.get_auth_token() or "")
        user: Any = self.current_user
        for spawner in getattr(user, "spawners", {}).values():
            known = getattr(spawner, "token_digest", "")
            if known and hmac.compare_digest(known, digest):
                found: AwaitsPort = spawner
                return found
        raise web.HTTPError(404, "no session of this token is waited for")


def install_handler() -> None:
    """Put the handler in the place of batchspawner's, before JupyterHub builds its routes."""
    import batchspawner.api  # noqa: F401 - adds its own handler when it is imported

    default_handlers[:] = [(path, handler) for path, handler, *_ in default_handlers if path != PATH]
    default_handlers.append((PATH, PortReportHandler))
