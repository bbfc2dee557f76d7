"""Where on the globe a granule lies: polygons from the positions in its file, split at the antimeridian."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy
import shapely
from numpy.typing import NDArray

#: Edges are drawn with as few points as stay this near to them, in degrees; a selection allows for as much.
TOLERANCE_DEGREES = 0.01

#: A line of more points than this after simplification is not one track: a box does.
_MOST_POINTS = 2000


def swath_polygon(latitude: NDArray[Any], longitude: NDArray[Any]) -> Any:
    """Return the polygon between the first and the last pixel of each line, None where no line has a position.

    Args:
        latitude: Degrees, shape (num_lines, num_pixels); only the first and last pixel are looked at.
        longitude: Degrees in any convention, same shape.
    """
    lats = numpy.asarray(latitude[:, [0, -1]], dtype="float64")
    lons = numpy.asarray(longitude[:, [0, -1]], dtype="float64")
    known = numpy.isfinite(lats).all(axis=1) & numpy.isfinite(lons).all(axis=1)
    lats, lons = lats[known], lons[known]
    if not len(lats):
        return None
    if len(lats) == 1:
        return points_box(lats.ravel(), lons.ravel())
    # Both edges on one continuous scale, so that a swath across 180 degrees is one piece until it is split.
    first = _continuous(lons[:, 0])
    last = _continuous(lons[:, 1])
    last += 360.0 * numpy.round((first[0] - last[0]) / 360.0)
    edges = [
        # An edge of an orbit does not cross itself, and the polygon is made valid below.
        shapely.get_coordinates(shapely.simplify(shapely.linestrings(x, y), TOLERANCE_DEGREES, preserve_topology=False))
        for x, y in ((first, lats[:, 0]), (last, lats[:, 1]))
    ]
    return split_at_antimeridian(shapely.make_valid(shapely.polygons(numpy.vstack([edges[0], edges[1][::-1]]))))


def track_line(latitude: NDArray[Any], longitude: NDArray[Any]) -> Any:
    """Return the line of a nadir track, None where it has no position; shape (time,) each, degrees."""
    lats, lons = _finite(latitude, longitude)
    if len(lats) < 2:
        return points_box(lats, lons)
    line = shapely.simplify(shapely.linestrings(_continuous(lons), lats), TOLERANCE_DEGREES)
    return points_box(lats, lons) if len(line.coords) > _MOST_POINTS else split_at_antimeridian(line)


def points_box(latitude: NDArray[Any], longitude: NDArray[Any]) -> Any:
    """Return the smallest box around scattered points, across the antimeridian if that is shorter; None for none."""
    lats, lons = _finite(latitude, longitude)
    if not len(lats):
        return None
    around = numpy.sort(numpy.unique(lons % 360.0))
    gaps = numpy.diff(numpy.append(around, around[0] + 360.0))
    widest = int(gaps.argmax())
    west = around[(widest + 1) % len(around)]
    east = west + 360.0 - gaps[widest]
    return bounds_box(float(west), float(lats.min()), float(east), float(lats.max()))


def bounds_box(west: float, south: float, east: float, north: float) -> Any:
    """Return a box as a polygon; longitudes on a continuous scale, ``east`` not smaller than ``west``."""
    if east - west >= 360.0 - TOLERANCE_DEGREES:
        return shapely.box(-180.0, south, 180.0, north)
    if west == east or south == north:
        corners = numpy.unique([(west, south), (east, north)], axis=0)
        shape = shapely.points(corners[0]) if len(corners) == 1 else shapely.linestrings(corners)
        return split_at_antimeridian(shape)
    return split_at_antimeridian(shapely.box(west, south, east, north))


def split_at_antimeridian(geometry: Any) -> Any:
    """Bring a geometry with longitudes on a continuous scale into -180 to 180, cut in parts where it crosses 180."""
    west, _, east, _ = shapely.bounds(geometry)
    first, last = math.floor((west + 180.0) / 360.0), math.ceil((east - 180.0) / 360.0)
    parts = [
        _moved(shapely.intersection(geometry, shapely.box(-180 + 360 * turn, -90, 180 + 360 * turn, 90)), -360.0 * turn)
        for turn in range(first, max(first, last) + 1)
    ]
    return _of_highest_dimension(parts)


def geographic_bounds(geometry: Any) -> tuple[float, float, float, float]:
    """Return (west, south, east, north), with west > east across the antimeridian (RFC 7946, section 5.2)."""
    _, south, _, north = shapely.bounds(geometry)
    spans = sorted((float(west), float(east)) for west, _, east, _ in shapely.bounds(shapely.get_parts(geometry)))
    merged = [spans[0]]
    for west, east in spans[1:]:
        if west <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(east, merged[-1][1]))
        else:
            merged.append((west, east))
    # The bounds leave out the widest gap; the one across the antimeridian is the last.
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(merged)]
    gaps.append(merged[0][0] + 360.0 - merged[-1][1])
    widest = max(range(len(gaps)), key=gaps.__getitem__)
    return merged[(widest + 1) % len(merged)][0], float(south), merged[widest][1], float(north)


def _of_highest_dimension(geometries: list[Any]) -> Any:
    # Cutting along the meridian, and mending a polygon, can leave lines and points beside the polygons.
    pieces: list[Any] = []
    for geometry in geometries:
        for part in shapely.get_parts(geometry):
            pieces.extend(shapely.get_parts(part))
    dimension = max(shapely.get_dimensions(pieces))
    pieces = [piece for piece in pieces if shapely.get_dimensions(piece) == dimension]
    if len(pieces) == 1:
        return pieces[0]
    return (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)[int(dimension)](pieces)


def joined(geometries: list[Any]) -> Any:
    """Return one geometry of several, such as both sides of a swath; None of none."""
    there = [geometry for geometry in geometries if geometry is not None]
    return None if not there else there[0] if len(there) == 1 else shapely.union_all(there)


def _finite(latitude: NDArray[Any], longitude: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    lats = numpy.asarray(latitude, dtype="float64").ravel()
    lons = numpy.asarray(longitude, dtype="float64").ravel()
    known = numpy.isfinite(lats) & numpy.isfinite(lons) & (numpy.abs(lats) <= 90)
    return lats[known], lons[known]


def _continuous(longitude: NDArray[Any]) -> NDArray[Any]:
    return numpy.unwrap(longitude, period=360.0)


def _moved(geometry: Any, degrees: float) -> Any:
    return shapely.transform(geometry, lambda points: points + numpy.array([degrees, 0.0])) if degrees else geometry
