"""Carry out a plan through xarray on the cube, for what the kernels do not cover."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.reduce.cells import Cells
from swotvre_catalogs.reduce.engine import thread_count
from swotvre_catalogs.reduce.errors import ReductionError
from swotvre_catalogs.reduce.geometry import LATITUDE, LONGITUDE, PassGeometry
from swotvre_catalogs.reduce.packing import Packing
from swotvre_catalogs.reduce.plan import CYCLE, LINES, PASS, Plan, Task
from swotvre_catalogs.reduce.planning import Planned
from swotvre_catalogs.reduce.quality import Condition, flag_attributes
from swotvre_catalogs.reduce.request import Where
from swotvre_catalogs.reduce.results import Results

#: What xarray gives us.
_DECODED = Packing("<f8", 1.0, 0.0, None)


def carry_out_through_xarray(
    plan: Plan,
    results: Results,
    cube: xarray.Dataset,
    table: ChunkTable,
    planned: Planned,
    mask: xarray.DataArray | None,
) -> None:
    """Add up the pixels of every file as xarray decodes them, pass by pass; ``mask`` is that of `mask_on`."""
    source = _Decoded(plan, cube, table, planned, mask)
    with ThreadPoolExecutor(thread_count(), thread_name_prefix="reduce") as pool:
        futures = [pool.submit(_carry_out, source, task, results) for task in plan.tasks]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _carry_out(source: _Decoded, task: Task, results: Results) -> None:
    plan = source.plan
    squares, extremes = any(one.squares for one in plan.outputs), any(one.extremes for one in plan.outputs)
    cells = Cells(_DECODED, plan.lines, plan.columns, squares=squares, extremes=extremes)
    for values, keep in source.files(task):
        cells.add(0, values, keep)
    results.take(task, [cells], source.geometry)


class _Decoded:
    """Values and masks of single files, taken from the cube."""

    def __init__(
        self, plan: Plan, cube: xarray.Dataset, table: ChunkTable, planned: Planned, mask: xarray.DataArray | None
    ) -> None:
        self.plan, self._cube, self._table, self._planned = plan, cube, table, planned
        self.geometry = _CubeGeometry(plan, cube, planned)
        self._mask = mask

    def files(self, task: Task) -> Iterator[tuple[NDArray[numpy.float64], NDArray[numpy.uint8]]]:
        """Give out values and mask of each file of a task, for all lines of the cube, flat."""
        for row in task.rows.tolist():
            original = int(self._planned.rows[row])
            place = {CYCLE: int(self._table.cycle_index[original]), PASS: int(self._table.pass_index[original])}
            values = _load(self._cube[self.plan.variable], place).astype("float64").reshape(-1)
            keep = numpy.ones(values.size, bool)
            attributes = self._table.layouts[self._table.signature[original]].variables
            for condition in self.plan.conditions:
                flags = _load(self._cube[condition.variable], place)
                good = _good(condition, flags, flag_attributes(attributes[condition.variable])).reshape(-1)
                keep &= numpy.repeat(good, keep.size // good.size)
            if self._mask is not None:
                keep &= _load(self._mask, place).astype(bool).reshape(-1)
            if self.plan.box is not None:
                number = int(self.plan.files.pass_index[row])
                first, last = self.geometry.window(number)
                inside = numpy.zeros((self.plan.lines, self.plan.columns), bool)
                inside[first:last] = self.geometry.mask(number).reshape(last - first, -1)
                keep &= inside.reshape(-1)
            yield values, keep.astype("u1")


class _CubeGeometry(PassGeometry):
    """Positions as xarray decodes them."""

    def __init__(self, plan: Plan, cube: xarray.Dataset, planned: Planned) -> None:
        super().__init__(plan, DamagedFileError)
        self._cube, self._passes = cube, planned.passes

    def _positions(self, pass_index: int, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        place = {PASS: int(self._passes[pass_index]), LINES: slice(first, last)}
        lon, lat = (_load(self._cube[name], place).astype("float64").reshape(-1) for name in (LONGITUDE, LATITUDE))
        return lon, lat


def _load(array: xarray.DataArray, place: dict[str, Any]) -> NDArray[Any]:
    chosen = array.isel({dim: index for dim, index in place.items() if dim in array.dims})
    # In this thread: the threads of a reduction are as many as the cores.
    return numpy.asarray(chosen.compute(scheduler="synchronous").values)


def mask_on(cube: xarray.Dataset, variable: str, where: Where | None) -> xarray.DataArray | None:
    """Return the mask that ``where`` gives on the cube, None for none; nothing is computed.

    Raises:
        ReductionError: If the variable is not numeric, or ``where`` gives no boolean array on the cube.
    """
    if cube[variable].dtype.kind not in "iufb":
        kind = cube[variable].dtype
        raise ReductionError(f"{variable} holds {kind}, not numbers; reduce .cube()[{variable!r}] yourself")
    if where is None:
        return None
    mask = where(cube) if callable(where) else where
    dims = cube[variable].dims
    if not isinstance(mask, xarray.DataArray) or mask.dtype != bool or set(mask.dims) - set(dims):
        received = f"{mask.dims} of {mask.dtype}" if isinstance(mask, xarray.DataArray) else type(mask).__name__
        raise ReductionError(f"where gives {received}; expected a DataArray of booleans with dimensions of {dims}")
    lacking = {dim: cube.sizes[dim] for dim in dims[2:] if dim not in mask.dims}
    return mask.expand_dims(lacking).transpose(*(dim for dim in dims if dim in mask.dims or dim in lacking))


def _good(condition: Condition, flags: NDArray[Any], attributes: dict[str, str]) -> NDArray[numpy.bool_]:
    present = numpy.isfinite(flags) if flags.dtype.kind == "f" else numpy.ones(flags.shape, bool)
    values = condition.values(attributes)
    if not condition.are_bits:
        return numpy.asarray(present & numpy.isin(flags, values))
    bits = 0
    for value in values:
        bits |= value
    whole = numpy.where(present, flags, 0).astype("int64")
    return numpy.asarray(present & (whole & bits == 0))
