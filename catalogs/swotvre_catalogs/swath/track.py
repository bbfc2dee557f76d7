"""The track under the satellite: where it runs, and how far pixels and lines are along and across it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray

from swotvre_catalogs.swath.differences import LINES, difference, make_grid
from swotvre_catalogs.swath.ellipsoid import Floats, distance_m, east_north, normal_vectors, positions_m, to_degrees
from swotvre_catalogs.swath.errors import SwathGeometryError
from swotvre_catalogs.swath.lines import LINE, PIXEL, find_places, over_lines, segments

#: Width of what is a whole swath, from the first to the last pixel: 120 km of KaRIn, 136 km in the files.
WHOLE_SWATH_KM = (100.0, 160.0)

#: How much the nadir may be nearer to one end of a line than to the other.
ASYMMETRY = 0.03


def nadir_track(dataset: xarray.Dataset) -> tuple[xarray.DataArray, xarray.DataArray]:
    """Return longitude and latitude of the nadir track in degrees, one per line.

    They are ``longitude_nadir`` and ``latitude_nadir`` of the dataset, or else the middle of each line.

    Raises:
        SwathGeometryError: The pixels are not a whole swath, so its middle is not the nadir (when it is computed).
    """
    names = ("longitude_nadir", "latitude_nadir")
    if all(name in dataset.variables for name in names):
        return dataset[names[0]], dataset[names[1]]
    count = dataset.sizes[PIXEL]
    chosen = (0, (count - 1) // 2, count // 2, count - 1)
    fields = [place.isel({PIXEL: pixel}, drop=True) for pixel in chosen for place in find_places(dataset)]
    middle = over_lines(_middle, *fields, dtype=complex, overlap=0)
    return middle.real, middle.imag


def _middle(*places: Floats) -> npt.NDArray[np.complex128]:
    """Return longitude + i latitude of the middle of lines from the places of their ends and middle pixels."""
    first, left, right, last = (normal_vectors(*places[k : k + 2]) for k in (0, 2, 4, 6))
    longitude, latitude = to_degrees(left + right)
    middle = positions_m(longitude, latitude)
    to_first, to_last = (distance_m(positions_m(*to_degrees(end)), middle, latitude) / 1000 for end in (first, last))
    known = np.isfinite(to_first + to_last)
    width = (to_first + to_last)[known]
    uneven = np.abs(to_first - to_last)[known] > ASYMMETRY * width
    if uneven.any() or (width < WHOLE_SWATH_KM[0]).any() or (width > WHOLE_SWATH_KM[1]).any():
        raise SwathGeometryError(
            f"these pixels span {np.median(width):.0f} km and are not a whole swath with the nadir in its middle; "
            "give the dataset the variables longitude_nadir and latitude_nadir (num_lines), or keep all pixels"
        )
    result: npt.NDArray[np.complex128] = longitude + 1j * latitude
    return result


def heading(dataset: xarray.Dataset) -> xarray.DataArray:
    """Return the direction of flight over the ground, in degrees clockwise from north, shape (num_lines,).

    It is the direction of the central difference of the nadir positions; NaN on a line without neighbours.
    """
    result = over_lines(_heading, *nadir_track(dataset), segments(dataset))
    attributes = {"long_name": "heading of the nadir track over the ground", "units": "degrees"}
    return result.assign_attrs(attributes).rename("heading")


def _heading(longitude: Floats, latitude: Floats, segment: Floats) -> Floats:
    step = make_grid(longitude, latitude, segment).step_along
    result: Floats = np.degrees(np.arctan2(step.real, step.imag)) % 360
    return result


def cross_track_distance(dataset: xarray.Dataset) -> xarray.DataArray:
    """Return the distance of each pixel from the nadir of its line in km, positive to the right of flight."""
    result = over_lines(_cross_track_km, *find_places(dataset), *nadir_track(dataset), segments(dataset))
    attributes = {
        "long_name": "distance from the nadir track, positive to the right of flight",
        "units": "km",
    }
    return result.assign_attrs(attributes).rename("cross_track_distance")


def _cross_track_km(
    longitude: Floats, latitude: Floats, nadir_longitude: Floats, nadir_latitude: Floats, segment: Floats
) -> Floats:
    nadir = make_grid(nadir_longitude, nadir_latitude, segment)
    positions = positions_m(longitude, latitude)
    flight = nadir.step_along
    # A line without neighbours: the pixels count from left to right, as in the files.
    ends = positions[..., -1:, :] - positions[..., :1, :]
    rightward = east_north(ends, nadir.longitude, nadir.latitude)
    flight = np.where(np.isfinite(flight), flight, 1j * rightward)
    offset = east_north(positions - nadir.positions, nadir.longitude, nadir.latitude)
    # Right of flight is the flight turned clockwise: times -i.
    side = np.sign((offset * np.conj(-1j * flight)).real)
    return side * distance_m(nadir.positions, positions, nadir.latitude) / 1000


def along_track_distance(dataset: xarray.Dataset) -> xarray.DataArray:
    """Return the distance of each line from the first line of its pass along the nadir track, in km.

    Steps between lines are added up; a gap in the lines counts as the straight way over it.
    """
    arguments = [*nadir_track(dataset), segments(dataset)]
    if not dataset.sizes[LINE]:
        arguments = [argument.compute() for argument in arguments]  # dask divides by the length of a block
    result = xarray.apply_ufunc(
        _along_track_km,
        *arguments,
        input_core_dims=[[LINE]] * 3,
        output_core_dims=[[LINE]],
        vectorize=True,
        dask="parallelized",
        dask_gufunc_kwargs={"allow_rechunk": True},
        output_dtypes=[float],
    )
    attributes = {"long_name": "distance along the nadir track from the first line of the pass", "units": "km"}
    return result.assign_attrs(attributes).rename("along_track_distance")


def _along_track_km(longitude: Floats, latitude: Floats, segment: Floats) -> Floats:
    distance = np.full(longitude.shape, np.nan)
    known = np.isfinite(longitude) & np.isfinite(latitude)
    if not known.any():
        return distance
    longitude, latitude, segment = longitude[known], latitude[known], segment[known]
    positions = positions_m(longitude, latitude)
    steps = distance_m(positions[:-1], positions[1:], (latitude[:-1] + latitude[1:]) / 2) / 1000
    first = np.concatenate([[True], np.diff(segment) != 0])
    total = np.concatenate([[0.0], np.cumsum(np.where(first[1:], 0, steps))])
    start = np.maximum.accumulate(np.where(first, np.arange(total.size), 0))
    distance[known] = total - total[start]
    return distance


def track_derivative(dataset: xarray.Dataset, field: xarray.DataArray, axis: int) -> xarray.DataArray:
    """Return the derivative of a field per metre, along the track (axis -2) or across it, to the right (axis -1)."""

    def per_metre(values: npt.NDArray[Any], longitude: Floats, latitude: Floats, segment: Floats) -> Floats:
        grid = make_grid(longitude, latitude, segment)
        along, across = grid.step_along, grid.step_across
        if axis == LINES:
            by_line: Floats = difference(values, grid.links_along, axis) / np.abs(along)
            return by_line
        side = np.sign((across * np.conj(-1j * along)).real)
        side = np.where(np.isfinite(side), side, 1)  # a line without neighbours: pixels count from left to right
        derivative: Floats = difference(values, grid.links_across, axis) / (side * np.abs(across))
        return derivative

    return over_lines(per_metre, field, *find_places(dataset), segments(dataset))
