"""The hub's proxy without its idea of activity."""

from __future__ import annotations

from typing import Any

from jupyterhub.proxy import ConfigurableHTTPProxy


class UnwatchedProxy(ConfigurableHTTPProxy):
    """ConfigurableHTTPProxy whose routes do not tell when they were used.

    A browser that nobody looks at keeps its route busy: it polls, and its WebSockets stay open. The hub takes the
    newest of the route's time and the session's own report, so the report of idle kernels would never count.
    """

    async def get_all_routes(self) -> dict[str, Any]:
        """Return the routes, without ``last_activity``."""
        routes: dict[str, Any] = await super().get_all_routes()
        for route in routes.values():
            route["data"].pop("last_activity", None)
        return routes
