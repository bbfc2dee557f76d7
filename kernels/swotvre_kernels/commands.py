"""Run the programs of a build with all that they say kept in a log."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from swotvre_kernels.errors import InstallError, NoSpaceError

#: Variables of the caller that would lead another Python astray.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "__PYVENV_LAUNCHER__")
_TICK_SECONDS = 0.5


def clean_environment(variables: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process without what belongs to its own Python, and with ``variables``."""
    return {key: value for key, value in os.environ.items() if key not in _FOREIGN} | (variables or {})


def run_logged(
    command: Sequence[str], log: Path, *, hold: int, what: str, tick: Callable[[], None] = lambda: None
) -> None:
    """Run ``command``, append what it says to ``log``, call ``tick`` twice a second.

    Args:
        command: argument list.
        log: file that gets the command and its output.
        hold: descriptor of the lock of the prefix, inherited by the program.
        what: what failed, for the message.
        tick: shows progress.

    Raises:
        NoSpaceError: the program met a full disk.
        InstallError: it ended with another code than 0; the message quotes its last words and names the log.
    """
    with log.open("ab") as sink:
        sink.write(f"\n$ {shlex.join(command)}\n".encode())
        sink.flush()
        start = sink.tell()
        process = subprocess.Popen(
            command, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
            env=clean_environment(), pass_fds=(hold,),
        )  # fmt: skip
        try:
            while _still_runs(process):
                tick()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        with log.open("rb") as source:
            source.seek(start)
            said = source.read().decode(errors="replace")
        if "No space left on device" in said or "os error 28" in said:
            raise NoSpaceError(f"{what}: the disk of {log.parent.parent} is full; all of it is in {log}")
        raise InstallError(f"{what}: {last_words(said)}\nAll of it is in {log}")


def _still_runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=_TICK_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def last_words(said: str, lines: int = 8) -> str:
    """Return the end of a program's output, from the line where the error starts if there is one."""
    kept = [line.rstrip() for line in said.splitlines() if line.strip()]
    first = next(
        (
            number
            for number, line in enumerate(kept)
            if line.lstrip(" \N{MULTIPLICATION SIGN}").lower().startswith("error")
        ),
        None,
    )
    return "\n".join(kept[first : first + lines] if first is not None else kept[-lines:]) or "no output"
