"""Maps on a regular grid: cropped to the box, one behind the other in time."""

from __future__ import annotations

from typing import Any

import numpy
import xarray

from swotvre_catalogs.errors import GridError
from swotvre_catalogs.granules import Granule
from swotvre_catalogs.hydrology.arrays import join, open_pieces, require_position, within
from swotvre_catalogs.hydrology.errors import EmptySelectionError
from swotvre_catalogs.hydrology.rasters import select_rasters
from swotvre_catalogs.hydrology.request import Request
from swotvre_catalogs.index.bbox import Box

TIME = "time"


def select_maps(request: Request) -> xarray.Dataset:
    """Return the maps of a request, cropped to the box and joined along ``time``, lazily.

    With a box, longitudes come back as -180 to 180, rising from the west to the east of the box; those beyond the
    antimeridian are above 180. Without one, the grid stays as it is in the files.

    Raises:
        EmptySelectionError: If no map or no point of the grid lies there.
        GridError: If the maps do not lie on one grid.
    """
    if "scene_number" in request.product.parameters:
        return select_rasters(request)

    def cut(granule: Granule, dataset: xarray.Dataset) -> xarray.Dataset | None:
        if TIME in dataset.variables and not dataset[TIME].dims:
            dataset = dataset.expand_dims(TIME)
        if request.period is not None and TIME in dataset.dims and TIME in dataset.variables:
            keep = within(dataset[TIME].to_numpy(), request.period)
            if not keep.any():
                return None
            dataset = dataset.isel({TIME: keep})
        return dataset if request.box is None else crop(request, dataset, request.box)

    pieces = open_pieces(request, cut, {})
    if len(pieces) > 1:
        _check_grids(request, pieces)
    return join(pieces, TIME)


def crop(request: Request, dataset: xarray.Dataset, box: Box) -> xarray.Dataset:
    """Cut a box out of a map whose longitude and latitude are axes, across the map's own seam if need be.

    Raises:
        EmptySelectionError: If no point of the grid lies in the box.
    """
    lon_name, lat_name = require_position(request, dataset)
    longitude, latitude = dataset[lon_name].to_numpy(), dataset[lat_name].to_numpy()
    rows = numpy.flatnonzero((latitude >= box.south) & (latitude <= box.north))
    columns = numpy.flatnonzero(box.contains(longitude, numpy.full(longitude.shape, box.south)))
    if not len(rows) or not len(columns):
        step = max(abs(float(numpy.median(numpy.diff(axis)))) for axis in (longitude, latitude))
        raise EmptySelectionError(
            f"nothing for {request}: no point of the grid lies in the box; its step is {step:g} degrees, its latitudes "
            f"{latitude.min():g} to {latitude.max():g}, its longitudes {longitude.min():g} to {longitude.max():g}"
        )
    placed = numpy.where(longitude >= 180, longitude - 360, longitude)
    if box.is_across_antimeridian:
        placed = numpy.where(placed < box.west, placed + 360, placed)
    columns = columns[numpy.argsort(placed[columns], kind="stable")]
    cropped = dataset.isel({lat_name: _run(rows), lon_name: _run(columns)})
    axis = dataset[lon_name].copy(data=placed.astype(longitude.dtype)).isel({lon_name: _run(columns)})
    axis.attrs = {key: value for key, value in dataset[lon_name].attrs.items() if not key.startswith("valid_")}
    return cropped.assign_coords({lon_name: (lon_name, axis.to_numpy(), axis.attrs)})


def _run(indices: numpy.typing.NDArray[Any]) -> Any:
    """Return neighbours as a slice, which opens less of a chunked file than a list."""
    if len(indices) > 1 and (numpy.diff(indices) != 1).any():
        return indices
    return slice(int(indices[0]), int(indices[-1]) + 1)


def _check_grids(request: Request, pieces: list[xarray.Dataset]) -> None:
    names = require_position(request, pieces[0])
    for piece in pieces[1:]:
        for name in names:
            if not numpy.array_equal(piece[name].to_numpy(), pieces[0][name].to_numpy()):
                raise GridError(
                    f"{request.product.name}: the maps of {request} do not lie on one grid ({name} differs); "
                    "select a shorter time"
                )
