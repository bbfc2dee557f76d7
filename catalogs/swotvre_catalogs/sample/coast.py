"""Land and sea of a swath: what each pixel stands on and how far the coast is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from swotvre_catalogs.sample.swath import ELLIPSOID, Swath

Floats = npt.NDArray[np.floating]

#: The land of the package is cropped to this box (west, south, east, north); its sides are no coast.
_CROP = (8.0, -50.0, 38.0, -20.0)
_EARTH_RADIUS_M = 6371008.8


@dataclass(frozen=True)
class Coast:
    """Land and sea at each pixel; every field has the shape of the swath."""

    land: npt.NDArray[np.bool_]
    #: Metres to the nearest point of the coast, to one percent.
    distance: Floats
    #: Degrees clockwise from north towards that point.
    heading: Floats


@lru_cache
def _land() -> shapely.Geometry:
    text = (files("swotvre_catalogs.sample") / "inputs" / "land.geojson").read_text("utf-8")
    land = shapely.geometry.shape(json.loads(text)["features"][0]["geometry"])
    shapely.prepare(land)
    return land


@lru_cache
def _coast_points() -> tuple[Floats, cKDTree]:
    """Return points of the coast, about a kilometre apart, and their index."""
    points = shapely.get_coordinates(shapely.segmentize(shapely.boundary(_land()), 0.01))
    west, south, east, north = _CROP
    lon, lat = points.T
    inside = (lon > west + 1e-6) & (lon < east - 0.05) & (lat > south + 1e-6) & (lat < north - 0.05)
    points = points[inside]
    return points, cKDTree(_vectors(points[:, 0], points[:, 1]))


def _vectors(longitude: Floats, latitude: Floats) -> Floats:
    lon, lat = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def land_of(longitude: Floats, latitude: Floats) -> npt.NDArray[np.bool_]:
    """Tell which places (degrees, any shape) lie on land."""
    land: npt.NDArray[np.bool_] = shapely.contains_xy(_land(), longitude.ravel(), latitude.ravel())
    return land.reshape(longitude.shape)


@lru_cache
def look_at_coast(swath: Swath) -> Coast:
    """Return land, sea and the way to the coast for each pixel of a swath."""
    lon, lat = swath.longitude.ravel(), swath.latitude.ravel()
    points, tree = _coast_points()
    # Within one percent of the nearest: an exact answer takes five times as long.
    chord, nearest = tree.query(_vectors(lon, lat), eps=0.01)
    heading, _, _ = ELLIPSOID.inv(lon, lat, points[nearest, 0], points[nearest, 1])
    return Coast(
        land=shapely.contains_xy(_land(), lon, lat).reshape(swath.shape),
        distance=(2 * _EARTH_RADIUS_M * np.arcsin(chord / 2)).reshape(swath.shape),
        heading=(np.asarray(heading) % 360).reshape(swath.shape),
    )
