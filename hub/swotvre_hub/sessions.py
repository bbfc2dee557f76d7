"""What a user asked for, validated once: the form, the REST API and a URL all come through here."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from swotvre_hub.errors import (
    SessionRequestError,
    SessionSizeUnavailableError,
    UnknownSessionOptionError,
    UnknownSessionSizeError,
    UserNameError,
    WalltimeError,
)
from swotvre_hub.machine import Machine
from swotvre_hub.settings import SessionSize, Settings

#: The keys of ``user_options``.
OPTIONS = ("size", "walltime_hours")
#: A shorter session would end while it starts.
SHORTEST_WALLTIME = timedelta(minutes=1)


@dataclass(frozen=True)
class SessionRequest:
    """A session that may be started."""

    #: Name of the size in the settings.
    size_name: str
    #: Its resources.
    size: SessionSize
    #: Duration after which the session ends.
    walltime: timedelta

    @property
    def walltime_hours(self) -> float:
        """Duration in hours."""
        return self.walltime / timedelta(hours=1)


def parse_session_request(options: object, settings: Settings, machine: Machine) -> SessionRequest:
    """Return the session that ``options`` ask for; what they leave out is taken from the settings.

    Args:
        options: ``user_options`` as JupyterHub has them: a mapping, from whichever way it came.
        settings: the site's settings.
        machine: where the session would run.

    Raises:
        SessionRequestError: one of its kinds, in words for the user.
    """
    if not isinstance(options, Mapping):
        raise SessionRequestError(
            f"received {_show(options)} as session options; expected a mapping with: {', '.join(OPTIONS)}"
        )
    for key in options:
        if key not in OPTIONS:
            raise UnknownSessionOptionError(_unknown("session option", key, OPTIONS))
    size_name = parse_size_name(_only(options, "size", settings.sessions.default_size), settings)
    size = settings.sizes[size_name]
    if reason := machine.lacks(size.cores, size.memory_gib):
        raise SessionSizeUnavailableError(f"session size {size_name!r} {reason}; choose a smaller size")
    default_hours = min(settings.sessions.default_walltime_hours, size.max_walltime_hours)
    walltime = parse_walltime(_only(options, "walltime_hours", default_hours), size_name, size)
    return SessionRequest(size_name, size, walltime)


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
