"""A swath on a regular grid of longitudes and latitudes, by pyinterp."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray

from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.swath.ellipsoid import Floats
from swotvre_catalogs.swath.errors import SwathError, SwathGeometryError
from swotvre_catalogs.swath.lines import LINE, PIXEL, find_places
from swotvre_catalogs.swath.pieces import LATITUDE, LONGITUDE

METHODS = ("mean", "linear", "idw")

#: Neighbours, and how far they may be in grid steps, of the inverse distance weighting.
NEIGHBOURS = 9
RADIUS_STEPS = 1.0
METRES_PER_DEGREE = 111_195.0


def to_grid(
    dataset: xarray.Dataset,
    field: xarray.DataArray,
    step_degrees: float | None,
    longitude: Any,
    latitude: Any,
    method: str,
    radius_km: float | None,
) -> xarray.Dataset:
    """Return a field on a grid, with the number of pixels that each value comes from. See ``Dataset.swot.to_grid``."""
    if method not in METHODS:
        expected = f"expected one of: {', '.join(METHODS)}{near_miss(method, METHODS)}"
        raise SwathError(f"method {method!r} is unknown; {expected}")
    places = xarray.broadcast(*(place.reset_coords(drop=True) for place in find_places(dataset)))
    leading = [name for name in field.dims if name not in {LINE, PIXEL}]
    outside = [name for name in places[0].dims if name not in field.dims]
    if outside:
        raise SwathGeometryError(f"longitude has the dimension {outside[0]}, which {field.name} has not")
    lon, lat = _axes(places, step_degrees, longitude, latitude)
    shape = (*(field.sizes[name] for name in leading), lat.size, lon.size)
    values, counts = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    # A pixel up to a cell away from a centre has a share in it, or a weight.
    margin_cells = {"mean": 0.0, "linear": 0.5}.get(method, _radius_m(lon, lat, radius_km) / _smallest_cell_m(lon, lat))
    for index, points in _points(field, places, leading, lon, lat, margin_cells):
        if not points[0].size:
            continue
        if method == "idw":
            values[index], counts[index] = _weighted(points, lon, lat, radius_km)
        else:
            values[index], counts[index] = _binned(points, lon, lat, simple=method == "mean")
    name = str(field.name or "value")
    dimensions = (*leading, "latitude", "longitude")
    result = xarray.Dataset(
        {
            name: (dimensions, values, {key: field.attrs[key] for key in ("units", "long_name") if key in field.attrs}),
            "count": (dimensions, counts, {"long_name": f"number of pixels in {name}", "units": "1"}),
        },
        coords={"longitude": ("longitude", lon, LONGITUDE), "latitude": ("latitude", lat, LATITUDE)},
        attrs={"gridding_method": method},
    )
    return result.assign_coords({dim: field[dim] for dim in leading if dim in field.coords})


def _axes(places: Any, step_degrees: float | None, longitude: Any, latitude: Any) -> tuple[Floats, Floats]:
    """Return the centres of the grid's cells: as given, or multiples of a step that cover the pixels."""
    if longitude is not None and latitude is not None and step_degrees is None:
        return _axis("longitude", longitude), _axis("latitude", latitude)
    if longitude is not None or latitude is not None or step_degrees is None:
        raise SwathError("expected either step_degrees, or both longitude and latitude as arrays of cell centres")
    if not 0 < step_degrees <= 10:
        raise SwathError(f"step_degrees is {step_degrees}, expected more than 0 and at most 10 degrees")
    lon, lat = (place.to_numpy().astype(float).ravel() for place in places)
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.any():
        raise SwathGeometryError("no pixel has a place: longitude and latitude are missing everywhere")
    west, width = _extent(lon[known], step_degrees)
    south, north = np.floor(lat[known].min() / step_degrees), np.ceil(lat[known].max() / step_degrees)
    cells = min(int(np.ceil(width / step_degrees)), int(np.floor(360 / step_degrees + 1e-9)))
    return (
        (west + np.arange(max(cells, 2)) + 0.5) * step_degrees,
        (south + np.arange(max(int(north - south), 2)) + 0.5) * step_degrees,
    )


def _extent(longitude: Floats, step: float) -> tuple[float, float]:
    """Return the west edge, in steps, and the width in degrees of the shortest arc that holds all longitudes."""
    around = np.unique(np.floor((longitude % 360) / step)) * step
    gaps = np.diff(around, append=around[0] + 360)
    west = around[(int(gaps.argmax()) + 1) % around.size]
    west = west - 360 if west >= 180 else west
    return float(np.round(west / step)), float(360 - gaps.max() + step)


def _axis(name: str, centres: Any) -> Floats:
    axis = np.asarray(centres, dtype=float)
    steps = np.diff(axis)
    if axis.ndim != 1 or axis.size < 2 or not (steps > 0).all() or not np.allclose(steps, steps[0], rtol=1e-4):
        raise SwathError(f"{name} has the shape {axis.shape}; expected two or more increasing, evenly spaced centres")
    if name == "longitude" and steps[0] * axis.size > 360 * (1 + 1e-9):
        raise SwathError(f"longitude covers {steps[0] * axis.size:g} degrees, expected 360 at most")
    return axis


def _points(
    field: xarray.DataArray, places: Any, leading: list[Any], lon: Floats, lat: Floats, margin_cells: float
) -> Iterator[tuple[tuple[int, ...], tuple[Floats, Floats, Floats]]]:
    """Yield, for each place in the leading dimensions, the known pixels within the grid, on the grid's longitudes."""
    step, step_lat = lon[1] - lon[0], lat[1] - lat[0]
    margin = min(margin_cells, (360 / step - lon.size) / 2)
    west, east = lon[0] - (0.5 + margin) * step, lon[-1] + (0.5 + margin) * step
    south, north = lat[0] - (0.5 + margin_cells) * step_lat, lat[-1] + (0.5 + margin_cells) * step_lat
    for index in np.ndindex(*(field.sizes[name] for name in leading)):
        chosen = dict(zip(leading, index, strict=True))
        z, x, y = (
            part.isel({name: at for name, at in chosen.items() if name in part.dims})
            .transpose(LINE, PIXEL)
            .to_numpy()
            .astype(float)
            .ravel()
            for part in (field, *places)
        )
        x = (x - west) % 360 + west
        # pyinterp would put what is outside into the cells at the edge.
        inside = np.isfinite(x + y + z) & (x < east) & (y >= south) & (y < north)
        yield index, (x[inside], y[inside], z[inside])


def _binned(points: Any, lon: Floats, lat: Floats, *, simple: bool) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return mean and count of the cells.

    The grid gets a cell more on each side and no period: linear binning of pyinterp leaves out what is beyond the
    outermost centres, and has wrong weights where a period closes (2026.10).
    """
    import pyinterp

    axes = (np.concatenate([[a[0] - (a[1] - a[0])], a, [a[-1] + (a[1] - a[0])]]) for a in (lon, lat))
    bins = pyinterp.Binning2D(*(pyinterp.Axis(axis) for axis in axes))
    bins.push(*points, simple)
    weight, count = (np.array(part, dtype=float).T for part in (bins.sum_of_weights(), bins.count()))
    total = np.where(weight > 0, np.asarray(bins.mean()).T * weight, 0)
    if _is_around(lon):
        for part in (total, weight, count):
            part[:, 1] += part[:, -1]
            part[:, -2] += part[:, 0]
    total, weight, count = (part[1:-1, 1:-1] for part in (total, weight, count))
    mean = np.divide(total, weight, out=np.full(weight.shape, np.nan), where=weight > 0)
    return mean, count.astype(np.int64)


def _is_around(lon: Floats) -> bool:
    return bool(np.isclose(lon.size * (lon[1] - lon[0]), 360))


def _radius_m(lon: Floats, lat: Floats, radius_km: float | None) -> float:
    if radius_km is not None:
        return radius_km * 1000
    return RADIUS_STEPS * float(max(lon[1] - lon[0], lat[1] - lat[0])) * METRES_PER_DEGREE


def _smallest_cell_m(lon: Floats, lat: Floats) -> float:
    narrowing = max(float(np.cos(np.radians(np.abs(lat).max()))), 0.05)
    return METRES_PER_DEGREE * float(min((lon[1] - lon[0]) * narrowing, lat[1] - lat[0]))


def _weighted(points: Any, lon: Floats, lat: Floats, radius_km: float | None) -> tuple[Floats, npt.NDArray[np.int64]]:
    import pyinterp
    from pyinterp.core.config.rtree import InverseDistanceWeighting
    from pyinterp.core.geometry.geographic import Spheroid

    radius_m = _radius_m(lon, lat, radius_km)
    x, y, z = points
    tree = pyinterp.RTree3D(Spheroid())
    tree.packing(np.stack([x, y, np.zeros_like(x)], axis=1), z)
    grid_lon, grid_lat = np.meshgrid(lon, lat)
    targets = np.stack([grid_lon.ravel(), grid_lat.ravel(), np.zeros(grid_lon.size)], axis=1)
    threads = len(os.sched_getaffinity(0))
    options = InverseDistanceWeighting().with_k(NEIGHBOURS).with_p(2).with_radius(radius_m).with_num_threads(threads)
    values, counts = tree.inverse_distance_weighting(targets, options)
    return np.where(counts > 0, values, np.nan).reshape(grid_lon.shape), counts.reshape(grid_lon.shape).astype(np.int64)
