"""The two hubs that `batch_scale` compares, on the same stand-in for PBS: swot-vre's own, and stock batchspawner's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))

from cluster import NodeSize
from recorded_pbs_cluster import RecordedPbsCluster

from swotvre_hub.ports import free_ports
from swotvre_hub.trial import trial_folder, trial_hub

#: Ports of the sessions that the farm plays; below those that the kernel gives to clients.
SESSION_PORTS = "30000-31999"
#: The seconds between two questions of an idle hub for all of its sessions, as ``defaults.yaml`` has it.
QUERY_SECONDS = 10
ADMIN = "benchadmin"
PASSWORD = "benchmark"
#: A hub with a thousand sessions takes its time to start and to end.
PATIENCE_SECONDS = 60.0

DRIVER = """
import os
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["BENCH_PASSWORD"]
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{{admin!r}}}
c.JupyterHub.services.append(dict(name="driver", api_token=os.environ["BENCH_TOKEN"]))
c.JupyterHub.load_roles.append(
    dict(name="driver", services=["driver"], scopes=["admin:users", "admin:servers", "list:users"])
)
"""

#: Users of the benchmark have no Unix accounts: all their commands run as one that has.
ONE_ACCOUNT = """
from swotvre_hub import batch_commands
prefix_for = batch_commands.prefix_for
batch_commands.prefix_for = lambda user_name, account, uid: prefix_for({account!r}, account, uid)
"""

SETTINGS = """
engine: pbs
auth: {{login: pam, user_name_pattern: "[a-z][a-z0-9]*", admins: []}}
hub: {{address: 127.0.0.1, port: 8000, base_url: /}}
batch: {{commands: {commands}, hub_address: 127.0.0.1, hub_port: {hub_port}, ports: {ports}, lab: {lab}, tls: false}}
scheduler:
  query_seconds: {query_seconds}
  starting_query_seconds: 0.5
  capacity_seconds: 30
  command_timeout_seconds: 20
  waiting_hours: 24
  log_days: 30
  accounting: false
sessions:
  default_size: small
  default_walltime_hours: 4
  walltime_choices_hours: [1, 4]
  workspace: {homes}/{{username}}
  start_timeout_seconds: 60
  per_user: 3
  fork_server: true
sizes:
  small: {{title: Small, cores: 1, memory_gib: 1, max_walltime_hours: 12, good_for: A benchmark}}
"""

STOCK = """
c.JupyterHub.services, c.JupyterHub.load_roles = [], []
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://0.0.0.0:{hub_port}"
c.JupyterHub.hub_connect_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie"
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"

import batchspawner
from traitlets import default

class OneAccountSpawner(batchspawner.PBSSpawner):
    # Users of the benchmark have no Unix accounts, and this cannot be configured.
    @default("req_homedir")
    def _homedir(self):
        return "{homes}"

c.JupyterHub.spawner_class = OneAccountSpawner
c.BatchSpawnerBase.exec_prefix = {prefix!r}
c.BatchSpawnerBase.batch_submit_cmd = "{commands}/qsub"
c.BatchSpawnerBase.batch_query_cmd = "{commands}/qstat -fx {{job_id}}"
c.BatchSpawnerBase.batch_cancel_cmd = "{commands}/qdel {{job_id}}"
c.BatchSpawnerBase.req_runtime = "04:00:00"
c.BatchSpawnerBase.req_nprocs = "1"
c.BatchSpawnerBase.req_memory = "1gb"
# The names of nodes have dots, which PBSSpawner's own expression does not know: a site has to set this.
c.BatchSpawnerRegexStates.state_exechost_re = r"exec_host = ([\\w.-]+)/"
"""


@dataclass
class BenchHub:
    """A running hub, with what it runs sessions on."""

    name: str
    #: Without a slash at the end.
    url: str
    token: str
    process: psutil.Process
    cluster: RecordedPbsCluster
    log: Path

    def queries(self, since: float, until: float) -> dict[str, int]:
        """Return how often the scheduler was asked in whole seconds of the clock, by command."""
        counted: dict[str, int] = {}
        for (name, second), count in self.cluster.commands_asked().items():
            if since <= second < until:
                counted[name] = counted.get(name, 0) + count
        return counted


@dataclass(frozen=True)
class Site:
    """What all hubs of the benchmark have in common."""

    #: The installed parts.
    state: Path
    #: A session environment that ``account`` can execute.
    lab: Path
    #: Whose jobs all jobs are.
    account: str
    #: Of the driver's service.
    token: str

    @property
    def variables(self) -> dict[str, str]:
        """What the hubs' configuration reads from their environment."""
        return {"BENCH_TOKEN": self.token, "BENCH_PASSWORD": PASSWORD}

    def homes(self, folder: Path) -> Path:
        """Make the folder of the users' folders, which belong to the account."""
        homes = folder / "homes"
        homes.mkdir()
        if os.geteuid() == 0:
            subprocess.run(["chown", self.account, str(homes)], check=True)
        return homes


@contextlib.contextmanager
def virtual_cluster(folder: Path, sessions: int, jupyterhub_version: str) -> Iterator[RecordedPbsCluster]:
    """Run the stand-in with room for ``sessions`` jobs that the farm plays."""
    announcements = folder / "farm.sock"
    farm = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("_batch_farm.py")), str(announcements), SESSION_PORTS,
         jupyterhub_version],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert farm.stdout is not None
        farm.stdout.readline()
        size = NodeSize(cores=sessions // 2 + 8, memory_gib=sessions // 2 + 8)
        with running_cluster(folder / "pbs", size, virtual_jobs=True, on_start=str(announcements)) as cluster:
            yield cluster
    finally:
        farm.stdin.close()  # type: ignore[union-attr]
        farm.wait(PATIENCE_SECONDS)


@contextlib.contextmanager
def running_cluster(folder: Path, size: NodeSize, **behaviour: object) -> Iterator[RecordedPbsCluster]:
    """Run the stand-in in ``folder``."""
    cluster = RecordedPbsCluster.start(folder, node=size, **behaviour)
    try:
        yield cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def our_hub(site: Site, folder: Path, cluster: RecordedPbsCluster) -> Iterator[BenchHub]:
    """Run ``swot-vre up`` on the cluster."""
    with trial_folder(site.state) as state:
        beside = state.root.parent
        settings = SETTINGS.format(
            commands=cluster.commands,
            hub_port=free_ports(1)[0],
            ports=SESSION_PORTS,
            lab=site.lab,
            homes=site.homes(folder),
            query_seconds=QUERY_SECONDS,
        )
        (beside / "vre.yaml").write_text(settings, encoding="utf-8")
        (beside / "jupyterhub_config.d").mkdir()
        config = DRIVER.format(admin=ADMIN) + ONE_ACCOUNT.format(account=site.account)
        (beside / "jupyterhub_config.d" / "bench.py").write_text(config, encoding="utf-8")
        with trial_hub(state, site.variables) as trial:
            children = psutil.Process(trial.process.pid).children()
            hub = next(child for child in children if "jupyterhub" in child.cmdline())
            yield BenchHub("swot-vre", trial.url.rstrip("/"), site.token, hub, cluster, state.log / "hub.log")


@contextlib.contextmanager
def stock_hub(site: Site, folder: Path, cluster: RecordedPbsCluster) -> Iterator[BenchHub]:
    """Run JupyterHub with batchspawner's own ``PBSSpawner`` on the cluster."""
    port, hub_port, api_port = free_ports(3)
    is_root = os.geteuid() == 0
    config = STOCK.format(
        port=port,
        hub_port=hub_port,
        api_port=api_port,
        folder=folder,
        homes=site.homes(folder),
        commands=cluster.commands,
        proxy=str(site.state / "node" / "proxy"),
        prefix=f"/usr/sbin/runuser -u {site.account} --" if is_root else "",
    )
    (folder / "config.py").write_text(config + DRIVER.format(admin=ADMIN), encoding="utf-8")
    python = site.state / "env" / "hub" / "bin" / "python"
    log = folder / "hub.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(python), "-m", "jupyterhub", "-f", str(folder / "config.py")],
            cwd=folder, env={**os.environ, **site.variables}, stdout=stream, stderr=stream,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(process, url, log)
        yield BenchHub("stock batchspawner", url, site.token, psutil.Process(process.pid), cluster, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def jupyterhub_version(state: Path) -> str:
    """Return the version of the installed JupyterHub, which sessions of the same version answer."""
    python = state / "env" / "hub" / "bin" / "python"
    code = "import importlib.metadata as m, json; print(json.dumps(m.version('jupyterhub')))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout))


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/hub/health", timeout=2):  # noqa: S310 - http on loopback
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the hub does not answer at {url}:\n{log.read_text(encoding='utf-8')[-4000:]}")
