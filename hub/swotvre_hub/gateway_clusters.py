"""What every cluster of the gateway has, whichever engine runs it: options, caps, a state in words, a dashboard."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.db_base import Cluster, DBBackendBase, JobStatus
from dask_gateway_server.models import ClusterStatus
from dask_gateway_server.options import Options
from traitlets import Any as AnyTrait
from traitlets import Integer

from swotvre_hub.errors import CapError, VreError
from swotvre_hub.gateway_caps import ClusterUse, Verdict, judge
from swotvre_hub.gateway_dashboard import DashboardServer
from swotvre_hub.gateway_options import ClusterOffer, ClusterRequest, cluster_options
from swotvre_hub.gateway_pages import ClusterList, ClusterRow
from swotvre_hub.gateway_routes import routes
from swotvre_hub.gateway_state import ClusterState, one_line, option
from swotvre_hub.sessions import validate_user_name
from swotvre_hub.settings import Settings
from swotvre_hub.state import State


class KeptClusters(DBBackendBase):
    """Stands between Dask Gateway's clusters in a database and an engine that runs them."""

    settings: Settings = AnyTrait(help="The site's settings.").tag(config=True)  # type: ignore[assignment]
    state: State = AnyTrait(help="State folder of the installation.").tag(config=True)  # type: ignore[assignment]

    pages_port = Integer(0, help="Port on loopback where the hub's proxy finds our pages; 0: any.", config=True)

    async def setup(self, app: web.Application) -> None:
        """Start, with our routes beside Dask Gateway's."""
        #: Clusters whose submission somebody waits for: name -> set when it is over, either way.
        self._submissions: dict[str, asyncio.Event] = {}
        app.add_routes(routes)
        await super().setup(app)

    async def do_setup(self) -> None:
        """Start the pages, and lead the hub's answer to a login there."""
        clusters = ClusterList(
            rows=self.rows,
            stop=self.stop_cluster,
            owner=self.find_owner,
            site_name=self.settings.site.name,
            base_url=self.settings.hub.base_url,
            prefix=self.proxy.prefix,
        )
        self.dashboards = DashboardServer(clusters)
        self.dashboards.start(self.pages_port)
        for path in ("/oauth_callback", "/clusters", "/all"):
            await self._lead_to_pages(path)

    def rows(self, user_name: str | None) -> list[ClusterRow]:
        """Return the clusters of a user, or of everybody, for the pages: the newest first."""
        clusters = [one for one in self.db.name_to_cluster.values() if user_name in {None, one.username}]
        return [self._row(one) for one in sorted(clusters, key=lambda one: (one.is_active(), one.start_time))[::-1]]

    def _row(self, cluster: Cluster) -> ClusterRow:
        size = self.settings.sizes.get(option(cluster.config, "size", ""))
        return ClusterRow(
            user_name=cluster.username,
            state=self.describe(cluster),
            since=datetime.fromtimestamp(cluster.start_time / 1000, UTC),
            size_title=size.title if size else option(cluster.config, "size", "") or "Cluster",
            has_dashboard=cluster.name in self.dashboards.targets,
        )

    async def _lead_to_pages(self, path: str) -> None:
        """Have the gateway's proxy lead readers of ``path`` to our pages, unless the hub's proxy does so itself."""
        if not self.pages_port:
            await self.proxy.add_route(kind="PATH", path=path, target=f"{self.dashboards.url}{path}")

    # -- what an engine says ------------------------------------------------------------------------------------------

    async def make_offer(self, user_name: str) -> ClusterOffer:
        """Return what clusters of a user may be at this moment."""
        raise NotImplementedError

    def configuration(self, request: ClusterRequest) -> dict[str, Any]:
        """Return the configuration of a cluster that was asked for and granted."""
        raise NotImplementedError

    def describe(self, cluster: Cluster) -> ClusterState:
        """Return what the user is told of a cluster."""
        raise NotImplementedError

    # -- a new cluster ------------------------------------------------------------------------------------------------

    async def get_cluster_options(self, user: Any) -> Options:
        """Return what a user may choose for a cluster."""
        try:
            validate_user_name(user.name, self.settings)
            return cluster_options(await self.make_offer(user.name), self.configuration)
        except VreError as error:
            raise PublicException(one_line(error)) from error

    async def start_cluster(self, user: Any, cluster_options: dict[str, Any]) -> str:
        """Start a cluster; return its name once an engine has taken it.

        Raises:
            PublicException: in words, when it may not be, or the engine refuses it.
        """
        try:
            options, config = await self.process_cluster_options(user, cluster_options)
        except PublicException as error:
            raise PublicException(one_line(error)) from error
        values = config.to_dict()
        verdict = self.judge("", user.name, values, values["workers"])
        if verdict.reason and verdict.workers < max(values["workers"], 0):
            raise PublicException(_capital(f"{verdict.reason}.")) from CapError(verdict.reason)
        cluster = self.db.create_cluster(user.name, options, values)
        self.log.info("Created cluster %s for user %s", cluster.name, user.name)
        over = self._submissions[cluster.name] = asyncio.Event()
        self.queue.put(cluster)
        try:
            await over.wait()
        finally:
            self._submissions.pop(cluster.name, None)
        if failure := cluster.state.get("failure"):
            raise PublicException(_capital(one_line(failure)))
        return str(cluster.name)

    async def _cluster_to_submitted(self, cluster: Cluster) -> None:
        try:
            await super()._cluster_to_submitted(cluster)
        finally:
            if cluster.target >= JobStatus.FAILED and "failure" not in cluster.state:
                words = "its scheduler could not be started; try again, and tell who runs this site if it fails again"
                self.db.update_cluster(cluster, state={**cluster.state, "failure": words})
            if over := self._submissions.get(cluster.name):
                over.set()

    async def get_cluster(self, cluster_name: str, wait: bool = False) -> Any:
        """Return a cluster; to who waits for its start, tell in words that it failed."""
        found = await super().get_cluster(cluster_name, wait=wait)
        if wait and found is not None and found.status in {ClusterStatus.FAILED, ClusterStatus.STOPPING}:
            cluster = self.db.get_cluster(cluster_name)
            if cluster is not None and (failure := cluster.state.get("failure")):
                raise web.HTTPConflict(reason=f"Cluster {cluster_name} ended: {one_line(failure)}")
        return found

    def fail(self, cluster: Cluster, why: str) -> None:
        """End a cluster that cannot go on; the first reason counts."""
        if cluster.target >= JobStatus.STOPPED:
            return
        self.log.info("Cluster %s of %s ends: %s", cluster.name, cluster.username, why)
        self.db.update_cluster(cluster, target=JobStatus.FAILED, state={"failure": why, **cluster.state})
        self.queue.put(cluster)

    # -- caps ---------------------------------------------------------------------------------------------------------

    def use_of(self, name: str, user_name: str, config: Any, workers: int) -> ClusterUse:
        """Return what a cluster takes with so many workers."""
        size = self.settings.sizes.get(option(config, "size", ""))
        gateway, is_batch = self.settings.gateway, self.settings.is_batch
        return ClusterUse(
            name=name,
            user_name=user_name,
            project=option(config, "project", ""),
            worker_cores=size.cores if size else config["worker_cores"],
            worker_memory_gib=size.memory_gib if size else config["worker_memory"] // 2**30,
            # On one machine schedulers have no cores of their own.
            scheduler_cores=gateway.scheduler_cores if is_batch else 0,
            scheduler_memory_gib=gateway.scheduler_memory_gib if is_batch else 0,
            workers=workers,
        )

    def uses(self) -> Iterator[ClusterUse]:
        """Yield what every cluster takes or waits for."""
        for cluster in self.db.active_clusters():
            workers = max(cluster.count, len(cluster.active_workers()))
            yield self.use_of(cluster.name, cluster.username, cluster.config, workers)

    def judge(self, name: str, user_name: str, config: Any, workers: int) -> Verdict:
        """Return how many of the wanted workers a cluster may have now."""
        return judge(self.use_of(name, user_name, config, workers), self.uses(), self.settings.gateway.caps)

    def ensure_below_caps(self, cluster: Any, msg: dict[str, Any]) -> None:
        """Refuse what a user wants of a running cluster when it goes beyond a cap.

        Raises:
            PublicException: with what is used, what is free and what was asked.
        """
        kept = self.db.get_cluster(cluster.name)
        wanted = msg.get("count") if msg["op"] == "scale" else msg.get("minimum")
        if kept is None or not isinstance(wanted, int) or wanted <= kept.count:
            return
        verdict = self.judge(kept.name, kept.username, kept.config, wanted)
        if verdict.workers < wanted:
            raise PublicException(_capital(f"{verdict.reason}."))

    async def forward_message_to_scheduler(self, cluster: Any, msg: dict[str, Any]) -> None:
        """Tell the scheduler of a cluster what its user wants, unless a cap forbids it."""
        self.ensure_below_caps(cluster, msg)
        await super().forward_message_to_scheduler(cluster, msg)

    # -- a cluster that runs ------------------------------------------------------------------------------------------

    def find_owner(self, cluster_name: str) -> str | None:
        """Return the name of the user whose running cluster this is, or None."""
        cluster = self.db.get_cluster(cluster_name)
        return cluster.username if cluster is not None and cluster.is_active() else None

    async def on_cluster_heartbeat(self, cluster_name: str, msg: dict[str, Any]) -> None:
        """Take a cluster's report; what it wants beyond a cap waits until there is room."""
        cluster = self.db.get_cluster(cluster_name)
        if cluster is not None and msg["count"] > cluster.count:
            verdict = self.judge(cluster.name, cluster.username, cluster.config, msg["count"])
            allowed = max(verdict.workers, cluster.count)
            self._capped[cluster.name] = verdict.reason if allowed < msg["count"] else ""
            msg = {**msg, "count": allowed}
        elif cluster is not None:
            self._capped.pop(cluster.name, None)
        await super().on_cluster_heartbeat(cluster_name, msg)

    @property
    def _capped(self) -> dict[str, str]:
        """Why clusters get no more workers than they have, by their names."""
        found: dict[str, str] = self.__dict__.setdefault("_capped_by_name", {})
        return found

    async def _check_cluster_proxied(self, cluster: Cluster) -> None:
        if not cluster.added_to_proxies and cluster.dashboard_address:
            # Ours takes the place of the cluster's own, and asks who is there.
            self.dashboards.add(cluster.name, cluster.dashboard_address, self.dashboard_context(cluster))
            await self._lead_to_pages(f"/clusters/{cluster.name}")
            await self.proxy.add_route(kind="SNI", sni=cluster.name, target=cluster.scheduler_address)
            cluster.added_to_proxies = True
        await super()._check_cluster_proxied(cluster)

    def dashboard_context(self, cluster: Cluster) -> ssl.SSLContext | None:
        """Return how a cluster's own dashboard is reached; None: without TLS."""
        return None

    def forget(self, cluster: Cluster) -> None:
        """Forget what is known of a cluster that ends."""
        self.dashboards.remove(cluster.name)
        self._capped.pop(cluster.name, None)


def program_text(name: str) -> str:
    """Return the text of one of the programs that run in a cluster."""
    return (Path(__file__).parent / "dask_programs" / f"{name}.py").read_text(encoding="utf-8")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
