"""From a request and a chunk table to a plan, or the reason why the kernels cannot carry it out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.layout import FileLayout
from swotvre_catalogs.index.bbox import Box
from swotvre_catalogs.object_store import open_reader
from swotvre_catalogs.reduce import kernels
from swotvre_catalogs.reduce.errors import QualityError, ReductionError
from swotvre_catalogs.reduce.geometry import LATITUDE, LONGITUDE
from swotvre_catalogs.reduce.packing import reason_against_kernels
from swotvre_catalogs.reduce.plan import PASS, Output, Plan, make_tasks, select_files
from swotvre_catalogs.reduce.quality import parse_quality, reason_against_flag
from swotvre_catalogs.reduce.request import Grouping, Request

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry


@dataclass(frozen=True)
class Planned:
    """A plan without its outputs' tasks, and what the results need beside it."""

    plan: Plan
    grouping: Grouping
    #: Index in the chunk table of the passes of the results.
    passes: NDArray[numpy.int64]
    #: Row in the chunk table of each file of the plan that counts.
    rows: NDArray[numpy.int64]
    #: Why the kernels cannot carry it out; empty if they can.
    reason: str

    def for_outputs(self, outputs: Sequence[Output]) -> Plan:
        """Return the plan of outputs that can be had in one pass."""
        file_dims = {dim for output in outputs for dim in output.file_dims}
        file_dims |= {PASS for output in outputs if output.grid is not None}
        tasks = make_tasks(self.plan.files, numpy.arange(len(self.rows)), tuple(file_dims), self.grouping.name)
        return replace(self.plan, outputs=tuple(outputs), tasks=tasks)


def plan_request(entry: Entry, table: ChunkTable, request: Request, grouping: Grouping, *, on_grid: bool) -> Planned:
    """Choose the files of a request and say how they are read.

    Args:
        entry: The product.
        table: Of its cube.
        request: What was asked for.
        grouping: What files are put together by.
        on_grid: Whether pixels are put on a grid, so that their positions are needed.

    Raises:
        QualityError: If the mask cannot be understood, or the product has no such flag.
        ReductionError: If a box is asked for a variable that has no position.
    """
    conditions = parse_quality(request.quality, request.variable, table.variables)
    names = list(dict.fromkeys([request.variable, *(one.variable for one in conditions)]))
    has_all = numpy.array([all(name in layout.variables for name in names) for layout in table.layouts], bool)
    chosen = has_all[table.signature]
    if request.period is not None:
        chosen &= (table.begin <= request.period[1]) & (table.end >= request.period[0])
    passes = numpy.arange(len(table.pass_numbers))
    windows: dict[int, tuple[int, int]] = {}
    if request.box is not None:
        windows = _windows(table, request.box)
        passes = numpy.array(sorted(windows), dtype="int64")
        chosen &= numpy.isin(table.pass_index, passes)
    rows = numpy.flatnonzero(chosen)
    located = request.box is not None or on_grid
    sources = table.geometry_rows(passes) if located else numpy.zeros(0, "int32")
    read = numpy.unique(numpy.concatenate([rows, sources]))
    layouts = [table.layouts[number] for number in numpy.unique(table.signature[rows])]
    shape = _columns(layouts, request.variable)
    _check_flags(layouts, names)
    if located and layouts and shape != _columns(layouts, LATITUDE):
        raise ReductionError(f"{request.variable} has no position for each of its numbers, so no box and no grid")
    files = select_files(table, [*names, *((LATITUDE, LONGITUDE) if located else ())], read, grouping.index[read])
    order = numpy.concatenate([numpy.searchsorted(read, rows), numpy.flatnonzero(~numpy.isin(read, rows))])
    # The files that count first; those that only give positions after them.
    files = replace(files.take(order), pass_index=numpy.searchsorted(passes, table.pass_index[read[order]]))
    place = {int(row): number for number, row in enumerate(read[order])}
    plan = Plan(
        entry.datalake.address,
        open_reader(entry.datalake),
        request.variable,
        conditions,
        table.layouts,
        table.num_lines,
        shape,
        (),
        files,
        (),
        request.box,
        {number: windows[int(index)] for number, index in enumerate(passes) if windows},
        {number: place[int(source)] for number, source in enumerate(sources)},
        request.skip_damaged,
    )
    reason = _reason(request, layouts, names, located)
    return Planned(plan, grouping, passes, rows, reason)


def _windows(table: ChunkTable, box: Box) -> dict[int, tuple[int, int]]:
    windows: dict[int, tuple[int, int]] = {}
    for number, lines in table.candidates(box):
        first, last = windows.get(number, (lines.start, lines.stop))
        windows[number] = (min(first, lines.start), max(last, lines.stop))
    return windows


def _columns(layouts: Sequence[FileLayout], variable: str) -> int:
    found = {math.prod(layout.variables[variable].shape[1:]) for layout in layouts}
    if len(found) > 1:
        raise ReductionError(f"{variable} has {' or '.join(map(str, sorted(found)))} columns, depending on the file")
    return found.pop() if found else 1


def _check_flags(layouts: Sequence[FileLayout], names: Sequence[str]) -> None:
    for layout in layouts:
        dims = layout.variables[names[0]].dimensions
        for name in names[1:]:
            flag = layout.variables[name].dimensions
            if flag != dims[: len(flag)]:
                raise QualityError(
                    f"the flag {name} has the dimensions {flag}, {names[0]} has {dims}: it is no mask of it"
                )


def _reason(request: Request, layouts: Sequence[FileLayout], names: Sequence[str], located: bool) -> str:
    if request.where is not None:
        return "where= is evaluated on the cube"
    for layout in layouts:
        for name in [*names, *((LATITUDE, LONGITUDE) if located else ())]:
            reason = reason_against_kernels(layout.variables[name])
            if not reason and name in names[1:]:
                reason = reason_against_flag(layout.variables[name])
            if reason:
                return reason
    return ""


def most_files(plan: Plan) -> int:
    """Return how many files the largest task adds up in one cell."""
    return max((len(task.rows) for task in plan.tasks), default=0)


def most_files_allowed(plan: Plan) -> int:
    """Return how many files a task may add up: with more, its sums could overflow in a cell, or over all cells."""
    return min(kernels.MOST_FILES, 2**31 // max(plan.lines * plan.columns, 1))
