"""Stack the cycles of one pass on its fixed grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.errors import GridError

#: Lines of two cycles are the same line when they are nearer than this; lines are 2 km apart.
TOLERANCE_KM = 0.9
EARTH_RADIUS_KM = 6371.0


def stack_cycles(cycles: Mapping[int, xarray.Dataset]) -> xarray.Dataset:
    """Stack the datasets of one pass along a new first dimension ``cycle_number``.

    The lines of the fixed grid lie at the same place in every cycle, but a pass can be cut: a line is put where its
    position says, not where its number says. The longest pass is the reference and gives ``latitude`` and
    ``longitude``, which therefore have no cycle dimension; lines that a cycle lacks are NaN.

    Args:
        cycles: Datasets by cycle number, with ``latitude`` and ``longitude`` of shape (num_lines, num_pixels).

    Raises:
        GridError: If a cycle has lines that the reference has not, or another number of pixels.
    """
    reference_cycle = max(cycles, key=lambda number: cycles[number].sizes["num_lines"])
    reference = cycles[reference_cycle]
    positions = _line_positions(reference)
    placed = []
    for number, dataset in cycles.items():
        if dataset.sizes["num_pixels"] != reference.sizes["num_pixels"]:
            raise GridError(
                f"cycle {number} has {dataset.sizes['num_pixels']} pixels across, cycle {reference_cycle} has "
                f"{reference.sizes['num_pixels']}: not one grid; open them one by one"
            )
        lines = match_lines(_line_positions(dataset), positions)
        if lines is None:
            raise GridError(
                f"cycle {number} has lines where cycle {reference_cycle}, the longest, has none: not one grid, or "
                "both are cut at different ends; open them one by one"
            )
        placed.append(_place(dataset.drop_vars(["latitude", "longitude"]), lines, len(positions)))
    stacked = xarray.concat(
        placed,
        dim=xarray.DataArray(list(cycles), dims="cycle_number", name="cycle_number"),
        data_vars="all",
        coords="all",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )
    return stacked.assign_coords({name: reference[name].variable for name in ("latitude", "longitude")})


def match_lines(lines: NDArray[numpy.float64], reference: NDArray[numpy.float64]) -> NDArray[numpy.int64] | None:
    """Return for each line the index of the reference line at the same place.

    Args:
        lines: Positions in km, shape (n, 3), in flight order; lines may be missing anywhere.
        reference: Positions in km, shape (m, 3), in flight order.

    Returns:
        Strictly increasing indices, shape (n,), or None if a line has no counterpart.
    """
    indices = numpy.empty(len(lines), dtype=numpy.int64)
    done, first = 0, 0
    while done < len(lines):
        # A run of lines without a gap is one shift; after a gap the next run is looked for anew.
        distances = numpy.linalg.norm(reference[first:] - lines[done], axis=1)
        if not len(distances) or not distances.min() <= TOLERANCE_KM:
            return None
        start = first + int(distances.argmin())
        length = min(len(lines) - done, len(reference) - start)
        apart = numpy.linalg.norm(reference[start : start + length] - lines[done : done + length], axis=1)
        same = apart <= TOLERANCE_KM
        run = length if same.all() else int(same.argmin())
        indices[done : done + run] = numpy.arange(start, start + run)
        done, first = done + run, start + run
    return indices


def _line_positions(dataset: xarray.Dataset) -> NDArray[numpy.float64]:
    middle = dataset[["latitude", "longitude"]].isel(num_pixels=dataset.sizes["num_pixels"] // 2)
    latitude = numpy.deg2rad(middle["latitude"].to_numpy().astype(float))
    longitude = numpy.deg2rad(middle["longitude"].to_numpy().astype(float))
    unit = [numpy.cos(latitude) * numpy.cos(longitude), numpy.cos(latitude) * numpy.sin(longitude), numpy.sin(latitude)]
    return EARTH_RADIUS_KM * numpy.stack(unit, axis=1)


def _place(dataset: xarray.Dataset, lines: NDArray[numpy.int64], count: int) -> xarray.Dataset:
    if len(lines) == count:
        return dataset
    indexed = dataset.assign_coords(num_lines=("num_lines", lines))
    return indexed.reindex(num_lines=numpy.arange(count)).drop_vars("num_lines")
