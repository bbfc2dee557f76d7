"""What the state folder keeps about batch sessions, written before a job is submitted: no crash leaves a job unknown.

No secret is in it: neither a token nor an environment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from swotvre_hub.state import State

_SESSION_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class BatchJob:
    """One session that was, or is about to be, submitted."""

    #: Sixteen hexadecimal digits.
    session_id: str
    user_name: str
    server_name: str
    engine: str
    #: Name of the size.
    size: str
    walltime_seconds: int
    #: Seconds since the epoch.
    submitted_at: float
    #: The scheduler's id; empty: it is not known (yet) whether the job was taken.
    job_id: str = ""
    #: Port that the session listens on; 0: it has not said.
    port: int = 0
    #: Node that it runs on; empty: none yet.
    host: str = ""
    #: Log of the job, absolute.
    log: str = ""
    #: SHA-256 of the token with which it reports its port; the token itself is kept nowhere.
    token_digest: str = ""
    #: When it began to run, seconds since the epoch; 0: not yet.
    started_at: float = 0.0
    #: Whether it answered once: a start is then over.
    is_up: bool = False
    #: Whether the hub has given it up: it is cancelled until it is over.
    is_unwanted: bool = False

    @property
    def job_name(self) -> str:
        """The name by which the scheduler finds the job when its id is not known."""
        return f"vre-{self.session_id}"

    def changed(self, **changes: Any) -> BatchJob:
        """Return the job with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> BatchJob | None:
        """Return the job that ``to_json`` wrote, or None when ``content`` is not one."""
        if not isinstance(content, dict) or not {"session_id", "user_name", "server_name"} <= set(content):
            return None
        known = {item.name: content[item.name] for item in fields(cls) if item.name in content}
        try:
            job = cls(**known)
        except TypeError:
            return None
        # A number of seconds may be a whole one; nothing else is taken for what it is not.
        kinds: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool}
        for item in fields(cls):
            value = getattr(job, item.name)
            if not isinstance(value, kinds[str(item.type)]) or (isinstance(value, bool) and item.type != "bool"):
                return None
        return job if _SESSION_ID.fullmatch(job.session_id) else None


class BatchRecords:
    """The records of one installation, in ``run/jobs`` of the state folder; its hub is the only one that writes.

    Those of Dask clusters are beside it, and the gateway's own.
    """

    def __init__(self, state: State, folder: str = "jobs", kind: type[BatchJob] = BatchJob) -> None:
        self.folder = state.run / folder
        self._kind = kind
        self._jobs: dict[str, BatchJob] | None = None

    def save(self, job: BatchJob, durable: bool = True) -> None:
        """Keep ``job``, in place of what was kept of it before; ``durable``: it survives a crash of the machine."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(job.session_id)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with partial.open("w", encoding="ascii") as stream:
            json.dump(job.to_json(), stream)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        partial.replace(path)
        if self._jobs is not None:
            self._jobs[job.session_id] = job

    def remove(self, session_id: str) -> None:
        """Forget a job that is over."""
        self._path(session_id).unlink(missing_ok=True)
        if self._jobs is not None:
            self._jobs.pop(session_id, None)

    def all(self) -> Iterator[BatchJob]:
        """Yield every job that is kept."""
        if self._jobs is None:
            self._jobs = {job.session_id: job for job in self._read()}
        yield from list(self._jobs.values())

    def _read(self) -> Iterator[BatchJob]:
        for path in sorted(self.folder.glob("*.json")):
            try:
                job = self._kind.from_json(json.loads(path.read_text(encoding="ascii")))
            except (OSError, ValueError):
                continue
            if job is not None:
                yield job

    def of(self, user_name: str, server_name: str) -> Iterator[BatchJob]:
        """Yield the jobs of one session name of a user."""
        yield from (job for job in self.all() if (job.user_name, job.server_name) == (user_name, server_name))

    def _path(self, session_id: str) -> Path:
        return self.folder / f"{session_id}.json"
