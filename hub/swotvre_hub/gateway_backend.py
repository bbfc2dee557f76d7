"""Dask clusters as local processes: Dask Gateway's own backend, with an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import time
from typing import Any

from dask_gateway_server.backends.db_base import Cluster, JobStatus
from dask_gateway_server.backends.local import UnsafeLocalBackend
from traitlets import Float

from swotvre_hub.gateway_clusters import KeptClusters, program_text
from swotvre_hub.gateway_config import VreClusterConfig, cluster_environment, run_program
from swotvre_hub.gateway_options import ClusterOffer, ClusterRequest
from swotvre_hub.gateway_state import ClusterState, WorkersState, format_time, one_line, option
from swotvre_hub.machine import Machine, measure_machine
from swotvre_hub.ports import LOOPBACK
from swotvre_hub.processes import CLUSTER_ROLE, end_processes, find_processes, service_mark
from swotvre_hub.sessions import BatchChoices
from swotvre_hub.settings import Settings
from swotvre_hub.state import State


class GatewayBackend(KeptClusters, UnsafeLocalBackend):
    """Local clusters, all under the account of the hub.

    Of each process its whole group is ended, so that no worker outlives its nanny; what a killed gateway left is ended
    at the next start. Dashboards are shown to the owner of a cluster alone.
    """

    patience_seconds = Float(3, min=0, help="Time that a process gets to end by itself.", config=True)

    async def setup(self, app: Any) -> None:
        """Start, on a clean floor."""
        await asyncio.to_thread(self._end_leftovers)
        await super().setup(app)

    async def do_cleanup(self) -> None:
        """End what may be left of the clusters."""
        await asyncio.to_thread(self._end_leftovers)

    async def make_offer(self, user_name: str) -> ClusterOffer:
        """Return what this machine can hold."""
        return ClusterOffer(self.settings, self.state, measure_machine(), BatchChoices())

    def configuration(self, request: ClusterRequest) -> dict[str, Any]:
        """Return the configuration of a cluster that was asked for and granted."""
        return local_configuration(request, self.settings, self.state, measure_machine())

    def get_scheduler_env(self, cluster: Cluster) -> dict[str, str]:
        """Return the environment of a scheduler, with the program that it runs."""
        config = cluster.config
        order = {name: option(config, name, 0) for name in ("workers", "minimum", "maximum")}
        return {
            **super().get_scheduler_env(cluster),
            "SWOTVRE_DASK": json.dumps({**order, "ports": ""}),
            "SWOTVRE_PROGRAM": program_text("scheduler"),
        }

    def describe(self, cluster: Cluster) -> ClusterState:
        """Return what the user is told of a cluster."""
        config, workers = cluster.config, cluster.active_workers()
        running = sum(worker.status == JobStatus.RUNNING for worker in workers)
        starting = sum(worker.status < JobStatus.RUNNING for worker in workers)
        message = one_line(cluster.state.get("failure", ""))
        if not message and cluster.status < JobStatus.RUNNING:
            message = "the scheduler of the cluster comes up"
        began = cluster.start_time / 1000 if cluster.status >= JobStatus.RUNNING else None
        walltime = option(config, "walltime_seconds", 0.0)
        return ClusterState(
            name=cluster.name,
            status=cluster.model_status.name,
            message=message,
            size=option(config, "size", ""),
            kernel=option(config, "kernel", ""),
            kernel_version=option(config, "kernel_version", ""),
            workers=WorkersState(
                wanted=max(cluster.count, len(workers)) if cluster.status >= JobStatus.RUNNING else config.workers,
                running=running,
                starting=starting,
                message=self._capped.get(cluster.name) or ("workers come up" if starting else ""),
            ),
            node=socket.gethostname(),
            started_at=format_time(began),
            ends_at=format_time(began + walltime) if began and walltime else None,
        )

    async def _check_timeouts(self) -> None:
        await super()._check_timeouts()
        for cluster in list(self.db.active_clusters()):
            walltime = option(cluster.config, "walltime_seconds", 0.0)
            if walltime and time.time() > cluster.start_time / 1000 + walltime:
                self.fail(cluster, "its duration was over")

    async def do_stop_cluster(self, cluster: Cluster) -> None:
        """End a cluster's scheduler and forget its dashboard."""
        self.forget(cluster)
        await super().do_stop_cluster(cluster)

    async def stop_process(self, pid: int) -> None:
        """End the group of the process ``pid``, first with a request."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(pid, sig)
            except ProcessLookupError:
                return
            if await _is_gone(pid, self.patience_seconds):
                return
        self.log.warning("Process group %d did not end", pid)

    def _end_leftovers(self) -> None:
        count = end_processes(find_processes(self.state, [CLUSTER_ROLE]), self.patience_seconds)
        if count:
            self.log.warning("Ended %d processes that were left of Dask clusters", count)
        shutil.rmtree(self.clusters_directory, ignore_errors=True)


def local_configuration(request: ClusterRequest, settings: Settings, state: State, machine: Machine) -> dict[str, Any]:
    """Return the configuration of one cluster of this machine: programs of its kernel, workers of its size."""
    size, python = request.worker.size, str(request.kernel.python)
    cores = min(size.cores, machine.cores)
    return {
        **VreClusterConfig.granted(request),
        "scheduler_cmd": run_program(request.kernel.python),
        # The scheduler's dashboard shows the workers; one in each would cost seconds of its start.
        "worker_cmd": [python, "-m", "distributed.cli.dask_worker", "--host", LOOPBACK, "--no-dashboard"],
        "worker_cores": cores,
        "worker_threads": cores,
        "worker_memory": min(size.memory_bytes, machine.memory_bytes),
        "environment": {**cluster_environment(request, settings, state), **service_mark(state, CLUSTER_ROLE)},
    }


async def _is_gone(group: int, patience_seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(0.05)
