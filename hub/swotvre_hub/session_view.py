"""A user's session as the pages show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from swotvre_hub.durations import describe_duration, describe_hours
from swotvre_hub.errors import SessionRequestError
from swotvre_hub.machine import measure_machine
from swotvre_hub.sessions import SessionRequest, parse_session_request
from swotvre_hub.settings import Settings

Phase = Literal["none", "starting", "running", "stopping"]


@dataclass(frozen=True)
class SessionView:
    """What the home page says of a session."""

    phase: Phase
    #: The session that runs or, when none does, the last one; None when it cannot be started today.
    request: SessionRequest | None
    #: Its duration in words; empty without a request.
    duration: str
    #: End of a running session, UTC.
    ends_at: datetime | None
    #: Time to the end, in words; empty without an end.
    left: str
    #: Share of the duration that is left, 0 to 100.
    left_percent: int
    #: How the last session ended, in words; empty when nothing is known.
    last_end: str
    #: Whether the user started a session before.
    had_one: bool


def view_session(settings: Settings, spawner: Any) -> SessionView:
    """Return what ``spawner``, a JupyterHub spawner in whichever state, is doing."""
    options = spawner.user_options or {}
    try:
        request = parse_session_request(options, settings, measure_machine())
    except SessionRequestError:
        request = None
    phase = phase_of(spawner.pending, bool(spawner.active))
    started = spawner.orm_spawner.started if phase == "running" else None
    ends_at = None
    left = timedelta(0)
    if request is not None and started is not None:
        # JupyterHub keeps times in UTC, without saying so.
        ends_at = started.replace(tzinfo=UTC) + request.walltime
        left = max(ends_at - datetime.now(UTC), timedelta(0))
    return SessionView(
        phase=phase,
        request=request,
        duration=describe_hours(request.walltime_hours) if request else "",
        ends_at=ends_at,
        left=describe_duration(left) if ends_at else "",
        left_percent=round(100 * left / request.walltime) if request and ends_at else 0,
        last_end=getattr(spawner, "last_end", None) or "",
        had_one=bool(options),
    )


def phase_of(pending: str | None, active: bool) -> Phase:
    """Return the phase for a spawner's ``pending`` and ``active``."""
    if pending == "stop":
        return "stopping"
    if pending == "spawn":
        return "starting"
    return "running" if active else "none"
