"""What a user is told of a Dask cluster: the answer of ``/api/v1/clusters/NAME/state``, and the rows of the pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class WorkersState:
    """The workers of one cluster, counted."""

    #: How many the cluster is to have.
    wanted: int = 0
    #: How many compute.
    running: int = 0
    #: How many wait in the scheduler's queue.
    waiting: int = 0
    #: How many have their place and come up.
    starting: int = 0
    #: Why there are fewer than wanted, in words; empty: nothing to say.
    message: str = ""


@dataclass(frozen=True)
class ClusterState:
    """One cluster; the fields are those of the JSON answer, and None is ``null``."""

    name: str
    #: As Dask Gateway says it: ``PENDING``, ``RUNNING``, ``STOPPING``, ``STOPPED`` or ``FAILED``.
    status: str
    #: Why it waits, how it starts, why it ended; empty: nothing to say.
    message: str
    size: str
    kernel: str
    kernel_version: str
    workers: WorkersState = field(default_factory=WorkersState)
    #: Of the job of its scheduler.
    job_id: str | None = None
    node: str | None = None
    #: UTC, ``2026-11-30T09:15:00Z``.
    started_at: str | None = None
    ends_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON answer."""
        return asdict(self)


def format_time(seconds: float | None) -> str | None:
    """Return seconds since the epoch as ``2026-11-30T09:15:00Z``; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def most_common_words(words: Iterable[str]) -> str:
    """Return what is said most often, the first of several; empty when nothing is said."""
    said = Counter(one for one in words if one)
    return said.most_common(1)[0][0] if said else ""


def one_line(message: object) -> str:
    """Return a message as the one line that the reason of an HTTP status is."""
    return " ".join(str(message).split())


def option(config: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return a value of a cluster's configuration; of a cluster of before the option existed, the default."""
    value = config.get(name)
    return default if value is None else value
