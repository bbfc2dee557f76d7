"""What the gateway keeps of each cluster beside what Dask Gateway itself does, and what its processes are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dask_gateway_server.backends.base import ClusterConfig
from traitlets import Float, Integer, Unicode

from swotvre_hub.gateway_kernels import ClusterKernel
from swotvre_hub.gateway_options import ClusterRequest
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.environment import THREAD_VARIABLES, data_environment
from swotvre_hub.state import State

#: Runs the text of an environment variable, which no list of processes shows.
BOOT = 'import os; exec(os.environ.pop("SWOTVRE_PROGRAM"))'


class VreClusterConfig(ClusterConfig):
    """One cluster as it was asked for and granted; kept with the cluster in the gateway's database."""

    size = Unicode(help="Name of the session size of each worker.")
    kernel = Unicode(help="Name of the kernel whose programs the cluster runs.")
    kernel_version = Unicode(help="Version of that kernel; empty: it does not say.")
    workers = Integer(0, min=0, help="Workers that are started at once.")
    minimum = Integer(0, min=0, help="Fewest workers while the cluster scales itself.")
    maximum = Integer(0, min=0, help="Most workers while the cluster scales itself; 0: it does not.")
    walltime_seconds = Float(0.0, min=0.0, help="The cluster ends so long after it began; 0: it does not.")
    queue = Unicode(help="Queue or partition; empty: the scheduler's default, or none.")
    project = Unicode(help="Project or account; empty: the scheduler's default, or none.")

    @staticmethod
    def granted(request: ClusterRequest) -> dict[str, Any]:
        """Return the values of a cluster that was asked for and granted."""
        worker = request.worker
        return {
            "size": worker.size_name,
            "kernel": request.kernel.name,
            "kernel_version": request.kernel.version,
            "workers": request.workers,
            "minimum": request.minimum,
            "maximum": request.maximum,
            "walltime_seconds": worker.walltime.total_seconds() if request.has_walltime else 0.0,
            "queue": worker.queue,
            "project": worker.project,
            "idle_timeout": request.idle_minutes * 60,
        }


def run_program(python: Path) -> list[str]:
    """Return the command that runs the program in ``SWOTVRE_PROGRAM`` by an interpreter."""
    return [str(python), "-c", BOOT]


def cluster_environment(request: ClusterRequest, settings: Settings, state: State) -> dict[str, str]:
    """Return what scheduler and workers are told of data, threads and kernel."""
    return {
        # A worker's threads are its cores; a library that starts threads of its own in each would be too much.
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        **data_environment(settings, state),
        **kernel_variables(request.kernel),
        "SWOTVRE_KERNEL": request.kernel.name,
        "SWOTVRE_KERNEL_VERSION": request.kernel.version,
    }


def kernel_variables(kernel: ClusterKernel) -> dict[str, str]:
    """Return the environment variables that the kernel sets in notebooks, ``PATH`` excepted."""
    spec = kernel.python.parents[1] / "share" / "jupyter" / "kernels" / kernel.name / "kernel.json"
    try:
        variables = json.loads(spec.read_text(encoding="utf-8"))["env"]
        return {str(name): str(value) for name, value in variables.items() if name != "PATH"}
    except (OSError, ValueError, LookupError, AttributeError):
        return {}
