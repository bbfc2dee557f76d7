"""Routes that the gateway's API has beside Dask Gateway's own."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from dask_gateway_server.routes import api_handler

routes = web.RouteTableDef()


@routes.get("/api/v1/clusters/{cluster_name}/state")
@api_handler(user_authenticated=True)
async def cluster_state(request: web.Request) -> web.Response:
    """Answer how a cluster is, to its owner and to admins."""
    cluster = find_cluster(request)
    return web.json_response(request.app["backend"].describe(cluster).to_json())


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
