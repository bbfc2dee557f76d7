"""The variables of a swath by their dimensions, and functions over its lines, lazily where the data are lazy."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray

from swotvre_catalogs.errors import UnknownVariableError
from swotvre_catalogs.parameters import known_names, near_miss
from swotvre_catalogs.swath.differences import STENCIL_LINES
from swotvre_catalogs.swath.errors import SwathGeometryError

LINE, PIXEL = "num_lines", "num_pixels"


def find_variable(dataset: xarray.Dataset, name: Hashable) -> xarray.DataArray:
    """Return a variable of a swath.

    Raises:
        UnknownVariableError: The dataset has none of that name.
    """
    if name in dataset.variables:
        return dataset[name]
    names = [str(known) for known in dataset.variables]
    message = f"the dataset has no variable {str(name)!r}{near_miss(str(name), names)}"
    raise UnknownVariableError(f"{message}; it has: {known_names(name, names)}")


def find_field(dataset: xarray.Dataset, name: Hashable) -> xarray.DataArray:
    """Return a variable that has a value per pixel.

    Raises:
        UnknownVariableError: The dataset has none of that name.
        SwathGeometryError: The variable has not the dimensions of a swath.
    """
    field = find_variable(dataset, name)
    if LINE not in field.dims or PIXEL not in field.dims:
        raise SwathGeometryError(
            f"{name} has the dimensions ({', '.join(map(str, field.dims))}), expected ({LINE}, {PIXEL}): "
            "it has no value per pixel of a swath"
        )
    return field


def find_places(dataset: xarray.Dataset) -> tuple[xarray.DataArray, xarray.DataArray]:
    """Return longitude and latitude of the pixels, in degrees.

    Raises:
        SwathGeometryError: The dataset has none, or not on the dimensions of a swath.
    """
    missing = [name for name in ("longitude", "latitude") if name not in dataset.variables]
    if missing:
        raise SwathGeometryError(f"the dataset has no {' and no '.join(missing)}: the places of its pixels are unknown")
    return find_field(dataset, "longitude"), find_field(dataset, "latitude")


def find_single_places(dataset: xarray.Dataset) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return longitude and latitude of one set of lines as arrays of shape (num_lines, num_pixels).

    Raises:
        SwathGeometryError: The places have further dimensions, such as several passes side by side.
    """
    places = find_places(dataset)
    more = [name for name in places[0].dims if name not in {LINE, PIXEL}]
    if more:
        raise SwathGeometryError(
            f"longitude has the dimension {more[0]} as well; take one first: dataset.isel({more[0]}=0)"
        )
    longitude, latitude = (place.transpose(LINE, PIXEL).to_numpy().astype(float) for place in places)
    return longitude, latitude


def segments(dataset: xarray.Dataset) -> xarray.DataArray:
    """Return a number per line that changes from one pass to the next, shape (num_lines,).

    It is made of ``cycle_number`` and ``pass_number`` where they are given per line; otherwise all lines are one pass.
    """
    number = xarray.DataArray(np.zeros(dataset.sizes[LINE]), dims=LINE)
    for name in ("cycle_number", "pass_number"):
        if name in dataset.variables and dataset[name].dims == (LINE,):
            number = number * 10_000.0 + xarray.DataArray(dataset[name].variable)
    return number


def over_lines(
    function: Callable[..., npt.NDArray[Any]],
    *fields: xarray.DataArray,
    dtype: type = float,
    overlap: int = STENCIL_LINES,
) -> xarray.DataArray:
    """Return the result of a function over arrays that end with (num_lines, num_pixels).

    Where a field is a dask array, the function runs block by block of lines when the result is computed, each block
    with ``overlap`` lines of its neighbours.

    Args:
        function: Takes one array per field, with all leading axes in the same order (size 1 where a field lacks one),
            and returns an array of the shape they broadcast to.
        fields: With the dimension num_lines; those without num_pixels come as shape (..., num_lines, 1).
        dtype: Of the result.
        overlap: Lines on either side that a value depends on.
    """
    leading = list(dict.fromkeys(name for field in fields for name in field.dims if name not in {LINE, PIXEL}))
    order = [*leading, LINE, PIXEL]
    arrays = [_ordered(field, order) for field in fields]
    if any(hasattr(array, "dask") for array in arrays):
        data = _map_blocks(function, arrays, dtype, overlap)
    else:
        data = function(*arrays)
    if all(PIXEL not in field.dims for field in fields):
        data, order = data[..., 0], order[:-1]
    result = xarray.DataArray(data, dims=order)
    coordinates = {name: values.variable for field in reversed(fields) for name, values in field.coords.items()}
    return result.assign_coords(
        {name: values for name, values in coordinates.items() if set(values.dims) <= set(order)}
    )


def _ordered(field: xarray.DataArray, order: list[Hashable]) -> Any:
    present = [name for name in order if name in field.dims]
    data = field.variable.transpose(*present).data
    return data[tuple(slice(None) if name in present else None for name in order)]


def _map_blocks(function: Callable[..., npt.NDArray[Any]], arrays: list[Any], dtype: type, overlap: int) -> Any:
    import dask.array

    lazy = [array for array in arrays if hasattr(array, "dask")]
    # Blocks are cut along the lines, not across; all fields at the same places, those of the first lazy one that has
    # the axis.
    cuts: list[Any] = [
        next((array.chunks[axis] for array in lazy if array.shape[axis] > 1), -1) for axis in range(arrays[0].ndim - 1)
    ]
    blocks = []
    for array in arrays:
        chunks = (*(cut if size > 1 else -1 for cut, size in zip(cuts, array.shape, strict=False)), -1)
        blocks.append(
            array.rechunk(chunks) if hasattr(array, "dask") else dask.array.from_array(np.asarray(array), chunks=chunks)
        )
    if blocks[0].numblocks[-2] == 1:
        overlap = 0  # dask refuses an overlap that is longer than the only block
    return dask.array.map_overlap(
        function,
        *blocks,
        depth=[{array.ndim - 2: overlap} for array in blocks],
        boundary="none",
        dtype=dtype,
        meta=np.empty((0,) * arrays[0].ndim, dtype=dtype),
        align_arrays=False,
    )
