"""What was asked for, checked before any file is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.errors import UnknownVariableError
from swotvre_catalogs.index.bbox import Box, parse_time
from swotvre_catalogs.parameters import known_names, near_miss
from swotvre_catalogs.reduce.errors import ReductionError
from swotvre_catalogs.reduce.plan import CYCLE, PASS

HOWS = ("mean", "count", "std", "min", "max")

#: Keeps the pixels where it is true: an array, or a function that makes one of the cube.
type Where = xarray.DataArray | Callable[[xarray.Dataset], xarray.DataArray]

#: One dimension, several, or None for all.
type Over = str | tuple[str, ...] | None


@dataclass(frozen=True)
class Request:
    """One question about one variable; several results of it are had in one pass over the files."""

    variable: str
    hows: tuple[str, ...]
    quality: Any = None
    box: Box | None = None
    #: First and last instant of the granules that count.
    period: tuple[numpy.datetime64, numpy.datetime64] | None = None
    where: Where | None = None
    skip_damaged: bool = False
    client: Any = None
    at: Any = None


def make_request(variable: str, how: str | Sequence[str], options: dict[str, Any]) -> Request:
    """Return the request of a public function's arguments.

    Raises:
        ReductionError: If ``how`` is not an operation.
        ParameterValueError: If the box or the time is wrong.
    """
    known = {"quality", "bbox", "time", "where", "skip_damaged", "client", "at"}
    for name in options:
        if name not in known:
            choice = "; of cycles and passes, .sel(...)[variable] is what to reduce" if name in (CYCLE, PASS) else ""
            raise ReductionError(
                f"no option {name!r}{choice or near_miss(name, known)}; expected: {', '.join(sorted(known))}"
            )
    rest = {name: value for name, value in options.items() if name not in ("bbox", "time")}
    bbox, time = options.get("bbox"), options.get("time")
    return Request(
        variable,
        _hows(how),
        box=None if bbox is None else Box.parse(bbox),
        period=None if time is None else parse_time(time),
        **rest,
    )


def _hows(how: str | Sequence[str]) -> tuple[str, ...]:
    hows = (how,) if isinstance(how, str) else tuple(how)
    for one in hows:
        if one not in HOWS:
            raise ReductionError(f"how is {one!r}{near_miss(str(one), HOWS)}; expected one of: {', '.join(HOWS)}")
    if not hows:
        raise ReductionError(f"how is empty; expected one or several of: {', '.join(HOWS)}")
    return tuple(dict.fromkeys(hows))


def kept_dimensions(over: Over, dims: Sequence[str], variable: str) -> tuple[str, ...]:
    """Return the dimensions that stay when a variable is reduced over some.

    Raises:
        ReductionError: If the variable has not one of them.
    """
    if over is None:
        return ()
    reduced = tuple(over) if isinstance(over, tuple) else (over,)
    for dim in reduced:
        if dim not in dims:
            raise ReductionError(
                f"over is {dim!r}, but {variable} has no such dimension{near_miss(str(dim), dims)}; "
                f"it has: {', '.join(dims)}; None is all of them"
            )
    return tuple(dim for dim in dims if dim not in reduced)


def check_variable(table: ChunkTable, variable: Any) -> None:
    """Check that some file has the variable.

    Raises:
        UnknownVariableError: If none has; the message suggests one that is like it.
    """
    if not isinstance(variable, str) or variable not in table.variables:
        if isinstance(variable, list | tuple):
            raise UnknownVariableError(f"variable is {variable!r:.200}; expected one name: reduce one after the other")
        names = sorted(table.variables)
        miss, there = near_miss(variable, names), known_names(variable, names)
        raise UnknownVariableError(f"no file has a variable {variable!r}{miss}; there are: {there}")


def variable_dimensions(table: ChunkTable, variable: str) -> tuple[str, ...]:
    """Return the dimensions of a variable in the cube."""
    layout = next(layout for layout in table.layouts if variable in layout.variables)
    return (CYCLE, PASS, *layout.variables[variable].dimensions)


@dataclass(frozen=True)
class Grouping:
    """What files are put together by, in the place of the cycle."""

    #: Name of the dimension.
    name: str
    #: Its coordinate.
    labels: NDArray[Any]
    #: Index into ``labels`` of each file of the table.
    index: NDArray[numpy.int64]


def group_files(table: ChunkTable, by: str, expected: Iterable[str]) -> Grouping:
    """Return the groups of files by cycle, by month of the year, by month, or by season.

    A granule belongs to the month of its first measurement.

    Raises:
        ReductionError: If ``by`` is none of ``expected``.
    """
    if by not in expected:
        raise ReductionError(f"by is {by!r}{near_miss(str(by), expected)}; expected one of: {', '.join(expected)}")
    if by == CYCLE:
        return Grouping(CYCLE, table.cycle_numbers, table.cycle_index.astype("int64"))
    months = table.begin.astype("datetime64[M]")
    of_year = months.astype("int64") % 12
    if by == "month":
        return Grouping("month", numpy.arange(1, 13), of_year)
    if by == "season":
        return Grouping("season", numpy.array(["DJF", "MAM", "JJA", "SON"]), (of_year + 1) % 12 // 3)
    labels, index = numpy.unique(months, return_inverse=True)
    return Grouping("time", labels.astype("datetime64[ns]"), index.astype("int64"))
