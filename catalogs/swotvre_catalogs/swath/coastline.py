"""Coastlines that need no internet: Natural Earth 1:10m in three levels of detail, closed in every projection."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from swotvre_catalogs.swath.plot_projection import Projection

#: The file beside this module; ``CREDITS.md`` says where it comes from.
DATA = "land.npz"
#: Degrees of one unit of the stored coordinates: 0.2 km.
QUANTUM_DEGREES = 0.002
#: How far the line of each level may lie from the original, in degrees; from coarse to fine.
TOLERANCES_DEGREES = (0.15, 0.03, 0.005)
#: An edge longer than this does not fit the stored differences (int16).
_LONGEST_EDGE_DEGREES = 60.0


class Land(NamedTuple):
    """Land in the coordinates of a projection: lines one behind the other with NaN between them.

    So they are four arrays for a browser, not thousands.
    """

    #: Rings without holes, shape (vertices, 2), float32; what has a hole is cut through it.
    rings: np.ndarray
    #: Coastlines; without the edges that only close a ring: at the antimeridian, a pole, a cut or the edge of the view.
    coast: np.ndarray


@cache
def land_polygons(level: int) -> np.ndarray:
    """Return the land of one level of detail.

    Args:
        level: place in ``TOLERANCES_DEGREES``, 0 is the coarsest.

    Returns:
        shapely polygons, longitudes -180..180, cut at the antimeridian; Antarctica reaches down to the pole.
    """
    source = files("swotvre_catalogs.swath") / DATA
    with np.load(BytesIO(source.read_bytes()), allow_pickle=False) as stored:
        return decode_land(*(stored[f"{part}_{level}"] for part in ("steps", "starts", "lengths", "rings")))


def level_for(resolution_degrees: float) -> int:
    """Return the coarsest level whose error stays below 1.5 pixels of ``resolution_degrees``."""
    for level, tolerance in enumerate(TOLERANCES_DEGREES):
        if tolerance <= 1.5 * resolution_degrees:
            return level
    return len(TOLERANCES_DEGREES) - 1


def land_in_view(projection: Projection, bounds: tuple[float, float, float, float], resolution_degrees: float) -> Land:
    """Return the land that a picture shows.

    Args:
        projection: of the picture.
        bounds: west, south, east, north edge of the picture in the coordinates of the projection.
        resolution_degrees: size of a picture element.
    """
    level = level_for(resolution_degrees)
    return _whole_land(projection) if level == 0 else _land(projection, bounds, level, 2 * resolution_degrees)


@lru_cache(maxsize=4)
def _whole_land(projection: Projection) -> Land:
    return _land(projection, projection.limits, 0, 0.1)


def _land(projection: Projection, bounds: tuple[float, float, float, float], level: int, margin: float) -> Land:
    import shapely

    polygons = land_polygons(level)
    west, south, east, north = projection.geographic_bounds(bounds)
    box = (west - margin, max(south - margin, -90.0), east + margin, min(north + margin, 90.0))
    pieces: list[np.ndarray] = []
    for shift in (-360.0, 0.0, 360.0):
        there = (box[0] - shift, box[1], box[2] - shift, box[3])
        near = polygons[_meets(polygons, there)]
        if len(near):
            cut = shapely.clip_by_rect(near, *there)
            pieces.append(shapely.transform(cut, lambda place, shift=shift: place + np.array([shift, 0.0])))
    parts = shapely.get_parts(np.concatenate(pieces)) if pieces else np.empty(0, dtype=object)
    parts = parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)]
    holed = shapely.get_num_interior_rings(parts) > 0
    cut_open = [piece for part in parts[holed] for piece in _without_holes(part)]
    whole = np.concatenate([parts[~holed], np.array(cut_open, dtype=object)])
    rings, of_ring = _vertices(projection.densified(whole))
    coast, of_coast = _vertices(projection.densified(parts))
    drawn = _is_coast(coast, box)
    return Land(
        _with_gaps(projection.forward_line(rings), np.diff(of_ring) == 0),
        _with_gaps(projection.forward_line(coast), drawn & (np.diff(of_coast) == 0)),
    )


def _vertices(polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import shapely

    vertices, of_ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    return vertices, of_ring


def _with_gaps(vertices: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """Return vertices with NaN between those that are not joined; one that is joined to none is left out."""
    if len(vertices) == 0:
        return np.empty((0, 2), np.float32)
    alone = ~np.r_[joined, False] & ~np.r_[False, joined]
    result = np.insert(vertices.astype(np.float32), np.flatnonzero(~joined) + 1, np.nan, axis=0)
    kept: np.ndarray = result[~np.insert(alone, np.flatnonzero(~joined) + 1, False)]
    return kept


def encode_land(polygons: Iterable[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return polygons as arrays that compress well; the reverse of ``decode_land``.

    Returns:
        Differences between vertices (int16), first vertex of each ring (int32), both in ``QUANTUM_DEGREES``, number
        of vertices of each ring (int32), number of rings of each polygon (int32).
    """
    import shapely

    steps, starts, lengths, rings = [], [], [], []
    for polygon in polygons:
        parts = (polygon.exterior, *polygon.interiors)
        rings.append(len(parts))
        for part in parts:
            place = shapely.get_coordinates(shapely.segmentize(part, _LONGEST_EDGE_DEGREES))
            whole = np.rint(place / QUANTUM_DEGREES).astype(np.int32)
            moved = np.r_[True, (np.diff(whole, axis=0) != 0).any(axis=1)]
            whole = whole[moved]
            starts.append(whole[0])
            lengths.append(len(whole))
            steps.append(np.diff(whole, axis=0).astype(np.int16))
    return (
        np.concatenate(steps).T.copy(),
        np.array(starts, np.int32),
        np.array(lengths, np.int32),
        np.array(rings, np.int32),
    )


def decode_land(steps: np.ndarray, starts: np.ndarray, lengths: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """Return the polygons that ``encode_land`` made these arrays of."""
    import shapely

    ends = np.cumsum(lengths)
    whole = np.zeros((ends[-1], 2), np.int64)
    first = ends - lengths
    inner = np.ones(ends[-1], bool)
    inner[first] = False
    whole[inner] = steps.T
    whole = np.cumsum(whole, axis=0)
    # What has added up before a ring is taken away again.
    whole += np.repeat(starts - whole[first], lengths, axis=0)
    of_ring = np.repeat(np.arange(len(lengths)), lengths)
    linear = shapely.linearrings(whole * QUANTUM_DEGREES, indices=of_ring)
    return np.asarray(shapely.polygons(linear, indices=np.repeat(np.arange(len(rings)), rings)))


def _meets(polygons: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    import shapely

    bounds = shapely.bounds(polygons)
    west, south, east, north = box
    return np.asarray(
        (bounds[:, 0] <= east) & (bounds[:, 2] >= west) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
    )


def _without_holes(polygon: Any) -> list[Any]:
    """Return pieces of a polygon that have no holes: it is cut along a meridian through each."""
    import shapely

    if len(polygon.interiors) == 0:
        return [polygon]
    west, south, east, north = polygon.bounds
    middle = polygon.interiors[0].centroid.x
    polygon = shapely.make_valid(polygon)
    halves = [
        shapely.intersection(polygon, shapely.box(*box))
        for box in ((west - 1, south - 1, middle, north + 1), (middle, south - 1, east + 1, north + 1))
    ]
    parts = shapely.get_parts(halves)
    return [piece for part in parts if part.geom_type == "Polygon" for piece in _without_holes(part)]


def _is_coast(vertices: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return for each edge whether it is coast: not along the antimeridian, the south pole or the edge of the view."""
    longitude, latitude = vertices[:, 0], vertices[:, 1]
    edges = [np.abs(np.abs(longitude) % 360 - 180) < 1e-6, latitude < -89.9]
    edges += [np.abs(longitude - edge) < 1e-9 for edge in (box[0], box[2])]
    edges += [np.abs(latitude - edge) < 1e-9 for edge in (box[1], box[3])]
    coast = np.ones(max(len(vertices) - 1, 0), bool)
    for at_edge in edges:
        coast &= ~(at_edge[1:] & at_edge[:-1])
    return coast
