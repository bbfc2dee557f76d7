"""The lines of the benchmark: on the screen while they come, and as a table for the documentation."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("xarray", "dask", "zarr", "icechunk", "virtualizarr", "h5py", "netCDF4", "imagecodecs", "numba", "obstore",
            "s3fs")  # fmt: skip
BEGIN, END = "<!-- table: begin (written by make bench-data) -->", "<!-- table: end -->"


@dataclass(frozen=True)
class Line:
    """One method at one work."""

    work: str
    files: int
    method: str
    seconds: float
    #: Of all threads and child processes: what a busy machine changes least.
    cpu_seconds: float | None = None
    #: Times faster than the baseline; times slower than the floor.
    ratio: float | None = None
    over_floor: float | None = None
    goal: str = ""
    met: bool | None = None
    memory_gb: float | None = None
    result_gb: float = 0.0
    load_average: float = 0.0
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        memory = "" if self.memory_gb is None else f"{self.memory_gb:.2f}"
        if self.result_gb >= 0.05:
            memory += f" + {self.result_gb:.2f}"
        verdict = "" if self.met is None else (": met" if self.met else ": missed")
        return (
            self.work,
            f"{self.files:,}",
            self.method + (f" ({self.note})" if self.note else ""),
            _seconds(self.seconds),
            _seconds(self.cpu_seconds),
            "" if self.ratio is None else f"{self.ratio:.3g}x",
            "" if self.over_floor is None else f"{self.over_floor:.2f}",
            self.goal + verdict,
            memory,
            f"{self.load_average:.1f}",
        )


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


HEADS = ("work", "files", "method", "seconds", "of CPU", "against the baseline", "times the floor", "goal",
         "memory, GB (+ result)", "load")  # fmt: skip


def describe_run() -> str:
    """Return machine, versions and date in one line."""
    memory_gib = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), {memory_gib:.0f} GiB; "
        f"Python {platform.python_version()}, {versions}"
    )


def as_text(line: Line) -> str:
    """Return a line for the screen."""
    work, files, method, seconds, cpu, ratio, over_floor, goal, memory, load = line.cells()
    facts = [f"{seconds} s" + (f" ({cpu} of CPU)" if cpu else "")]
    facts += [f"{ratio} the baseline"] if ratio else []
    facts += [f"{over_floor} times the floor"] if over_floor else []
    facts += [f"goal {goal}"] if goal else []
    facts += [f"{memory} GB"] if memory else []
    return f"{work}, {files} files | {method} | {' | '.join(facts)} | load {load}"


def as_markdown(lines: list[Line]) -> str:
    """Return all lines as a table, under what it was run on."""
    rows = [HEADS, tuple("---" for _ in HEADS), *(line.cells() for line in lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{describe_run()}\n\n{table}\n"


def put_into_page(page: Path, markdown: str) -> None:
    """Replace the table of a page of the documentation.

    Raises:
        ValueError: the page has no place for it.
    """
    text = page.read_text(encoding="utf-8")
    head, begun, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r} for the table to stand between")
    page.write_text(f"{head}{BEGIN}\n{markdown}{END}{tail}", encoding="utf-8")
