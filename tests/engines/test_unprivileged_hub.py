"""A hub that is not root: its own account, and the sudo rules that ``swot-vre sudoers`` prints."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_hub import BatchHub
from cluster import HUB_ACCOUNT, USERS, BatchCluster
from dask_site import DaskSite, site_settings

from swotvre_hub.cli.session_environment import everybody_can_reach
from swotvre_hub.cli.sudoers import render_rules
from swotvre_hub.settings import load_settings

RULES = Path("/etc/sudoers.d/zz-swot-vre-tests")


@pytest.fixture(scope="module")
def hub_python(lab_everywhere: Path, checkout: Path) -> Iterator[Path]:
    """Return an interpreter with the hub's packages that the hub's account can run."""
    if everybody_can_reach(Path(sys.executable).resolve()) and everybody_can_reach(checkout):
        yield Path(sys.executable)
        return
    # The session environment's interpreter can be run by everybody; the hub's packages are shown to it in a copy.
    folder = Path(tempfile.mkdtemp(prefix="vre-hub-env-", dir="/tmp"))
    folder.chmod(0o755)
    packages = next((Path(sys.executable).parents[1] / "lib").glob("python3.*/site-packages"))
    ignore = shutil.ignore_patterns("__pycache__", "mypy*", "playwright*", "moto*", "boto*", "sphinx*", "uv*", "ruff*")
    shutil.copytree(packages, folder / "packages", ignore=ignore)
    shutil.copytree(checkout / "hub", folder / "hub")
    shutil.copytree(checkout / "kernels", folder / "kernels")
    python = folder / "python"
    paths = os.pathsep.join(str(folder / name) for name in ("hub", "kernels", "packages"))
    python.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {lab_everywhere}/bin/python "$@"\n', encoding="utf-8")
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    python.chmod(0o755)
    yield python
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def site(cluster: BatchCluster, lab_everywhere: Path, hub_python: Path, dask_kernels: Path) -> Iterator[DaskSite]:
    if cluster.title.startswith("Slurm") and not Path("/usr/bin/sudo").exists():
        pytest.skip("sudo is not installed")
    folder = Path(tempfile.mkdtemp(prefix="vre-hub-", dir="/tmp"))
    folder.chmod(0o755)
    settings, port = site_settings(dask_kernels)
    hub = BatchHub(cluster, folder, lab_everywhere, account=HUB_ACCOUNT, python=hub_python, settings=settings)
    rules = render_rules(load_settings(folder / "vre.yaml"), HUB_ACCOUNT, USERS[0])
    RULES.write_text(rules + "\n", encoding="utf-8")
    RULES.chmod(0o440)
    subprocess.run(["visudo", "-cf", str(RULES)], check=True, stdout=subprocess.DEVNULL)
    try:
        yield DaskSite(hub.start(), dask_kernels, port)
    finally:
        hub.close()
        RULES.unlink()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_hub_without_root_rights_runs_sessions_of_its_users_and_of_nobody_else(
    site: DaskSite, cluster: BatchCluster
) -> None:
    hub = site.hub
    hub.start_session(USERS[0])
    job = hub.job(USERS[0])
    assert hub.answers(USERS[0])
    assert Path(job["log"]).stat().st_uid == pwd.getpwnam(USERS[0]).pw_uid
    hub.stop_session(USERS[0])
    hub.wait(lambda: job["job_id"] not in cluster.live_jobs(), "the job to be gone", 60)
    assert "asked for it" in hub.last_end(USERS[0])

    answer = hub.request(USERS[1])  # no rule lets the hub act for this account
    assert answer.status_code == 503
    assert "may not start sessions in your name" in answer.json()["message"]
    assert not cluster.live_jobs()


CLUSTER = """
cluster = gateway.new_cluster(workers=1)
client = cluster.get_client()
client.wait_for_workers(1)
who = set(client.run(lambda: __import__("pwd").getpwuid(os.getuid()).pw_name).values())
cluster.shutdown()
print(json.dumps(sorted(who)))
"""
REFUSED = "print(json.dumps(refusal(lambda: gateway.new_cluster(workers=1))))"


def test_it_runs_dask_clusters_of_its_users_and_of_nobody_else(site: DaskSite, cluster: BatchCluster) -> None:
    site.wait_for_gateway()
    assert site.run(USERS[0], CLUSTER) == [USERS[0]]
    site.hub.wait(lambda: not cluster.live_jobs(), "the jobs of the cluster to be gone", 60)
    assert "in your name" in site.run(USERS[1], REFUSED)
    assert not cluster.live_jobs()
