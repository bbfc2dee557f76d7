"""What the gateway says about a cluster, and the one line that tells it to the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerCounts:
    """Workers of a cluster, as the gateway counts them."""

    wanted: int
    running: int
    #: Not begun: their jobs wait for room.
    waiting: int
    #: Why they wait, in words; empty: nobody said.
    message: str = ""


@dataclass(frozen=True)
class ClusterState:
    """One cluster."""

    name: str
    #: ``pending``, ``running``, ``stopping``, ``stopped`` or ``failed``.
    status: str
    #: Why it is in this state, in words; empty: nobody said.
    message: str = ""
    size: str = ""
    #: None: a gateway that does not count them.
    workers: WorkerCounts | None = None

    @property
    def is_pending(self) -> bool:
        """Whether its scheduler has yet to start."""
        return self.status == "pending"

    @property
    def is_over(self) -> bool:
        """Whether it ends or has ended."""
        return self.status not in {"pending", "running"}


def read_state(answer: Mapping[str, Any]) -> ClusterState:
    """Return the state that the gateway answered with; what it leaves out is unknown."""
    counts = answer.get("workers")
    workers = None
    if isinstance(counts, Mapping):
        workers = WorkerCounts(
            wanted=_count(counts, "wanted"),
            running=_count(counts, "running"),
            waiting=_count(counts, "waiting"),
            message=_words(counts, "message"),
        )
    return ClusterState(
        name=_words(answer, "name"),
        status=_words(answer, "status").lower(),
        message=_words(answer, "message"),
        size=_words(answer, "size"),
        workers=workers,
    )


def describe_start(state: ClusterState) -> str:
    """Return what a cluster whose scheduler has yet to start waits for."""
    return f"cluster: {state.message}" if state.message else "cluster: starting"


def describe_workers(connected: int, wanted: int, state: ClusterState) -> str:
    """Return how far the workers are, for example ``2 of 8 workers, 6 waiting: waiting for 16 free cores``.

    Args:
        connected: workers that compute.
        wanted: workers that were asked for.
        state: what the gateway says meanwhile.
    """
    line = f"{connected} of {wanted} worker{'' if wanted == 1 else 's'}"
    missing = wanted - connected
    if missing <= 0:
        return line
    waiting = min(_waiting(wanted, state.workers), missing) if state.workers else 0
    if starting := missing - waiting:
        line += f", {starting} starting"
    if not waiting:
        return line
    line += f", {waiting} waiting"
    return f"{line}: {state.workers.message}" if state.workers and state.workers.message else line


def describe_seconds(seconds: float) -> str:
    """Return a duration as people say it: ``34 s``, ``12 min``, ``3 h 5 min``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _waiting(wanted: int, counts: WorkerCounts) -> int:
    # What a cap withholds is not among the wanted of the gateway, which says why.
    withheld = wanted - counts.wanted if counts.wanted and counts.message else 0
    return counts.waiting + max(withheld, 0)


def _count(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _words(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    # One line: what a scheduler says may have more.
    return " ".join(str(value).split()) if value is not None else ""
