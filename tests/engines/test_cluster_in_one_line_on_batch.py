"""``swotvre.cluster()`` where clusters are jobs: it says what it waits for, and an interrupt ends its jobs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from batch_hub import batch_hub
from cluster import USERS, BatchCluster
from dask_kernels import ACTIVE, NAME, make_kernels
from dask_site import DaskSite, site_settings

ADA = USERS[0]
KERNELS = Path(__file__).parents[2] / "kernels"


@pytest.fixture(scope="module")
def site(cluster: BatchCluster, lab_everywhere: Path) -> Iterator[DaskSite]:
    """Return a hub with a gateway, and kernels that every account can run."""
    source = os.environ.get("SWOTVRE_KERNEL_PYTHON")
    if not source:
        pytest.skip("SWOTVRE_KERNEL_PYTHON does not name the interpreter of a built kernel")
    folder = Path(tempfile.mkdtemp(prefix="vre-kernels-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        kernels = make_kernels(folder, Path(source), lab_everywhere / "bin" / "python")
        settings, port = site_settings(kernels)
        with batch_hub(cluster, lab_everywhere, settings=settings) as hub:
            site = DaskSite(hub, kernels, port)
            site.wait_for_gateway()
            yield site
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def notebook(site: DaskSite, code: str) -> Iterator[subprocess.Popen[str]]:
    """Run code of a notebook of ADA that runs the active kernel; it has ended afterwards."""
    kernel = {"SWOTVRE_KERNEL": NAME, "SWOTVRE_KERNEL_VERSION": ACTIVE}
    environment = {"PYTHONPATH": str(KERNELS), "PYTHONUNBUFFERED": "1", **kernel}
    with subprocess.Popen(
        [str(site.python), "-c", code],
        env=site.environment(ADA) | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    ) as process:
        try:
            yield process
            process.wait(60)
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], words: str, seconds: float = 120) -> list[str]:
    """Return the lines that a process prints up to the one that holds ``words``."""
    lines: list[str] = []
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if words in line:
            timer.cancel()
            return lines
    raise AssertionError(f"the process ended without {words!r}: {lines}")


COMPUTE = """
import json, swotvre
with swotvre.cluster(workers=2, size="small", walltime_hours=0.25) as cluster:
    total = sum(cluster.client.gather(cluster.client.map(lambda i: i * i, range(100))))
    (row,) = swotvre.clusters()
print(json.dumps({"total": total, "row": [row.state, row.size, row.workers]}))
"""


def test_one_line_gives_workers_that_are_jobs(site: DaskSite) -> None:
    with notebook(site, COMPUTE) as process:
        lines = read_until(process, "total")
    answer = json.loads(lines[-1])
    assert answer["total"] == sum(i * i for i in range(100))
    assert answer["row"][:2] == ["running", "small"]
    assert any(line.startswith("2 workers of size small, 2 cores; dashboard: /services/dask-gateway") for line in lines)


LEFT = """
import swotvre
cluster = swotvre.cluster(workers=1)
print("ready")
"""


def test_kernel_that_ends_takes_its_cluster_along(site: DaskSite, cluster: BatchCluster) -> None:
    with notebook(site, LEFT) as process:
        read_until(process, "ready")
        assert process.stdout is not None
        assert process.stdout.read() == ""
    site.hub.wait(lambda: not cluster.live_jobs(), "the jobs to be over", 60)


WAITS = """
import signal, swotvre
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    swotvre.cluster(workers=2)
except KeyboardInterrupt as error:
    print("said:", error)
"""


def test_full_cluster_is_waited_for_in_words_and_an_interrupt_takes_the_jobs_away(
    site: DaskSite, cluster: BatchCluster
) -> None:
    site.hub.wait(lambda: not cluster.live_jobs(), "the jobs of other tests to be over", 60)
    with cluster.filled():
        filled = cluster.live_jobs()
        with notebook(site, WAITS) as process:
            told = read_until(process, "free")[-1]
            assert told.startswith("cluster: "), told
            process.send_signal(signal.SIGINT)
            assert "said: interrupted; no cluster is left" in read_until(process, "said:")[-1]
        site.hub.wait(lambda: cluster.live_jobs() <= filled, "the job to be cancelled", 60)


RESTART = """
import json, swotvre
cluster = swotvre.cluster(workers=1)
print("ready", flush=True)
input()
cluster.scale(2)
cluster.wait(2, timeout=100)
print(json.dumps({"total": sum(cluster.client.gather(cluster.client.map(lambda i: i, range(10))))}))
cluster.close()
"""


def test_gateway_that_is_killed_meanwhile_costs_neither_cluster_nor_result(site: DaskSite) -> None:
    with notebook(site, RESTART) as process:
        read_until(process, "ready")
        site.gateway().kill()
        site.wait_for_gateway()
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert json.loads(read_until(process, "total", 150)[-1]) == {"total": 45}
