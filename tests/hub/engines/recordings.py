"""Recorded answers of real schedulers: one file per command, as ``tests/hub/engines/conftest.py`` hands them out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from swotvre_hub.engines.base import CommandResult

_RECORDING = re.compile(
    r"# command: (?P<command>[^\n]*)\n"
    r"# user: [^\n]*\n"
    r"# exit code: (?P<exit_code>-?\d+)\n"
    r"# --- stdout ---\n(?P<stdout>.*?)"
    r"^# --- stderr ---\n?(?P<stderr>.*)",
    re.DOTALL | re.MULTILINE,
)


def read_recording(file: Path) -> CommandResult:
    """Return what a command printed, from the file that it was recorded to.

    The file holds ``# command:``, ``# user:``, ``# exit code:``, ``# --- stdout ---``, the output,
    ``# --- stderr ---`` and the errors.
    """
    found = _RECORDING.fullmatch(file.read_text())
    if found is None:
        raise ValueError(f"{file} is not a recording")
    return CommandResult(
        arguments=shlex.split(found["command"]),
        exit_code=int(found["exit_code"]),
        stdout=found["stdout"],
        stderr=found["stderr"],
    )
