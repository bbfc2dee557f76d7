"""The endpoints of a session, under its base URL; each refuses a request without a login or token (403).

``GET swotvre/session``
    what the session is and when it ends. Never counts as activity, so that a page and the hub can ask as they like.
``POST swotvre/activity``
    "keep my session": counts as activity; answers the same object.

The answer is one JSON object; times are ISO 8601 UTC, the clock is the session's. ``null``: not set, or not known.

====================== ====================================================================================
``size``               name of the session size
``title``              the name to show; never null
``cores``              cores of the session
``memory_gib``         memory of the session in GiB
``now``                time of the answer; never null
``ends_at``            walltime end
``seconds_left``       seconds to the walltime end, never negative
``busy_kernels``       number of kernels that execute something now
``idle_since``         when a user or a kernel did something last; null while a kernel is busy
``idle_seconds``       seconds since then; 0 while a kernel is busy
``idle_timeout_seconds``  seconds of idleness after which the hub ends the session
``idle_warning_seconds``  seconds before that at which the user is told
``idle_ends_at``       when the session ends if nothing is done; null while busy or without a timeout
``kernel_deaths``      the last kernels, at most 10, that ended unexpectedly, the newest last; never null. Of each:
                       ``name`` (path of its notebook, or name of its console or kernel), ``time``, and ``memory``:
                       whether it was killed because the session's memory was used up
====================== ====================================================================================
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from swotvre_lab.activity import Activity
from swotvre_lab.kernel_deaths import KernelDeaths
from swotvre_lab.session import Session


def describe(session: Session, activity: Activity, deaths: KernelDeaths, now: datetime) -> dict[str, Any]:
    """Return the answer of both endpoints.

    Args:
        session: what the hub said about the session.
        activity: the activity of this server.
        deaths: the unexpected ends of its kernels.
        now: the time of the answer, UTC.
    """
    idle_since = activity.idle_since()
    idle = timedelta(0) if idle_since is None else max(now - idle_since, timedelta(0))
    left = None if session.ends_at is None else max(session.ends_at - now, timedelta(0))
    idle_ends_at = None
    if idle_since is not None and session.idle_timeout_seconds is not None:
        idle_ends_at = idle_since + timedelta(seconds=session.idle_timeout_seconds)
    return {
        "size": session.size,
        "title": session.title,
        "cores": session.cores,
        "memory_gib": session.memory_gib,
        "now": _iso(now),
        "ends_at": _iso(session.ends_at),
        "seconds_left": None if left is None else left.total_seconds(),
        "busy_kernels": activity.count_busy_kernels(),
        "idle_since": _iso(idle_since),
        "idle_seconds": idle.total_seconds(),
        "idle_timeout_seconds": session.idle_timeout_seconds,
        "idle_warning_seconds": session.idle_warning_seconds,
        "idle_ends_at": _iso(idle_ends_at),
        "kernel_deaths": [
            {"name": death.name, "time": _iso(death.time), "memory": death.memory} for death in deaths.latest()
        ],
    }


def add_routes(web_app: Any, session: Session, activity: Activity, deaths: KernelDeaths) -> None:
    """Add the endpoints to a Jupyter server.

    Args:
        web_app: the server's ``ServerWebApplication``.
        session: what the hub said about the session.
        activity: the activity of this server.
        deaths: the unexpected ends of its kernels.
    """
    base = url_path_join(web_app.settings["base_url"], "swotvre")
    knows = {"session": session, "activity": activity, "deaths": deaths}
    web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "session"), SessionHandler, knows),
            (url_path_join(base, "activity"), ActivityHandler, knows),
        ],
    )


class DescribingHandler(APIHandler):
    """What both endpoints share: the description of the session as an answer."""

    auth_resource = "swotvre"

    def initialize(self, session: Session, activity: Activity, deaths: KernelDeaths) -> None:
        """Take what ``add_routes`` gave."""
        self.described = session
        self.activity = activity
        self.deaths = deaths

    def answer(self) -> None:
        """Write the description of this moment."""
        self.set_header("Cache-Control", "no-store")
        self.finish(describe(self.described, self.activity, self.deaths, datetime.now(UTC)))


class SessionHandler(DescribingHandler):
    """Answer what the session is and when it ends."""

    _track_activity = False

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer the session's description."""
        self.answer()


class ActivityHandler(DescribingHandler):
    """Keep the session of a user who is still there."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Record activity of the user and answer the session's description."""
        self.activity.record_user()
        self.answer()


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")
