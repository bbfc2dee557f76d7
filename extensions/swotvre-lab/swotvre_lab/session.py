"""What the hub said about this session when it started it: the environment variables, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

GIB = 2**30


class SessionEnvironmentError(ValueError):
    """An environment variable of the session does not hold what it should."""


@dataclass(frozen=True)
class Session:
    """Size and limits of this session; None where the hub set none."""

    #: Name of the session size (``SWOTVRE_SIZE``).
    size: str | None
    #: Cores of the session (``CPU_LIMIT``).
    cores: float | None
    #: Memory of the session in GiB (``MEM_LIMIT``, which is in bytes).
    memory_gib: float | None
    #: Walltime end, UTC (``SWOTVRE_SESSION_END``).
    ends_at: datetime | None
    #: Seconds without activity after which the session is ended (``SWOTVRE_IDLE_TIMEOUT_SECONDS``).
    idle_timeout_seconds: int | None
    #: Seconds before the idle end at which the user is told (``SWOTVRE_IDLE_WARNING_SECONDS``).
    idle_warning_seconds: int | None

    @property
    def title(self) -> str:
        """The name to show a user."""
        return self.size or "session"


def read_session(environ: Mapping[str, str] | None = None) -> Session:
    """Read the session from the environment that the hub gave it.

    Args:
        environ: the environment; this process's by default.

    Raises:
        SessionEnvironmentError: a variable is set to something else than a number or a time.
    """
    environ = os.environ if environ is None else environ
    memory = _number(environ, "MEM_LIMIT")
    timeout = _number(environ, "SWOTVRE_IDLE_TIMEOUT_SECONDS")
    warning = _number(environ, "SWOTVRE_IDLE_WARNING_SECONDS")
    return Session(
        size=environ.get("SWOTVRE_SIZE") or None,
        cores=_number(environ, "CPU_LIMIT"),
        memory_gib=None if memory is None else memory / GIB,
        ends_at=_time(environ, "SWOTVRE_SESSION_END"),
        # 0 is the hub's way to say "never".
        idle_timeout_seconds=int(timeout) if timeout else None,
        idle_warning_seconds=int(warning) if warning else None,
    )


def describe_nothing() -> Session:
    """Return the session of which nothing is known."""
    return read_session({})


def _number(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(name, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise SessionEnvironmentError(f"{name} is {text!r}; expected a number") from error
    if not 0 <= number < float("inf"):
        raise SessionEnvironmentError(f"{name} is {text!r}; expected a finite number that is not negative")
    return number


def _time(environ: Mapping[str, str], name: str) -> datetime | None:
    text = environ.get(name, "")
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise SessionEnvironmentError(f"{name} is {text!r}; expected a time like 2026-11-21T18:00:00+00:00") from error
    if time.tzinfo is None:
        raise SessionEnvironmentError(f"{name} is {text!r}, without a time zone; expected UTC, like {text}+00:00")
    return time.astimezone(UTC)
