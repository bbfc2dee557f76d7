"""What the hub keeps of a batch session, saved at once: in the records of this installation and in its database."""

from __future__ import annotations

import asyncio
import pwd
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchspawner import BatchSpawnerBase
from traitlets import Unicode

from swotvre_hub.certificates import KeyPair
from swotvre_hub.spawner.batch_records import BatchJob
from swotvre_hub.spawner.batch_runtime import BatchRuntime, runtime_of
from swotvre_hub.spawner.session import SessionMixin, refusal
from swotvre_hub.spawner.user_files import handle_user_files


class KeptJob(SessionMixin, BatchSpawnerBase):
    """Knows the job of a session, and forgets it only when the scheduler says that it ended."""

    ip = Unicode("0.0.0.0", help="Address that sessions listen on at their nodes.").tag(config=True)  # noqa: S104

    # What ``jupyterhub.spawner.Spawner`` and ``batchspawner.BatchSpawnerBase`` bring.
    job_id: Any
    port: Any
    server: Any
    api_token: Any
    internal_ssl: Any
    internal_trust_bundles: Any
    internal_certs_location: Any
    db: Any
    http_timeout: Any
    poll_and_notify: Any
    _log_name: str
    _spawn_pending: bool
    _spawn_future: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._job: BatchJob | None = None
        self._keys: KeyPair | None = None
        self._submission: asyncio.Task[str] | None = None
        self._reported = asyncio.Event()
        self._session_id = ""
        self._is_starting = False
        #: Digest of the token with which the session may report; empty: nothing is awaited.
        self.token_digest = ""

    @property
    def runtime(self) -> BatchRuntime:
        """What all sessions of this hub share."""
        return runtime_of(self.settings, self.state, self.log)

    @property
    def port_range(self) -> range:
        """The ports that a session may report."""
        return self.settings.batch.port_range

    @property
    def node(self) -> str:
        """The node that the session runs on; empty: none yet."""
        return self._job.host if self._job is not None else ""

    @property
    def began_at(self) -> datetime | None:
        """When the job began to run, UTC; None: it has not."""
        if self._job is None or not self._job.started_at:
            return None
        return datetime.fromtimestamp(self._job.started_at, UTC)

    @property
    def workspace(self) -> Path:
        """The folder of this user's files: the home of the account, unless the settings say otherwise."""
        if self.settings.sessions.workspace:
            return super().workspace
        return Path(self._account().pw_dir)

    def _account(self) -> pwd.struct_passwd:
        try:
            return pwd.getpwnam(self.user.name)
        except KeyError as error:
            raise refusal(
                f"the account {self.user.name!r} does not exist on this machine; sessions run as the account that "
                "logs in. Tell who runs this site.",
                "no-account",
                403,
            ) from error

    @property
    def _python(self) -> Path:
        return self.settings.batch.lab_python

    async def _files(self, verb: str, *arguments: str) -> dict[str, Any]:
        """Run `session_files` as the user; return what it says, ``error`` in it when it could not be run."""
        arguments = (verb, self._session_id, *arguments)
        return await handle_user_files(self.runtime.runner, self._python, self.user.name, *arguments)

    def _new_id(self) -> str:
        self._session_id = secrets.token_hex(8)
        return self._session_id

    def _live_job(self) -> BatchJob:
        if self._job is None:
            raise refusal("the session was cancelled.", "cancelled")
        return self._job

    def _size(self, job: BatchJob) -> Any:
        sizes = self.settings.sizes
        return sizes.get(job.size) or sizes[self.settings.sessions.default_size]

    def _keep(self, job: BatchJob, durable: bool = True) -> None:
        """Save the job at once: a hub may be killed at any time.

        Args:
            job: as it is now.
            durable: whether it also survives a crash of the machine, and stands in the hub's database: what the job can
                tell again need not.
        """
        self._job = job
        self.job_id = job.job_id
        self.token_digest = job.token_digest
        self.runtime.claimed.add(job.session_id)
        self.runtime.records.save(job, durable)
        if durable and self.orm_spawner is not None:
            self.orm_spawner.state = self.get_state()
            self.commit()

    def _notice_end(self) -> None:
        """Have the hub look at once, not at its next round."""
        if getattr(self, "_poll_callback", None) is not None:
            task = asyncio.ensure_future(self.poll_and_notify())
            task.add_done_callback(look_at)

    def _give_up(self, job: BatchJob) -> None:
        """Leave the job to the upkeep, which forgets it only when the scheduler says that it ended."""
        self.runtime.records.save((self._job or job).changed(is_unwanted=True))
        self.runtime.claimed.discard(job.session_id)
        self.token_digest = ""
        self.runtime.start_upkeep()

    def _drop(self, job: BatchJob) -> None:
        """Forget a job that is over."""
        if self._job is not None and self._job.session_id == job.session_id:
            self._job = None
        self.runtime.records.remove(job.session_id)
        self.runtime.claimed.discard(job.session_id)
        self.token_digest = ""
        if job.job_id:
            self.runtime.reflector.forget(job.job_id)

    def get_state(self) -> dict[str, Any]:
        """Return what the next hub needs to find the session; no secret is in it."""
        state: dict[str, Any] = super().get_state()
        state.pop("job_status", None)
        if self._job is not None:
            state["job"] = self._job.to_json()
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Find the session that a hub before this one submitted."""
        super().load_state(state)
        job = BatchJob.from_json(state.get("job"))
        if job is None:
            return
        # The record is written first, and may know more.
        kept = {kept.session_id: kept for kept in self.runtime.records.of(self.user.name, self.name)}
        self._job = job = kept.get(job.session_id, job)
        self._session_id = job.session_id
        self.job_id, self.port, self.token_digest = job.job_id, job.port, job.token_digest
        self.runtime.claimed.add(job.session_id)

    def clear_state(self) -> None:
        """Forget the session; its record stays until the scheduler says that it ended."""
        super().clear_state()
        if self._job is not None:
            self.runtime.claimed.discard(self._job.session_id)
        self._job = None
        self._keys = None
        self._submission = None
        self._reported.clear()
        self.token_digest = ""
        self.port = 0

    def _url(self, job: BatchJob) -> str:
        return f"{self._scheme}://{job.host}:{job.port}"

    @property
    def _scheme(self) -> str:
        return "https" if self.internal_ssl else "http"


def look_at(task: asyncio.Future[Any]) -> None:
    """Take the outcome of a task that may have nobody who waits for it."""
    if not task.cancelled():
        task.exception()
