"""Dask Gateway beside a real hub: a client in a session's environment starts, uses and closes clusters."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SETTINGS = """
hub: {{address: 127.0.0.1, port: {port}, base_url: /}}
sizes:
  tiny: {{title: Tiny, cores: 1, memory_gib: 1, max_walltime_hours: 1, good_for: tests}}
  giant: {{title: Giant, cores: 4096, memory_gib: 65536, max_walltime_hours: 1, good_for: nobody}}
sessions: {{default_size: tiny, default_walltime_hours: 1, walltime_choices_hours: [1], workspace: "",
            start_timeout_seconds: 60, fork_server: false}}
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
    print(answer)
    print(running.log.read_text())
    assert answer["total"] == sum(i * i for i in range(100))
    assert answer["threads"] == [1, 1]
    assert answer["memory"] == [2**30, 2**30]
    assert answer["hosts"] == ["127.0.0.1", "127.0.0.1"]
    assert (answer["seen"], answer["left"]) == (1, 0)
    assert answer["environment"] == {"SWOTVRE_DATALAKE": str(tmp_path / ".vre/datalake"), "OMP_NUM_THREADS": "1"}
