"""Swaths cut into pieces, and the corners of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray

from swotvre_catalogs.swath.differences import make_grid
from swotvre_catalogs.swath.ellipsoid import Floats, normal_vectors, to_degrees
from swotvre_catalogs.swath.errors import SwathGeometryError
from swotvre_catalogs.swath.lines import LINE, PIXEL, find_places, find_single_places, segments

LONGITUDE = {"standard_name": "longitude", "units": "degrees_east"}
LATITUDE = {"standard_name": "latitude", "units": "degrees_north"}


def runs(dataset: xarray.Dataset) -> list[slice]:
    """Return the runs of lines without a gap, each within one pass; lines without any place belong to none."""
    longitude, latitude = find_single_places(dataset)
    grid = make_grid(longitude, latitude, segments(dataset).to_numpy()[:, None])
    known = np.isfinite(grid.positions[..., 0]).any(axis=1)
    joined = grid.links_along.any(axis=1)
    first = known & ~np.concatenate([[False], joined])
    last = known & ~np.concatenate([joined, [False]])
    return [slice(int(a), int(b) + 1) for a, b in zip(np.flatnonzero(first), np.flatnonzero(last), strict=True)]


def unwrap_longitude(dataset: xarray.Dataset) -> xarray.DataArray:
    """Return longitudes without jumps of 360 degrees within each run of lines, shape of ``longitude``.

    The first pixel of each run is in [-180, 180).
    """
    longitude, _ = find_single_places(dataset)
    result = np.full(longitude.shape, np.nan)
    for lines in runs(dataset):
        result[lines] = unwrap(longitude[lines])
    place = find_places(dataset)[0].transpose(LINE, PIXEL)
    attributes = LONGITUDE | {"comment": "without jumps of 360 degrees within a run of lines"}
    return place.copy(data=result).drop_attrs().assign_attrs(attributes).rename("longitude")


def unwrap(longitude: Floats) -> Floats:
    """Return longitudes of shape (lines, pixels) without jumps between neighbours; the first is in [-180, 180)."""
    result = np.full(longitude.shape, np.nan)
    lines = np.flatnonzero(np.isfinite(longitude).any(axis=1))
    if not lines.size:
        return result
    for line in lines:
        known = np.isfinite(longitude[line])
        result[line, known] = np.unwrap(longitude[line, known], period=360)
    middle = np.nanmean(result[lines], axis=1)
    result[lines] += (np.unwrap(middle, period=360) - middle)[:, None]
    first = result[np.isfinite(result)][0]
    result -= 360 * np.floor((first + 180) / 360)
    return result


def split_antimeridian(dataset: xarray.Dataset) -> list[xarray.Dataset]:
    """Return the pieces of a swath on either side of the antimeridian, from west to east.

    See ``Dataset.swot.split_antimeridian``.
    """
    longitude = unwrap_longitude(dataset)
    turns = np.floor((longitude.to_numpy() + 180) / 360)
    pieces: list[xarray.Dataset] = []
    for turn in np.unique(turns[np.isfinite(turns)]):
        inside = turns == turn
        lines = np.flatnonzero(inside.any(axis=1))
        here = xarray.DataArray(inside[lines], dims=(LINE, PIXEL))
        piece = dataset.isel({LINE: lines})
        values = {
            name: values.where(here) if {LINE, PIXEL} <= set(values.dims) and values.dtype.kind in "iufb" else values
            for name, values in piece.data_vars.items()
            if name not in {"longitude", "latitude"}
        }
        place = (longitude.isel({LINE: lines}) - 360 * turn).assign_attrs(longitude.attrs)
        masked = piece.assign(values).assign_coords(longitude=place.variable, latitude=piece["latitude"].variable)
        pieces.append(masked.assign_coords(piece=len(pieces)))
    return pieces


def cell_edges(dataset: xarray.Dataset, *, continuous: bool = True) -> xarray.Dataset:
    """Return the corners of the pixels. See ``Dataset.swot.cell_edges``."""
    longitude, latitude = find_single_places(dataset)
    found = runs(dataset)
    if len(found) != 1 or found[0] != slice(0, longitude.shape[0]):
        raise SwathGeometryError(
            f"the {longitude.shape[0]} lines are not one run without gaps but {len(found)}, and corners cannot be "
            "shared across a gap; take one run at a time: for run in dataset.swot.passes(): run.swot.cell_edges()"
        )
    if min(longitude.shape) < 2:
        raise SwathGeometryError(
            f"{longitude.shape[0]} x {longitude.shape[1]} pixels have no corners, expected 2 x 2 at least"
        )
    corners = _corners(normal_vectors(longitude, latitude))
    edge_longitude, edge_latitude = to_degrees(corners)
    if continuous:
        edge_longitude = unwrap(edge_longitude)
    dimensions = ("num_line_edges", "num_pixel_edges")
    return xarray.Dataset(
        coords={
            "longitude_edges": (
                dimensions,
                edge_longitude,
                LONGITUDE | {"long_name": "longitude of the pixel corners"},
            ),
            "latitude_edges": (dimensions, edge_latitude, LATITUDE | {"long_name": "latitude of the pixel corners"}),
        }
    )


def _corners(vectors: Floats) -> Floats:
    """Return the means of four neighbours, after one line and one pixel more on each end by straight continuation."""
    extended: npt.NDArray[Any] = vectors
    for axis in (0, 1):
        near = np.take(extended, [0, -1], axis=axis)
        next_to = np.take(extended, [1, -2], axis=axis)
        before, after = np.split(2 * near - next_to, 2, axis=axis)
        extended = np.concatenate([before, extended, after], axis=axis)
    total: Floats = extended[:-1, :-1] + extended[1:, :-1] + extended[:-1, 1:] + extended[1:, 1:]
    return total
