"""One question per interval for all sessions of the hub: the only place that asks a scheduler how its jobs are.

A scheduler that does not answer leaves the last good answer in place, with its age: nothing is known then, and nothing
has ended.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging import Logger

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.batch_settings import Scheduler
from swotvre_hub.engines.base import EndCause, Engine, JobState, JobStatus, Place, SchedulerUnavailableError

#: A job is asked after quickly for so long after it was submitted, began to run, or was cancelled.
QUICK_SECONDS = 30.0
#: A job that waits for longer is asked after so many times less often than one that starts, at most.
PATIENT_FACTOR = 10
#: Share of an interval by which it varies, so that several hubs do not ask in step.
JITTER = 0.1
#: After so many failures in a row the interval grows no further.
LARGEST_BACK_OFF = 2**4
LONGEST_PAUSE_SECONDS = 30.0
#: The places of waiting jobs among all others are asked for so many times less often than their states.
PLACES_EVERY_SECONDS = 5.0
#: A job is believed to be forgotten when the scheduler says so so many times in a row.
FORGOTTEN_TIMES = 2
#: A job that so many answers in a row leave out is asked for alone; so many of them per question.
LEFT_OUT_TIMES, LEFT_OUT_AT_ONCE = 2, 3


@dataclass
class Watched:
    """A job that somebody wants to know of."""

    #: Until when (monotonic clock) its changes are expected at any moment.
    quick_until: float
    status: JobStatus | None = None
    place: Place | None = None
    #: When the last good answer that spoke of it was asked for, monotonic; None: never.
    known_at: float | None = None
    forgotten: int = 0
    #: How many answers in a row did not speak of it.
    left_out: int = 0
    #: Called once, when the job has ended.
    on_end: Callable[[], None] | None = None


@dataclass(frozen=True)
class Seen:
    """What is known of a job."""

    #: None: unknown, because the scheduler has not answered since the job was submitted.
    status: JobStatus | None
    place: Place | None
    #: Age of the status in seconds; None without a status.
    age_seconds: float | None
    #: Why the scheduler does not answer at present, in words; None: it does.
    trouble: str | None


@dataclass
class Reflector:
    """Asks for all watched jobs at once, and tells whoever waits."""

    engine: Engine
    runner: CommandRunner
    settings: Scheduler
    log: Logger
    clock: Callable[[], float] = time.monotonic
    #: Questions for states that were asked, for those who count them.
    questions: int = 0
    _jobs: dict[str, Watched] = field(default_factory=dict)
    _trouble: str | None = None
    _failures: int = 0
    _places_at: float = float("-inf")
    _task: asyncio.Task[None] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self, job_id: str, on_end: Callable[[], None] | None = None) -> None:
        """Ask after ``job_id`` from now on, quickly at first; call ``on_end`` when it has ended."""
        job = self._jobs.setdefault(job_id, Watched(0.0))
        job.quick_until = self.clock() + QUICK_SECONDS
        job.on_end = on_end or job.on_end
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._ask_on())

    def call_at_end(self, job_id: str, on_end: Callable[[], None]) -> None:
        """Call ``on_end`` when a watched job has ended."""
        if (job := self._jobs.get(job_id)) is not None and (job.status is None or job.status.end is None):
            job.on_end = on_end

    def forget(self, job_id: str) -> None:
        """Stop asking after a job."""
        self._jobs.pop(job_id, None)

    def look(self, job_id: str) -> Seen:
        """Return what is known of a watched job, without asking."""
        job = self._jobs.get(job_id)
        if job is None or job.known_at is None:
            return Seen(None, None, None, self._trouble)
        return Seen(job.status, job.place, self.clock() - job.known_at, self._trouble)

    async def wait_for_news(self, timeout_seconds: float) -> bool:
        """Wait until a question was answered, or was not; return False when the time is over before."""
        news = self._news
        try:
            async with asyncio.timeout(timeout_seconds):
                await news.wait()
        except TimeoutError:
            return False
        return True

    async def look_soon(self, job_id: str, timeout_seconds: float) -> Seen:
        """Return what is known of a job, after its first answer if there was none, waiting for that at most so long."""
        if job_id not in self._jobs:
            self.watch(job_id)
        deadline = self.clock() + timeout_seconds
        while (job := self._jobs.get(job_id)) is not None and job.known_at is None:
            left = deadline - self.clock()
            if left <= 0 or not await self.wait_for_news(left):
                break
        return self.look(job_id)

    async def stop(self) -> None:
        """End the questions."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def interval_seconds(self) -> float:
        """Return the time until the next question, without jitter."""
        now = self.clock()
        quick = self.settings.starting_query_seconds
        if any(now < job.quick_until for job in self._jobs.values()):
            base = quick
        elif any(job.status is None or job.status.state.is_pending for job in self._jobs.values()):
            base = min(quick * PATIENT_FACTOR, self.settings.query_seconds)
        else:
            base = self.settings.query_seconds
        if self._failures:
            back_off = min(quick * 2**self._failures, quick * LARGEST_BACK_OFF * 4, LONGEST_PAUSE_SECONDS)
            base = max(base, back_off)
        return base

    async def _ask_on(self) -> None:
        """Ask for as long as there is a job to ask for."""
        while self._jobs:
            self._wake.clear()
            await self._ask()
            pause = self.interval_seconds() * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            # One that was just submitted is not kept waiting; a scheduler in trouble is.
            if not self._failures:
                await asyncio.sleep(min(pause, self.settings.starting_query_seconds))
                pause -= self.settings.starting_query_seconds
            if pause > 0:
                if self._failures:
                    await asyncio.sleep(pause)
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._wake.wait()

    async def _ask(self) -> None:
        try:
            await self._ask_for_all()
        except SchedulerUnavailableError as error:
            self._note_failure(str(error))
        except Exception:
            # Whatever a scheduler prints, the questions go on: nobody else would notice that they have stopped.
            self.log.exception("The scheduler's answer could not be read")
            self._note_failure("its answer could not be read")
        finally:
            self._news.set()
            self._news = asyncio.Event()

    async def _ask_for_all(self) -> None:
        asked_at = self.clock()
        job_ids = self._well_formed(list(self._jobs))
        answers = await self._ask_states(job_ids) if job_ids else {}
        if self._trouble is not None:
            self.log.warning("The scheduler answers again")
        self._trouble, self._failures = None, 0
        for job_id, status in answers.items():
            self._take(job_id, status, asked_at)
        await self._ask_places()
        await self._ask_left_out(set(job_ids) - set(answers))

    def _well_formed(self, job_ids: list[str]) -> list[str]:
        """Return the ids that the engine can ask for; another one would have the question for all of them refused."""
        try:
            self.engine.status_command(job_ids)
        except ValueError:
            for job_id in job_ids:
                try:
                    self.engine.status_command([job_id])
                except ValueError as error:
                    self.log.warning("A job is not asked after any more: %s", error)
                    self.forget(job_id)
        return [job_id for job_id in job_ids if job_id in self._jobs]

    def _note_failure(self, why: str) -> None:
        self._failures = min(self._failures + 1, 16)
        if self._trouble is None:
            self.log.warning("The scheduler does not answer: %s", why)
        self._trouble = why

    async def _ask_states(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        self.questions += 1
        result = await self.runner.run(self.engine.status_command(job_ids))
        # Thousands of jobs take a moment to read, in which the hub has to answer others.
        parse = self.engine.parse_status
        return await asyncio.to_thread(parse, result, job_ids) if len(job_ids) > 50 else parse(result, job_ids)

    async def _ask_left_out(self, job_ids: set[str]) -> None:
        """Ask for jobs alone that answers for all leave out: PBS is silent there on those that it does not know."""
        for job_id, job in list(self._jobs.items()):
            job.left_out = job.left_out + 1 if job_id in job_ids else 0
        overdue = [job_id for job_id in sorted(job_ids) if self._left_out(job_id) >= LEFT_OUT_TIMES]
        for job_id in overdue[:LEFT_OUT_AT_ONCE]:
            asked_at = self.clock()
            with suppress(SchedulerUnavailableError):
                for answered, status in (await self._ask_states([job_id])).items():
                    self._take(answered, status, asked_at)

    def _left_out(self, job_id: str) -> int:
        job = self._jobs.get(job_id)
        return job.left_out if job is not None else 0

    async def _ask_places(self) -> None:
        """Ask for the places of the jobs that wait, if any does and the last answer is old."""
        waiting = [job_id for job_id, job in self._jobs.items() if job.status and job.status.state is JobState.WAITING]
        if not waiting or self.clock() - self._places_at < PLACES_EVERY_SECONDS:
            return
        self._places_at = self.clock()
        try:
            result = await self.runner.run(self.engine.waiting_command())
            places = await asyncio.to_thread(self.engine.parse_places, result, waiting)
        except SchedulerUnavailableError as error:
            self.log.warning("The places of waiting sessions are not known: %s", error)
            places = {}
        for job_id in waiting:
            if (job := self._jobs.get(job_id)) is not None:
                job.place = places.get(job_id)

    def _take(self, job_id: str, status: JobStatus, asked_at: float) -> None:
        job = self._jobs.get(job_id)
        if job is None:
            return
        if status.end is not None and status.end.cause is EndCause.FORGOTTEN:
            job.forgotten += 1
            if job.forgotten < FORGOTTEN_TIMES:
                job.quick_until = self.clock() + QUICK_SECONDS
                return
        else:
            job.forgotten = 0
        if job.status is None or job.status.state is not status.state:
            if job.status is not None:
                job.quick_until = self.clock() + QUICK_SECONDS
            if not status.state.is_pending:
                job.place = None
        job.status, job.known_at = status, asked_at
        on_end = job.on_end
        if status.state is JobState.ENDED and on_end is not None:
            job.on_end = None
            try:
                on_end()
            except Exception:
                self.log.exception("The end of job %s could not be told", job_id)
