"""``swot-vre sample-data``: write the sample datalake with the interpreter of the active kernel."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from swotvre_hub.errors import SetupError
from swotvre_hub.state import State, find_state, load_installed_settings

#: Called with the number of files written, the number of all, and the name of the last one.
ProgressReport = Callable[[int, int, str], None]


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the noun ``sample-data``."""
    parser = nouns.add_parser(
        "sample-data",
        help="write a folder that looks like the datalake",
        description="Write a sample datalake: real and simulated SWOT files, each with its credit.",
    )
    parser.add_argument(
        "destination", nargs="?", type=Path, help="folder to write (default: datalake in the state folder)"
    )
    parser.add_argument("--force", action="store_true", help="replace a folder that this program did not write")
    parser.add_argument("--state", help="state folder (default: $SWOTVRE_STATE or .vre)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Write the sample and say where it is."""
    state = find_state(args.state)
    destination = Path(args.destination or state.root / "datalake").absolute()
    if out.isatty():
        with _bar(out) as report:
            written = write_sample_data(state, destination, force=args.force, report=report)
    else:
        written = write_sample_data(
            state, destination, force=args.force, report=lambda done, total, label: _line(out, done, total, label)
        )
    print(f"{'Wrote' if written else 'Kept'} the sample datalake in {destination}", file=out)
    return 0


def kernel_interpreter(state: State) -> Path:
    """Return the interpreter of the active build of the default kernel.

    Raises:
        SetupError: there is no kernel yet, or its kernelspec names a program that cannot be run.
        SettingsError: ``vre.yaml`` is at fault.
    """
    interpreter = state.kernel_python(load_installed_settings(state))
    if not os.access(interpreter, os.X_OK):
        raise SetupError(f"the kernel's interpreter {interpreter} cannot be run; run 'swot-vre kernels build'")
    return interpreter


def write_sample_data(state: State, destination: Path, *, force: bool, report: ProgressReport) -> bool:
    """Write the sample datalake; return False when a complete one was already there.

    Args:
        state: The state folder, whose active kernel does the work.
        destination: The folder to write.
        force: Replace a folder that is not a sample datalake.
        report: Told of the progress.

    Raises:
        SetupError: there is no kernel yet, or the sample could not be written.
    """
    command = [str(kernel_interpreter(state)), "-m", "swotvre_catalogs.sample", str(destination)]
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
            written = _follow(process.stdout or (), report)
        except BaseException:
            process.terminate()
            raise
        if process.wait() != 0:
            complaints.seek(0)
            words = complaints.read().strip().splitlines()
            reason = words[-1] if words else f"{command[0]} ended with exit code {process.returncode}"
            raise SetupError(reason.removeprefix("swot-vre sample data: "))
    return written


def _follow(lines: Iterable[str], report: ProgressReport) -> bool:
    """Report each line ``done/total label``; return whether the last line says that something was written."""
    last = ""
    for line in lines:
        last = line.strip()
        counts, _, label = last.partition(" ")
        done, slash, total = counts.partition("/")
        if slash and done.isdecimal() and total.isdecimal():
            report(int(done), int(total), label)
    return last.startswith("wrote ")


def _line(out: TextIO, done: int, total: int, label: str) -> None:
    print(f"{done}/{total} {label}", file=out, flush=True)


@contextlib.contextmanager
def _bar(out: TextIO) -> Iterator[ProgressReport]:
    """Show a progress bar on a terminal; yield what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[label]}"))
    with Progress(*columns, console=Console(file=out), transient=True) as progress:
        task = progress.add_task("Sample datalake", label="", total=None)
        yield lambda done, total, label: progress.update(task, completed=done, total=total, label=label)
