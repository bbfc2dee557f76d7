"""Start the session of a batch job: ``python -m swotvre_lab.batch``, run by the job's script on its node.

Everything comes through the environment that the script exports. The session chooses a free port, tells it to the hub,
and gets the certificate for the node in return, while JupyterLab is imported. A hub that does not know the session any
more ends it: a job that nobody waits for does not run on.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from swotvre_lab.dask_jobs import settle_dask_jobs
from swotvre_lab.linux import memory_cgroup
from swotvre_lab.order import SessionOrder
from swotvre_lab.supervisor import supervise

#: A hub that is being restarted is waited for so long.
HUB_PATIENCE_SECONDS = 900.0
#: Answers with which the hub says that nobody waits for this session.
UNWANTED = frozenset({401, 403, 404, 410})
#: Exit status of a session that nobody waits for, and of one that could not tell its port.
EXIT_UNWANTED, EXIT_NO_HUB = 71, 72
#: An ending session shuts its kernels down in this time; schedulers kill some seconds later.
GRACE_SECONDS = 8.0
#: A scheduler ends a job at its walltime; where it does not, the session does so this long after.
OVERTIME_SECONDS = 60.0
#: The environment in which the hub sends key, certificate and authorities; taken out before anything else runs.
TLS_VARIABLES = {"key": "SWOTVRE_TLS_KEY", "certificate": "SWOTVRE_TLS_CERTIFICATE", "authorities": "SWOTVRE_TLS_CA"}

#: The authority of Dask Gateway, where there is one; and where systems keep those that they trust.
GATEWAY_VARIABLE = "SWOTVRE_TLS_GATEWAY"
SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


class BatchError(Exception):
    """The session cannot start; the message says why, ``exit_status`` how the job ends."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True)
class TlsFiles:
    """Where the session keeps its key and certificates, on its node."""

    key: Path
    certificate: Path
    authorities: Path

    def context(self) -> ssl.SSLContext:
        """Return what makes requests to the hub: both sides are checked."""
        context = ssl.create_default_context(cafile=str(self.authorities))
        context.load_cert_chain(self.certificate, self.key)
        return context


def main() -> int:
    """Run the session that the environment describes; return its exit status."""
    started = time.time()
    environment = dict(os.environ)
    runtime = Path(tempfile.mkdtemp(prefix="vre-", dir=_short_folder()))
    try:
        tls = keep_tls_files(environment, runtime)
        trust_gateway(environment, runtime)
        settle(environment, runtime, started)
        settle_dask_jobs(environment)
        order = SessionOrder(
            environment=environment,
            folder=environment["HOME"],
            log="",
            cores=[],
            cgroup="",
            ends_at=started + float(environment["SWOTVRE_WALLTIME_SECONDS"]) + OVERTIME_SECONDS,
            grace_seconds=GRACE_SECONDS,
            end_record=environment["SWOTVRE_END_RECORD"],
        )
        status = supervise(order, lambda: take_port_and_serve(tls), watched_cgroup=memory_cgroup())
    except BatchError as error:
        print(f"session: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return error.exit_status
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
    return status if status >= 0 else 128 - status


def take_port_and_serve(tls: TlsFiles | None) -> None:
    """Take a free port, import the server while the hub is told it, then run the server."""
    try:
        held = hold_port(os.environ)
    except BatchError as error:
        print(f"session: {error}", file=sys.stderr, flush=True)  # noqa: T201
        raise SystemExit(error.exit_status) from error
    reporter = Reporter(os.environ, held.getsockname()[1], tls)
    telling = threading.Thread(target=reporter.tell, daemon=True)
    telling.start()
    from swotvre_lab.trimmed_imports import import_server

    import_server()
    from swotvre_lab.server import serve

    telling.join()
    if reporter.error is None and not reporter.is_understood:
        reporter.error = BatchError("the report of the port ended unexpectedly", EXIT_NO_HUB)
    if reporter.error is not None:
        print(f"session: {reporter.error}", file=sys.stderr, flush=True)  # noqa: T201
        raise SystemExit(reporter.error.exit_status)
    serve()


def keep_tls_files(environment: dict[str, str], folder: Path) -> TlsFiles | None:
    """Move key and certificates from ``environment`` into files that only this account reads; None: no TLS."""
    contents = {name: environment.pop(variable, "") for name, variable in TLS_VARIABLES.items()}
    for variable in TLS_VARIABLES.values():
        os.environ.pop(variable, None)
    if not any(contents.values()):
        return None
    if missing := [TLS_VARIABLES[name] for name, content in contents.items() if not content]:
        raise BatchError(f"the hub sent only a part of what TLS needs; {', '.join(missing)} is missing", EXIT_NO_HUB)
    files = {}
    for name, content in contents.items():
        files[name] = folder / f"{name}.pem"
        write_private(files[name], content)
    environment["JUPYTERHUB_SSL_KEYFILE"] = str(files["key"])
    environment["JUPYTERHUB_SSL_CERTFILE"] = str(files["certificate"])
    environment["JUPYTERHUB_SSL_CLIENT_CA"] = str(files["authorities"])
    return TlsFiles(**files)


def trust_gateway(environment: dict[str, str], folder: Path) -> None:
    """Have programs of the session trust Dask Gateway beside whomever they trust anyway.

    The gateway's certificate is signed by an authority of this installation, which no system knows.
    """
    os.environ.pop(GATEWAY_VARIABLE, None)
    authority = environment.pop(GATEWAY_VARIABLE, "")
    if not authority:
        return
    candidates = [environment.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *SYSTEM_AUTHORITIES]
    known = next((Path(path) for path in candidates if path and Path(path).is_file()), None)
    trusted = folder / "trusted.pem"
    write_private(trusted, f"{known.read_text(encoding='utf-8') if known else ''}\n{authority}")
    environment["SSL_CERT_FILE"] = str(trusted)


def settle(environment: dict[str, str], runtime: Path, started: float) -> None:
    """Complete the environment with what is only known on the node: sockets' folder, end of the session."""
    sockets = runtime / "k"
    sockets.mkdir(mode=0o700)
    environment["JUPYTER_RUNTIME_DIR"] = str(sockets)
    ends = time.gmtime(started + float(environment["SWOTVRE_WALLTIME_SECONDS"]))
    environment["SWOTVRE_SESSION_END"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", ends)


def hold_port(environment: MutableMapping[str, str]) -> socket.socket:
    """Choose a free port of the site's range, and put it into the server's address.

    Returns:
        A socket that holds the port until the server listens at it: sessions that begin at the same moment on one node
        choose different ones.

    Raises:
        BatchError: when none is free.
    """
    first, _, last = environment["SWOTVRE_PORTS"].partition("-")
    ports = list(range(int(first), int(last) + 1))
    random.shuffle(ports)
    for port in ports:
        held = socket.socket()
        try:
            held.bind(("", port))
        except OSError:
            held.close()
            continue
        # Only now: it lets the server take the port too, and nobody who asks for one that is free.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address = urlsplit(environment["JUPYTERHUB_SERVICE_URL"])
        environment["JUPYTERHUB_SERVICE_URL"] = urlunsplit(address._replace(netloc=f"{address.hostname}:{port}"))
        return held
    raise BatchError(f"no port from {first} to {last} is free on {socket.gethostname()}", EXIT_NO_HUB)


class Reporter:
    """Tells the hub the session's port, until it is understood."""

    def __init__(self, environment: Mapping[str, str], port: int, tls: TlsFiles | None) -> None:
        self._url = f"{environment['JUPYTERHUB_API_URL'].rstrip('/')}/batchspawner"
        self._token = environment["JUPYTERHUB_API_TOKEN"]
        self._port = port
        self._tls = tls
        #: Whether the hub has taken the port.
        self.is_understood = False
        #: Why the session cannot go on; None: it can.
        self.error: BatchError | None = None

    def tell(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Tell the port; a hub that does not answer is asked again for a quarter of an hour."""
        deadline = time.monotonic() + HUB_PATIENCE_SECONDS
        pause = 0.2
        while True:
            try:
                self._take(self._post())
            except urllib.error.HTTPError as error:
                said = _text_of(error)
                if error.code in UNWANTED:
                    self.error = BatchError(f"the hub does not wait for this session: {said}", EXIT_UNWANTED)
                    return
                trouble = f"HTTP {error.code}: {said}"
            except (OSError, ValueError, http.client.HTTPException) as error:
                trouble = str(error) or type(error).__name__
            else:
                self.is_understood = True
                return
            if time.monotonic() > deadline:
                self.error = BatchError(f"the hub at {self._url} cannot be told the port: {trouble}", EXIT_NO_HUB)
                return
            print(f"session: the hub was not told the port yet: {trouble}", file=sys.stderr, flush=True)  # noqa: T201
            sleep(pause)
            pause = min(pause * 2, 15.0)

    def _post(self) -> bytes:
        body = json.dumps({"port": self._port}).encode("ascii")
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310 - the hub's own address
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self._tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self._tls.context()))
        with urllib.request.build_opener(*handlers).open(request, timeout=90) as answer:
            content: bytes = answer.read(2**20)
            return content

    def _take(self, answer: bytes) -> None:
        """Keep the certificate that the hub made for this node."""
        content = json.loads(answer)
        certificate = content.get("certificate") if isinstance(content, dict) else None
        if self._tls is not None:
            if not isinstance(certificate, str):
                raise ValueError("the hub answered without a certificate")
            write_private(self._tls.certificate, certificate)


def write_private(path: Path, content: str) -> None:
    """Write a file that only this account reads, in place of what was there, at once."""
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
    partial.replace(path)


def _text_of(error: urllib.error.HTTPError) -> str:
    try:
        with error:
            text = error.read(2000).decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException):
        return "no more was said"
    try:
        return str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        return text[:200]


def _short_folder() -> str:
    """Return the node's temporary folder, or ``/tmp`` where its name is too long for a socket below it."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) <= 40 else "/tmp"  # noqa: S108 - the folder in it is new, and ours


if __name__ == "__main__":
    sys.exit(main())
