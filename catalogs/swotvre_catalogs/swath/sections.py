"""Values of a swath along another track, such as that of a nadir altimeter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray

from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.swath.differences import Grid, make_grid
from swotvre_catalogs.swath.ellipsoid import Floats, distance_m, east_north, positions_m
from swotvre_catalogs.swath.errors import SwathError, SwathGeometryError
from swotvre_catalogs.swath.lines import LINE, PIXEL, find_single_places, segments
from swotvre_catalogs.swath.pieces import runs

METHODS = ("bilinear", "nearest")
POINT = "point"

Integers = npt.NDArray[np.int64]
Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where the points of a track lie in a swath; all of shape (points,)."""

    #: The pixel that holds the point; -1 where none does.
    line: Integers
    pixel: Integers
    #: The way from the middle of that pixel to the point in lines and pixels, within +-0.5.
    line_offset: Floats
    pixel_offset: Floats


def section(
    dataset: xarray.Dataset, field: xarray.DataArray, longitude: Any, latitude: Any, *, method: str, time: Any
) -> xarray.Dataset:
    """Return values along a track. See ``Dataset.swot.section``."""
    if method not in METHODS:
        expected = f"expected one of: {', '.join(METHODS)}{near_miss(method, METHODS)}"
        raise SwathError(f"method {method!r} is unknown; {expected}")
    lon, lat = _track(longitude, latitude)
    own_time = _own_time(time, lon)
    swath_longitude, swath_latitude = find_single_places(dataset)
    grid = make_grid(swath_longitude, swath_latitude, segments(dataset).to_numpy()[:, None])
    found = [_locate(grid, lines, lon, lat) for lines in runs(dataset)] or [_nowhere(lon.size)]
    crossing = _choose(found, _line_times(dataset), own_time)
    if not field.sizes[LINE]:
        field = field.compute().pad({LINE: (0, 1)})  # something to pick from for the points outside
    inside = xarray.DataArray(crossing.line >= 0, dims=POINT)
    values = _bilinear(field, grid, crossing) if method == "bilinear" else _pick(field, crossing.line, crossing.pixel)
    values = values.where(inside).assign_attrs(
        {key: field.attrs[key] for key in ("units", "long_name", "standard_name") if key in field.attrs}
    )
    positions = positions_m(lon, lat)
    steps = distance_m(positions[:-1], positions[1:], (lat[:-1] + lat[1:]) / 2) / 1000
    coordinates = {
        "longitude": (POINT, lon, {"standard_name": "longitude", "units": "degrees_east"}),
        "latitude": (POINT, lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "distance": (
            POINT,
            np.concatenate([[0.0], np.cumsum(steps)]),
            {"long_name": "distance from the first point of the track", "units": "km"},
        ),
        "line": (POINT, crossing.line, {"long_name": "line of the swath, -1 outside"}),
        "pixel": (POINT, crossing.pixel, {"long_name": "pixel of the swath, -1 outside"}),
    }
    result = xarray.Dataset({str(field.name or "value"): values}).assign_coords(coordinates)
    return _add_time(result, _line_times(dataset), crossing, own_time)


def _track(longitude: Any, latitude: Any) -> tuple[Floats, Floats]:
    lon, lat = np.asarray(longitude, dtype=float), np.asarray(latitude, dtype=float)
    if lon.ndim != 1 or lon.shape != lat.shape or not lon.size:
        raise SwathGeometryError(
            f"the track has longitudes of shape {lon.shape} and latitudes of shape {lat.shape}; "
            "expected two lists of the same length"
        )
    if not (np.isfinite(lon).all() and (np.abs(lat) <= 90).all()):
        raise SwathGeometryError("the track has a NaN or a latitude beyond 90 degrees; drop such points first")
    return lon, lat


def _own_time(time: Any, longitude: Floats) -> Times | None:
    if time is None:
        return None
    own = np.asarray(time, dtype="datetime64[ns]")
    if own.shape != longitude.shape:
        raise SwathGeometryError(
            f"time has the shape {own.shape}, expected {longitude.shape}: one per point of the track"
        )
    return own


def _line_times(dataset: xarray.Dataset) -> Times | None:
    """Return when each line was measured, or None where the dataset does not say."""
    if "time" not in dataset.variables or dataset["time"].dims != (LINE,) or dataset["time"].dtype.kind != "M":
        return None
    times: Times = dataset["time"].to_numpy().astype("datetime64[ns]")
    return times


def _locate(grid: Grid, run: slice, longitude: Floats, latitude: Floats) -> Crossing:
    """Find the pixel of a run of lines that holds each point, and where in it."""
    from scipy.spatial import KDTree

    # Where a line or pixel stands alone there is no step, hence no cell.
    along, across = grid.step_along, grid.step_across
    usable = np.zeros(grid.longitude.shape, dtype=bool)
    usable[run] = np.isfinite(along[run]) & np.isfinite(across[run])
    lines, pixels = np.nonzero(usable)
    if not lines.size:
        return _nowhere(longitude.size)
    track = positions_m(longitude, latitude)
    _, nearest = KDTree(grid.positions[lines, pixels]).query(track)
    line, pixel = lines[nearest], pixels[nearest]
    at = (line, pixel)
    way = east_north(track - grid.positions[at], grid.longitude[at], grid.latitude[at])
    a, c = along[at], across[at]
    area = a.real * c.imag - a.imag * c.real
    line_offset = (way.real * c.imag - way.imag * c.real) / area
    pixel_offset = (a.real * way.imag - a.imag * way.real) / area
    # A little more than half a pixel: cells of lines that are not quite parallel leave slits.
    inside = (np.abs(line_offset) <= 0.51) & (np.abs(pixel_offset) <= 0.51)
    return Crossing(
        np.where(inside, line, -1),
        np.where(inside, pixel, -1),
        np.where(inside, line_offset, np.nan),
        np.where(inside, pixel_offset, np.nan),
    )


def _nowhere(points: int) -> Crossing:
    outside, unknown = np.full(points, -1), np.full(points, np.nan)
    return Crossing(outside, outside, unknown, unknown)


def _choose(found: list[Crossing], times: Times | None, own_time: Times | None) -> Crossing:
    """Return, for each point, the crossing of the one run that holds it, or of the nearest in time.

    Raises:
        SwathGeometryError: Several runs hold a point, and their times or those of the track are unknown.
    """
    if len(found) == 1:
        return found[0]
    line = np.stack([crossing.line for crossing in found])
    inside = line >= 0
    chosen = inside.argmax(axis=0)
    several = inside.sum(axis=0)
    if several.max(initial=0) > 1:
        if times is None or own_time is None:
            raise SwathGeometryError(
                f"{several.max()} passes hold the same point of the track; give time=... (one per point) to take the "
                "nearest in time, or take one pass at a time: for run in dataset.swot.passes(): run.swot.section(...)"
            )
        apart = np.abs((times[np.maximum(line, 0)] - own_time) / np.timedelta64(1, "s"))
        chosen = np.where(inside, apart, np.inf).argmin(axis=0)
    points = np.arange(chosen.size)
    return Crossing(
        *(
            np.stack([getattr(crossing, name) for crossing in found])[chosen, points]
            for name in ("line", "pixel", "line_offset", "pixel_offset")
        )
    )


def _bilinear(field: xarray.DataArray, grid: Grid, crossing: Crossing) -> xarray.DataArray:
    """Return the mean of the four pixels around each point, weighted by nearness; NaN where one is missing or apart."""
    line, pixel = np.maximum(crossing.line, 0), np.maximum(crossing.pixel, 0)
    other_line = line + np.where(crossing.line_offset < 0, -1, 1)
    other_pixel = pixel + np.where(crossing.pixel_offset < 0, -1, 1)
    weight_line, weight_pixel = (np.abs(np.nan_to_num(o)) for o in (crossing.line_offset, crossing.pixel_offset))
    # On a line of pixels (to a thousandth) no neighbour is needed, so a point on the outermost one has a value.
    weight_line, weight_pixel = (np.where(w < 1e-3, 0, w) for w in (weight_line, weight_pixel))
    other_line, other_pixel = (
        np.where(weight_line > 0, other_line, line),
        np.where(weight_pixel > 0, other_pixel, pixel),
    )
    count = grid.longitude.shape
    exists = (other_line >= 0) & (other_line < count[0]) & (other_pixel >= 0) & (other_pixel < count[1])
    other_line, other_pixel = np.where(exists, other_line, line), np.where(exists, other_pixel, pixel)
    exists &= _joined(grid.links_along, np.minimum(line, other_line), pixel, line == other_line)
    exists &= _joined(grid.links_across, line, np.minimum(pixel, other_pixel), pixel == other_pixel)
    total: Any = 0
    for lines, weight_a in ((line, 1 - weight_line), (other_line, weight_line)):
        for pixels, weight_c in ((pixel, 1 - weight_pixel), (other_pixel, weight_pixel)):
            total = total + _pick(field, lines, pixels) * xarray.DataArray(weight_a * weight_c, dims=POINT)
    result: xarray.DataArray = total.where(xarray.DataArray(exists, dims=POINT))
    return result


def _joined(links: npt.NDArray[np.bool_], line: Integers, pixel: Integers, same: npt.NDArray[np.bool_]) -> Any:
    if not links.size:
        return same
    bounded = np.minimum(line, links.shape[0] - 1), np.minimum(pixel, links.shape[1] - 1)
    return same | links[bounded]


def _pick(field: xarray.DataArray, line: Integers, pixel: Integers) -> xarray.DataArray:
    bare = field.reset_coords(drop=True)
    keep = bare.drop_vars([name for name in (LINE, PIXEL) if name in bare.coords])
    return keep.isel({LINE: xarray.DataArray(line, dims=POINT), PIXEL: xarray.DataArray(pixel, dims=POINT)})


def _add_time(
    result: xarray.Dataset, times: Times | None, crossing: Crossing, own_time: Times | None
) -> xarray.Dataset:
    """Add when the swath saw each point and, with the times of the track, how much later that was."""
    if times is None:
        return result
    seen = np.where(crossing.line >= 0, times[np.maximum(crossing.line, 0)], np.array("NaT", dtype=times.dtype))
    result = result.assign_coords(time=(POINT, seen, {"long_name": "time at which the swath was measured"}))
    if own_time is None:
        return result
    attributes = {"long_name": "time of the swath minus time of the track", "units": "s"}
    return result.assign_coords(time_difference=(POINT, (seen - own_time) / np.timedelta64(1, "s"), attributes))
