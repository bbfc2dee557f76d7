"""Measure how fast Dask clusters start as jobs of a real Slurm: swot-vre and stock dask-gateway, in one run.

Both gateways submit for the same account, to the same free cluster, and run the programs of the same kernel. Measured
is what a notebook sees: from the request of a cluster until two workers compute in it, ``--rounds`` times in turn; then
``--clusters`` clusters at once, without workers, until all of them run.

Not as on a site: everything shares the cores of this machine, and the nodes pose as larger ones.

Run it as root on an installed state folder: ``env/dev/bin/python tests/benchmarks/dask_clusters.py --state .vre``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / "engines"), str(CHECKOUT / "tests" / "browser")]

from batch_hub import batch_hub  # noqa: E402
from cluster import USERS, BatchCluster, NodeSize  # noqa: E402
from dask_kernels import make_kernels  # noqa: E402
from dask_site import DaskSite, site_settings  # noqa: E402
from node_network import ClusterUnavailableError  # noqa: E402
from slurm_cluster import SlurmCluster  # noqa: E402

from swotvre_hub.ports import free_ports  # noqa: E402
from swotvre_hub.state import State, load_installed_settings  # noqa: E402

CLIENT = """
import asyncio, json, sys, time
from dask_gateway import BasicAuth, Gateway
auth = BasicAuth(sys.argv[2]) if sys.argv[2] else None
gateway = Gateway(auth=auth) if auth else Gateway()
if sys.argv[1] == "two":
    began = time.monotonic()
    if auth:
        cluster = gateway.new_cluster()
        cluster.scale(2)
    else:
        cluster = gateway.new_cluster(workers=2)
    started = time.monotonic()
    client = cluster.get_client()
    client.wait_for_workers(2)
    assert client.submit(sum, [1, 2]).result() == 3
    print(json.dumps([started - began, time.monotonic() - began]))
    cluster.shutdown()
else:
    async def many(number):
        async with Gateway(auth=auth, asynchronous=True) if auth else Gateway(asynchronous=True) as gateway:
            began = time.monotonic()
            names = await asyncio.gather(*[gateway.submit() for _ in range(number)])
            taken = time.monotonic() - began
            await asyncio.gather(*[gateway._wait_for_start(name) for name in names])
            done = time.monotonic() - began
            await asyncio.gather(*[gateway.stop_cluster(name) for name in names])
            return [taken, done]
    print(json.dumps(asyncio.run(many(int(sys.argv[1])))))
"""
STOCK = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.jobqueue.slurm.SlurmBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.DaskGateway.address = "127.0.0.1:{api}"
c.Proxy.address = "{host}:{port}"
c.SlurmBackend.submit_command = "{commands}/sbatch"
c.SlurmBackend.cancel_command = "{commands}/scancel"
c.SlurmBackend.status_command = "{commands}/squeue"
c.SlurmBackend.dask_gateway_jobqueue_launcher = "{launcher}"
c.SlurmBackend.cluster_start_timeout = 600
c.SlurmClusterConfig.scheduler_cmd = ["{python}", "-m", "distributed.cli.dask_scheduler"]
c.SlurmClusterConfig.worker_cmd = ["{python}", "-m", "distributed.cli.dask_worker"]
c.SlurmClusterConfig.scheduler_memory = c.SlurmClusterConfig.worker_memory = "1 G"
"""


class WideSlurm(SlurmCluster):
    """A Slurm whose two nodes pose as larger ones, so that fifty schedulers have a core each."""

    node = NodeSize(cores=32, memory_gib=64)


def run_client(python: Path, what: str, user: str, environment: dict[str, str]) -> list[float]:
    """Return the seconds that a client in the kernel measured."""
    done = subprocess.run(
        [python, "-c", CLIENT, what, user], env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode:
        raise SystemExit(f"the client failed:\n{done.stdout}\n{done.stderr}")
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


@contextmanager
def stock_gateway(cluster: BatchCluster, lab: Path, python: Path) -> Iterator[dict[str, str]]:
    """Run stock dask-gateway; yield the environment of its clients."""
    import dask_gateway_server.backends.jobqueue.launcher as launcher

    folder = Path(tempfile.mkdtemp(prefix="vre-stock-", dir="/tmp"))
    folder.chmod(0o755)
    program = folder / "launcher"
    shutil.copyfile(launcher.__file__, folder / "launcher.py")
    run = f"import runpy; runpy.run_path('{folder}/launcher.py')['main']()"
    program.write_text(f'#!/bin/sh\nexec {lab}/bin/python -I -c "{run}"\n')
    program.chmod(0o755)
    api, port = free_ports(2)
    values = {"api": api, "port": port, "host": cluster.hub_address, "commands": cluster.commands}
    (folder / "config.py").write_text(STOCK.format(**values, launcher=program, python=python))
    command = [sys.executable, "-m", "dask_gateway_server", "-f", str(folder / "config.py")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    address = f"http://{cluster.hub_address}:{port}"
    try:
        _wait_for(f"{address}/api/health")
        yield {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "DASK_GATEWAY__ADDRESS": address,
            "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://{cluster.hub_address}:{port}",
        }
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing answers at {url}")
        time.sleep(0.1)


def row(title: str, stock: float, ours: float) -> str:
    """Return a line of the table: seconds of both, and how many times faster ours is."""
    return f"{title:<42}{stock:8.2f}{ours:8.2f}{stock / ours:8.1f}x"


def compare(cluster: SlurmCluster, folder: Path, state: State, rounds: int, clusters: int) -> None:
    """Measure both gateways on a cluster, and print the table."""
    lab = folder / "lab"
    program = state.environment("hub") / "bin" / "swot-vre"
    subprocess.run(
        [program, "session-environment", str(lab), "--state", str(state.root)], check=True, stdout=subprocess.DEVNULL
    )
    source = state.kernel_python(load_installed_settings(state))
    kernels = folder / "kernels"
    kernels.mkdir()
    make_kernels(kernels, source, lab / "bin" / "python")
    settings, port = site_settings(kernels)
    os.environ.setdefault("SWOTVRE_TEST_STATE", str(state.root))
    with batch_hub(cluster, lab, settings=settings) as hub:
        site = DaskSite(hub, kernels, port)
        site.wait_for_gateway()
        with stock_gateway(cluster, lab, site.python) as stock:
            ours = site.environment(USERS[0])
            pairs = [
                (run_client(site.python, "two", USERS[0], stock), run_client(site.python, "two", "", ours))
                for _ in range(rounds)
            ]
            print(f"{cluster.title}, {rounds} rounds, median seconds{'':<10}stock    ours   ratio")
            for place, title in enumerate(("a cluster runs", "two workers compute")):
                print(row(title, *(median(times[place] for times in side) for side in zip(*pairs, strict=True))))
            many = [run_client(site.python, str(clusters), user, env) for user, env in ((USERS[0], stock), ("", ours))]
            for place, title in enumerate(("are taken", "run")):
                print(row(f"{clusters} clusters at once {title}", many[0][place], many[1][place]))


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=Path(".vre"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clusters", type=int, default=50, help="how many at once, at most 64")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vre-bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        cluster = WideSlurm.start(folder)
    except ClusterUnavailableError as error:
        print(f"no real Slurm: {error}")
        shutil.rmtree(folder)
        return 0
    try:
        compare(cluster, folder, State(args.state.absolute()), args.rounds, args.clusters)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
