"""What every session does, whatever runs it: form, validation, environment, progress, and how the last one ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jupyterhub.spawner import SpawnException
from sqlalchemy import inspect
from traitlets import Instance, default
from traitlets.config import LoggingConfigurable

from swotvre_hub.durations import describe_duration
from swotvre_hub.errors import SessionRequestError
from swotvre_hub.launch_form import LaunchOffer, render_launch_form
from swotvre_hub.machine import Machine, measure_machine
from swotvre_hub.sessions import (
    BatchChoices,
    Room,
    SessionRequest,
    parse_session_request,
    unpack_form,
    validate_user_name,
)
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.environment import data_environment, home_environment, kernel_path, resource_environment
from swotvre_hub.spawner.records import History, SessionRecords
from swotvre_hub.state import State


class SessionMixin(LoggingConfigurable):
    """The part of a spawner that no engine changes; stands before a ``jupyterhub.spawner.Spawner`` class."""

    settings = Instance(Settings, config=True, help="The settings of the site.")
    state = Instance(State, config=True, help="The state folder.")

    # What ``jupyterhub.spawner.Spawner`` brings.
    user: Any
    name: str
    orm_spawner: Any
    user_options: Any
    environment: Any
    get_env: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: list[dict[str, Any]] = []
        #: Who asked for the end of this session through the hub; empty: nobody has.
        self.stop_requested_by = ""
        #: How many lines were told, also those that others took the place of.
        self._told_so_far = 0
        self._news = asyncio.Event()
        #: The end of the session while it is looked into; its exit status comes of it.
        self._noting: asyncio.Task[int] | None = None

    # -- what a user chooses ------------------------------------------------------------------------------------------

    @default("options_form")
    def _options_form_default(self) -> Any:
        return type(self).render_form

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return unpack_form

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        return type(self).accept_options

    def render_form(self) -> str:
        """Return the launch form, with the last valid choice preselected and the end of the last session told."""
        history = self.history
        return render_launch_form(
            self.settings, self.machine(), history.options, history.last_end, self.memory_note(), self.offer()
        )

    def offer(self) -> LaunchOffer | None:
        """Return what a batch system would do with each size now; None: sessions run on this machine."""
        return None

    def memory_note(self) -> str | None:
        """Return what a user has to know of the memory limit before a start, in sentences; None: it is enforced."""
        return None

    def accept_options(self, options: object) -> SessionRequest:
        """Return the session that ``options`` ask for: the one validation of form, REST API and URL.

        Raises:
            SpawnException: HTTP 400, with the reason in words.
        """
        try:
            validate_user_name(self.user.name, self.settings)
            request = self.parse_options(options)
        except SessionRequestError as error:
            self._restore_options()
            raise refusal(str(error), error.label) from error
        self.records.update_history(self.user.name, self.name, options=request.options)
        return request

    def parse_options(self, options: object) -> SessionRequest:
        """Return the session that ``options`` ask for, as this user may have it.

        Raises:
            SessionRequestError: one of its kinds, in words for the user.
        """
        return parse_session_request(options, self.settings, self.room(), self.choices())

    def machine(self) -> Machine:
        """Return what sessions may use on this machine."""
        return measure_machine()

    def room(self) -> Room:
        """Return where sessions run: what is too large for it is refused."""
        return self.machine()

    def choices(self) -> BatchChoices | None:
        """Return the queues and projects of this user; None: the engine knows neither."""
        return None

    def _restore_options(self) -> None:
        """Put the last valid options back: JupyterHub stored the refused ones, and would use them at the next start."""
        options: Mapping[str, object] = self.history.options or {}
        self.user_options = dict(options)
        if self.orm_spawner is not None:
            self.orm_spawner.user_options = dict(options)
            self.commit()

    # -- what is kept -------------------------------------------------------------------------------------------------

    @property
    def records(self) -> SessionRecords:
        """The records of this installation."""
        return SessionRecords(self.state)

    @property
    def history(self) -> History:
        """What this user chose and met last."""
        return self.records.history(self.user.name, self.name)

    async def _note_once(self, look_into_end: Coroutine[Any, Any, int]) -> int:
        """Keep how the session ended; other looks at it wait for the same task, so that none ends before it is kept."""
        self._noting = asyncio.ensure_future(look_into_end)
        self._noting.add_done_callback(self._end_is_noted)
        return await asyncio.shield(self._noting)

    async def _noted_end(self) -> int | None:
        """Return the exit status of an end that another look has found, once it is kept; None: there is none."""
        return None if self._noting is None else await asyncio.shield(self._noting)

    def _end_is_noted(self, noting: asyncio.Task[int]) -> None:
        self._noting = None
        if not noting.cancelled():
            noting.exception()  # whoever waits for it gets it as well

    @property
    def last_end(self) -> str | None:
        """How this user's last session ended, in words."""
        return self.history.last_end

    @property
    def node(self) -> str:
        """The node that the session runs on; empty: this machine, or none yet."""
        return ""

    @property
    def began_at(self) -> datetime | None:
        """When the session began to run, UTC; None: it has not."""
        started = self.orm_spawner.started if self.orm_spawner is not None else None
        # JupyterHub keeps times in UTC, without saying so.
        return started.replace(tzinfo=UTC) if started is not None else None

    def note_stop_request(self) -> None:
        """Keep who asked for the end of the session, for the words on how it ended; a reason that is known is left."""
        by, self.stop_requested_by = self.stop_requested_by, ""
        if by and not self.history.stop_reason:
            who = "you" if by == self.user.name else by
            self.records.update_history(self.user.name, self.name, stop_reason=f"{who} asked for it")

    @property
    def workspace(self) -> Path:
        """The folder of this user's files."""
        return self.state.workspace(self.settings, self.user.name)

    def commit(self) -> None:
        """Save what changed in JupyterHub's database: a hub may be killed at any time."""
        session = inspect(self.orm_spawner).session if self.orm_spawner is not None else None
        if session is not None:
            session.commit()

    # -- what a session is told ---------------------------------------------------------------------------------------

    def session_environment(
        self, request: SessionRequest, ends_at: datetime | None, base: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the whole environment of a session; the site's own variables win over ours.

        Args:
            request: the session.
            ends_at: when it will end, UTC; None: it counts from its start on its node.
            base: variables of the engine, the weakest.
        """
        hub = self.get_env()
        return {
            **base,
            **hub,
            **home_environment(self.workspace, self.user.name),
            **resource_environment(self.settings, request, ends_at),
            **data_environment(self.settings, self.state),
            **{name: hub[name] for name in self.environment if name in hub},
            "PATH": kernel_path(self.settings, self.state, base["PATH"]),
        }

    @default("env_keep")
    def _env_keep_default(self) -> list[str]:
        return []

    # -- what a user is told ------------------------------------------------------------------------------------------

    def tell(self, percent: int, message: str, kind: str = "", **more: Any) -> None:
        """Add a line to the progress page; ``percent`` of the start is done.

        Args:
            percent: of the start.
            message: a sentence.
            kind: what the line is about; it takes the place of the line before when that was about the same.
            more: what the page can show beside it.
        """
        event = {"progress": percent, "message": message, "at": self._first_told(kind), **more}
        last = self._told[-1] if self._told else None
        if kind:
            event["kind"] = kind
            if last is not None and last.get("kind") == kind:
                if last == event:
                    return
                self._told.pop()
        self._told.append(event)
        self._told_so_far += 1
        self._news.set()
        self._news = asyncio.Event()

    def _first_told(self, kind: str) -> str:
        """Return when what is told now was told first: a line that takes another's place keeps its time."""
        last = self._told[-1] if self._told else None
        if kind and last is not None and last.get("kind") == kind:
            return str(last["at"])
        return datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def last_told(self) -> str:
        """What the progress page says last; empty: nothing yet."""
        return str(self._told[-1]["message"]) if self._told else ""

    def tell_beginning(self, request: SessionRequest) -> None:
        """Begin the progress page anew with what was asked for."""
        self._told.clear()
        self._told_so_far = 0
        size = request.size
        gpus = f", {size.gpus} GPU{'s' if size.gpus > 1 else ''}" if size.gpus else ""
        self.tell(
            10,
            f"Starting JupyterLab with {size.cores} core{'s' if size.cores > 1 else ''}{gpus} and {size.memory_gib} "
            f"GiB of memory, for {describe_duration(request.walltime)}.",
        )

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what is told during a start, as it is told."""
        shown = 0
        while True:
            news = self._news
            new = self._told_so_far - shown
            shown = self._told_so_far
            for event in self._told[-new:] if new else ():
                yield dict(event)
            await news.wait()


def end_of(walltime: timedelta) -> datetime:
    """Return when a session that starts now ends, in UTC and whole seconds."""
    return (datetime.now(UTC) + walltime).replace(microsecond=0)


def refusal(message: str, reason: str, status_code: int = 400) -> SpawnException:
    """Return the error that shows ``message``, and nothing else, on every page and in the REST API.

    Args:
        message: what the user is told.
        reason: a short label for metrics.
        status_code: HTTP status; 400 is the user's to mend, 503 the site's.
    """
    error = SpawnException(message, reason=reason, status_code=status_code)
    # Pages of JupyterHub 6.1 otherwise show the class and the label of the error before its message.
    error.jupyterhub_message = message
    return error
