"""The end of a batch session: noticed, brought about, and told in words."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from swotvre_hub.engines.base import (
    BatchError,
    EndCause,
    JobEnd,
    JobState,
)
from swotvre_hub.spawner.batch_ending import BatchEnd
from swotvre_hub.spawner.batch_kept import KeptJob
from swotvre_hub.spawner.batch_records import BatchJob
from swotvre_hub.spawner.ending import SessionEnd, parse_end

#: A session that is told to end has its kernels shut down and its job cleaned up in this time, as a rule.
STOP_SECONDS = 20.0


class EndingJob(KeptJob):
    """Ends a session whatever it does, and finds out why it ended."""

    async def poll(self) -> int | None:
        """Return None while the session lives or is unknown, else its exit status, once its end is noted."""
        job = self._job
        if self._is_starting:
            return None  # whoever starts it notices itself, and knows more
        if (noted := await self._noted_end()) is not None:
            return noted
        if job is None:
            return 0
        if not job.job_id:
            return 1  # the hub was killed before the scheduler answered: it is looked for by its name
        seen = await self.runtime.reflector.look_soon(job.job_id, 5.0)
        self.runtime.reflector.call_at_end(job.job_id, self._notice_end)
        if seen.status is None or seen.status.state is not JobState.ENDED:
            return None
        end = seen.status.end or JobEnd(EndCause.FORGOTTEN)
        if end.cause is EndCause.FORGOTTEN and await self._answers(job):
            return None
        return await self._note_end(job, end)

    async def _answers(self, job: BatchJob) -> bool:
        if not job.host or not job.port:
            return False
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(job.host, job.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def stop(self, now: bool = False) -> None:
        """Cancel the session, whatever it does; what the scheduler does not do now is done when it can."""
        self.note_stop_request()
        if self._submission is not None:
            await asyncio.wait([self._submission])
        await self._noted_end()
        job = self._job
        if job is None:
            return
        self._give_up(job)
        if not job.job_id:
            return
        await self._cancel_quietly(job)
        deadline = time.monotonic() + (0 if now else STOP_SECONDS)
        while (left := deadline - time.monotonic()) > 0:
            seen = self.runtime.reflector.look(job.job_id)
            if seen.status is not None and seen.status.state is JobState.ENDED:
                self._job = job
                await self._note_end(job, seen.status.end or JobEnd(EndCause.CANCELLED))
                return
            if seen.trouble is not None:
                break
            await self.runtime.reflector.wait_for_news(left)
        end = BatchEnd(
            self._size(job), job.host, JobEnd(EndCause.CANCELLED), None, self.history.stop_reason, self.user.name
        )
        self.records.update_history(self.user.name, self.name, last_end=end.describe(), stop_reason=None)

    async def _cancel_quietly(self, job: BatchJob) -> None:
        """Cancel the job now, or as soon as the scheduler answers."""
        self._give_up(job)
        try:
            await self.runtime.cancel(job)
        except BatchError as error:
            self.log.warning("Job %s of %s is cancelled later: %s", job.job_id, self._log_name, error)
        self.runtime.start_upkeep()

    async def _end_leftovers(self) -> None:
        """End earlier jobs of this session that the hub has lost sight of, before there is another."""
        for job in self.runtime.records.of(self.user.name, self.name):
            self.log.warning("Session %s of %s was left over; ending it", job.session_id, self._log_name)
            self.runtime.claimed.discard(job.session_id)
            self.runtime.records.save(job.changed(is_unwanted=True))
            self.runtime.start_upkeep()

    async def _note_end(self, job: BatchJob, job_end: JobEnd) -> int:
        """Keep how the session ended; return its exit status."""
        if (noted := await self._noted_end()) is not None:
            return noted
        if self._job is None or self._job.session_id != job.session_id:
            return 0
        self._job = None
        return await self._note_once(self._look_into_end(job, job_end))

    async def _look_into_end(self, job: BatchJob, job_end: JobEnd) -> int:
        end, _ = await self._find_end(job, job_end)
        self.records.update_history(self.user.name, self.name, last_end=end.describe(), stop_reason=None)
        self._drop(job)
        self.log.info("Session %s of %s (job %s) is over: %s", job.session_id, self._log_name, job.job_id, end.reason())
        return end.job.exit_status or 0

    async def _find_end(self, job: BatchJob, job_end: JobEnd) -> tuple[BatchEnd, list[str]]:
        """Return everything that is known of the end, and the last lines of the log."""
        engine = self.runtime.engine
        history = engine.history_command(job.job_id)
        if history is not None:
            with suppress(BatchError):
                found = engine.parse_history(await self.runtime.runner.run(history), job.job_id)
                job_end = merge_ends(job_end, found)
        self._session_id = job.session_id
        answer = await self._files("end", str(self.workspace))
        own: SessionEnd | None = parse_end(answer["end"]) if isinstance(answer.get("end"), str) else None
        log = [str(line) for line in answer.get("log") or []]
        reason = self.history.stop_reason
        return BatchEnd(self._size(job), job.host, job_end, own, reason, self.user.name), log


def merge_ends(first: JobEnd, second: JobEnd | None) -> JobEnd:
    """Return the end that two answers of the scheduler tell together; where both speak, the second knows more."""
    if second is None:
        return first
    # Slurm says of a script that was killed what it says of one that could not be launched; its history knows better.
    vague = {EndCause.ENDED, EndCause.FORGOTTEN, EndCause.NOT_STARTED}
    forgotten = second.cause is EndCause.FORGOTTEN
    cause = first.cause if second.cause in vague and (forgotten or first.cause not in vague) else second.cause
    values = {
        name: getattr(second, name) if getattr(second, name) is not None else getattr(first, name)
        for name in ("exit_status", "cancelled_by", "memory_bytes", "cpu_time", "ran", "ended")
    }
    return JobEnd(cause=cause, memory_exceeded=first.memory_exceeded or second.memory_exceeded, **values)
