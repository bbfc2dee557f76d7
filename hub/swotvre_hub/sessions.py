"""What a user asked for, validated once: the form, the REST API and a URL all come through here."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from swotvre_hub.errors import (
    QueueError,
    SessionRequestError,
    SessionSizeUnavailableError,
    UnknownSessionOptionError,
    UnknownSessionSizeError,
    UserNameError,
    WalltimeError,
)
from swotvre_hub.settings import SessionSize, Settings

#: The keys of ``user_options``, and those that a batch system adds.
OPTIONS = ("size", "walltime_hours")
BATCH_OPTIONS = (*OPTIONS, "queue", "project")
#: A shorter session would end while it starts.
SHORTEST_WALLTIME = timedelta(minutes=1)


class Room(Protocol):
    """Where sessions run: a machine, or a cluster."""

    def lacks(self, cores: int, memory_gib: int, gpus: int = 0, queue: str = "") -> str | None:
        """Return in words why a session of these resources can never run there, or None when it can."""


@dataclass(frozen=True)
class BatchChoices:
    """What a user may choose beside size and duration; empty: there is nothing to choose."""

    queues: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    #: Longest duration of a queue, where it has a limit; the empty name is the scheduler's default queue.
    queue_walltimes: Mapping[str, timedelta] = field(default_factory=dict)
    #: Why the user may have no session at all, in words; empty: there is no such reason.
    refusal: str = ""


@dataclass(frozen=True)
class SessionRequest:
    """A session that may be started."""

    #: Name of the size in the settings.
    size_name: str
    #: Its resources.
    size: SessionSize
    #: Duration after which the session ends.
    walltime: timedelta
    #: Queue or partition; empty: the scheduler's default.
    queue: str = ""
    #: Project or account; empty: the scheduler's default.
    project: str = ""

    @property
    def options(self) -> dict[str, object]:
        """The ``user_options`` that ask for the same again."""
        chosen = {"queue": self.queue, "project": self.project}
        return {
            "size": self.size_name,
            "walltime_hours": self.walltime_hours,
            **{key: value for key, value in chosen.items() if value},
        }

    @property
    def walltime_hours(self) -> float:
        """Duration in hours."""
        return self.walltime / timedelta(hours=1)


def parse_session_request(
    options: object, settings: Settings, room: Room, choices: BatchChoices | None = None
) -> SessionRequest:
    """Return the session that ``options`` ask for; what they leave out is taken from the settings.

    Args:
        options: ``user_options`` as JupyterHub has them: a mapping, from whichever way it came.
        settings: the site's settings.
        room: where the session would run.
        choices: queues and projects of this user; None: the engine knows neither.

    Raises:
        SessionRequestError: one of its kinds, in words for the user.
    """
    known = OPTIONS if choices is None else BATCH_OPTIONS
    if not isinstance(options, Mapping):
        raise SessionRequestError(
            f"received {_show(options)} as session options; expected a mapping with: {', '.join(known)}"
        )
    for key in options:
        if key not in known:
            raise UnknownSessionOptionError(_unknown("session option", key, known))
    size_name = parse_size_name(_only(options, "size", settings.sessions.default_size), settings)
    size = settings.sizes[size_name]
    if reason := room.lacks(size.cores, size.memory_gib, size.gpus):
        raise SessionSizeUnavailableError(f"session size {size_name!r} {reason}; choose a smaller size")
    default_hours = min(settings.sessions.default_walltime_hours, size.max_walltime_hours)
    if choices is None:
        return SessionRequest(
            size_name, size, parse_walltime(_only(options, "walltime_hours", default_hours), size_name, size)
        )
    if choices.refusal:
        raise QueueError(choices.refusal)
    queue = _choose("queue", options.get("queue"), choices.queues)
    project = _choose("project", options.get("project"), choices.projects)
    if queue and (reason := room.lacks(size.cores, size.memory_gib, size.gpus, queue)):
        raise SessionSizeUnavailableError(
            f"session size {size_name!r} {reason}; choose a smaller size or another queue"
        )
    longest = choices.queue_walltimes.get(queue)
    if longest is not None:
        default_hours = min(default_hours, longest / timedelta(hours=1))
    walltime = parse_walltime(_only(options, "walltime_hours", default_hours), size_name, size)
    if longest is not None and walltime > longest:
        whose = f"queue {queue!r}" if queue else "the queue"
        raise WalltimeError(
            f"received a duration of {walltime / timedelta(hours=1):g} hours; expected at most "
            f"{longest / timedelta(hours=1):g}, the longest of {whose}: choose a shorter one or another queue"
        )
    return SessionRequest(size_name, size, walltime, queue, project)


def parse_size_name(value: object, settings: Settings) -> str:
    """Return ``value`` if it names a session size."""
    if not isinstance(value, str) or value not in settings.sizes:
        raise UnknownSessionSizeError(_unknown("session size", value, tuple(settings.sizes)))
    return value


def parse_walltime(value: object, size_name: str, size: SessionSize) -> timedelta:
    """Return the duration that ``value``, hours as a number or as text, stands for."""
    expected = (
        f"expected hours as a number between {SHORTEST_WALLTIME / timedelta(hours=1):.2g} and "
        f"{size.max_walltime_hours:g}, the longest of size {size_name!r}"
    )
    hours = _number(value)
    if hours is None:
        raise WalltimeError(f"received {_show(value)} as duration; {expected}")
    # Compared as hours: a timedelta of 10**9 hours would overflow.
    if not SHORTEST_WALLTIME / timedelta(hours=1) <= hours <= size.max_walltime_hours:
        raise WalltimeError(f"received a duration of {_show(value)} hours; {expected}")
    return timedelta(hours=hours)


def validate_user_name(name: str, settings: Settings) -> str:
    """Return ``name`` if it may become a folder and a part of a URL.

    Raises:
        UserNameError: with the pattern that was expected.
    """
    pattern = settings.auth.user_name_pattern
    if re.fullmatch(pattern, name) is None or name in {".", ".."} or "/" in name or "\0" in name:
        raise UserNameError(f"received the user name {_show(name)}; expected one that matches {pattern}")
    return name


def unpack_form(form: Mapping[str, list[object]]) -> dict[str, object]:
    """Return form or query fields, each a list, as ``user_options``; what stands once is unpacked."""
    return {key: values[0] if len(values) == 1 else list(values) for key, values in form.items() if key != "_xsrf"}


def _choose(what: str, value: object, offered: tuple[str, ...]) -> str:
    """Return ``value`` if it is offered, the first choice when nothing was said, empty where there is no choice."""
    if value in (None, ""):
        return offered[0] if offered else ""
    if not isinstance(value, str) or value not in offered:
        if not offered:
            raise QueueError(f"received the {what} {_show(value)}; expected none: there is no choice of {what}s here")
        raise QueueError(_unknown(what, value, offered))
    return value


def _only(options: Mapping[str, object], key: str, default: object) -> object:
    value = options.get(key)
    return default if value is None else value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) if len(str(value)) <= 40 else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _unknown(what: str, received: object, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(received[:60], known, n=1) if isinstance(received, str) else []
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {what} {_show(received)}; expected one of: {', '.join(known)}{hint}"


def _show(value: object, limit: int = 60) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
