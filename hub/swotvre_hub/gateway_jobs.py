"""Jobs of Dask clusters: submitted and ended as their user, kept on record before anything else can fail."""

from __future__ import annotations

import asyncio
import pwd
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from logging import Logger
from pathlib import Path
from typing import Any

from swotvre_hub.engines.base import (
    BatchError,
    EndCause,
    JobEnd,
    JobRequest,
    JobState,
    SchedulerUnavailableError,
    SubmitRefusedError,
)
from swotvre_hub.errors import VreError
from swotvre_hub.reflector import Seen
from swotvre_hub.session_files import log_path
from swotvre_hub.sessions import SessionRequest
from swotvre_hub.settings import SessionSize, Settings
from swotvre_hub.spawner.batch_ending import BatchEnd
from swotvre_hub.spawner.batch_records import BatchJob
from swotvre_hub.spawner.batch_runtime import BatchRuntime
from swotvre_hub.spawner.batch_script import render_dask_script
from swotvre_hub.spawner.batch_stopping import merge_ends
from swotvre_hub.spawner.user_files import handle_user_files
from swotvre_hub.state import State

#: Of a log, what is told of a scheduler or worker that ended by itself.
TOLD_LINES = 3


class NotSubmittedError(VreError):
    """A job that the scheduler did not take; the message says why."""


@dataclass(frozen=True)
class DaskJob(BatchJob):
    """The job of a scheduler or of a worker; ``server_name`` is the name of its cluster."""

    #: ``scheduler`` or ``worker``.
    role: str = "worker"
    #: Name of the worker; empty: a scheduler.
    worker: str = ""

    @property
    def job_name(self) -> str:
        """The name by which the scheduler finds the job when its id is not known, and people know what it is."""
        return f"vre-dask-{self.role}-{self.session_id}"


class DaskJobs:
    """All jobs of the clusters of one gateway."""

    def __init__(self, settings: Settings, state: State, log: Logger, on_end: Callable[[DaskJob], Any]) -> None:
        self.runtime = BatchRuntime(settings, state, log, folder="dask-jobs", kind=DaskJob)
        self._settings = settings
        self._log = log
        self._on_end = on_end
        #: Users whose folder of logs is known to be there.
        self._ready: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def get(self, job_id: object) -> DaskJob | None:
        """Return the job of which ``job_id`` is our own id, if it is not over."""
        return next((job for job in self._all() if job.session_id == job_id), None)

    def _all(self) -> list[DaskJob]:
        return [job for job in self.runtime.records.all() if isinstance(job, DaskJob)]

    def new(self, cluster_name: str, user_name: str, size: str, walltime: timedelta, worker: str = "") -> DaskJob:
        """Return a job that is to be submitted."""
        own_id = secrets.token_hex(8)
        return DaskJob(
            session_id=own_id,
            user_name=user_name,
            server_name=cluster_name,
            engine=self.runtime.engine.name,
            size=size,
            walltime_seconds=round(walltime.total_seconds()),
            submitted_at=time.time(),
            log=str(log_path(self.folder(user_name), own_id)),
            role="worker" if worker else "scheduler",
            worker=worker,
        )

    def folder(self, user_name: str) -> Path:
        """Return the folder of a user's files.

        Raises:
            NotSubmittedError: when there is no such account.
        """
        if workspace := self._settings.sessions.workspace:
            return Path(workspace.replace("{username}", user_name))
        try:
            return Path(pwd.getpwnam(user_name).pw_dir)
        except KeyError as error:
            raise NotSubmittedError(
                f"the account {user_name!r} does not exist on this machine; clusters run as the account that logs in. "
                "Tell who runs this site"
            ) from error

    async def submit(
        self,
        job: DaskJob,
        size: SessionSize,
        place: SessionRequest | Any,
        command: list[str],
        environment: dict[str, str],
    ) -> DaskJob:
        """Hand a job over to the scheduler; return it with its id.

        Args:
            job: as `new` made it.
            size: cores, memory and GPUs.
            place: what has ``queue`` and ``project``.
            command: what it runs on its node.
            environment: what it is told; in the body of its script, and nowhere else.

        Raises:
            NotSubmittedError: in words, when the scheduler refuses it or does not answer.
        """
        runtime = self.runtime
        folder = self.folder(job.user_name)
        await self._prepare(job, folder)
        request = JobRequest(
            name=job.job_name,
            cores=size.cores,
            memory_bytes=size.memory_bytes,
            walltime=timedelta(seconds=job.walltime_seconds),
            log=job.log,
            gpus=size.gpus,
            queue=place.queue,
            project=place.project,
        )
        script = render_dask_script(command, str(folder), environment)
        runtime.claimed.add(job.session_id)
        runtime.records.save(job)
        try:
            result = await runtime.runner.run_as(job.user_name, runtime.engine.submit_command(request), script)
            job_id = runtime.engine.parse_submitted(result)
        except (SubmitRefusedError, ValueError) as error:
            self._drop(job)
            # The engines speak of what they start as a rule.
            raise NotSubmittedError(str(error).replace("the session", "the cluster")) from error
        except BaseException as error:
            # Whether the job was taken is not known: it is looked for by its name, and ended.
            self._give_up(job)
            if isinstance(error, SchedulerUnavailableError):
                raise NotSubmittedError(
                    f"the scheduler does not answer ({error}). Nothing was started; try again in some minutes"
                ) from error
            raise
        job = replace(job, job_id=job_id)
        # Were this lost with the machine, the job would be found by its name.
        runtime.records.save(job, durable=False)
        self._log.info("The %s of cluster %s of %s is job %s", job.role, job.server_name, job.user_name, job_id)
        self.take_up(job)
        return job

    async def _prepare(self, job: DaskJob, folder: Path) -> None:
        if job.user_name in self._ready:
            return
        days = str(self._settings.scheduler.log_days)
        answer = await self._files(job, "begin", str(folder), days)
        if "log" not in answer:
            raise NotSubmittedError(str(answer.get("error", f"the folder {folder} cannot be used")))
        self._ready.add(job.user_name)

    async def _files(self, job: DaskJob, verb: str, *arguments: str) -> dict[str, Any]:
        python = self._settings.batch.lab_python
        runner = self.runtime.runner
        return await handle_user_files(runner, python, job.user_name, verb, job.session_id, *arguments)

    # -- a job that runs ----------------------------------------------------------------------------------------------

    def take_up(self, job: DaskJob) -> None:
        """Look after a job from now on: its end is told."""
        self.runtime.claimed.add(job.session_id)
        if job.job_id:
            self.runtime.reflector.watch(job.job_id, lambda: self._notice_end(job.session_id))

    def look(self, job: DaskJob | None) -> Seen:
        """Return what the scheduler said of a job last."""
        if job is None or not job.job_id:
            return Seen(None, None, None, None)
        return self.runtime.reflector.look(job.job_id)

    async def node_of(self, job: DaskJob, timeout_seconds: float) -> str:
        """Return the node that the scheduler says a job runs on, waiting for its answer; empty: it does not say."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            status = self.look(job).status
            if status is not None and status.host:
                return status.host
            left = deadline - time.monotonic()
            if left <= 0 or self.get(job.session_id) is None:
                return ""
            await self.runtime.reflector.wait_for_news(min(left, 1.0))

    # -- its end ------------------------------------------------------------------------------------------------------

    async def end(self, kept: Mapping[str, Any], cluster_name: str, user_name: str) -> None:
        """Have the scheduler end the job of a part of a cluster; what it does not do now is done when it can.

        Args:
            kept: what the database has of the part: ``job`` and, once it was taken, ``job_id``.
            cluster_name: of its cluster.
            user_name: of the cluster; the scheduler lets him end his own jobs alone.
        """
        job = self.get(kept.get("job"))
        if job is None and kept.get("job_id") and not kept.get("over"):
            # Its record is lost; by the scheduler's id it is ended all the same.
            job = replace(self.new(cluster_name, user_name, "", timedelta()), job_id=str(kept["job_id"]))
        if job is None:
            return
        self._give_up(job)
        if not job.job_id:
            return
        try:
            await self.runtime.cancel(job)
        except BatchError as error:
            self._log.warning("Job %s of %s is cancelled later: %s", job.job_id, job.user_name, error)

    def _give_up(self, job: DaskJob) -> None:
        self.runtime.claimed.discard(job.session_id)
        self.runtime.records.save(job.changed(is_unwanted=True), durable=False)
        self.runtime.start_upkeep()

    def _drop(self, job: DaskJob) -> None:
        self.runtime.claimed.discard(job.session_id)
        self.runtime.records.remove(job.session_id)

    def _notice_end(self, own_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._note_end(own_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note_end(self, own_id: str) -> None:
        job = self.get(own_id)
        if job is None:
            return
        if not job.is_unwanted:
            await self._on_end(job)
        self.runtime.reflector.forget(job.job_id)
        self._drop(job)

    async def find_end(self, job: DaskJob, size: SessionSize) -> tuple[JobEnd, str]:
        """Return how a job ended, and the same in words without a full stop."""
        engine, runner = self.runtime.engine, self.runtime.runner
        seen = self.look(job)
        end = (seen.status.end if seen.status else None) or JobEnd(EndCause.FORGOTTEN)
        if (history := engine.history_command(job.job_id)) is not None:
            with suppress(BatchError):
                end = merge_ends(end, engine.parse_history(await runner.run(history), job.job_id))
        host = seen.status.host if seen.status else ""
        words = BatchEnd(size, host, end, None, None, job.user_name, f"the Dask {job.role}").reason()
        if end.cause in {EndCause.ENDED, EndCause.NOT_STARTED}:
            said = (await self._files(job, "end", str(self.folder(job.user_name)))).get("log") or []
            if lines := [str(line).strip() for line in said][-TOLD_LINES:]:
                words += f". It said: {' / '.join(lines)} (log: {job.log})"
        return end, words

    async def stop(self) -> None:
        """End every task; jobs go on."""
        for task in list(self._tasks):
            task.cancel()
        await self.runtime.stop()


def is_pending(seen: Seen) -> bool:
    """Return whether a job has not begun, or nothing is known of it yet."""
    return seen.status is None or seen.status.state.is_pending


def has_ended(seen: Seen) -> bool:
    """Return whether the scheduler says that a job is over."""
    return seen.status is not None and seen.status.state is JobState.ENDED
