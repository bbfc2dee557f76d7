"""The works of the benchmark, one after the other, each against its baseline and the floor of the same run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lakes import Lake, add_files, link_lake, requests_so_far, served
from s3_server import LATENCY_SECONDS
from table import Line, as_text
from trial import Job, Measurement, run

#: Files of the smaller works: 28 passes of 18 cycles.
SMALL_PASSES = 28
#: Rounds of what is over in a moment.
ROUNDS = 5
TOLERANCE = 1e-12


class DifferentNumbersError(Exception):
    """Two methods do not agree."""


@dataclass
class Bench:
    """The files, the lakes over them, and what was measured so far."""

    data: Path
    cycles: Sequence[int]
    passes: Sequence[int]
    #: Files of the baseline of the largest work; fewer than all are extrapolated, and the line says so.
    baseline_files: int
    #: An interpreter with zcollection; without one, that is not measured.
    zcollection_python: Path | None = None
    lines: list[Line] = field(default_factory=list)
    #: The lines of each work that was run.
    lines_of: dict[str, list[Line]] = field(default_factory=dict)
    _measured: dict[str, Measurement] = field(default_factory=dict)
    _lakes: dict[str, Lake] = field(default_factory=dict)

    def run(self, works: Sequence[str]) -> None:
        """Run works by name."""
        for work in works:
            before = len(self.lines)
            WORKS[work](self)
            self.lines_of[work] = self.lines[before:]

    # -- lakes

    def full(self) -> Lake:
        """Return the datalake of all files, with index and cube."""
        return self._built("full", self.passes)

    def small(self) -> Lake:
        """Return the datalake of the smaller works, with index and cube; that of all files when they are not more."""
        if len(self.passes) <= SMALL_PASSES:
            return self.full()
        return self._built("small", self.passes[:SMALL_PASSES])

    def _built(self, name: str, passes: Sequence[int]) -> Lake:
        if name not in self._lakes:
            lake = link_lake(self.data, name, self.cycles, passes)
            run("fast.build", lake.job, self._out)
            self._lakes[name] = lake
        return self._lakes[name]

    @property
    def _out(self) -> Path:
        return self.data / "results"

    # -- measurements

    def python_of(self, work: str) -> str | Path:
        """Return the interpreter that runs a work: zcollection has one of its own."""
        if work.startswith("zcollections.") and self.zcollection_python is not None:
            return self.zcollection_python
        return sys.executable

    def measure(
        self, work: str, lake: Lake, job: Job | None = None, *, again: bool = False, rounds: int = 1
    ) -> Measurement:
        """Measure a work with its files evicted from the page cache; a baseline is measured once.

        Of several rounds the one in the middle counts: what is over in a moment is at the mercy of that moment.
        """
        name = f"{work}-{lake.folder.name}"
        if name not in self._measured or again:
            done = [run(work, job or lake.job, self._out, lake.paths()) for _ in range(rounds)]
            self._measured[name] = sorted(done, key=lambda one: one.seconds)[rounds // 2]
        return self._measured[name]

    def floor_seconds(self, lake: Lake) -> float:
        """Return the floor of the mean of all files of a lake."""
        new = f"floor.mean_of_all-{lake.folder.name}" not in self._measured
        measured = self.measure("floor.mean_of_all", lake)
        seconds, cpu_seconds = measured.parts["floor"], measured.parts["cpu"]
        if new:
            note = "read, inflate, add up, on all cores"
            self.tell(
                Line(
                    "mean of all",
                    lake.job.files,
                    "floor",
                    seconds,
                    cpu_seconds,
                    note=note,
                    load_average=measured.load_average,
                )
            )
        return seconds

    def baseline_of_all(self) -> tuple[float, float, str, Measurement]:
        """Return seconds of ``open_mfdataset`` and the mean for all files, those of the opening, a note, the rest."""
        lake = self.full()
        count = max(min(self.baseline_files, lake.job.files) // len(self.cycles), 1)
        if count < len(self.passes):
            lake = link_lake(self.data, "baseline", self.cycles, self.passes[:count])
        new = f"baselines.mean_of_all-{lake.folder.name}" not in self._measured
        measured = self.measure("baselines.mean_of_all", lake)
        factor = self.full().job.files / lake.job.files
        note = "" if factor == 1 else f"extrapolated from {lake.job.files:,} files"
        if new:
            self.tell_measured("mean of all", "open_mfdataset", measured, seconds=measured.seconds * factor, note=note,
                               files=self.full().job.files)  # fmt: skip
        return measured.seconds * factor, measured.parts["opening"] * factor, note, measured

    def tell(self, line: Line) -> None:
        """Print a line and keep it for the table."""
        self.lines.append(line)
        print(as_text(line), flush=True)

    def tell_measured(self, work: str, method: str, measured: Measurement, **facts: Any) -> None:
        """Print what was measured."""
        facts = {"files": measured.job.files, "seconds": measured.seconds, "cpu_seconds": measured.cpu_seconds} | facts
        if facts["seconds"] != measured.seconds:
            facts["cpu_seconds"] = None
        self.tell(
            Line(
                work=work, method=method, memory_gb=measured.memory_gb, result_gb=measured.result_gb,
                load_average=measured.load_average, **facts,
            )
        )  # fmt: skip


def require_same(one: Measurement, other: Measurement) -> None:
    """Refuse results that differ: the same NaN mask, and less than 1e-12 between the numbers.

    Raises:
        DifferentNumbersError: they differ.
    """
    first, second = np.load(one.values), np.load(other.values)
    if first.shape != second.shape or not (np.isnan(first) == np.isnan(second)).all():
        raise DifferentNumbersError(f"{one.work} and {other.work} differ in shape or in what is missing")
    difference = float(np.nanmax(np.abs(first - second))) if first.size else 0.0
    if difference >= TOLERANCE:
        raise DifferentNumbersError(f"{one.work} and {other.work} differ by {difference:g}")


def means(bench: Bench) -> None:
    """Mean of all and mean over cycles of all files; ``open_mfdataset`` has no memory for the second."""
    lake = bench.full()
    floor = bench.floor_seconds(lake)
    baseline, _, note, measured_baseline = bench.baseline_of_all()
    for work, method in (
        ("mean of all", "fast.mean_of_all"), ("mean over cycles", "fast.mean_over_cycles"),
        ("both means, files read once", "fast.both_means"),
    ):  # fmt: skip
        measured = bench.measure(method, lake)
        ratio, over_floor = baseline / measured.seconds, measured.seconds / floor
        # The goals are those of all files; a few are read in less time than a process needs to begin.
        goal = {"goal": "16x and 1.7 floors", "met": ratio >= 16 and over_floor <= 1.7}
        large = len(bench.passes) > SMALL_PASSES
        bench.tell_measured(work, "swotvre_catalogs", measured, ratio=ratio, over_floor=over_floor,
                            **(goal if large else {}))  # fmt: skip
        if method == "fast.mean_of_all":
            require_same(measured, bench.measure("floor.mean_of_all", lake) if note else measured_baseline)


def small_means(bench: Bench) -> None:
    """Mean over cycles of the smaller number of files."""
    lake = bench.small()
    floor = bench.floor_seconds(lake)
    baseline = bench.measure("baselines.mean_over_cycles", lake)
    bench.tell_measured("mean over cycles", "open_mfdataset", baseline)
    measured = bench.measure("fast.mean_over_cycles", lake)
    require_same(baseline, measured)
    ratio = baseline.seconds / measured.seconds
    bench.tell_measured("mean over cycles", "swotvre_catalogs", measured, ratio=ratio,
                        over_floor=measured.seconds / floor, goal="45x", met=ratio >= 45)  # fmt: skip


def series(bench: Bench) -> None:
    """The mean of 2x2 degrees in each cycle."""
    lake = bench.small()
    baseline = bench.measure("baselines.regional_series", lake)
    bench.tell_measured("series of 2x2 degrees", "open_mfdataset", baseline)
    measured = bench.measure("fast.regional_series", lake, rounds=ROUNDS)
    require_same(baseline, measured)
    ratio = baseline.seconds / measured.seconds
    bench.tell_measured("series of 2x2 degrees", "swotvre_catalogs", measured, ratio=ratio, goal="300x",
                        met=ratio >= 300)  # fmt: skip
    if len(bench.passes) > SMALL_PASSES:
        measured = bench.measure("fast.regional_series", bench.full(), rounds=ROUNDS)
        bench.tell_measured("series of 2x2 degrees", "swotvre_catalogs", measured, goal="0.3 s",
                            met=measured.seconds <= 0.3)  # fmt: skip


def opening(bench: Bench) -> None:
    """Open all files as one dataset."""
    _, baseline, note, measured_baseline = bench.baseline_of_all()
    bench.tell(Line("opening", bench.full().job.files, "open_mfdataset", baseline, note=note,
                    load_average=measured_baseline.load_average))  # fmt: skip
    small, full = bench.small(), bench.full()
    for lake in (small, full) if small is not full else (full,):
        measured = bench.measure("fast.open_cube", lake, rounds=ROUNDS)
        ratio = baseline / measured.seconds if lake is full else None
        bench.tell_measured("opening", "cube()", measured, ratio=ratio, goal="0.2 s", met=measured.seconds <= 0.2)


def stock_xarray(bench: Bench) -> None:
    """The mean of all through xarray and Dask on the cube."""
    baseline, _, _, _ = bench.baseline_of_all()
    measured = bench.measure("fast.mean_of_cube", bench.full())
    require_same(measured, bench.measure("floor.mean_of_all", bench.full()))
    ratio = baseline / measured.seconds
    bench.tell_measured(
        "mean of all", "cube()[name].mean() by xarray", measured, ratio=ratio, goal="4x", met=ratio >= 4
    )


def selecting(bench: Bench) -> None:
    """Select from an index of 100,000 granules."""
    measured = bench.measure("selecting.select_of_many", bench.full())
    granules, in_month, in_all = np.load(measured.values).tolist()
    for work, found in (("box and month", in_month), ("box", in_all)):
        seconds = measured.parts[work]
        note = f"{found:,} found; opened in {measured.parts['opening']:.2f} s"
        bench.tell(Line(f"selection by {work}", granules, "swotvre_catalogs", seconds, goal="0.05 s",
                        met=seconds <= 0.05, note=note, load_average=measured.load_average))  # fmt: skip


def building(bench: Bench) -> None:
    """Build index and cube of all files, and append a cycle to those of the others."""
    lake = bench.full()
    baseline = bench.measure("baselines.references", bench.small())
    seconds = baseline.extrapolated_seconds * lake.job.files / bench.small().job.files
    note = "" if baseline.files_read == lake.job.files else f"extrapolated from {baseline.files_read:,} files"
    bench.tell_measured(
        "references", "VirtualiZarr to Icechunk", baseline, seconds=seconds, files=lake.job.files, note=note
    )
    lake.forget()
    measured = bench.measure("fast.build", lake)
    parts = ", ".join(f"{name} {part:.1f} s" for name, part in measured.parts.items())
    bench.tell_measured("granule index and cube", "swotvre_catalogs", measured, ratio=seconds / measured.seconds,
                        goal="20 s", met=measured.seconds <= 20, note=parts)  # fmt: skip
    growing = link_lake(bench.data, "growing", bench.cycles[:-1], bench.passes)
    run("fast.build", growing.job, bench.data / "results")
    growing = add_files(growing, bench.data, bench.cycles[-1:])
    measured = bench.measure("fast.build", growing)
    parts = ", ".join(f"{name} {part:.1f} s" for name, part in measured.parts.items())
    bench.tell_measured("append a cycle", "swotvre_catalogs", measured, goal="1.5 s", met=measured.seconds <= 1.5,
                        note=parts)  # fmt: skip


def copies(bench: Bench) -> None:
    """Make a copy in sharded Zarr, add a cycle to it, and read it: beside the cube over the files."""
    passes = bench.passes[:SMALL_PASSES]
    lake = link_lake(bench.data, "copied", bench.cycles[:-1], passes)
    makers = [("index and cube", "fast.build", lake.place), ("copy in sharded Zarr", "copies.make", lake.job.copy)]
    if bench.zcollection_python is not None:
        makers.append(("zcollection", "zcollections.make", lake.folder / "zcollection"))
    for work in ("make", "add a cycle"):
        for method, job_of, folder in makers:
            measured = run(job_of, lake.job, bench.data / "results", lake.paths(), bench.python_of(job_of))
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            bench.tell_measured(work, method, measured, note=f"{size / 1e6:.3g} MB on disk")
        lake = add_files(lake, bench.data, bench.cycles[-1:])
    baseline = bench.measure("baselines.mean_over_cycles", bench.small())
    bench.tell_measured("mean over cycles", "open_mfdataset", baseline)
    copied = [path for _, _, folder in makers[1:] for path in folder.rglob("*") if path.is_file()]
    methods = [
        ("the copy, by xarray", "copies.mean_over_cycles"),
        ("the copy, by xarray in blocks as of cube()", "copies.mean_over_cycles_in_blocks"),
        ("cube(), by xarray", "copies.mean_over_cycles_of_cube"),
        ("swotvre_catalogs", "fast.mean_over_cycles"),
    ]
    if bench.zcollection_python is not None:
        methods.insert(2, ("zcollection", "zcollections.mean_over_cycles"))
    for method, name in methods:
        measured = run(name, lake.job, bench.data / "results", [*lake.paths(), *copied], bench.python_of(name))
        require_same(baseline, measured)
        bench.tell_measured("mean over cycles", method, measured, ratio=baseline.seconds / measured.seconds)


def s3(bench: Bench) -> None:
    """The mean of all over S3, whose every answer takes 20 ms."""
    lake = bench.small()
    with served(lake, 0) as job:
        measured = run("fast.build", job, bench.data / "results")
        bench.tell_measured("granule index and cube, S3 without latency", "swotvre_catalogs", measured)
    with served(lake, LATENCY_SECONDS * 1000) as job:
        baseline = bench.measure("baselines.mean_of_all_s3", lake, job)
        note = f"{baseline.files_read} files took {baseline.seconds:.1f} s"
        seconds = baseline.extrapolated_seconds
        bench.tell_measured("mean of all, S3, 20 ms", "s3fs, open_mfdataset", baseline, seconds=seconds, note=note)
        before = requests_so_far(job)
        measured = bench.measure("fast.mean_of_all", lake, job, again=True)
        note = f"{requests_so_far(job) - before} requests"
        require_same(measured, bench.measure("floor.mean_of_all", lake))
        ratio = seconds / measured.seconds
        bench.tell_measured("mean of all, S3, 20 ms", "swotvre_catalogs", measured, ratio=ratio, goal="30x",
                            met=ratio >= 30, note=note)  # fmt: skip


WORKS: dict[str, Callable[[Bench], None]] = {
    "building": building,
    "selecting": selecting,
    "means": means,
    "small-means": small_means,
    "series": series,
    "opening": opening,
    "xarray": stock_xarray,
    "s3": s3,
    "copies": copies,
}
