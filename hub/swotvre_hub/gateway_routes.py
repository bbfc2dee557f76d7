"""Routes that the gateway's API has beside Dask Gateway's own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import web
from dask_gateway_server.routes import api_handler

#: A worker that asks before its scheduler has reported is answered after this time.
ADDRESS_SECONDS = 20.0

routes = web.RouteTableDef()


@routes.get("/api/v1/clusters/{cluster_name}/state")
@api_handler(user_authenticated=True)  # type: ignore[untyped-decorator]
async def cluster_state(request: web.Request) -> web.Response:
    """Answer how a cluster is, to its owner and to admins."""
    cluster = find_cluster(request)
    return web.json_response(request.app["backend"].describe(cluster).to_json())


@routes.get("/api/v1/clusters/{cluster_name}/scheduler")
@api_handler(token_authenticated=True)  # type: ignore[untyped-decorator]
async def scheduler_address(request: web.Request) -> web.Response:
    """Answer a worker where its scheduler is, once that is known; empty: not yet."""
    backend = request.app["backend"]
    cluster = backend.db.get_cluster(request.match_info["cluster_name"])
    with suppress(TimeoutError):
        await asyncio.wait_for(cluster.ready, ADDRESS_SECONDS)
    if not cluster.is_active():
        raise web.HTTPGone(reason="the cluster is over")
    return web.json_response({"address": cluster.scheduler_address})


def find_cluster(request: web.Request) -> Any:
    """Return the cluster that a request names.

    Raises:
        HTTPNotFound: the same for a cluster of somebody else as for none.
    """
    user = request["user"]
    cluster = request.app["backend"].db.get_cluster(request.match_info["cluster_name"])
    if cluster is None or not (user.admin or user.has_permissions(cluster)):
        raise web.HTTPNotFound(reason=f"{user.name} has no Dask cluster of this name")
    return cluster
