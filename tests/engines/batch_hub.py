"""A real hub on a batch cluster under test, with an account for the tests to drive it."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from cluster import PATIENCE, BatchCluster

from swotvre_hub.ports import free_ports
from swotvre_hub.settings import read_defaults

CHECKOUT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-the-tests-alone"
PASSWORD = "a-password-of-the-tests-alone"
#: What a hub says last of its start.
_RUNNING = "JupyterHub is now running"
#: Sizes that the nodes under test hold: a few, half a node, a whole one, none.
SIZES = {
    "small": (1, 1, 24.0),
    "other": (2, 1, 24.0),
    "whole": (8, 1, 24.0),
    "giant": (8, 400, 24.0),
}
SITE_CODE = """
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.JupyterHub.services.append({{"name": "driver", "api_token": {token!r}}})
c.JupyterHub.load_roles.append(
    {{"name": "driver", "services": ["driver"],
      "scopes": ["admin:users", "admin:servers", "tokens", "access:servers", "admin:server_state"]}}
)
{more}
"""


@dataclass
class BatchHub:
    """One installation on a cluster: its state folder outlives the hubs that run on it."""

    cluster: BatchCluster
    folder: Path
    lab: Path
    account: str = "root"
    python: Path = Path(sys.executable)
    settings: dict[str, Any] = field(default_factory=dict)
    site_code: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    external_proxy: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        of_gateway = {self.settings.get("gateway", {}).get("port")}
        (self.port, hub_port), first = free_ports(2, of_gateway), 40000 + (os.getpid() * 37) % 20000
        self.state = self.folder / ".vre"
        self.state.mkdir(mode=0o711, parents=True, exist_ok=True)
        installed = Path(os.environ.get("SWOTVRE_TEST_STATE", CHECKOUT / ".vre"))
        for name in ("env", "kernels", "node", "datalake"):
            if name == "node" and self.account != "root":
                # The installation is its owner's alone.
                shutil.copytree(installed / name, self.state / name)
                (self.state / name / "proxy").chmod(0o755)
            else:
                (self.state / name).symlink_to((installed / name).resolve())
        for name in ("run", "log"):
            (self.state / name).mkdir(mode=0o700)
        batch = {
            "commands": str(self.cluster.commands),
            "hub_address": self.cluster.hub_address,
            "hub_port": hub_port,
            "ports": f"{first}-{first + 999}",
            "lab": str(self.lab),
            "tls": True,
        }
        sizes = {
            name: {
                "title": name.title(),
                "cores": cores,
                "memory_gib": gib,
                "max_walltime_hours": hours,
                "good_for": "",
            }
            for name, (cores, gib, hours) in SIZES.items()
        }
        defaults = read_defaults()
        content = {
            "engine": self.cluster.engine,
            "hub": {"address": "127.0.0.1", "port": self.port, "base_url": "/"},
            "auth": {"login": "pam", "user_name_pattern": "[a-z][a-z0-9_-]{0,31}", "admins": []},
            "batch": batch,
            "sizes": sizes,
            "sessions": {**defaults["sessions"], "default_walltime_hours": 1, "start_timeout_seconds": 120},
            "scheduler": {**defaults["scheduler"], "query_seconds": 2, "capacity_seconds": 1},
            "idle": {**defaults["idle"], "enabled": False},
            "datalake": {"url": "/nowhere", "storage_options": {}},
            "gateway": {**defaults["gateway"], "enabled": False},
        }
        for block, changes in self.settings.items():
            content[block] = {**content.get(block, defaults.get(block, {})), **changes}
        (self.folder / "vre.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        site = self.folder / "jupyterhub_config.d"
        site.mkdir()
        code = SITE_CODE.format(password=PASSWORD, token=TOKEN, more=self.site_code)
        (site / "tests.py").write_text(code, encoding="utf-8")
        if self.account != "root":
            subprocess.run(["chown", "-R", self.account, str(self.folder)], check=True)
        self.url = f"http://127.0.0.1:{self.port}/"
        self.api = httpx.Client(base_url=f"{self.url}hub/api", headers={"Authorization": f"token {TOKEN}"}, timeout=120)

    # -- the hub itself ----------------------------------------------------------------------------------------------

    def start(self) -> BatchHub:
        """Start a hub in this installation, and wait until it answers."""
        configuration = CHECKOUT / "hub" / "jupyterhub_config.py"
        if self.account != "root":
            configuration = shutil.copy(configuration, self.folder / "jupyterhub_config.py")
        command = [str(self.python), "-m", "jupyterhub", "-f", str(configuration)]
        if self.account != "root":
            command = ["/usr/sbin/runuser", "-u", self.account, "--", *command]
        environment = {
            **os.environ,
            **self.cluster.environment,
            **self.environment,
            "SWOTVRE_STATE": str(self.state),
            "HOME": pwd.getpwnam(self.account).pw_dir,
        }
        told = len(self.log())
        with (self.state / "log" / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.state / "run", env=environment, stdout=log, stderr=log, start_new_session=True
            )
        # The proxy of a hub that was killed leads to the new hub too, until that one replaces it.
        self.wait(lambda: self._answers() and _RUNNING in self.log()[told:], "the hub to answer", 60)
        return self

    def start_proxy(self) -> None:
        """Start the proxy on its own, as ``swot-vre proxy`` does."""
        code = "import sys; from swotvre_hub.cli import main; sys.exit(main())"
        command = [str(self.python), "-c", code, "proxy", "--state", str(self.state)]
        with (self.state / "log" / "proxy.log").open("ab") as log:
            self.external_proxy = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        self.wait(self._proxy_listens, "the proxy to listen", 30)

    def end_proxy(self) -> None:
        """End the proxy that runs on its own."""
        assert self.external_proxy is not None
        self.external_proxy.terminate()
        self.external_proxy.wait(10 * PATIENCE)

    def _proxy_listens(self) -> bool:
        try:
            httpx.get(self.url, timeout=2)
        except httpx.TransportError:
            return False
        return True

    def kill(self) -> None:
        """Kill the hub as a crash does; its proxy is left."""
        assert self.process is not None
        for process in self._hub_processes():
            process.kill()
        self.process.wait()

    def end(self) -> None:
        """End the hub as an upgrade does: sessions go on."""
        assert self.process is not None
        for process in self._hub_processes():
            process.terminate()
        self.process.wait(30 * PATIENCE)

    def _hub_processes(self) -> list[psutil.Process]:
        assert self.process is not None
        found = psutil.Process(self.process.pid)
        if self.account == "root":
            return [found]
        return [child for child in found.children() if "jupyterhub" in " ".join(child.cmdline())]

    def close(self) -> None:
        """End every session, then the hub and its proxy."""
        if self.process is not None and self.process.poll() is None:
            self.end_all_sessions()
            self.end()
        self.api.close()
        self._end_proxies()

    def end_all_sessions(self) -> None:
        """End every session of every user."""
        for user in self.api.get("/users").json():
            for name in user["servers"]:
                self.api.delete(self._server_path(user["name"], name))
        self.wait(lambda: not any((self.state / "run" / "jobs").glob("*.json")), "the jobs to be over", 90)

    def _end_proxies(self) -> None:
        for process in psutil.process_iter():
            try:
                is_ours = str(self.state) in " ".join(process.cmdline())
            except psutil.Error:
                continue
            if is_ours:
                process.kill()
        if self.external_proxy is not None:
            self.external_proxy.wait(10 * PATIENCE)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the hub ended; its log:\n{self.log()}"
        try:
            return self.api.get("/", timeout=2).is_success
        except httpx.TransportError:
            return False

    def log(self) -> str:
        """Return what the hub has said."""
        log = self.state / "log" / "hub.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    # -- sessions ----------------------------------------------------------------------------------------------------

    def request(self, user: str, name: str = "", **options: Any) -> httpx.Response:
        """Ask for a session, as the launch page does; return the hub's answer."""
        self.api.post(f"/users/{user}")
        return self.api.post(self._server_path(user, name), json={"size": "small", **options}, timeout=150)

    def start_session(self, user: str, name: str = "", **options: Any) -> dict[str, Any]:
        """Start a session and wait until it is ready; return the hub's model of it."""
        answer = self.request(user, name, **options)
        assert answer.status_code in {201, 202}, f"{answer.text}\n{self.log()}"
        self.wait(lambda: self.server(user, name).get("ready"), f"the session of {user} to be ready", 150)
        return self.server(user, name)

    def server(self, user: str, name: str = "") -> dict[str, Any]:
        """Return the hub's model of a session; empty when there is none."""
        answer = self.api.get(f"/users/{user}", params={"include_stopped_servers": "true"}).json()
        server: dict[str, Any] = answer.get("servers", {}).get(name, {})
        return {} if server.get("stopped") and not server.get("pending") else server

    def job(self, user: str, name: str = "") -> dict[str, Any]:
        """Return what the hub keeps of the job of a session; empty when there is none."""
        state = self.server(user, name).get("state") or {}
        job: dict[str, Any] = state.get("job") or {}
        return job

    def stop_session(self, user: str, name: str = "") -> None:
        """End a session, or its start, and wait until the hub says so."""
        answer = self.api.delete(self._server_path(user, name), timeout=150)
        assert answer.status_code in {202, 204}, answer.text
        self.wait(lambda: not self.server(user, name), f"the session of {user} to stop", 60)

    def last_end(self, user: str, name: str = "") -> str:
        """Return how a user's last session ended, in the words of the pages; empty: not yet."""
        path = self.state / "run" / "sessions" / f"{user}+{name}.history.json"
        return (json.loads(path.read_text()).get("last_end") or "") if path.exists() else ""

    def progress(
        self, user: str, until: Callable[[dict[str, Any]], bool], seconds: float = 60, name: str = ""
    ) -> list[dict[str, Any]]:
        """Return the events of the progress page up to the first that ``until`` accepts."""
        events: list[dict[str, Any]] = []
        seconds *= PATIENCE
        deadline = time.monotonic() + seconds
        url = f"{self._server_path(user, name)}/progress"
        with self.api.stream("GET", url, timeout=seconds) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line[6:]))
                    if until(events[-1]):
                        return events
                if time.monotonic() > deadline:
                    break
        pytest.fail(f"waited {seconds:g} s for another event; there were {events}; the log:\n{self.log()}")

    def wait_for_job(self, user: str, name: str = "") -> str:
        """Wait until the scheduler has taken a session; return the id of its job."""
        self.wait(lambda: self.job(user, name).get("job_id"), f"the job of {user}", 60)
        return str(self.job(user, name)["job_id"])

    def answers(self, user: str, name: str = "") -> bool:
        """Return whether the session answers through the proxy."""
        path = f"user/{user}/{name}/api/status" if name else f"user/{user}/api/status"
        try:
            return httpx.get(f"{self.url}{path}", headers=dict(self.api.headers), timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    @staticmethod
    def answers_at(job: dict[str, Any]) -> bool:
        """Return whether the session of a job answers on its node, without the proxy and without TLS."""
        try:
            return httpx.get(f"http://{job['host']}:{job['port']}/", timeout=5).is_success
        except httpx.TransportError:
            return False

    def is_reached(self, user: str) -> bool:
        """Return whether the session is reached through the proxy, whoever asks."""
        try:
            return httpx.get(f"{self.url}user/{user}/api", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def pages(self, user: str) -> httpx.Client:
        """Return a browser in which ``user`` has logged in."""
        client = httpx.Client(base_url=self.url, follow_redirects=True, timeout=30)
        form = {"username": user, "password": PASSWORD, "_xsrf": token_of(client.get("hub/login").text)}
        assert client.post("hub/login", data=form).is_success
        return client

    def wait(self, happened: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Wait until ``happened``, or fail with the hub's log."""
        seconds *= PATIENCE
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:g} s for {what}; the log says:\n{self.log()[-8000:]}", pytrace=False)
            time.sleep(0.1)

    @staticmethod
    def _server_path(user: str, name: str) -> str:
        return f"/users/{user}/servers/{name}" if name else f"/users/{user}/server"


def token_of(page: str) -> str:
    """Return the token that a page gives for its own requests."""
    found = re.search(r'xsrf_token: "([^"]+)"', page) or re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert found, page[:500]
    return found[1]


@contextmanager
def batch_hub(cluster: BatchCluster, lab: Path, **options: Any) -> Iterator[BatchHub]:
    """Yield a hub that runs on ``cluster``; afterwards nothing of it is left."""
    # Not below pytest's folder, which only its owner enters: a hub of another account has its state here.
    folder = Path(tempfile.mkdtemp(prefix="vre-hub-", dir="/tmp"))
    folder.chmod(0o755)
    hub = BatchHub(cluster, folder, lab, **options)
    try:
        yield hub.start()
    finally:
        hub.close()
        shutil.rmtree(folder, ignore_errors=True)
