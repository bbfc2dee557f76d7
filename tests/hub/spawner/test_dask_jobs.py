"""``PBSCluster`` and ``SLURMCluster`` of the field's slides, in the environment that a batch session has."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from swotvre_hub.sessions import SessionRequest
from swotvre_hub.settings import load_settings
from swotvre_hub.spawner.dask_jobs import jobqueue_environment, worker_prologue
from swotvre_lab.dask_jobs import settle_dask_jobs

SIZE = load_settings().sizes["medium"]
SLIDES = {
    "pbs": "from dask_jobqueue import PBSCluster as Cluster",
    "slurm": "from dask_jobqueue import SLURMCluster as Cluster",
}
SCRIPT = """
import json, warnings
warnings.simplefilter("error")
{slides}
with Cluster(cores=4, memory="32GB") as cluster:
    print(json.dumps({{"script": cluster.job_script(), "address": cluster.scheduler_address,
                      "dashboard": cluster.dashboard_link}}))
"""


def environment_of(engine: str, home: Path, *, queue: str = "", project: str = "") -> dict[str, str]:
    """Return the environment of a session, as the hub and then the node make it."""
    request = SessionRequest("medium", SIZE, timedelta(hours=3.5), queue, project)
    session = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
        "XDG_DATA_HOME": str(home / "share"),
        "JUPYTERHUB_API_URL": "https://127.0.0.1:8081/hub/api",
        "SWOTVRE_DATALAKE": "s3://lake of 'swot'/",
    }
    environment = jobqueue_environment(engine, request, str(home / "logs"), session) | session
    settle_dask_jobs(environment)
    return environment


def run_slides(engine: str, python: Path, environment: dict[str, str]) -> dict[str, Any]:
    code = SCRIPT.format(slides=SLIDES[engine])
    done = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize(
    ("engine", "directives"),
    [
        (
            "pbs",
            [
                "#PBS -q night",
                "#PBS -P swot",
                "#PBS -l walltime=03:30:00",
                "#PBS -l select=1:ncpus=4:mem=30GB",
                "#PBS -k doe",
            ],
        ),
        (
            "slurm",
            ["#SBATCH -p night", "#SBATCH -A swot", "#SBATCH -t 03:30:00", "#SBATCH --cpus-per-task=4"],
        ),
    ],
)
def test_snippet_of_the_slides_has_the_sites_defaults_and_tls(
    engine: str, directives: list[str], tmp_path: Path, kernel_python: Path
) -> None:
    environment = environment_of(engine, tmp_path, queue="night", project="swot")
    answer = run_slides(engine, kernel_python, environment)
    lines = answer["script"].splitlines()
    for directive in directives:
        assert directive in lines
    assert "export SWOTVRE_DATALAKE='s3://lake of '\"'\"'swot'\"'\"'/'" in lines
    command = lines[-1]
    assert command.startswith(f"{kernel_python} -m distributed.cli.dask_worker tls://127.0.0.1:")
    assert "--nthreads 4 " in command
    assert "--nworkers" not in command
    assert "--local-directory ${TMPDIR:-/tmp} " in command
    assert f"--tls-key {tmp_path}/share/swot-vre/dask-tls/" in command
    assert answer["dashboard"].startswith("http://127.0.0.1:")


LOCAL = """
from distributed import Client
with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
    print(client.scheduler.address, client.submit(sum, [1, 2]).result())
"""


def test_cluster_inside_the_session_works_as_before(tmp_path: Path, kernel_python: Path) -> None:
    code = f"if __name__ == '__main__':\n{''.join(f'    {line}' + chr(10) for line in LOCAL.strip().splitlines())}"
    script = tmp_path / "local.py"
    script.write_text(code)
    environment = environment_of("pbs", tmp_path)
    done = subprocess.run([kernel_python, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" 3\n")


def test_session_without_a_choice_leaves_queue_and_project_to_the_scheduler(tmp_path: Path) -> None:
    environment = environment_of("pbs", tmp_path)
    assert "DASK_JOBQUEUE__PBS__QUEUE" not in environment
    assert "-P" not in environment["DASK_JOBQUEUE__PBS__JOB_EXTRA_DIRECTIVES"]


def test_worker_is_not_told_the_token_of_the_session() -> None:
    lines = worker_prologue({"JUPYTERHUB_API_TOKEN": "secret", "SWOTVRE_INDEX": "", "HOME": "/home/it's"})
    assert "secret" not in "".join(lines)
    assert """export HOME='/home/it'"'"'s'""" in lines
    assert "export NUMBA_NUM_THREADS=1" in lines
