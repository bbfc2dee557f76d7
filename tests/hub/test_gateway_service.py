"""Dask Gateway beside a real hub: a client in a session's environment starts, uses and closes clusters."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from swotvre_hub.processes import CLUSTER_ROLE, find_processes
from swotvre_hub.state import State

SETTINGS = """
hub: {{address: 127.0.0.1, port: {port}, base_url: /}}
sizes:
  tiny: {{title: Tiny, cores: 1, memory_gib: 1, max_walltime_hours: 1, good_for: tests}}
  giant: {{title: Giant, cores: 4096, memory_gib: 65536, max_walltime_hours: 1, good_for: nobody}}
sessions: {{default_size: tiny, default_walltime_hours: 1, walltime_choices_hours: [1], workspace: "",
            start_timeout_seconds: 60, per_user: 1, fork_server: false}}
gateway: {{enabled: true, idle_timeout_minutes: {idle_minutes}, max_workers: 2, default_size: tiny}}
"""
BLOCK = """
from swotvre_hub.gateway import gateway_roles, gateway_service, session_environment
from swotvre_hub.settings import load_settings
from swotvre_hub.state import find_state
state = find_state({state!r})
settings = load_settings(state.site_file)
c.JupyterHub.services.append(gateway_service(settings, state))
c.JupyterHub.load_roles.extend(gateway_roles(settings, state))
c.Spawner.environment = session_environment(settings, state)
"""


@pytest.fixture
def hub(tmp_path, start_hub, free_port, kernel_python):
    """Return a function that starts a hub with a gateway."""

    def start(idle_minutes: float = 10):
        kernel = tmp_path / ".vre/kernels/share/jupyter/kernels/swot-ocean/kernel.json"
        kernel.parent.mkdir(parents=True, exist_ok=True)
        kernel.write_text(json.dumps({"argv": [str(kernel_python), "-m", "ipykernel_launcher"]}))
        (tmp_path / "vre.yaml").write_text(SETTINGS.format(port=free_port, idle_minutes=idle_minutes))
        return start_hub(free_port, BLOCK.format(state=str(tmp_path / ".vre")))

    return start


@pytest.fixture
def run_client(kernel_python) -> Callable[..., dict[str, Any]]:
    """Return a function that runs Python in the kernel's environment and returns the object that it prints last."""

    def run(code: str, environment: dict[str, str]) -> dict[str, Any]:
        ran = subprocess.run(
            [kernel_python, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    return run


COMPUTE = """
import json, os, time
from dask_gateway import Gateway
began = time.time()
gateway = Gateway()
cluster = gateway.new_cluster()
started = time.time()
cluster.scale(2)
client = cluster.get_client()
client.wait_for_workers(1)
first = time.time()
client.wait_for_workers(2)
info = client.scheduler_info(n_workers=-1)["workers"].values()
environment = client.submit(lambda: {k: os.environ.get(k) for k in ("SWOTVRE_DATALAKE", "OMP_NUM_THREADS")}).result()
total = sum(client.gather(client.map(lambda i: i * i, range(100))))
print(cluster.dashboard_link)
seen = [report.name for report in gateway.list_clusters()]
cluster.shutdown()
print(json.dumps({
    "total": total, "threads": [w["nthreads"] for w in info], "memory": [w["memory_limit"] for w in info],
    "hosts": [w["host"] for w in info], "seen": len(seen), "left": len(gateway.list_clusters()),
    "environment": environment, "new_cluster": started - began, "first_worker": first - started,
    "close": time.time() - first,
}))
"""


def test_cluster_computes_from_a_session_without_arguments(hub, run_client, tmp_path: Path) -> None:
    running = hub()
    session = running.start_session("alice")
    answer = run_client(COMPUTE, session.environ())
    assert answer["total"] == sum(i * i for i in range(100))
    assert answer["threads"] == [1, 1]
    assert answer["memory"] == [2**30, 2**30]
    assert answer["hosts"] == ["127.0.0.1", "127.0.0.1"]
    assert (answer["seen"], answer["left"]) == (1, 0)
    assert answer["environment"] == {"SWOTVRE_DATALAKE": str(tmp_path / ".vre/datalake"), "OMP_NUM_THREADS": "1"}


START = """
import json
from dask_gateway import Gateway
cluster = Gateway().new_cluster(shutdown_on_close=False)
cluster.scale(1)
client = cluster.get_client()
client.wait_for_workers(1)
print(json.dumps({"name": cluster.name, "link": cluster.dashboard_link}))
"""
STRANGER = """
import json, os
from dask_gateway import Gateway
gateway, name, said = Gateway(), os.environ["CLUSTER"], {}
said["seen"] = [report.name for report in gateway.list_clusters()]
for what in ("connect", "stop_cluster", "get_cluster"):
    try:
        getattr(gateway, what)(name)
    except Exception as error:
        said[what] = str(error)
for size in ("giant", "tini", 7):
    try:
        gateway.new_cluster(size=size)
    except Exception as error:
        said[str(size)] = str(error)
print(json.dumps(said))
"""


def environment_of(user: str, running, folder: Path) -> dict[str, str]:
    """Return the environment in which a client of ``user`` finds the gateway, with a token that the hub gave."""
    assert running.api.post(f"/users/{user}").status_code in {201, 409}
    token = running.api.post(f"/users/{user}/tokens", json={"note": "test"}).json()["token"]
    port = (folder / ".vre/run/dask-gateway.port").read_text().strip()
    return {
        "PATH": os.environ["PATH"],
        "JUPYTERHUB_API_TOKEN": token,
        "DASK_GATEWAY__ADDRESS": f"{running.url}services/dask-gateway",
        "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://127.0.0.1:{port}",
        "DASK_GATEWAY__PUBLIC_ADDRESS": "/services/dask-gateway",
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
    }


@contextmanager
def log_in(user: str, running) -> Iterator[httpx.Client]:
    """Give a browser in which ``user`` is logged in."""
    with httpx.Client(base_url=running.url, follow_redirects=True, timeout=30) as browser:
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', browser.get("hub/login").text)
        assert xsrf is not None
        form = {"username": user, "password": running.password, "_xsrf": xsrf[1]}
        assert browser.post("hub/login?next=%2Fhub%2Fhome", data=form).status_code == 200
        yield browser


def gateway_process(running) -> psutil.Process:
    """Return the process of the gateway that the hub started."""
    (gateway,) = (
        child
        for child in psutil.Process(running.process.pid).children()
        if "swotvre_hub.gateway_server" in child.cmdline()
    )
    return gateway


def cluster_processes(folder: Path) -> list[psutil.Process]:
    """Return the processes of clusters that were started from the state folder in ``folder``."""
    return list(find_processes(State(folder / ".vre"), [CLUSTER_ROLE]))


async def test_cluster_and_dashboard_are_the_owners_alone(hub, run_client, tmp_path: Path) -> None:
    running = hub()
    cluster = run_client(START, environment_of("alice", running, tmp_path))
    said = run_client(STRANGER, {**environment_of("bob", running, tmp_path), "CLUSTER": cluster["name"]})
    assert said["seen"] == []
    for what in ("connect", "get_cluster", "stop_cluster"):
        assert "403" in said[what]
    assert "needs 4096 cores" in said["giant"]
    assert "choose among: tiny" in said["giant"]
    assert "unknown session size 'tini'" in said["tini"]
    assert "did you mean 'tiny'?" in said["tini"]
    assert "unknown session size 7" in said["7"]

    async with httpx.AsyncClient(base_url=running.url) as nobody:
        answer = await nobody.get(cluster["link"])
        assert answer.status_code == 302
        assert "/hub/api/oauth2/authorize" in answer.headers["location"]
    with log_in("bob", running) as bob:
        answer = bob.get(cluster["link"])
        assert answer.status_code == 404
        assert "bob has no running Dask cluster of this name" in answer.text
    with log_in("alice", running) as alice:
        page = alice.get(cluster["link"])
        assert page.status_code == 200
        assert "Dask" in page.text
        kept = [answer.headers.get("set-cookie", "") for answer in page.history]
        assert any("service-dask-gateway=" in cookie and "samesite=lax" in cookie.lower() for cookie in kept)
        scripts = re.findall(r'src="([^"]+\.js[^"]*)"', page.text)
        assert scripts
        for script in scripts:
            assert alice.get(page.url.join(script)).status_code == 200
        token = re.search(r'"token":"([^"]+)"', page.text)
        assert token is not None
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in alice.cookies.jar)
        address = str(page.url.join("status/ws")).replace("http", "ws", 1)
        with pytest.raises(HTTPClientError, match="403"):
            await websocket_connect(address)
        socket = await websocket_connect(
            HTTPRequest(address, headers={"Cookie": cookies, "Origin": running.url.rstrip("/")}),
            subprotocols=["bokeh", token[1]],
        )
        assert json.loads(await socket.read_message())["msgtype"] == "ACK"
        socket.close()
        while await socket.read_message() is not None:
            pass
    assert cluster_processes(tmp_path)


STATE = """
import json, os, time, urllib.request
from dask_gateway import Gateway

def state(name):
    url = f"{os.environ['DASK_GATEWAY__ADDRESS']}/api/v1/clusters/{name}/state"
    request = urllib.request.Request(url, headers={"Authorization": "jupyterhub " + os.environ["JUPYTERHUB_API_TOKEN"]})
    return json.load(urllib.request.urlopen(request))

gateway = Gateway()
cluster = gateway.new_cluster(shutdown_on_close=False, workers=2, walltime_hours=0.5)
begun = state(cluster.name)
cluster.get_client().wait_for_workers(2)
while (computing := state(cluster.name))["workers"]["running"] < 2:
    time.sleep(0.1)
cluster.shutdown()
while (ended := state(cluster.name))["status"] != "STOPPED":
    time.sleep(0.1)
print(json.dumps([begun, computing, ended]))
"""


def test_cluster_starts_with_its_workers_and_says_how_it_is(hub, run_client, tmp_path: Path) -> None:
    running = hub()
    environment = environment_of("alice", running, tmp_path)
    begun, computing, ended = run_client(STATE, environment)
    assert (begun["status"], begun["workers"]["wanted"]) == ("RUNNING", 2)
    assert (begun["size"], begun["kernel"]) == ("tiny", "swot-ocean")
    assert computing["workers"] == {"wanted": 2, "running": 2, "waiting": 0, "starting": 0, "message": ""}
    span = [datetime.fromisoformat(computing[name]) for name in ("started_at", "ends_at")]
    assert span[1] - span[0] == timedelta(minutes=30)
    assert computing["job_id"] is None
    assert ended["status"] == "STOPPED"
    url = f"{environment['DASK_GATEWAY__ADDRESS']}/api/v1/clusters/{begun['name']}/state"
    assert httpx.get(url).status_code == 401
    bob = environment_of("bob", running, tmp_path)["JUPYTERHUB_API_TOKEN"]
    answer = httpx.get(url, headers={"Authorization": f"jupyterhub {bob}"})
    assert (answer.status_code, answer.json()) == (404, {"error": "bob has no Dask cluster of this name"})


def test_pages_show_a_user_his_clusters_and_stop_them(hub, run_client, tmp_path: Path) -> None:
    running = hub()
    page = "services/dask-gateway/clusters"
    with log_in("bob", running) as bob:
        assert "You have no cluster" in bob.get(page).text
        assert bob.get("services/dask-gateway/all").status_code == 403
    name = run_client(START, environment_of("alice", running, tmp_path))["name"]
    with log_in("alice", running) as alice, log_in("bob", running) as bob:
        assert name not in bob.get(page).text
        text = alice.get(page).text
        assert f"{name}/status" in text
        token = re.search(r'name="_xsrf" value="([^"]+)"', text)
        assert token is not None
        stop = f"{page}/{name}/stop"
        assert alice.post(stop).status_code == 403  # as a form of another site would
        assert bob.post(stop, data={"_xsrf": token[1]}).status_code in {403, 404}
        assert cluster_processes(tmp_path)
        assert alice.post(stop, data={"_xsrf": token[1]}).status_code == 200
        running.wait(lambda: not cluster_processes(tmp_path), "the cluster to be stopped", 30)
        assert f"{name}/status" not in alice.get(page).text


def test_cluster_that_nobody_uses_ends(hub, run_client, tmp_path: Path) -> None:
    running = hub(idle_minutes=0.2)
    code = "from dask_gateway import Gateway; Gateway().new_cluster(shutdown_on_close=False); print(1)"
    run_client(code, environment_of("alice", running, tmp_path))
    assert cluster_processes(tmp_path)
    running.wait(lambda: not cluster_processes(tmp_path), "the idle cluster to end", 60)


def test_nothing_is_left_of_a_cluster_when_its_gateway_is_killed_or_the_hub_ends(
    hub, run_client, tmp_path: Path
) -> None:
    running = hub()
    environment = environment_of("alice", running, tmp_path)
    run_client(START, environment)
    left = cluster_processes(tmp_path)
    gateway = next(
        p for p in psutil.Process(running.process.pid).children() if "swotvre_hub.gateway_server" in p.cmdline()
    )
    gateway.kill()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive, running.log.read_text()
    # The hub starts the gateway again, on the port that clients know.
    running.wait(lambda: httpx.get(f"{environment['DASK_GATEWAY__ADDRESS']}/api/health").is_success, "the gateway", 60)
    run_client(START, environment)
    assert cluster_processes(tmp_path)
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(40)
    assert not cluster_processes(tmp_path), running.log.read_text()


def test_killed_hub_takes_its_gateway_along(hub, tmp_path: Path) -> None:
    running = hub()
    gateway = gateway_process(running)
    others = [child for child in psutil.Process(running.process.pid).children() if child != gateway]
    running.process.kill()
    _, alive = psutil.wait_procs([gateway], timeout=20)
    for other in others:  # the proxy is meant to outlive the hub
        other.kill()
    assert not alive
