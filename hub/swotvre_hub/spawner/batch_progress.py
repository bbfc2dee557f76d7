"""What a user reads while a session waits and starts: the scheduler's own state and reason, in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from swotvre_hub.durations import describe_duration
from swotvre_hub.engines.base import JobState, JobStatus, Place


@dataclass(frozen=True)
class Told:
    """One line of the progress page."""

    percent: int
    message: str
    #: What the line is about: a line of the same kind takes its place.
    kind: str
    #: What the page shows beside it: ``reason``, ``place``, ``waiting``, ``expected_at``.
    more: dict[str, Any] = field(default_factory=dict)


def describe_progress(
    scheduler: str, status: JobStatus | None, place: Place | None, trouble: str | None, now: datetime | None = None
) -> Told | None:
    """Return what a user is told, or None when there is nothing new to say.

    Args:
        scheduler: how people call the scheduler.
        status: what is known of the job; None: nothing yet.
        place: where it stands among the waiting.
        trouble: why the scheduler does not answer; None: it does.
        now: the time, UTC.
    """
    if trouble is not None:
        words = f"{scheduler} does not answer at present; the session is kept, and asked for again."
        return Told(15, words, "trouble", {"reason": trouble})
    if status is None:
        return Told(15, f"Handed over to {scheduler}.", "submitted")
    if status.state.is_pending:
        return _waiting(status, place, now or datetime.now(UTC))
    on = f" on {status.host}" if status.host else ""
    if status.state is JobState.STARTING:
        return Told(40, f"A node is being made ready{on}.", "node")
    if status.state is JobState.RUNNING:
        return Told(60, f"Running{on}; JupyterLab comes up.", "running", {"node": status.host})
    if status.state is JobState.SUSPENDED:
        return Told(40, f"Suspended{on}: another job uses its node for a while.", "suspended")
    return None


def _waiting(status: JobStatus, place: Place | None, now: datetime) -> Told:
    reason = status.explanation or ("held back" if status.state is JobState.HELD else "waiting for its turn")
    parts = [reason[:1].upper() + reason[1:]]
    more: dict[str, Any] = {"reason": status.reason, "explanation": parts[0]}
    if place is not None:
        parts.append(f"place {place.number} of {place.of} that wait")
        more |= {"place": place.number, "waiting": place.of}
    if status.estimated_start is not None and status.estimated_start > now:
        parts.append(f"expected to start in about {describe_duration(status.estimated_start - now)}")
        more["expected_at"] = status.estimated_start.isoformat(timespec="seconds")
    return Told(20, "; ".join(parts) + ".", "waiting", more)
