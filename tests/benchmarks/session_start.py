"""Measure a session's start, from the request to a usable JupyterLab: stock JupyterHub and swot-vre, in turn.

Usable means: ``GET /user/NAME/lab`` answers 200 and ``GET /user/NAME/api/kernelspecs`` lists a kernel. Both hubs run at
the same time and their rounds alternate, so that a busy machine slows both. The first round of each is shown apart:
it is the start with cold caches.

Run it on an installed state folder: ``env/hub/bin/python tests/benchmarks/session_start.py --state .vre``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from swotvre_hub.ports import free_ports

USER = "bench"

COMMON = """
import os
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["BENCH_TOKEN"]
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie"
c.JupyterHub.services = [dict(name="bench", api_token=os.environ["BENCH_TOKEN"])]
c.JupyterHub.load_roles = [
    dict(name="bench", services=["bench"], scopes=["admin:users", "admin:servers", "access:servers"])
]
c.JupyterHub.log_level = "WARN"
"""

STOCK = """
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/home/{{username}}"
c.Spawner.cmd = [{lab!r} + "/jupyterhub-singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/lab"
"""

OURS = """
from pathlib import Path
from swotvre_hub.settings import load_settings
from swotvre_hub.spawner.local import LocalSpawner
from swotvre_hub.state import State
settings = load_settings()
sessions = settings.sessions.model_copy(update=dict(fork_server={fork_server}))
c.JupyterHub.spawner_class = LocalSpawner
c.SessionMixin.settings = settings.model_copy(update=dict(sessions=sessions))
c.SessionMixin.state = State(Path("{folder}/state"))
"""


@dataclass
class Variant:
    """One hub that is measured."""

    name: str
    settings: str
    seconds: list[float] = field(default_factory=list)
    url: str = ""


def main() -> int:
    """Measure and print a table; return 0."""
    options = parse_options()
    variants = [
        Variant("stock JupyterHub", STOCK),
        Variant("swot-vre, from scratch", OURS.replace("{fork_server}", "False")),
        Variant("swot-vre, fork server", OURS.replace("{fork_server}", "True")),
    ]
    token = secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        for variant in variants:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="session-start-")))
            variant.url = stack.enter_context(running_hub(variant.settings, folder, token, options))
        for _ in range(options.rounds + 1):
            for variant in variants:
                variant.seconds.append(measure_start(variant.url, token))
    print_table(variants)
    return 0


def parse_options() -> argparse.Namespace:
    """Return the command line's options; interpreters and proxy default to those of the state folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=Path(".vre"), help="state folder (default: .vre)")
    parser.add_argument("--hub-python", type=Path, help="interpreter of the hub environment")
    parser.add_argument("--lab-python", type=Path, help="interpreter of the lab environment")
    parser.add_argument("--proxy", type=Path, help="configurable-http-proxy")
    parser.add_argument("--rounds", type=int, default=5, help="warm starts of each (default: 5)")
    options = parser.parse_args()
    state = options.state.absolute()
    options.hub_python = options.hub_python or state / "env" / "hub" / "bin" / "python"
    options.lab_python = options.lab_python or state / "env" / "lab" / "bin" / "python"
    options.proxy = options.proxy or find_proxy(state)
    for path in (options.hub_python, options.lab_python, options.proxy):
        if not path.exists():
            parser.error(f"{path} does not exist; run 'make up' first, or name it")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: expected at least 1")
    return options


def find_proxy(state: Path) -> Path:
    """Return the proxy that ``swot-vre up`` installed."""
    wrapper = state / "node" / "proxy"
    return wrapper if wrapper.exists() else state / "node" / "node_modules" / ".bin" / "configurable-http-proxy"


@contextlib.contextmanager
def running_hub(settings: str, folder: Path, token: str, options: argparse.Namespace) -> Iterator[str]:
    """Run a hub in ``folder`` and yield its URL."""
    port, hub_port, api_port = free_ports(3)
    lab = options.lab_python.parent
    environment = folder / "state" / "env"
    environment.mkdir(parents=True)
    (folder / "state" / "run").mkdir(mode=0o700)
    (folder / "home" / USER).mkdir(parents=True)
    (environment / "lab").symlink_to(lab.parent)
    names: dict[str, object] = {"port": port, "hub_port": hub_port, "api_port": api_port, "folder": folder}
    names |= {"lab": str(lab), "proxy": str(options.proxy)}
    (folder / "config.py").write_text(COMMON.format(**names) + settings.format(**names), encoding="utf-8")
    path = os.pathsep.join([str(lab), str(options.hub_python.parent), os.environ.get("PATH", os.defpath)])
    command = [str(options.hub_python), "-m", "jupyterhub", "-f", str(folder / "config.py")]
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "BENCH_TOKEN": token, "PATH": path}, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: ask(f"{url}/hub/api/", token)[0] == 200, process)
        ask(f"{url}/hub/api/users/{USER}", token, "POST")
        yield url
    except BaseException:
        sys.stderr.write((folder / "hub.log").read_text(encoding="utf-8")[-4000:])
        raise
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def measure_start(url: str, token: str) -> float:
    """Start a session, return the seconds until it is usable, and stop it."""
    server = f"{url}/hub/api/users/{USER}/server"
    begin = time.perf_counter()
    status, body = ask(server, token, "POST")
    if status not in {201, 202}:
        raise SystemExit(f"POST {server}: {status} {body[:500]!r}; expected 201 or 202")
    wait_for(lambda: is_usable(f"{url}/user/{USER}", token))
    seconds = time.perf_counter() - begin
    ask(server, token, "DELETE")
    wait_for(lambda: not json.loads(ask(f"{url}/hub/api/users/{USER}", token)[1]).get("servers"))
    return seconds


def is_usable(session: str, token: str) -> bool:
    """Return whether JupyterLab answers and offers a kernel."""
    if ask(f"{session}/lab", token)[0] != 200:
        return False
    status, body = ask(f"{session}/api/kernelspecs", token)
    return status == 200 and bool(json.loads(body)["kernelspecs"])


def ask(url: str, token: str, method: str = "GET") -> tuple[int, bytes]:
    """Return status and body of an answer; status 0 when there is none."""
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"token {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - http on loopback
            # A session that is not there redirects to the hub.
            return (answer.status if "/hub/" not in answer.url or "/hub/" in url else 0), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[bytes] | None = None, seconds: float = 90
) -> None:
    """Wait until ``condition()`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise SystemExit("what was waited for did not happen; the log above may say why")
        time.sleep(0.01)


def print_table(variants: list[Variant]) -> None:
    """Print the seconds of each start, the medians of the warm ones, and what the first is of each."""
    reference = statistics.median(variants[0].seconds[1:])
    print(f"{'seconds from request to usable JupyterLab':<26}")
    print(f"{'':<24} {'first':>7} {'median':>7} {'best':>7} {'worst':>7} {'ratio':>7}")
    for variant in variants:
        first, *warm = variant.seconds
        median = statistics.median(warm)
        numbers = f"{first:7.2f} {median:7.2f} {min(warm):7.2f} {max(warm):7.2f} {reference / median:6.1f}x"
        print(f"{variant.name:<24} {numbers}")


if __name__ == "__main__":
    raise SystemExit(main())
