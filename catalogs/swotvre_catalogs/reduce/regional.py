"""Series of a region, maps on a regular grid, climatologies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable, open_chunk_table
from swotvre_catalogs.index.bbox import Box
from swotvre_catalogs.reduce.errors import ReductionError
from swotvre_catalogs.reduce.plan import CYCLE, PASS, GridSpec, Output
from swotvre_catalogs.reduce.reduction import compute
from swotvre_catalogs.reduce.request import (
    check_variable,
    group_files,
    kept_dimensions,
    make_request,
    variable_dimensions,
)

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry

#: A grid with more cells than this is refused: no machine has the memory.
MOST_CELLS = 500_000_000


def series(
    entry: Entry,
    variable: str,
    bbox: Sequence[float],
    how: str | Sequence[str] = "mean",
    by: str = CYCLE,
    **options: Any,
) -> Any:
    """Return one number per cycle for the pixels in a box, each pixel with the same weight.

    Args:
        entry: The product.
        variable: Name of the variable.
        bbox: (west, south, east, north) in degrees; west greater than east is across the antimeridian.
        how: As of `reduce`.
        by: ``cycle_number``; ``pass_number`` for every crossing of every cycle; ``month`` for calendar months, by the
            first measurement of a granule.
        **options: ``quality``, ``time``, ``skip_damaged``, ``client``, ``at``, ``where`` as of `reduce`.

    Returns:
        A DataArray (a Dataset for several operations); by cycle with the coordinate ``time``, of the first granule
        that counts.

    Raises:
        ReductionError: And other errors, as of `reduce`.
    """
    request = make_request(variable, how, {**options, "bbox": bbox})
    table = open_chunk_table(entry, request.at)
    check_variable(table, variable)
    by_pass = by == PASS
    names = {CYCLE: CYCLE, PASS: CYCLE, "month": "months"}
    if by not in names:
        raise ReductionError(f"by is {by!r}; expected one of: {', '.join(names)}")
    grouping = group_files(table, names[by], (CYCLE, "months"))
    dims = (CYCLE, PASS) if by_pass else (grouping.name,)
    (found,) = compute(entry, table, request, grouping, [Output(dims, request.hows, grouping.name)])
    if by == CYCLE:
        found = found.assign_coords(time=(CYCLE, _first_times(table, request.box)))
    return found if isinstance(how, list | tuple) else found[how]


def grid(
    entry: Entry,
    variable: str,
    step_degrees: float,
    bbox: Sequence[float] | None = None,
    how: str | Sequence[str] = "mean",
    by: str | None = None,
    **options: Any,
) -> Any:
    """Put the pixels of all files on a regular grid of longitude and latitude; each pixel has the same weight.

    Args:
        entry: The product.
        variable: Name of the variable.
        step_degrees: Size of a cell.
        bbox: The grid's edges, in degrees; the globe by default. Across the antimeridian longitudes go on beyond 180.
        how: As of `reduce`.
        by: One map per ``cycle_number``, ``month`` (of the year), ``months`` (calendar months) or ``season``.
        **options: ``quality``, ``time``, ``skip_damaged``, ``client``, ``at``, ``where`` as of `reduce`.

    Returns:
        A DataArray (latitude, longitude) of the cells' centres, NaN where there is no value; a Dataset for several
        operations.

    Raises:
        ReductionError: If the step is not positive or the grid is too large; other errors as of `reduce`.
    """
    request = make_request(variable, how, {**options, "bbox": bbox})
    table = open_chunk_table(entry, request.at)
    check_variable(table, variable)
    grouping = group_files(table, by or CYCLE, _GROUPINGS)
    cells = grid_of(request.box, step_degrees)
    if cells.rows * cells.columns * (len(grouping.labels) if by else 1) > MOST_CELLS:
        raise ReductionError(f"a grid of {cells.rows} x {cells.columns} cells is too large; take a larger step_degrees")
    output = Output((grouping.name,) if by else (), request.hows, grouping.name, cells)
    (found,) = compute(entry, table, request, grouping, [output])
    return found if isinstance(how, list | tuple) else found[how]


def climatology(
    entry: Entry,
    variable: str,
    by: str = "month",
    how: str | Sequence[str] = "mean",
    over: str | tuple[str, ...] | None = None,
    step_degrees: float | None = None,
    **options: Any,
) -> Any:
    """Reduce a variable for each month of the year, or each season, over all years.

    A granule belongs to the month of its first measurement.

    Args:
        entry: The product.
        variable: Name of the variable.
        by: ``month`` (1 to 12) or ``season`` (DJF, MAM, JJA, SON).
        how: As of `reduce`.
        over: None for one number per month, ``cycle_number`` for one per month and pixel (use ``bbox`` with it), or
            other dimensions as of `reduce`.
        step_degrees: One map per month on a regular grid instead, see `grid`.
        **options: ``bbox``, ``quality``, ``time``, ``skip_damaged``, ``client``, ``at``, ``where`` as of `reduce`.

    Raises:
        ReductionError: And other errors, as of `reduce`.
    """
    if by not in _SEASONAL:
        raise ReductionError(f"by is {by!r}; expected one of: {', '.join(_SEASONAL)}")
    if step_degrees is not None:
        return grid(entry, variable, step_degrees, how=how, by=by, **options)
    request = make_request(variable, how, options)
    table = open_chunk_table(entry, request.at)
    check_variable(table, variable)
    grouping = group_files(table, by, _SEASONAL)
    kept = kept_dimensions(over, variable_dimensions(table, variable), variable)
    dims = (grouping.name, *(dim for dim in kept if dim != CYCLE))
    (found,) = compute(entry, table, request, grouping, [Output(dims, request.hows, grouping.name)])
    return found if isinstance(how, list | tuple) else found[how]


_SEASONAL = ("month", "season")
_GROUPINGS = (CYCLE, "month", "months", "season")


def grid_of(box: Box | None, step_degrees: float) -> GridSpec:
    """Return the grid of a box, of the globe by default; its last cells may reach beyond the box.

    Raises:
        ReductionError: If the step is not a positive number of degrees.
    """
    if not (isinstance(step_degrees, int | float | numpy.number) and 0 < step_degrees <= 360):
        raise ReductionError(f"step_degrees is {step_degrees!r}; expected a number of degrees above 0")
    step_degrees = float(step_degrees)
    box = box or Box(-180.0, -90.0, 180.0, 90.0)
    # A step that divides the width but for rounding must not give one more, empty, cell.
    rows = max(1, math.ceil((box.north - box.south) / step_degrees - 1e-9))
    columns = max(1, math.ceil(box.width_degrees / step_degrees - 1e-9))
    return GridSpec(box.west, box.south, step_degrees, rows, columns)


def _first_times(table: ChunkTable, box: Box | None) -> NDArray[numpy.datetime64]:
    passes = [number for number, _ in table.candidates(box)] if box is not None else range(len(table.pass_numbers))
    times = numpy.full(len(table.cycle_numbers), numpy.datetime64("NaT", "ns"))
    for cycle in range(len(times)):
        rows = table.row[cycle, list(passes)]
        begins = table.begin[rows[rows >= 0]]
        if begins.size:
            times[cycle] = begins.min()
    return times
