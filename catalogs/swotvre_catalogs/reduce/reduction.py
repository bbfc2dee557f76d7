"""Reduce a variable over all files of a product: mean, count, standard deviation, minimum, maximum."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable, open_chunk_table
from swotvre_catalogs.cube.dataset import open_dataset
from swotvre_catalogs.cube.opening import open_version, warn_of_left_out
from swotvre_catalogs.errors import GranuleWarning
from swotvre_catalogs.reduce.cluster import carry_out_on_cluster, chosen_client
from swotvre_catalogs.reduce.engine import carry_out
from swotvre_catalogs.reduce.errors import FallbackNotice, ReductionError
from swotvre_catalogs.reduce.fallback import carry_out_through_xarray, mask_on
from swotvre_catalogs.reduce.plan import CYCLE, LINES, PASS, Output, separate_passes
from swotvre_catalogs.reduce.planning import Planned, most_files, most_files_allowed, plan_request
from swotvre_catalogs.reduce.request import (
    Grouping,
    Over,
    Request,
    check_variable,
    group_files,
    kept_dimensions,
    make_request,
    variable_dimensions,
)
from swotvre_catalogs.reduce.results import Results

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry

#: A warning points at the first line outside the package: the user's.
PACKAGE_FOLDER = str(Path(__file__).parents[1])


def reduce(
    entry: Entry,
    how: str | Sequence[str],
    variable: str,
    over: Over | list[Over] = None,
    **options: Any,
) -> Any:
    """Reduce a variable over all files of a product, read in place.

    The numbers are those of ``entry.cube()[variable].mean(over)`` and so on, to less than 1e-12, without building
    anything of that size: packed integers are added up exactly and scaled at the end. Results are float64 (``count``:
    int64) whatever the type in the file; values stored as floats are added up in float64.

    Args:
        entry: The product.
        how: ``mean``, ``count``, ``std`` (ddof 0), ``min``, ``max``; or several of them.
        variable: Name of the variable.
        over: The dimension to reduce over, or a tuple of them (``cycle_number``, ``pass_number`` and the variable's
            own), or None for all. A list of these gives a list of results from one pass over the files.
        **options: ``quality``: which pixels count (see `quality`). ``bbox``: (west, south, east, north) in degrees.
            ``time``: granules that overlap a time or a period. ``where``: a boolean array on the cube, or a function
            of the cube's Dataset that gives one. ``skip_damaged``: leave damaged files out, with a warning. ``client``:
            a ``distributed.Client`` to compute on, or ``"auto"`` for the active one. ``at``: the version of the cube.

    Returns:
        A DataArray; for several operations a Dataset with one variable for each; for a list in ``over`` a list.

    Raises:
        UnknownVariableError: If no file has the variable.
        ReductionError: If there is no such operation or dimension.
        QualityError: If the mask cannot be understood.
        DamagedFileError: If a file is corrupt; ReplacedFileError, if one is not the one that was indexed.
        MissingCubeError: If the cube was not built.
    """
    request = make_request(variable, how, options)
    table = open_chunk_table(entry, request.at)
    check_variable(table, variable)
    dims = variable_dimensions(table, variable)
    overs = over if isinstance(over, list) else [over]
    if not overs:
        raise ReductionError("over is an empty list; expected None for all dimensions, or some of: " + ", ".join(dims))
    outputs = [Output(kept_dimensions(one, dims, variable), request.hows) for one in overs]
    grouping = group_files(table, CYCLE, (CYCLE,))
    found = compute(entry, table, request, grouping, outputs)
    results = [found[number] if isinstance(how, list | tuple) else found[number][how] for number in range(len(outputs))]
    return results if isinstance(over, list) else results[0]


def compute(
    entry: Entry, table: ChunkTable, request: Request, grouping: Grouping, outputs: Sequence[Output]
) -> list[xarray.Dataset]:
    """Return one Dataset for each output, with a variable for each operation.

    Files are read once for all outputs, or once for each where they would not fit in memory together.
    """
    planned = plan_request(entry, table, request, grouping, on_grid=any(output.grid for output in outputs))
    warn_of_left_out(entry.name, table)
    client = chosen_client(request.client)
    cube = mask = None
    if planned.reason:
        cube = _cube(entry, table, request)
        mask = mask_on(cube, request.variable, request.where)
        _give_notice(request, planned.reason, client)
    if not len(planned.rows):
        where = " and ".join(
            ["in the box"] * (request.box is not None) + ["in the time"] * (request.period is not None)
        )
        message = f"nothing of {request.variable} lies {where or 'here'}; the result is empty"
        warnings.warn(message, GranuleWarning, skip_file_prefixes=(PACKAGE_FOLDER,))
    found: list[xarray.Dataset] = [xarray.Dataset()] * len(outputs)
    left_out: dict[str, None] = {}
    for numbers in separate_passes(outputs):
        plan = planned.for_outputs([outputs[number] for number in numbers])
        if most_files(plan) > (allowed := most_files_allowed(plan)):
            raise ReductionError(f"{most_files(plan)} files of one pass are more than {allowed}; ask for less time")
        results = Results(plan, len(grouping.labels), len(planned.passes))
        if cube is not None:
            carry_out_through_xarray(plan, results, cube, table, planned, mask)
        elif client is not None:
            carry_out_on_cluster(client, plan, results)
        elif plan.tasks:
            carry_out(plan, results)
        for number, arrays in zip(numbers, results.finish(), strict=True):
            found[number] = _dataset(entry, table, request, planned, outputs[number], arrays)
        left_out |= dict.fromkeys(map(str, results.left_out))
    for reason in left_out:
        warnings.warn(f"left out: {reason}", GranuleWarning, skip_file_prefixes=(PACKAGE_FOLDER,))
    for dataset in found:
        for array in dataset.data_vars.values():
            array.attrs["files"] -= len(left_out)
    return found


def _cube(entry: Entry, table: ChunkTable, request: Request) -> xarray.Dataset:
    # Of the same commit as the table, also when it is built anew meanwhile.
    return open_dataset(open_version(entry, table.commit or request.at), table)


def _give_notice(request: Request, reason: str, client: Any) -> None:
    here = ", in this session alone" if client is not None else ""
    message = f"{request.variable}: {reason}; computed through xarray{here}, which is slower"
    warnings.warn(message, FallbackNotice, skip_file_prefixes=(PACKAGE_FOLDER,))


def _dataset(
    entry: Entry,
    table: ChunkTable,
    request: Request,
    planned: Planned,
    output: Output,
    arrays: dict[str, NDArray[Any]],
) -> xarray.Dataset:
    dims = output.dims if output.grid is None else (*output.dims, "latitude", "longitude")
    coords: dict[str, Any] = {}
    if output.group in dims:
        coords[output.group] = (output.group, planned.grouping.labels)
    if PASS in dims:
        coords[PASS] = (PASS, table.pass_numbers[planned.passes])
    if output.grid is not None:
        coords |= _grid_coordinates(output)
    attributes = _attributes(table, request, planned)
    dataset = xarray.Dataset(
        {how: (dims, array, _of_operation(attributes, how)) for how, array in arrays.items()}, coords
    )
    if (
        {PASS, LINES} <= set(dims)
        and planned.plan.columns == table.num_pixels
        and len(dims) - (output.group in dims) == 3
    ):
        dataset = _with_positions(entry, table, request, planned, dataset)
    return dataset


def _attributes(table: ChunkTable, request: Request, planned: Planned) -> dict[str, Any]:
    layouts = [table.layouts[number] for number in numpy.unique(table.signature[planned.rows])]
    units = dict.fromkeys(layout.variables[request.variable].units for layout in layouts)
    attributes: dict[str, Any] = {"variable": request.variable}
    if len(units) == 1 and any(units):
        attributes["units"] = next(iter(units))
    if request.quality is not None:
        attributes["quality"] = str(request.quality)
    if request.box is not None:
        box = request.box
        attributes["bbox"] = [box.west, box.south, box.east, box.north]
    return attributes | {"files": len(planned.rows), "commit": table.commit}


def _of_operation(attributes: dict[str, Any], how: str) -> dict[str, Any]:
    words = {
        "mean": "mean",
        "count": "number of values",
        "std": "standard deviation",
        "min": "minimum",
        "max": "maximum",
    }
    own = {"long_name": f"{words[how]} of {attributes['variable']}", "how": how} | attributes
    if how == "count":
        own["units"] = "1"
    return own


def _grid_coordinates(output: Output) -> dict[str, Any]:
    grid = output.grid
    assert grid is not None  # noqa: S101  (for the type checker)
    south = grid.south + (numpy.arange(grid.rows) + 0.5) * grid.step_degrees
    west = grid.west + (numpy.arange(grid.columns) + 0.5) * grid.step_degrees
    return {
        "latitude": ("latitude", south, {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": ("longitude", west, {"units": "degrees_east", "standard_name": "longitude"}),
    }


def _with_positions(
    entry: Entry, table: ChunkTable, request: Request, planned: Planned, dataset: xarray.Dataset
) -> xarray.Dataset:
    # Lazily: beside the result itself they are as large as two more.
    cube = _cube(entry, table, request)
    positions = {}
    for name in ("latitude", "longitude"):
        if name not in cube.variables or set(cube[name].dims) - set(dataset.dims):
            return dataset
        positions[name] = cube[name].isel({PASS: planned.passes}).variable
    return dataset.assign_coords(positions)
