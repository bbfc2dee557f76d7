"""What all batch sessions of one hub share: engine, commands, the one question for all, and what is left over."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path

from jupyterhub.app import JupyterHub
from tornado.log import app_log

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.cluster_view import ClusterView
from swotvre_hub.engines.base import BatchError, CancelRefusedError, Engine, JobState
from swotvre_hub.engines.pbs import PbsEngine
from swotvre_hub.reflector import Reflector
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.batch_records import BatchJob, BatchRecords
from swotvre_hub.state import State

#: Time between two looks at what is left over, while something is.
LEFTOVER_SECONDS = 5.0
#: A job whose id is not known may still be on its way to the scheduler for so long.
SUBMISSION_SECONDS = 30.0


def make_engine(settings: Settings) -> Engine:
    """Return the batch system of the settings."""
    commands = Path(settings.batch.commands)
    if settings.engine == "slurm":
        from swotvre_hub.engines.slurm import SlurmEngine

        return SlurmEngine(commands, accounting=settings.scheduler.accounting)
    return PbsEngine(commands)


@dataclass
class BatchRuntime:
    """Shared by the spawners of one hub; nothing here belongs to one user."""

    settings: Settings
    state: State
    log: Logger
    engine: Engine = field(init=False)
    runner: CommandRunner = field(init=False)
    reflector: Reflector = field(init=False)
    view: ClusterView = field(init=False)
    records: BatchRecords = field(init=False)
    #: Folder of the records, and what they are of.
    folder: str = "jobs"
    kind: type[BatchJob] = BatchJob
    #: Sessions that a spawner looks after.
    claimed: set[str] = field(default_factory=set)
    _upkeep: asyncio.Task[None] | None = None
    _waiting_for_hub: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        scheduler = self.settings.scheduler
        self.engine = make_engine(self.settings)
        self.runner = CommandRunner(scheduler.command_timeout_seconds)
        self.reflector = Reflector(self.engine, self.runner, scheduler, self.log)
        self.view = ClusterView(self.engine, self.runner, scheduler, self.log)
        self.records = BatchRecords(self.state, self.folder, self.kind)

    # -- jobs that nobody wants ---------------------------------------------------------------------------------------

    def start_upkeep(self) -> None:
        """End what is left over, from now on until nothing is."""
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = asyncio.get_running_loop().create_task(self._end_leftovers())

    def wait_for_hub(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin the upkeep once the hub is up: before, live sessions are claimed by nobody, however long that takes."""

        async def begin() -> None:
            await asyncio.shield(JupyterHub.instance()._start_future)
            self.start_upkeep()

        self._waiting_for_hub = loop.create_task(begin())

    async def stop(self) -> None:
        """End every task of this runtime."""
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
        await self.reflector.stop()

    def leftovers(self) -> list[BatchJob]:
        """Return the jobs that no spawner looks after."""
        return [job for job in self.records.all() if job.session_id not in self.claimed]

    async def _end_leftovers(self) -> None:
        # What was just given up is cancelled by whoever gave it up.
        await asyncio.sleep(LEFTOVER_SECONDS)
        while left := self.leftovers():
            for job in left:
                try:
                    await self.end_leftover(job)
                except BatchError as error:
                    self.log.warning("Session %s of %s is left over: %s", job.session_id, job.user_name, error)
            await asyncio.sleep(LEFTOVER_SECONDS)

    async def end_leftover(self, job: BatchJob) -> bool:
        """Cancel a job that nobody wants; return whether it is over and forgotten.

        Raises:
            BatchError: when the scheduler does not answer or refuses.
        """
        if not job.job_id:
            found = self.engine.parse_found(await self.runner.run(self.engine.find_command(job.job_name)))
            if not found:
                if time.time() - job.submitted_at < SUBMISSION_SECONDS:
                    return False
                self.records.remove(job.session_id)
                return True
            self.log.warning("Session %s of %s was submitted as %s unnoticed", job.session_id, job.user_name, found)
            job = job.changed(job_id=found[0], is_unwanted=True)
            self.records.save(job)
        if await self.is_over(job):
            self.records.remove(job.session_id)
            return True
        self.log.info("Ending job %s of %s, which nobody waits for", job.job_id, job.user_name)
        await self.cancel(job)
        return False

    async def is_over(self, job: BatchJob) -> bool:
        """Return whether the scheduler says that the job has ended; False when it does not answer."""
        seen = await self.reflector.look_soon(job.job_id, self.settings.scheduler.command_timeout_seconds)
        over = seen.status is not None and seen.status.state is JobState.ENDED
        if over:
            self.reflector.forget(job.job_id)
        return over

    async def cancel(self, job: BatchJob) -> None:
        """Have the scheduler end a job.

        Raises:
            BatchError: when it does not answer, or refuses.
        """
        result = await self.runner.run_as(job.user_name, self.engine.cancel_command(job.job_id))
        force = self.engine.force_cancel_command(job.job_id)
        try:
            self.engine.parse_cancelled(result)
        except CancelRefusedError as error:
            if force is None:
                raise
            self.log.warning("Job %s of %s is ended by force: %s", job.job_id, job.user_name, error)
            self.engine.parse_cancelled(await self.runner.run_as(job.user_name, force))
        self.reflector.watch(job.job_id)


def look_after_leftovers(settings: Settings, state: State) -> None:
    """End the jobs that a hub before this one lost sight of; nothing happens with another engine, or outside a hub."""
    if not settings.is_batch:
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    runtime_of(settings, state, app_log).wait_for_hub(loop)


_runtimes: dict[Path, BatchRuntime] = {}


def runtime_of(settings: Settings, state: State, log: Logger) -> BatchRuntime:
    """Return the one runtime of this process for an installation; the first call makes it."""
    if state.root not in _runtimes:
        _runtimes[state.root] = BatchRuntime(settings, state, log)
    return _runtimes[state.root]
