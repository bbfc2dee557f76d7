"""Where the sums of tasks become results; written once."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.reduce import kernels
from swotvre_catalogs.reduce.cells import Cells, Totals
from swotvre_catalogs.reduce.geometry import PassGeometry
from swotvre_catalogs.reduce.memory import refuse_more_than_available
from swotvre_catalogs.reduce.packing import Packing
from swotvre_catalogs.reduce.plan import PASS, Output, Plan, Task

#: Which output, and which group and pass of it where it keeps them.
type Place = tuple[int, tuple[int, ...]]


class Results:
    """The arrays of a plan's outputs.

    Args:
        plan: The plan.
        groups, passes: Number of groups and passes of the results; None on a Dask worker, which has a part of the
            tasks: it keeps one piece for each, and the client puts them together (`absorb`).
    """

    def __init__(self, plan: Plan, groups: int | None = None, passes: int | None = None) -> None:
        self.outputs, self.lines, self.columns = plan.outputs, plan.lines, plan.columns
        self.left_out: list[DamagedFileError] = []
        self.pieces: dict[Place, dict[str, NDArray[Any]]] = {}
        self.shared: dict[Place, dict[Packing, Totals]] = {}
        self._sizes = None if groups is None or passes is None else (groups, passes)
        self._lock = threading.Lock()
        self.arrays: list[dict[str, NDArray[Any]]] = [self._allocate(n, plan.tasks) for n in range(len(plan.outputs))]

    def take(self, task: Task, cells: Sequence[Cells], geometry: PassGeometry) -> None:
        """Take over the sums of a task whose files were all added; called by several threads."""
        for number, output in enumerate(self.outputs):
            if _is_exclusive(output, task):
                if cells:
                    self._write(number, task, cells)
                else:
                    self._write_nothing(number, task)
                continue
            for one in cells:
                self._merge((number, _index(output, task)), self._totals(output, task, one, geometry))

    def leave_out(self, failure: DamagedFileError) -> None:
        """Remember a file that was left out."""
        with self._lock:
            self.left_out.append(failure)

    def absorb(self, other: Results) -> None:
        """Put in what a Dask worker found for its part of the tasks."""
        for (number, index), piece in other.pieces.items():
            for how, values in piece.items():
                _at(self.arrays[number][how], index)[...] = values
        for place, by_packing in other.shared.items():
            for totals in by_packing.values():
                self._merge(place, totals)
        self.left_out += other.left_out

    def finish(self) -> list[dict[str, NDArray[Any]]]:
        """Return for each output its arrays by operation, complete now."""
        for (number, index), by_packing in self.shared.items():
            output = self.outputs[number]
            # In an order of their own: which thread came first must not show, not even in the last bit.
            ordered = sorted(by_packing.items(), key=lambda item: repr(item[0]))
            found = combined([totals.moments() for _, totals in ordered], output.hows)
            for how, values in found.items():
                target = _at(self.arrays[number][how], index)
                target[...] = values.reshape(target.shape)
        return self.arrays

    def _allocate(self, number: int, tasks: Sequence[Task]) -> dict[str, NDArray[Any]]:
        if self._sizes is None:
            return {}
        output = self.outputs[number]
        groups, passes = self._sizes
        shape = tuple(passes if dim == PASS else groups for dim in output.file_dims) + self._inner_shape(output)
        refuse_more_than_available(8 * math.prod(shape) * len(output.hows), shape)
        arrays = {how: numpy.empty(shape, "int64" if how == "count" else "float64") for how in output.hows}
        written = {_index(output, task) for task in tasks if _is_exclusive(output, task)}
        for how, array in arrays.items():
            for index in numpy.ndindex(*shape[: len(output.file_dims)]):
                if index not in written:
                    _at(array, index)[...] = 0 if how == "count" else numpy.nan
        return arrays

    def _inner_shape(self, output: Output) -> tuple[int, ...]:
        if output.grid is not None:
            return (output.grid.rows, output.grid.columns)
        return (self.lines,) * output.keeps_lines + (self.columns,) * output.keeps_columns

    def _target(self, number: int, task: Task) -> dict[str, NDArray[Any]]:
        output = self.outputs[number]
        index = _index(output, task)
        if self._sizes is not None:
            return {how: _at(self.arrays[number][how], index) for how in output.hows}
        shape = self._inner_shape(output)
        piece = {how: numpy.empty(shape, "int64" if how == "count" else "float64") for how in output.hows}
        with self._lock:
            self.pieces[number, index] = piece
        return piece

    def _write(self, number: int, task: Task, cells: Sequence[Cells]) -> None:
        output, target = self.outputs[number], self._target(number, task)
        if output.is_large and len(cells) == 1 and not cells[0].packing.is_float:
            _write_directly(cells[0], target)
            return
        totals = [one.totals(keep_lines=output.keeps_lines, keep_columns=output.keeps_columns) for one in cells]
        for how, values in combined([one.moments() for one in totals], output.hows).items():
            target[how][...] = values

    def _write_nothing(self, number: int, task: Task) -> None:
        for how, target in self._target(number, task).items():
            target[...] = 0 if how == "count" else numpy.nan

    def _totals(self, output: Output, task: Task, cells: Cells, geometry: PassGeometry) -> Totals:
        if output.grid is None:
            return cells.totals(keep_lines=output.keeps_lines, keep_columns=output.keeps_columns)
        return cells.binned(geometry.bins(task.pass_index, output.grid), output.grid.rows * output.grid.columns)

    def _merge(self, place: Place, totals: Totals) -> None:
        with self._lock:
            known = self.shared.setdefault(place, {})
            if totals.packing in known:
                known[totals.packing].add(totals)
            else:
                known[totals.packing] = totals

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def _is_exclusive(output: Output, task: Task) -> bool:
    # Whether no other task writes to the same place.
    keyed = {dim for dim, index in ((output.group, task.group), (PASS, task.pass_index)) if index >= 0}
    return output.grid is None and set(output.file_dims) == keyed


def _index(output: Output, task: Task) -> tuple[int, ...]:
    return tuple(task.pass_index if dim == PASS else task.group for dim in output.file_dims)


def _at(array: NDArray[Any], index: Iterable[int]) -> NDArray[Any]:
    # A view, also of a single number.
    place: Any = (*index, ...)
    return numpy.asarray(array[place])


def _write_directly(cells: Cells, target: dict[str, NDArray[Any]]) -> None:
    # Whole pages of the result, straight from the cells of integers.
    packing, sums = cells.packing, cells.fields["sums"]
    ends = [cells.fields[name] for name in ("lowest", "highest") if name in cells.fields]
    for how, array in target.items():
        out = array.reshape(-1)
        if how == "mean":
            kernels.write_means(sums, packing.origin, packing.scale, packing.offset, out)
        elif how == "count":
            kernels.write_counts(sums, out)
        elif how == "std":
            kernels.write_stds(sums, cells.fields["low"], cells.fields["high"], packing.scale, out)
        elif (how == "min") == (packing.scale >= 0):
            kernels.write_ends(*ends, False, packing.origin, packing.scale, packing.offset, out)
        else:
            kernels.write_ends(*ends, True, packing.origin, packing.scale, packing.offset, out)


def combined(parts: Sequence[dict[str, NDArray[Any]]], hows: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return results by operation from the moments of files of several packings (see `Totals.moments`)."""
    count = numpy.asarray(sum(part["count"] for part in parts))
    found: dict[str, NDArray[Any]] = {"count": count}
    with numpy.errstate(divide="ignore", invalid="ignore"):
        if len(parts) == 1:
            mean = parts[0]["mean"]
        else:
            mean = sum(_weighted(part["count"], part["mean"]) for part in parts) / count
        found["mean"] = numpy.asarray(mean)
        if "squares" in parts[0]:
            within = [numpy.where(part["count"] > 0, part["squares"], 0.0) for part in parts]
            between = [_weighted(part["count"], (part["mean"] - mean) ** 2) for part in parts] if len(parts) > 1 else []
            squares = numpy.sum([*within, *between], axis=0)
            found["std"] = numpy.sqrt(numpy.maximum(squares, 0.0) / count)
    if "min" in parts[0]:
        found["min"] = numpy.fmin.reduce([part["min"] for part in parts])
        found["max"] = numpy.fmax.reduce([part["max"] for part in parts])
    return {how: numpy.asarray(found[how]) for how in hows}


def _weighted(count: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    return numpy.where(count > 0, values * count, 0.0)
