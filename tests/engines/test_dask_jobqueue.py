"""``dask_jobqueue`` in a session on a node, as the field's slides show it, on every batch system of the tests."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batch_hub import TOKEN, BatchHub, batch_hub
from cluster import USERS, BatchCluster

from swotvre_hub.ports import free_ports
from swotvre_kernels.interpreter import find_uv
from swotvre_kernels.lock import read_lock

ADA, BOB = USERS
LOCKED = Path(__file__).parents[2] / "kernels" / "swotvre_kernels" / "environments" / "swot-ocean"
KERNELS = LOCKED.parents[2]
#: What of the kernel's lock a cluster needs; the whole of it is 2 GB.
PACKAGES = ("bokeh", "cryptography", "dask", "dask-gateway", "dask-jobqueue", "distributed", "ipykernel")
SLIDES = {
    "pbs": "from dask_jobqueue import PBSCluster\ncluster = PBSCluster(cores=2, memory='1GiB')",
    "slurm": "from dask_jobqueue import SLURMCluster\ncluster = SLURMCluster(cores=2, memory='1GiB')",
}
COMPUTE = """
import json
from dask.distributed import Client
cluster.scale(2)
client = Client(cluster)
client.wait_for_workers(2, timeout=120)
total = sum(client.gather(client.map(lambda i: i * i, range(100))))
workers = client.scheduler_info(n_workers=-1)["workers"].values()
def told(dask_worker):
    import os
    names = ("JUPYTERHUB_API_TOKEN", "SWOTVRE_DATALAKE", "NUMBA_NUM_THREADS", "HOME")
    return {name: os.environ.get(name) for name in names}
environment = list(client.run(told).values())
import psutil
from urllib.parse import urlsplit
port = urlsplit(cluster.dashboard_link).port
listening = {c.laddr.ip for c in psutil.Process().net_connections() if c.status == "LISTEN" and c.laddr.port == port}
print(json.dumps({"total": total, "address": cluster.scheduler_address, "hosts": [w["host"] for w in workers],
                  "threads": [w["nthreads"] for w in workers], "environment": environment,
                  "addresses": [w["nanny"] for w in workers], "dashboard": sorted(listening)}))
"""


@pytest.fixture(scope="module")
def dask_everywhere(lab_everywhere: Path) -> Iterator[Path]:
    """Return the interpreter of a small kernel that every account can run."""
    folder = Path(tempfile.mkdtemp(prefix="vre-dask-", dir="/tmp"))
    folder.chmod(0o755)
    python = folder / "env" / "bin" / "python"
    pins = {pin.name: pin.version for pin in read_lock(LOCKED)}
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([find_uv(), "venv", "-q", "--python", lab_everywhere / "bin" / "python", folder / "env"], **quiet)
    command = [find_uv(), "pip", "install", "-q", "--python", python, "-c", constraints, "--compile-bytecode"]
    subprocess.run([*command, *(f"{name}=={pins[name]}" for name in PACKAGES)], **quiet)
    yield python
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def session(cluster: BatchCluster, lab_everywhere: Path, dask_everywhere: Path) -> Iterator[BatchHub]:
    """Return a hub in which ADA has a session, with a kernel that holds Dask."""
    home = Path(pwd.getpwnam(ADA).pw_dir)
    spec = home / ".local" / "share" / "jupyter" / "kernels" / "dask"
    subprocess.run(["/usr/sbin/runuser", "-u", ADA, "--", "mkdir", "-p", spec], check=True)
    argv = [str(dask_everywhere), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Dask", "language": "python"}))
    try:
        gateway = {"enabled": True, "default_size": "small", "port": free_ports(1)[0], "scheduler_memory_gib": 1}
        with batch_hub(cluster, lab_everywhere, settings={"gateway": gateway}) as hub:
            hub.start_session(ADA)
            yield hub
            hub.end_all_sessions()
            hub.wait(lambda: not cluster.live_jobs(), "the workers to end with their cluster", 120)
    finally:
        shutil.rmtree(spec, ignore_errors=True)


def run_cells(hub: BatchHub, *cells: str) -> dict[str, Any]:
    """Run cells in a kernel of ADA's session; return what the last one printed."""
    from run_in_session import SessionKernel

    with closing(SessionKernel(f"{hub.url}user/{ADA}/", TOKEN, "dask")) as kernel:
        printed = ""
        for code in cells:
            for output in kernel.run(code):
                assert output.output_type != "error", "\n".join(output.traceback)
                printed += output.get("text", "") if output.get("name") == "stdout" else ""
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


def test_snippet_of_the_slides_computes_on_two_jobs_over_tls(session: BatchHub, cluster: BatchCluster) -> None:
    answer = run_cells(session, SLIDES[cluster.engine], COMPUTE)
    assert answer["total"] == sum(i * i for i in range(100))
    assert answer["threads"] == [2, 2]
    assert answer["address"].startswith("tls://")
    assert all(address.startswith("tls://") for address in answer["addresses"])
    # The dashboard asks nobody who he is.
    assert answer["dashboard"] == ["127.0.0.1"]
    home = pwd.getpwnam(ADA).pw_dir
    for told in answer["environment"]:
        assert told["SWOTVRE_DATALAKE"] == "/nowhere"
        assert told["NUMBA_NUM_THREADS"] == "1"
        assert told["HOME"] == home
        assert told["JUPYTERHUB_API_TOKEN"] is None


STRANGER = """
import asyncio, sys
from distributed import Client
async def main():
    try:
        async with Client(sys.argv[1], asynchronous=True, timeout=5):
            print("let in")
    except OSError as error:
        print("kept out", type(error).__name__)
asyncio.run(main())
"""


def test_another_user_does_not_reach_the_scheduler(
    session: BatchHub, cluster: BatchCluster, dask_everywhere: Path
) -> None:
    from run_in_session import SessionKernel

    with closing(SessionKernel(f"{session.url}user/{ADA}/", TOKEN, "dask")) as kernel:
        (output,) = kernel.run(f"{SLIDES[cluster.engine]}\nprint(cluster.scheduler_address)")
        address = output.text.strip()
        assert address.startswith("tls://")
        for tried in (address, address.replace("tls://", "tcp://")):
            command = ["/usr/sbin/runuser", "-u", BOB, "--", str(dask_everywhere), "-c", STRANGER, tried]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})
            assert "let in" not in done.stdout, done.stderr
        assert kernel.run("cluster.close()") == []


GATEWAY = f"""
import json, os, sys
sys.path.insert(0, {str(KERNELS)!r})
import swotvre
print(json.dumps({{"clusters": len(swotvre.clusters()), "address": os.environ["DASK_GATEWAY__ADDRESS"]}}))
"""


def test_notebook_on_a_node_reaches_the_gateway_over_tls(session: BatchHub, cluster: BatchCluster) -> None:
    answer = run_cells(session, GATEWAY)
    assert answer["address"].startswith(f"https://{cluster.hub_address}:")
    assert answer["clusters"] == 0
