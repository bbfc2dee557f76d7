"""Show how far several things are: a bar each on a terminal, a line for each step in a log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from swotvre_hub.provision import Progress as Report


@contextlib.contextmanager
def show_progress(out: TextIO) -> Iterator[Callable[[str], Report]]:
    """Yield a function that adds a part by its name, and returns what to call with its step and its share done."""
    if not out.isatty():
        yield lambda part: _lines(part, out)
        return
    name, step = TextColumn("{task.fields[part]:<10}"), TextColumn("{task.description}")
    with Progress(name, BarColumn(30), TimeElapsedColumn(), step, console=Console(file=out)) as bars:

        def bar(part: str) -> Report:
            task = bars.add_task("waiting", total=1.0, part=part)
            return lambda text, share: bars.update(task, description=text, completed=share)

        yield bar


def _lines(part: str, out: TextIO) -> Report:
    said: list[str] = []

    def report(text: str, share: float) -> None:
        # What is there already is not worth a line; a step is told once, however often its share changes.
        if text not in said and not (share >= 1 and not said):
            said.append(text)
            print(f"{part:<10} {text}", file=out, flush=True)

    return report
