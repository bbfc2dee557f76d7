"""Defaults of ``dask_jobqueue`` in a batch session: ``PBSCluster`` and ``SLURMCluster`` work there as they stand.

Dask reads them from the environment (``DASK_JOBQUEUE__PBS__QUEUE`` is ``jobqueue.pbs.queue``). What only the node knows
(its address, the user's certificate) is added there: ``swotvre_lab.dask_jobs``.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from datetime import timedelta

from swotvre_hub.sessions import SessionRequest
from swotvre_hub.spawner.environment import NO_PROXY, PROXIES, THREAD_VARIABLES

#: What a worker is told as its session is; its threads are counted by Dask.
_TOLD = (
    "HOME",
    "LANG",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "SWOTVRE_DATALAKE",
    "SWOTVRE_DATALAKE_OPTIONS",
    "SWOTVRE_INDEX",
    *PROXIES,
    *NO_PROXY,
)


def jobqueue_environment(
    engine: str, request: SessionRequest, log_folder: str, session: Mapping[str, str]
) -> dict[str, str]:
    """Return the defaults of jobs that a notebook submits by ``dask_jobqueue``.

    Args:
        engine: ``pbs`` or ``slurm``.
        request: the session: its jobs go to the same queue and project, and may last as long.
        log_folder: absolute folder of the user for the logs of such jobs.
        session: environment of the session.
    """
    directives: list[str] = []
    defaults: dict[str, object] = {
        "walltime": _clock(request.walltime),
        # One process, with as many threads as the job has cores: `scale(2)` is then two jobs, whatever their cores.
        "processes": 1,
        "local_directory": "${TMPDIR:-/tmp}",
        "log_directory": log_folder,
        "job_script_prologue": worker_prologue(session),
    }
    if request.queue:
        defaults["queue"] = request.queue
    if engine == "pbs":
        # Logs are written by the node while the job runs; no mail.
        directives += ["-j oe", "-k doe", "-m n"]
        directives += [f"-P {request.project}"] if request.project else []
        defaults["job_extra_directives"] = directives
    elif request.project:
        defaults["account"] = request.project
    return {f"DASK_JOBQUEUE__{engine.upper()}__{name.upper()}": repr(value) for name, value in defaults.items()}


def worker_prologue(session: Mapping[str, str]) -> list[str]:
    """Return the lines of a shell script that tell a worker what its session was told."""
    environment = {
        **{name: session[name] for name in _TOLD if name in session},
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        # A kernel is what its lock says, in its workers too.
        "PYTHONNOUSERSITE": "1",
    }
    return [
        # sbatch passes the whole environment on: neither the session's token nor a file of the session's node is for
        # workers.
        "unset JUPYTERHUB_API_TOKEN JPY_API_TOKEN",
        'test -r "${SSL_CERT_FILE:-/dev/null}" || unset SSL_CERT_FILE',
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
    ]


def _clock(walltime: timedelta) -> str:
    minutes = math.ceil(walltime / timedelta(minutes=1))
    return f"{minutes // 60:02}:{minutes % 60:02}:00"
