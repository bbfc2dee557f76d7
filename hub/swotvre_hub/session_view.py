"""A user's sessions as the pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from jupyterhub.utils import url_escape_path

from swotvre_hub.cluster_view import describe_resources
from swotvre_hub.durations import describe_duration, describe_hours
from swotvre_hub.errors import SessionRequestError
from swotvre_hub.sessions import SessionRequest
from swotvre_hub.settings import Settings

Phase = Literal["none", "starting", "running", "stopping"]

#: What the pages call the session that has no name.
DEFAULT_TITLE = "Default session"
#: Of a start that failed without words for users.
UNEXPLAINED = "the session ended while it started. The hub's log says more; whoever runs this installation can read it."


@dataclass(frozen=True)
class SessionView:
    """What the pages say of a session."""

    #: Empty: the default one.
    name: str
    #: What people call it.
    title: str
    #: ``ada`` or ``ada/cycle-12``, escaped: what follows ``spawn/``, ``spawn-pending/`` and ``user/`` in its addresses.
    path: str
    #: Its address below the hub's API, escaped.
    api_path: str
    phase: Phase
    #: The session that runs or, when none does, the last one; None when it cannot be started today.
    request: SessionRequest | None
    #: Its duration in words; empty without a request.
    duration: str
    #: The node that it runs on; empty: this machine, or none yet.
    node: str
    #: What its start does at this moment, a sentence; empty when it does not start.
    now: str
    #: End of a running session, UTC.
    ends_at: datetime | None
    #: Time to the end, in words; empty without an end.
    left: str
    #: Share of the duration that is left, 0 to 100.
    left_percent: int
    #: How the last session ended, in words; empty when nothing is known.
    last_end: str
    #: Why the last start failed, in words; empty when it did not.
    failure: str
    #: Whether the user started a session before.
    had_one: bool

    @property
    def holds(self) -> str:
        """Its resources: ``4 cores, 32 GiB``; empty without a request."""
        if self.request is None:
            return ""
        size = self.request.size
        return describe_resources(size.cores, size.memory_gib, size.gpus)


def view_sessions(settings: Settings, user: Any) -> list[SessionView]:
    """Return all sessions of ``user``, a JupyterHub user: the default one, then those with a name by their names."""
    names = sorted(name for name in user.orm_spawners if name) if settings.sessions.per_user > 1 else []
    return [view_session(settings, user.spawners[name]) for name in ("", *names)]


def view_session(settings: Settings, spawner: Any) -> SessionView:
    """Return what ``spawner``, a JupyterHub spawner in whichever state, is doing."""
    options = spawner.user_options or {}
    try:
        request = spawner.parse_options(options)
    except SessionRequestError:
        request = None
    phase = phase_of(spawner.pending, bool(spawner.active))
    started = spawner.began_at if phase == "running" else None
    ends_at = None
    left = timedelta(0)
    if request is not None and started is not None:
        ends_at = started + request.walltime
        left = max(ends_at - datetime.now(UTC), timedelta(0))
    name, owner = spawner.name, spawner.user.escaped_name
    escaped = url_escape_path(name)
    return SessionView(
        name=name,
        title=(spawner.display_name or name) if name else DEFAULT_TITLE,
        path=f"{owner}/{escaped}" if name else owner,
        api_path=f"users/{owner}/servers/{escaped}" if name else f"users/{owner}/server",
        phase=phase,
        request=request,
        duration=describe_hours(request.walltime_hours) if request else "",
        node=spawner.node if phase in {"running", "stopping"} else "",
        now=_now(spawner) if phase == "starting" else "",
        ends_at=ends_at,
        left=describe_duration(left) if ends_at else "",
        left_percent=round(100 * left / request.walltime) if request and ends_at else 0,
        last_end=getattr(spawner, "last_end", None) or "",
        failure=_failure(spawner) if phase == "none" else "",
        had_one=bool(options),
    )


def phase_of(pending: str | None, active: bool) -> Phase:
    """Return the phase for a spawner's ``pending`` and ``active``."""
    if pending == "stop":
        return "stopping"
    if pending == "spawn":
        return "starting"
    return "running" if active else "none"


def _now(spawner: Any) -> str:
    """Return the last line of the progress page."""
    return str(getattr(spawner, "last_told", ""))


def _failure(spawner: Any) -> str:
    """Return what a failed start said; JupyterHub remembers it until the next start, or its own."""
    error = getattr(spawner, "_failed", None)
    if not isinstance(error, BaseException):
        return ""
    # Refusals have words for users; whatever else went wrong has none.
    return str(getattr(error, "jupyterhub_message", None) or getattr(error, "message", None) or UNEXPLAINED)
