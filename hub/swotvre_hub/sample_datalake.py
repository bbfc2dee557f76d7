"""The sample datalake, written by the interpreter of the active kernel: the hub itself does not compute."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from swotvre_hub.errors import SetupError
from swotvre_hub.settings import Settings
from swotvre_hub.state import State

#: Called with what is written now and with the share that is done, 0 to 1.
Progress = Callable[[str, float], None]


def write_sample_datalake(
    settings: Settings, state: State, destination: Path, progress: Progress, *, force: bool = False
) -> bool:
    """Write the sample datalake; return False when a complete one was already there.

    Args:
        settings: the settings, which name the default kernel.
        state: the state folder, whose active kernel does the work.
        destination: the folder to write.
        progress: told of each product.
        force: replace a folder that is not a sample datalake.

    Raises:
        SetupError: there is no kernel yet, or the sample could not be written.
    """
    interpreter = state.kernel_python(settings)
    if not os.access(interpreter, os.X_OK):
        raise SetupError(f"the kernel's interpreter {interpreter} cannot be run; run 'swot-vre kernels build'")
    command = [str(interpreter), "-m", "swotvre_catalogs.sample", str(destination)]
    if force:
        command.append("--force")
    # A file, not a pipe: nobody reads the complaints until the end, and a full pipe would stop the program.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as complaints,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        try:
            written = _follow(process.stdout or (), progress)
        except BaseException:
            process.terminate()
            raise
        if process.wait() != 0:
            complaints.seek(0)
            words = complaints.read().strip().splitlines()
            reason = words[-1] if words else f"{command[0]} ended with exit code {process.returncode}"
            raise SetupError(reason.removeprefix("swot-vre sample data: "))
    return written


def _follow(lines: Iterable[str], progress: Progress) -> bool:
    """Report each line ``done/total label``; return whether the last line says that something was written."""
    last = ""
    for line in lines:
        last = line.strip()
        counts, _, label = last.partition(" ")
        done, slash, total = counts.partition("/")
        if slash and done.isdecimal() and total.isdecimal():
            progress(label, int(done) / max(1, int(total)))
    return last.startswith("wrote ")
