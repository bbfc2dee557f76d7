"""The two maps a swath is drawn on: plate carree with any central longitude, and polar stereographic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.errors import ParameterValueError
from swotvre_catalogs.parameters import near_miss

#: West, south, east and north edge of a picture, in the coordinates of its projection.
Bounds = tuple[float, float, float, float]
Floats = npt.NDArray[np.floating[Any]]

#: Kilometres; the projection of the sphere is only for pictures.
EARTH_RADIUS_KM = 6371.0
KM_PER_DEGREE = EARTH_RADIUS_KM * np.pi / 180
PROJECTIONS = ("plate_carree", "north", "south")


@dataclass(frozen=True)
class PlateCarree:
    """Longitude and latitude as x and y, in degrees; the map is cut opposite to its centre."""

    #: Central longitude in degrees: x runs from ``center - 180`` to ``center + 180``.
    center: float = 0.0
    #: After how much x the map repeats, 0 where it does not.
    period: float = 360.0
    #: One unit of x and y in degrees of latitude.
    unit_degrees: float = 1.0

    @property
    def limits(self) -> Bounds:
        """The whole globe."""
        return (self.center - 180, -90.0, self.center + 180, 90.0)

    def forward(self, longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
        """Return x in [center - 180, center + 180) and y."""
        west = self.center - 180
        return longitude - 360 * np.floor((longitude - west) / 360), latitude

    def inverse(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return longitude in [-180, 180) and latitude."""
        return (x + 180) % 360 - 180, y

    def forward_line(self, line: Floats) -> Floats:
        """Return the line as it is."""
        return line

    def geographic_bounds(self, bounds: Bounds) -> Bounds:
        """Return the bounds, not beyond the map."""
        west, south, east, north = self.limits
        return (max(bounds[0], west), max(bounds[1], south), min(bounds[2], east), min(bounds[3], north))

    def densified(self, polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
        """Return the polygons as they are: straight stays straight."""
        return polygons


@dataclass(frozen=True)
class PolarStereographic:
    """The map seen from above a pole, in kilometres; true to scale at the pole, angles are right everywhere.

    Source: Snyder, Map Projections - A Working Manual (USGS Professional Paper 1395, 1987), page 157, the sphere.
    """

    #: 1 for the north pole, -1 for the south pole.
    hemisphere: int
    #: The longitude that points down from the north pole, up from the south pole.
    center: float = 0.0
    #: The edges of the square map touch this parallel, in degrees from the equator.
    edge_latitude: float = 50.0
    period: float = 0.0
    unit_degrees: float = 1 / KM_PER_DEGREE

    @property
    def limits(self) -> Bounds:
        """The square around the parallel of ``edge_latitude``."""
        edge = self.distance_km(self.edge_latitude)
        return (-edge, -edge, edge, edge)

    @property
    def lowest_latitude(self) -> float:
        """The latitude of the corners, and a little more, in degrees from the equator."""
        corner_km = np.sqrt(2) * self.distance_km(self.edge_latitude)
        return float(90 - 2 * np.degrees(np.arctan(corner_km / (2 * EARTH_RADIUS_KM)))) - 1

    def distance_km(self, latitude: float) -> float:
        """Return the distance to the pole on the map."""
        return float(2 * EARTH_RADIUS_KM * np.tan(np.radians(90 - abs(latitude)) / 2))

    def forward(self, longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
        """Return x and y in kilometres; NaN below the lowest latitude."""
        kept = np.where(latitude * self.hemisphere >= self.lowest_latitude, latitude, np.nan)
        return self._forward(longitude, kept)

    def _forward(self, longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
        distance = 2 * EARTH_RADIUS_KM * np.tan(np.radians(90 - self.hemisphere * latitude) / 2)
        angle = np.radians(longitude - self.center)
        return distance * np.sin(angle), -self.hemisphere * distance * np.cos(angle)

    def inverse(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return longitude in [-180, 180) and latitude."""
        longitude = np.degrees(np.arctan2(x, -self.hemisphere * y)) + self.center
        latitude = 90 - 2 * np.degrees(np.arctan(np.hypot(x, y) / (2 * EARTH_RADIUS_KM)))
        return (longitude + 180) % 360 - 180, self.hemisphere * latitude

    def forward_line(self, line: Floats) -> Floats:
        """Return the line in kilometres."""
        return np.column_stack(self._forward(line[:, 0], line[:, 1]))

    def geographic_bounds(self, bounds: Bounds) -> Bounds:
        """Return the latitudes of the picture, and its longitudes unless it holds the pole."""
        west, south, east, north = bounds
        x, y = np.meshgrid(np.linspace(west, east, 33), np.linspace(south, north, 33))
        longitude, latitude = self.inverse(x, y)
        low = max(float((latitude * self.hemisphere).min()) - 0.5, self.lowest_latitude)
        high = float((latitude * self.hemisphere).max()) + 0.5
        holds_pole = west <= 0 <= east and south <= 0 <= north
        lowest, highest = (low, 90.0 if holds_pole else min(high, 90.0))
        if self.hemisphere < 0:
            lowest, highest = -highest, -lowest
        away = (longitude - longitude[16, 16] + 180) % 360 - 180
        margin = 0.1 * (away.max() - away.min())
        if holds_pole or away.max() - away.min() > 180:
            return (-180.0, lowest, 180.0, highest)
        middle = longitude[16, 16]
        return (middle + away.min() - margin, lowest, middle + away.max() + margin, highest)

    def densified(self, polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
        """Return polygons with a vertex every degree: a parallel is a curve here."""
        import shapely

        return np.asarray(shapely.segmentize(polygons, 1.0))


#: Both have the same attributes and methods.
Projection = PlateCarree | PolarStereographic


def make_projection(name: str, center: float | None, longitude: Floats) -> Projection:
    """Return the projection that was asked for.

    Args:
        name: of ``PROJECTIONS``.
        center: central longitude in degrees, or None: 0, or the middle of data that lie on one half of the globe.
        longitude: of the data in degrees, from which that is found.

    Raises:
        ParameterValueError: For an unknown name, or a centre that is no longitude.
    """
    if name not in PROJECTIONS:
        expected = ", ".join(PROJECTIONS)
        raise ParameterValueError(
            f"projection={name!r} is unknown; expected: {expected}{near_miss(str(name), PROJECTIONS)}"
        )
    if center is not None and not (isinstance(center, int | float | np.number) and -360 <= center <= 360):
        raise ParameterValueError(f"center={center!r} is no longitude; expected degrees from -180 to 360")
    if name != "plate_carree":
        return PolarStereographic(1 if name == "north" else -1, float(center or 0.0))
    return PlateCarree(_middle(longitude) if center is None else float(center))


def _middle(longitude: Floats) -> float:
    """Return the middle of longitudes on one half of the globe, rounded to 10 degrees; 0 for others."""
    known = longitude[np.isfinite(longitude)]
    if known.size == 0:
        return 0.0
    # The widest gap between the longitudes that occur lies opposite to their middle.
    occupied = np.unique(np.floor(known).astype(int) % 360)
    gaps = np.diff(np.r_[occupied, occupied[0] + 360])
    widest = int(gaps.argmax())
    if gaps[widest] < 180:
        return 0.0
    middle = occupied[widest] + gaps[widest] / 2 + 180.5
    return float(np.round(((middle + 180) % 360 - 180) / 10) * 10)
