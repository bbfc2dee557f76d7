"""What the hub orders when it starts a session: the one message between hub and session machine.

It goes through a pipe or a socket, never onto a command line: it holds the session's token.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

#: An order is a few kB; whoever sends more did not send an order.
LARGEST_ORDER_BYTES = 2**20


class OrderError(Exception):
    """A message that is not an order; says what was expected."""


@dataclass(frozen=True)
class SessionOrder:
    """One session to start."""

    #: The whole environment of the session.
    environment: dict[str, str]
    #: Working folder, absolute.
    folder: str
    #: File that the session's output is appended to, absolute.
    log: str
    #: Numbers of the CPU cores that the session may run on; empty: all.
    cores: list[int]
    #: Folder of the memory cgroup that the session joins; empty: none.
    cgroup: str
    #: When the session ends by itself, in seconds since the epoch.
    ends_at: float
    #: How long an ending session may take before it is killed, in seconds.
    grace_seconds: float
    #: File that says, after the session, how it ended; absolute.
    end_record: str

    @classmethod
    def from_json(cls, message: bytes | str) -> SessionOrder:
        """Return the order that ``message`` holds.

        Raises:
            OrderError: when it does not hold one.
        """
        try:
            content = json.loads(message)
        except ValueError as error:
            raise OrderError(f"received what is not JSON ({error}); expected the order of a session") from error
        if not isinstance(content, dict) or set(content) != set(cls.__dataclass_fields__):
            raise OrderError(f"received other keys; expected a mapping with: {', '.join(cls.__dataclass_fields__)}")
        wrong = [name for name, check in _CHECKS.items() if not check(content[name])]
        if wrong:
            raise OrderError(f"received {', '.join(wrong)} of a wrong type")
        return cls(**content)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_path(value: Any) -> bool:
    return _is_text(value) and value.startswith("/")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_environment(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_text(name) and name and "=" not in name and _is_text(text) for name, text in value.items()
    )


_CHECKS = {
    "environment": _is_environment,
    "folder": _is_path,
    "log": _is_path,
    "cores": lambda value: isinstance(value, list) and all(type(core) is int and core >= 0 for core in value),
    "cgroup": lambda value: value == "" or _is_path(value),
    "ends_at": _is_number,
    "grace_seconds": _is_number,
    "end_record": _is_path,
}
