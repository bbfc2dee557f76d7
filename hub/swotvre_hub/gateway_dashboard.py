"""Dashboards of Dask clusters, behind a login of the hub: Dask itself shows them to everybody who knows the address."""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from typing import Any

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.netutil import bind_sockets
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, WebSocketHandler, websocket_connect

from swotvre_hub.gateway_pages import ClusterList, page_handlers
from swotvre_hub.ports import LOOPBACK

#: Headers that belong to one connection, or that tell a cluster's code who its reader is.
NOT_FORWARDED = {
    *(
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-encoding",
    ),
    *("host", "cookie", "set-cookie", "authorization", "accept-encoding"),
}


class DashboardServer:
    """A web server on loopback that leads the owner of a cluster, and nobody else, to its dashboard."""

    def __init__(self, clusters: ClusterList) -> None:
        """Take what the server is for; its pages have the paths that a browser sees."""
        self.clusters = clusters
        self.prefix = clusters.prefix
        self.owner = clusters.owner
        #: Address of each cluster's own dashboard, ``http://host:port``, and what it is reached by where it wants TLS.
        self.targets: dict[str, str] = {}
        self.contexts: dict[str, ssl.SSLContext] = {}
        #: Address of this server, with the prefix.
        self.url = ""

    def start(self, port: int = 0) -> None:
        """Listen on ``port``, 0 stands for a free one, on the running event loop."""
        # A WebSocket goes by its cookie alone; Lax keeps the pages of other sites from using it.
        auth = HubOAuth.instance()
        auth.cookie_options = {**auth.cookie_options, "samesite": "Lax"}
        cluster = rf"{re.escape(self.prefix)}/clusters/(?P<cluster_name>[0-9a-f]+)"
        application = web.Application(
            [
                (rf"{re.escape(self.prefix)}/oauth_callback/?", HubOAuthCallbackHandler),
                *page_handlers(self.clusters),
                (rf"{cluster}/(?P<path>.*/ws|ws)", DashboardSocket, {"dashboards": self}),
                (rf"{cluster}/(?P<path>.*)", DashboardPage, {"dashboards": self}),
            ],
            cookie_secret=secrets.token_bytes(32),
            xsrf_cookies=True,
        )
        sockets = bind_sockets(port, LOOPBACK)
        HTTPServer(application, xheaders=True).add_sockets(sockets)
        self.url = f"http://{LOOPBACK}:{sockets[0].getsockname()[1]}{self.prefix}"

    def add(self, cluster_name: str, address: str, context: ssl.SSLContext | None = None) -> None:
        """Show the dashboard at ``address``."""
        self.targets[cluster_name] = address
        if context is not None:
            self.contexts[cluster_name] = context

    def remove(self, cluster_name: str) -> None:
        """Show the dashboard of ``cluster_name`` no more."""
        self.targets.pop(cluster_name, None)
        self.contexts.pop(cluster_name, None)


class OwnedHandler(HubOAuthenticated, web.RequestHandler):
    """Answers the owner of a cluster."""

    def initialize(self, dashboards: DashboardServer) -> None:
        """Take the server."""
        self.dashboards = dashboards

    def target(self, cluster_name: str, path: str, scheme: str = "http") -> str:
        """Return the address in the cluster's own dashboard; refuse everybody but the owner.

        Raises:
            HTTPError: 404, the same for a cluster of somebody else as for none.
        """
        reader = self.current_user
        address = self.dashboards.targets.get(cluster_name)
        if address is None or reader["kind"] != "user" or self.dashboards.owner(cluster_name) != reader["name"]:
            raise web.HTTPError(404, reason=f"{reader['name']} has no running Dask cluster of this name")
        query = f"?{self.request.query}" if self.request.query else ""
        return f"{address.replace('http', scheme, 1)}/{path}{query}"


class DashboardPage(OwnedHandler):
    """A page, script or picture of a dashboard."""

    @web.authenticated
    async def get(self, cluster_name: str, path: str) -> None:
        """Answer what the cluster's dashboard answers."""
        request = HTTPRequest(
            self.target(cluster_name, path),
            headers=_forwarded(self.request.headers),
            follow_redirects=False,
            request_timeout=60,
            ssl_options=self.dashboards.contexts.get(cluster_name),
        )
        try:
            answer: HTTPResponse = await AsyncHTTPClient().fetch(request, raise_error=False)
        except OSError as error:
            raise web.HTTPError(502, reason="the Dask cluster does not answer") from error
        if isinstance(answer.error, HTTPClientError) and answer.code == 599:
            raise web.HTTPError(504, reason="the Dask cluster does not answer")
        self.set_status(answer.code, answer.reason)
        for name, value in _forwarded(answer.headers).get_all():
            self.set_header(name, value)
        self.finish(answer.body if answer.code != 304 else None)


class DashboardSocket(OwnedHandler, WebSocketHandler):
    """The WebSocket through which a dashboard stays alive."""

    _far: WebSocketClientConnection | None = None
    _reading: asyncio.Task[None] | None = None

    async def get(self, cluster_name: str, path: str) -> None:
        """Open the dashboard's WebSocket, then ours."""
        if not self.current_user:
            raise web.HTTPError(403)
        # Bokeh carries its session in the subprotocols.
        offered = [name.strip() for name in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        context = self.dashboards.contexts.get(cluster_name)
        self._far = await websocket_connect(
            HTTPRequest(self.target(cluster_name, path, "ws"), ssl_options=context),
            subprotocols=[name for name in offered if name],
            max_message_size=2**28,
        )
        await super().get()

    def check_origin(self, origin: str) -> bool:
        """Accept every page: the proxies drop the host that a browser named, so there is nothing to compare with.

        A page of another site cannot come with the reader's cookie: it is ``SameSite=Lax``.
        """
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Choose what the dashboard chose."""
        return self._far.selected_subprotocol if self._far else None

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begin to hand on what the dashboard says."""
        self._reading = asyncio.ensure_future(self._hand_on())

    async def _hand_on(self) -> None:
        while self._far is not None and (message := await self._far.read_message()) is not None:
            try:
                await self.write_message(message, binary=isinstance(message, bytes))
            except WebSocketClosedError:
                return
        self.close()

    async def on_message(self, message: str | bytes) -> None:
        """Hand on what the browser says."""
        if self._far is not None:
            await self._far.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        """Close the dashboard's side."""
        if self._far is not None:
            self._far.close()


def _forwarded(headers: HTTPHeaders) -> HTTPHeaders:
    kept = HTTPHeaders()
    for name, value in headers.get_all():
        if name.lower() not in NOT_FORWARDED:
            kept.add(name, value)
    return kept
