"""The pages "My clusters" and "All clusters", in the look of the hub, served by the gateway itself."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from jupyterhub.services.auth import HubOAuthenticated
from markupsafe import Markup
from tornado import web

from swotvre_hub.durations import describe_duration
from swotvre_hub.gateway_state import ClusterState

#: Seconds after which a page looks again by itself.
REFRESH_SECONDS = 10
#: What a status is called on the pages.
WORDS = {
    "PENDING": "starting",
    "RUNNING": "running",
    "STOPPING": "ending",
    "STOPPED": "ended",
    "FAILED": "failed",
}


@dataclass(frozen=True)
class ClusterRow:
    """One cluster on a page."""

    user_name: str
    state: ClusterState
    #: When it was asked for, UTC.
    since: datetime
    #: Title of its size.
    size_title: str
    has_dashboard: bool

    @property
    def word(self) -> str:
        """Its status in a word."""
        return WORDS.get(self.state.status, self.state.status.lower())

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to stop."""
        return self.state.status in {"STOPPED", "FAILED"}

    def age(self, now: datetime | None = None) -> str:
        """Return how long ago it was asked for, in words."""
        return describe_duration(max((now or datetime.now(UTC)) - self.since, timedelta()))


@dataclass(frozen=True)
class ClusterList:
    """What the pages may ask and do."""

    #: Clusters of a user (None: of everybody), those that ended within the last hours included.
    rows: Callable[[str | None], Sequence[ClusterRow]]
    stop: Callable[[str], Awaitable[None]]
    #: User of a cluster; None: there is none of this name.
    owner: Callable[[str], str | None]
    site_name: str
    #: URL path of the hub, and of the gateway without a slash at its end.
    base_url: str
    prefix: str


class ClusterPage(HubOAuthenticated, web.RequestHandler):
    """A list of clusters."""

    def initialize(self, clusters: ClusterList, everybody: bool = False) -> None:
        """Take what the page shows."""
        self.clusters = clusters
        self.everybody = everybody

    def set_default_headers(self) -> None:
        """Have no other site show the page in a frame, and nobody keep it."""
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'; form-action 'self'")
        self.set_header("Cache-Control", "no-store")

    @web.authenticated
    async def get(self) -> None:
        """Show the clusters of the reader, or of everybody to an admin."""
        reader = self.reader()
        if self.everybody and not reader.get("admin"):
            raise web.HTTPError(403, reason="only admins see the clusters of others")
        rows = self.clusters.rows(None if self.everybody else reader["name"])
        self.finish(
            _template().render(
                rows=rows,
                everybody=self.everybody,
                reader=reader,
                clusters=self.clusters,
                xsrf=self.xsrf_token.decode() if isinstance(self.xsrf_token, bytes) else self.xsrf_token,
                stylesheet=_stylesheet(),
                refresh_seconds=REFRESH_SECONDS,
            )
        )

    def reader(self) -> dict[str, Any]:
        """Return the user who reads.

        Raises:
            HTTPError: when it is no user.
        """
        reader: dict[str, Any] = self.current_user
        if reader["kind"] != "user":
            raise web.HTTPError(403, reason="only users have clusters")
        return reader


class StopCluster(ClusterPage):
    """The button that stops a cluster; a form of another site has no token for it."""

    @web.authenticated
    async def post(self, cluster_name: str) -> None:
        """Stop a cluster of the reader, an admin's anybody's, and go back to the list."""
        reader = self.reader()
        owner = self.clusters.owner(cluster_name)
        if owner is None or (owner != reader["name"] and not reader.get("admin")):
            raise web.HTTPError(404, reason=f"{reader['name']} has no running Dask cluster of this name")
        await self.clusters.stop(cluster_name)
        everybody = self.get_body_argument("from", "") == "all" and bool(reader.get("admin"))
        self.redirect(f"{self.clusters.prefix}/{'all' if everybody else 'clusters'}", status=303)


def page_handlers(clusters: ClusterList) -> list[Any]:
    """Return the routes of the pages."""
    prefix, options = re.escape(clusters.prefix), {"clusters": clusters}
    return [
        (rf"{prefix}/?", web.RedirectHandler, {"url": f"{clusters.prefix}/clusters", "permanent": False}),
        (rf"{prefix}/clusters/?", ClusterPage, options),
        (rf"{prefix}/all/?", ClusterPage, {**options, "everybody": True}),
        (rf"{prefix}/clusters/(?P<cluster_name>[0-9a-f]+)/stop", StopCluster, options),
    ]


@cache
def _template() -> Template:
    loader = PackageLoader("swotvre_hub", "templates")
    return Environment(loader=loader, undefined=StrictUndefined, autoescape=True, trim_blocks=True).get_template(
        "clusters.html"
    )


@cache
def _stylesheet() -> Markup:
    text = (files("swotvre_hub") / "static" / "pages.css").read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - our own file
