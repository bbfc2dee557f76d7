"""Select swaths by place, time and parameters: the lines that cross, of all granules one after the other, lazily."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable, file_lines
from swotvre_catalogs.cube.dataset import lazy_variable, open_stored, table_source
from swotvre_catalogs.cube.indexer import GEOMETRY
from swotvre_catalogs.cube.opening import open_version, warn_of_left_out
from swotvre_catalogs.cube.segment_array import Segments
from swotvre_catalogs.cube.swath_array import SwathArray, TableSource
from swotvre_catalogs.errors import MissingGranuleError, ParameterValueError
from swotvre_catalogs.granules import number_ranges
from swotvre_catalogs.index.bbox import EARLIEST, LATEST, Box, parse_time
from swotvre_catalogs.parameters import resolve_parameters

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry

_THREADS = 4
#: Passes that leave so wide a gap do not go around the globe.
_EMPTY_DEGREES = 30.0


def select_swath(
    entry: Entry,
    bbox: Box | Sequence[float] | None = None,
    time: Any = None,
    version: str | None = None,
    params: Mapping[str, Any] | None = None,
    clip: bool = False,
) -> xarray.Dataset:
    """Select the lines of a product's passes that cross a box within a period, as one lazy Dataset.

    The lines of all granules follow each other along ``num_lines``, by cycle and pass; ``cycle_number`` and
    ``pass_number`` say for each line where it is from. A line is kept whole when any of its pixels is inside.

    Args:
        entry: The product.
        bbox: (west, south, east, north) in degrees, as ``Box.parse`` takes it; None is everywhere.
        time: As ``parse_time`` takes it; None is always.
        version: A CRID instead of the newest version of each granule.
        params: ``cycle_number`` and ``pass_number``: a number, several, or None for all.
        clip: Whether pixels outside the box become NaN.

    Raises:
        MissingGranuleError: If nothing is left; the message says what there is.
        ParameterValueError: If the box, the time or a number cannot be one.
        UnknownParameterError: If the product has no such parameter.
    """
    box = None if bbox is None else Box.parse(bbox)
    begin, end = parse_time(time) if time is not None else (EARLIEST, LATEST)
    wanted = {name: _numbers(entry, name, value) for name, value in (params or {}).items()}
    opened = open_version(entry, version=version)
    table = opened.chunk_table()
    warn_of_left_out(opened.name, table)
    source = table_source(opened, table)
    rows = _Rows(table, wanted, begin, end)
    segments = _segments(table, rows.chosen, _lines_inside(source, table, box, rows.chosen))
    if rows.has_edges:
        segments = _cut_by_time(source, table, segments, begin, end)
    if not len(segments):
        raise MissingGranuleError(_nothing_found(entry, table, box, time, wanted, len(rows.chosen)))
    dataset = _dataset(open_stored(opened), source, table, segments)
    return _clipped(dataset, box) if clip and box is not None else dataset


def _numbers(entry: Entry, name: str, value: Any) -> list[int] | None:
    several = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    if value is None:
        resolve_parameters(entry.product, {"cycle_number": None, name: entry.product.parameters[name].default}
                           if name in entry.product.parameters else {name: None})  # fmt: skip
        return None
    numbers = sorted({resolve_parameters(entry.product, {name: one})[name] for one in several})
    if not numbers:
        raise ParameterValueError(f"{entry.name}: {name} is empty; expected a number, several, or None for all")
    return numbers


@dataclass(frozen=True)
class _Rows:
    """The files that parameters and period choose."""

    table: ChunkTable
    wanted: Mapping[str, list[int] | None]
    begin: numpy.datetime64
    end: numpy.datetime64

    @property
    def chosen(self) -> NDArray[numpy.int64]:
        """Rows of the table, by cycle and pass."""
        table = self.table
        keep = (table.begin <= self.end) & (table.end >= self.begin)
        for name, numbers, index in (
            ("cycle_number", table.cycle_numbers, table.cycle_index),
            ("pass_number", table.pass_numbers, table.pass_index),
        ):
            wanted = self.wanted.get(name)
            if wanted is not None:
                keep &= numpy.isin(numbers[index], wanted)
        return numpy.flatnonzero(keep)

    @property
    def has_edges(self) -> bool:
        """Tell whether the period begins or ends within a file."""
        table, rows = self.table, self.chosen
        return bool(((table.begin[rows] < self.begin) | (table.end[rows] > self.end)).any())


def _lines_inside(
    source: TableSource, table: ChunkTable, box: Box | None, rows: NDArray[numpy.int64]
) -> dict[int, list[slice]]:
    """Return by index of the pass the runs of lines that cross the box."""
    passes = numpy.unique(table.pass_index[rows]).tolist()
    if box is None:
        return {number: [slice(0, table.num_lines)] for number in passes}
    near: dict[int, list[slice]] = {}
    for number, lines in table.candidates(box):
        if number in passes:
            near.setdefault(number, []).append(lines)
    arrays = [
        SwathArray(source, name, (len(table.pass_numbers), table.num_lines, table.num_pixels), "float64", False)
        for name in GEOMETRY
    ]

    def inside(number: int) -> list[slice]:
        low, high = near[number][0].start, near[number][-1].stop
        latitude, longitude = (array[number, low:high] for array in arrays)
        return [slice(low + run.start, low + run.stop) for run in _runs(box.contains(longitude, latitude).any(axis=1))]

    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(near, pool.map(inside, near), strict=True))


def _runs(flags: NDArray[numpy.bool_]) -> list[slice]:
    edges = numpy.flatnonzero(numpy.diff(flags.astype(numpy.int8), prepend=0, append=0))
    return [slice(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _segments(table: ChunkTable, rows: NDArray[numpy.int64], inside: Mapping[int, list[slice]]) -> Segments:
    found = []
    for row in rows.tolist():
        runs = inside.get(int(table.pass_index[row]))
        if not runs:
            continue
        if table.first_line[row] >= 0:
            first = int(table.first_line[row])
            parts = [slice(first, first + file_lines(table.layouts[table.signature[row]]))]
        else:
            present = numpy.zeros(table.num_lines, dtype=bool)
            present[table.line_map(row)] = True
            parts = _runs(present)
        for run in runs:
            for part in parts:
                first, end = max(run.start, part.start), min(run.stop, part.stop)
                if first < end:
                    found.append((int(table.cycle_index[row]), int(table.pass_index[row]), first, end))
    return Segments.of(found)


def _cut_by_time(
    source: TableSource, table: ChunkTable, segments: Segments, begin: numpy.datetime64, end: numpy.datetime64
) -> Segments:
    if "time" not in table.variables:
        return segments
    units = next(one.variables["time"].meaning for one in table.layouts if "time" in one.variables)
    shape = (len(table.cycle_numbers), len(table.pass_numbers), table.num_lines)
    times = SwathArray(source, "time", shape, "datetime64[ns]", True, dict(units))
    kept = []
    for cycle, number, first, last in segments.as_tuples():
        row = table.row[cycle, number]
        if begin <= table.begin[row] and table.end[row] <= end:
            kept.append((cycle, number, first, last))
            continue
        when = times[cycle, number, first:last]
        kept += [(cycle, number, first + run.start, first + run.stop) for run in _runs((when >= begin) & (when <= end))]
    return Segments.of(kept)


def _dataset(stored: xarray.Dataset, source: TableSource, table: ChunkTable, segments: Segments) -> xarray.Dataset:
    variables: dict[str, Any] = {}
    for name, variable in stored.variables.items():
        if variable.dims == (name,):
            continue
        array = lazy_variable(source, str(name), variable, table)
        dims = ("num_lines", *variable.dims[variable.dims.index("num_lines") + 1 :])
        data = segments.take(array) if isinstance(array, SwathArray) else segments.concatenate(array)
        variables[str(name)] = xarray.Variable(dims, data, variable.attrs, variable.encoding)
    for name, numbers, index in (
        ("cycle_number", table.cycle_numbers, segments.cycles),
        ("pass_number", table.pass_numbers, segments.passes),
    ):
        values = numpy.repeat(numbers[index], segments.lengths)
        variables[name] = xarray.Variable(("num_lines",), values, stored[name].attrs)
    coordinates = {name: variables.pop(name) for name in list(variables) if name in stored.coords}
    files = len(set(zip(segments.cycles.tolist(), segments.passes.tolist(), strict=True)))
    attributes = {**stored.attrs, "commit": source.commit, "files": files}
    for name in ("missing", "left_out"):
        attributes.pop(name, None)
    return xarray.Dataset(variables, coordinates, attributes)


def _clipped(dataset: xarray.Dataset, box: Box) -> xarray.Dataset:
    inside = xarray.apply_ufunc(
        box.contains, dataset["longitude"], dataset["latitude"], dask="parallelized", output_dtypes=[bool]
    )
    return dataset.assign(
        {name: one.where(inside) for name, one in dataset.data_vars.items() if one.dims == inside.dims}
    )


def _nothing_found(
    entry: Entry, table: ChunkTable, box: Box | None, time: Any, wanted: Mapping[str, list[int] | None], files: int
) -> str:
    asked = [f"{name} {number_ranges(numbers)}" for name, numbers in wanted.items() if numbers is not None]
    asked += [f"time {time!r}"] if time is not None else []
    asked += [f"bbox {(box.west, box.south, box.east, box.north)}"] if box is not None else []
    what = f"nothing of {entry.name} for {', '.join(asked) or 'this selection'}"
    if files:
        when = " in that time" if time is not None else ""
        return (
            f"{what}: {files} granules fit the rest, but none of their lines crosses the box{when}; {_covered(table)}"
        )
    there = (
        f"cycle_number {number_ranges(table.cycle_numbers.tolist())}, "
        f"pass_number {number_ranges(table.pass_numbers.tolist())}, "
        f"{table.begin.min()} to {table.end.max()}"
        if len(table)
        else "no granule"
    )
    return f"{what}; there is {there}"


def _covered(table: ChunkTable) -> str:
    """Return in words between which latitudes and longitudes the passes of a product lie."""
    bounds = table.block_bounds.reshape(-1, 4)
    south, north, *edges = bounds[numpy.isfinite(bounds).all(axis=1)].T.astype("float64")
    if not south.size:
        return "no pass has a position"
    latitudes = f"the passes lie at latitudes {south.min():.1f} to {north.max():.1f}"
    around = numpy.unique(numpy.concatenate(edges) % 360)
    gaps = numpy.diff(around, append=around[0] + 360)
    widest = int(gaps.argmax())
    if gaps[widest] < _EMPTY_DEGREES:
        return f"{latitudes}, all around the globe"
    west, east = (around[(widest + 1) % around.size] + 180) % 360 - 180, (around[widest] + 180) % 360 - 180
    return f"{latitudes}, longitudes {west:.1f} to {east:.1f}"
