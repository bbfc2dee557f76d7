"""A session that is a job of a batch system, whichever: it tells the truth before, while and after it runs."""

from __future__ import annotations

import asyncio
import time

from swotvre_hub.launch_form import LaunchOffer, make_offer
from swotvre_hub.port_report import digest_token
from swotvre_hub.queue_choices import choices_of
from swotvre_hub.sessions import BatchChoices, Room
from swotvre_hub.spawner.batch_kept import look_at
from swotvre_hub.spawner.batch_records import BatchJob
from swotvre_hub.spawner.batch_script import ScriptError
from swotvre_hub.spawner.batch_waiting import AwaitedJob
from swotvre_hub.spawner.session import refusal


class BatchSessionMixin(AwaitedJob):
    """Stands before one of batchspawner's classes, whose life of a job it takes over."""

    def room(self) -> Room:
        """Return the cluster as it was seen last; before the first look, everything may fit."""
        return self.runtime.view.state

    def choices(self) -> BatchChoices:
        """Return the queues and projects that the scheduler would accept from this user."""
        return choices_of(self.user.name, self.settings, self.runtime.view.state)

    async def render_form(self) -> str:  # type: ignore[override]
        """Return the launch form, with what would happen to each size now."""
        await self.runtime.view.refresh()
        return str(super().render_form())

    def offer(self) -> LaunchOffer:
        """Return what the cluster, as it was seen last, would do with each size, and what this user may choose."""
        view = self.runtime.view
        return make_offer(self.settings, view.state, self.choices(), self.runtime.engine.title, view.age_seconds)

    async def start(self) -> str:
        """Submit the session, tell how it waits, and return its URL when it answers.

        Raises:
            SpawnException: with the reason in words, when it cannot be started.
        """
        self._is_starting = True
        try:
            return await self._start()
        finally:
            self._is_starting = False

    async def _start(self) -> str:
        # What is known is good enough; a hub that has just started waits a moment for the first answer.
        await self.runtime.view.refresh(patience_seconds=1.0 if self.runtime.view.age_seconds is None else 0.0)
        request = self.accept_options(self.user_options)
        self.tell_beginning(request)
        await self._end_leftovers()
        if self._keys is None:
            self._new_id()
        log = await self._prepare_files()
        job = BatchJob(
            session_id=self._session_id,
            user_name=self.user.name,
            server_name=self.name,
            engine=self.runtime.engine.name,
            size=request.size_name,
            walltime_seconds=round(request.walltime.total_seconds()),
            submitted_at=time.time(),
            log=log,
            token_digest=digest_token(self.api_token),
        )
        try:
            script = self._script(job, request)
        except ScriptError as error:
            raise refusal(f"{error}.", "environment", 503) from error
        self.records.update_history(self.user.name, self.name, stop_reason=None)
        self._keep(job)
        self._submission = asyncio.ensure_future(self._submit(job, request, script))
        self._submission.add_done_callback(look_at)
        # A cancelled start does not cut a submission in two: `stop` waits for it, and cancels the job.
        await asyncio.shield(self._submission)
        return await self._wait_for_session()
