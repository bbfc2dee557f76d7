"""From the queue to the first answer: how a batch session waits, where it runs, what port it listens on."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from jupyterhub.spawner import SpawnException
from jupyterhub.utils import url_path_join

from swotvre_hub.certificates import CertificateError, SessionAuthority
from swotvre_hub.durations import describe_duration
from swotvre_hub.engines.base import (
    EndCause,
    JobEnd,
    JobState,
    JobStatus,
)
from swotvre_hub.port_report import ReportError
from swotvre_hub.spawner.batch_progress import describe_progress
from swotvre_hub.spawner.batch_records import BatchJob
from swotvre_hub.spawner.batch_submission import SubmittedJob
from swotvre_hub.spawner.session import refusal

#: The scheduler names the node of a session that has told its port within this time.
NODE_SECONDS = 60.0
#: Ends that only a job can have that has begun to run.
AFTER_BEGIN = frozenset({EndCause.ENDED, EndCause.WALLTIME, EndCause.MEMORY, EndCause.NODE, EndCause.PREEMPTED})
#: Lines of a log that a failed start shows.
SHOWN_LOG_LINES = 12
#: Longest wait for the next look at a starting session.
LOOK_SECONDS = 2.0


class AwaitedJob(SubmittedJob):
    """Waits for a session, tells how it waits, and goes on with what a killed hub left unfinished."""

    async def _wait_for_session(self) -> str:
        """Wait until the session answers, telling how it waits; return its URL.

        Raises:
            SpawnException: when it cannot, or did not in time.
        """
        settings = self.settings
        began = time.monotonic()
        running_since: float | None = None
        while True:
            job = self._live_job()
            seen = self.runtime.reflector.look(job.job_id)
            self._tell_progress(seen.status, seen.place, seen.trouble)
            status = seen.status
            if status is not None:
                if status.hopeless and status.state.is_pending:
                    await self._take_back(job, status.explanation)
                    raise refusal(f"{_capital(status.explanation)}. It was taken back at once.", "never-runs")
                if status.state is JobState.ENDED:
                    raise await self._failed_start(job, status)
                self._note_running(status)
                if status.state.is_pending and not self._reported.is_set():
                    running_since = None  # a node that could not start it gave it back, and it waits again
            is_running = self._reported.is_set() or (status is not None and status.state is JobState.RUNNING)
            if is_running and running_since is None:
                running_since = time.monotonic()
            if (url := await self._answering_url()) is not None:
                self.tell(90, "JupyterLab answers.")
                return url
            if running_since is None and time.monotonic() - began > settings.scheduler.waiting_hours * 3600:
                waited = describe_duration(timedelta(hours=settings.scheduler.waiting_hours))
                await self._take_back(job, f"it had waited for {waited}")
                raise refusal(f"it waited for {waited} and was taken back; nothing became free.", "waited", 503)
            if running_since is not None and time.monotonic() - running_since > settings.sessions.start_timeout_seconds:
                problem = await self._no_answer(job)
                await self._take_back(job, "JupyterLab did not answer on its node")
                raise problem
            await self._wait_for_change(quick=running_since is not None)

    async def _take_back(self, job: BatchJob, why: str) -> None:
        """Cancel a job whose start has failed."""
        self.records.update_history(self.user.name, self.name, stop_reason=why)
        await self._cancel_quietly(job)

    async def _wait_for_change(self, quick: bool) -> None:
        """Wait for an answer of the scheduler or of the session; ``quick``: JupyterLab is coming up."""
        if self._reported.is_set() and quick:
            await asyncio.sleep(0.03)
            return
        news = asyncio.ensure_future(self.runtime.reflector.wait_for_news(LOOK_SECONDS))
        reported = asyncio.ensure_future(self._reported.wait())
        waiting = {news} if self._reported.is_set() else {news, reported}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (news, reported):
                task.cancel()

    def _tell_progress(self, status: JobStatus | None, place: Any, trouble: str | None) -> None:
        told = describe_progress(self.runtime.engine.title, status, place, trouble)
        if told is not None:
            self.tell(told.percent, told.message, told.kind, **told.more)

    def _note_running(self, status: JobStatus) -> None:
        """Keep where the job runs and since when."""
        job = self._live_job()
        if not status.host or job.host == status.host:
            return
        started = status.started.timestamp() if status.started else time.time()
        self._keep(job.changed(host=status.host, started_at=started), durable=False)

    async def _answering_url(self) -> str | None:
        """Return the session's URL if its port accepts; the hub's first probe then succeeds."""
        if not await self._answers(self._live_job()):
            return None
        job = self._live_job()
        self.port = job.port
        self._keep(job.changed(is_up=True), durable=False)
        return self._url(job)

    async def accept_port(self, port: int, shown_certificate: bytes | None) -> str | None:
        """Take the port that the session tells, once; return its certificate for the node that it runs on.

        Raises:
            ReportError: when the session answers elsewhere already, or its node is not known in time.
            CertificateError: when another session's certificate was shown.
        """
        job = self._live_job()
        if job.is_up and port != job.port:
            raise ReportError(f"received port {port}; this session answers at port {job.port} already")
        certificate = None
        if self.internal_ssl:
            host = await self._host_of_job()
            if shown_certificate is None:
                raise CertificateError("received no certificate; expected that of the session's script")
            lifetime = timedelta(seconds=job.walltime_seconds) + timedelta(hours=1)
            authority = SessionAuthority(Path(self.internal_certs_location))
            certificate = authority.name_node(shown_certificate, job.session_id, host, lifetime)
        self._keep(self._live_job().changed(port=port), durable=False)
        self._reported.set()
        return certificate

    async def _host_of_job(self) -> str:
        """Return the node that the scheduler says the job runs on: what the session says of itself does not count."""
        deadline = time.monotonic() + NODE_SECONDS
        while True:
            job = self._live_job()
            if job.host:
                return job.host
            status = self.runtime.reflector.look(job.job_id).status if job.job_id else None
            if status is not None and status.host:
                self._note_running(status)
                continue
            if time.monotonic() > deadline:
                raise ReportError("the scheduler does not say on which node this session runs")
            await asyncio.sleep(0.05)

    async def _failed_start(self, job: BatchJob, status: JobStatus) -> SpawnException:
        """Return the refusal of a job that ended before its session answered, with the end of its log."""
        end, log = await self._find_end(job, status.end or JobEnd(EndCause.FORGOTTEN))
        self.records.update_history(self.user.name, self.name, last_end=end.describe(), stop_reason=None)
        self._drop(job)
        # Between two looks a job can both begin and end: then no look saw its node.
        has_run = bool(job.host or log) or end.job.cause in AFTER_BEGIN
        what = "the session ended while it started" if has_run else "the session ended before it ran"
        return refusal(f"{what}: {end.reason()}. {_shown(log, job)}".rstrip(), "ended-early", 503)

    async def _no_answer(self, job: BatchJob) -> SpawnException:
        limit = self.settings.sessions.start_timeout_seconds
        log = (await self._files("end", str(self.workspace))).get("log", [])
        return refusal(
            f"the job ran on {job.host or 'its node'}, but JupyterLab did not answer within {limit} seconds, and it "
            f"was ended. {_shown(log, job)}".rstrip(),
            "no-answer",
            503,
        )

    async def get_url(self) -> str:
        """Return where the session is; of a start that a killed hub left unfinished, go on with it."""
        job = self._job
        if job is None:
            return str(self.server.url)
        if not job.is_up:
            self._resume()
            return str(self.server.url)
        return str(url_path_join(self._url(job), self.server.base_url))

    def _resume(self) -> None:
        """Go on with a start that a killed hub left unfinished, as if it had not been interrupted.

        JupyterHub takes what it finds at its start for running, and would end what does not answer yet.
        """
        self._spawn_pending = True
        user = self.user
        stock = user._wait_up

        async def wait_up(spawner: Any) -> Any:
            return spawner if spawner is self and self._spawn_pending else await stock(spawner)

        user._wait_up = wait_up
        self._is_starting = True
        self._spawn_future = asyncio.ensure_future(self._finish_start(stock))
        self._spawn_future.add_done_callback(self._leave_failure)

    def _leave_failure(self, start: asyncio.Future[None]) -> None:
        """Keep what a start ended with only when it failed: JupyterHub shows it on the next page."""
        if start.cancelled() or start.exception() is None:
            self._spawn_future = None

    async def _finish_start(self, wait_up: Any) -> None:
        self.log.info("Going on with the start of %s, which another hub began", self._log_name)
        try:
            await self._wait_for_session()
            job = self._live_job()
            self.server.proto, self.server.ip, self.server.port = self._scheme, job.host, job.port
            self.orm_spawner.state = self.get_state()
            self.commit()
            await wait_up(self)
            await self.user.settings["proxy"].add_user(self.user, self.name)
        except Exception:
            self._is_starting = False
            await self.user.stop(self.name)
            raise
        finally:
            self._is_starting = False
            self._spawn_pending = False


def _shown(log: Any, job: BatchJob) -> str:
    """Return the end of a session's log, in one paragraph."""
    lines = [str(line) for line in log][-SHOWN_LOG_LINES:] if isinstance(log, list) else []
    if not lines:
        return f"It said nothing (log: {job.log})." if job.host else ""
    return f"It said: {' / '.join(lines)} (log: {job.log})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
