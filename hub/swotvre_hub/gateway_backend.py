"""Dask clusters as local processes: Dask Gateway's own backend, with an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from dask_gateway_server.backends.db_base import Cluster
from dask_gateway_server.backends.local import UnsafeLocalBackend
from traitlets import Float, Unicode

from swotvre_hub.gateway_dashboard import DashboardServer
from swotvre_hub.processes import CLUSTER_ROLE, end_processes, find_processes
from swotvre_hub.state import State


class GatewayBackend(UnsafeLocalBackend):
    """Local clusters, all under the account of the hub.

    Of each process its whole group is ended, so that no worker outlives its nanny; what a killed gateway left is ended
    at the next start. Dashboards are shown to the owner of a cluster alone.
    """

    state_folder = Unicode(help="State folder of the installation.", config=True)
    patience_seconds = Float(3, min=0, help="Time that a process gets to end by itself.", config=True)

    async def setup(self, app: Any) -> None:
        """Start, on a clean floor."""
        await asyncio.to_thread(self._end_leftovers)
        await super().setup(app)

    async def do_setup(self) -> None:
        """Start the dashboards, and lead the hub's answer to a login there."""
        self.dashboards = DashboardServer(self.proxy.prefix, self.find_owner)
        self.dashboards.start()
        await self.proxy.add_route(kind="PATH", path="/oauth_callback", target=f"{self.dashboards.url}/oauth_callback")

    async def do_cleanup(self) -> None:
        """End what may be left of the clusters."""
        await asyncio.to_thread(self._end_leftovers)

    def find_owner(self, cluster_name: str) -> str | None:
        """Return the name of the user whose running cluster this is, or None."""
        cluster = self.db.get_cluster(cluster_name)
        return cluster.username if cluster is not None and cluster.is_active() else None

    async def on_cluster_heartbeat(self, cluster_name: str, msg: dict[str, Any]) -> None:
        """Take a cluster's report; the dashboard that it names is replaced by ours, which asks who is there."""
        if address := msg["dashboard_address"]:
            msg = {**msg, "dashboard_address": self.dashboards.add(cluster_name, address)}
        await super().on_cluster_heartbeat(cluster_name, msg)

    async def do_stop_cluster(self, cluster: Cluster) -> None:
        """End a cluster's scheduler and forget its dashboard."""
        self.dashboards.remove(cluster.name)
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
        count = end_processes(find_processes(State(Path(self.state_folder)), [CLUSTER_ROLE]), self.patience_seconds)
        if count:
            self.log.warning("Ended %d processes that were left of Dask clusters", count)
        shutil.rmtree(self.clusters_directory, ignore_errors=True)


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
