"""How a Dask cluster lives: one list of behaviours, on this machine, recorded PBS, real Slurm and real OpenPBS."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_hub import batch_hub
from cluster import USERS, BatchCluster
from dask_kernels import ACTIVE, make_kernels
from dask_site import DaskSite, site_settings

ADA, BOB = USERS
CAPS = {"user": {"cores": 5, "memory_gib": None}, "project": {"cores": None, "memory_gib": None}}


@pytest.fixture(scope="session")
def dask_kernels(lab_everywhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return kernels with Dask that every account can run."""
    import os

    source = os.environ.get("SWOTVRE_KERNEL_PYTHON")
    if not source:
        pytest.skip("SWOTVRE_KERNEL_PYTHON does not name the interpreter of a built kernel")
    folder = Path(tempfile.mkdtemp(prefix="vre-kernels-", dir="/tmp"))
    folder.chmod(0o755)
    yield make_kernels(folder, Path(source), lab_everywhere / "bin" / "python")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def shared_site(cluster: BatchCluster, lab_everywhere: Path, dask_kernels: Path) -> Iterator[DaskSite]:
    settings, port = site_settings(dask_kernels, caps=CAPS)
    with batch_hub(cluster, lab_everywhere, settings=settings) as hub:
        site = DaskSite(hub, dask_kernels, port)
        site.wait_for_gateway()
        yield site


@pytest.fixture
def site(shared_site: DaskSite) -> Iterator[DaskSite]:
    """Return the hub of all tests of one cluster; after each, no cluster is left."""
    yield shared_site
    for user in USERS:
        shared_site.run(user, "[gateway.stop_cluster(one.name) for one in gateway.list_clusters()]; print(1)")
    shared_site.hub.wait(lambda: not records(shared_site), "the jobs to be over", 90)


@pytest.fixture
def queue(site: DaskSite) -> BatchCluster:
    """Return the cluster, if it has a queue."""
    if site.cluster.engine == "local":
        pytest.skip("on this machine clusters start at once: there is no queue")
    return site.cluster


def records(site: DaskSite) -> list[dict[str, object]]:
    """Return what the gateway keeps of the jobs of its clusters."""
    return [json.loads(path.read_text()) for path in (site.state.run / "dask-jobs").glob("*.json")]


COMPUTE = """
cluster = gateway.new_cluster(workers=2, walltime_hours=0.25)
client = cluster.get_client()
client.wait_for_workers(2)
told = client.submit(lambda: [os.environ.get(name) for name in ("OF_THE_KERNEL", "SWOTVRE_KERNEL_VERSION", "OMP_NUM_THREADS")])
total = sum(client.gather(client.map(lambda i: i * i, range(100))))
import getpass
who = set(client.run(lambda: __import__("pwd").getpwuid(os.getuid()).pw_name).values())
secrets = [value for one in client.run(lambda: dict(os.environ)).values() for name, value in one.items()
           if "PRIVATE KEY" in value or "TOKEN" in name]
computing = wait(lambda: (now := state(cluster.name))["workers"]["running"] == 2 and now)
print(json.dumps({"total": total, "who": list(who), "state": computing, "told": told.result(), "secrets": secrets}))
cluster.shutdown()
"""


def test_a_cluster_computes_a_right_sum_as_its_user(site: DaskSite) -> None:
    answer = site.run(
        ADA,
        COMPUTE.replace("print(json", "answer = (json").replace(
            "cluster.shutdown()", "cluster.shutdown(); print(answer)"
        ),
    )
    assert answer["total"] == sum(i * i for i in range(100))
    assert answer["told"] == [ACTIVE, ACTIVE, "1"]
    told = answer["state"]
    assert (told["status"], told["size"], told["kernel"], told["kernel_version"]) == (
        "RUNNING",
        "small",
        "swot-ocean",
        ACTIVE,
    )
    assert told["workers"] == {"wanted": 2, "running": 2, "waiting": 0, "starting": 0, "message": ""}
    if site.cluster.engine != "local":
        assert answer["who"] == [ADA]
        assert answer["secrets"] == []
        assert told["node"] in site.cluster.node_names
        assert told["job_id"]
    site.hub.wait(lambda: not records(site), "the jobs to be over", 60)
