"""What "inside the box" and "within the time" mean: one place for every selection."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import ArrayLike, NDArray

from swotvre_catalogs.errors import ParameterValueError

if TYPE_CHECKING:
    import shapely

_EXPECTED = "expected bbox=(west, south, east, north) in degrees, such as (15, -45, 30, -33)"

#: What an open side of a period stands for; every measurement lies between, and both are within datetime64[ns].
EARLIEST = numpy.datetime64("1700-01-01T00:00:00.000000000", "ns")
LATEST = numpy.datetime64("2261-12-31T23:59:59.999999999", "ns")

_ONE = {unit: numpy.timedelta64(1, unit) for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns")}
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d))?")
_ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?")
_TIME_EXPECTED = "expected a time such as '2024', '2024-06' or '2024-06-30T12:00', or two of them"


@dataclass(frozen=True, order=True)
class Box:
    """A box on the sphere. Longitudes are -180 to 180 degrees; ``west > east`` lies across the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def parse(cls, bbox: Box | Sequence[float]) -> Box:
        """Return the box of (west, south, east, north) in degrees, longitudes in any convention.

        West greater than east goes eastwards across the antimeridian, as in RFC 7946 (GeoJSON), section 5.2, or across
        Greenwich for longitudes of 0 to 360. A width of 360 degrees is the whole globe.

        Raises:
            ParameterValueError: If it is not four finite numbers, south lies north of north, or one is out of range.
        """
        if isinstance(bbox, Box):
            return bbox
        west, south, east, north = _four_numbers(bbox)
        received = f"bbox {(west, south, east, north)}"
        if not (-90 <= south <= 90 and -90 <= north <= 90):
            swapped = abs(west) <= 90 and abs(east) <= 90
            hint = "; latitude and longitude look swapped" if swapped else ""
            raise ParameterValueError(f"{received}: a latitude is not within -90 to 90{hint}; {_EXPECTED}")
        if south > north:
            raise ParameterValueError(
                f"{received}: south ({south:g}) lies north of north ({north:g}), the corners are swapped; {_EXPECTED}"
            )
        if not (-180 <= west <= 360 and -180 <= east <= 360):
            raise ParameterValueError(f"{received}: a longitude is not within -180 to 360; {_EXPECTED}")
        if east - west > 360:
            raise ParameterValueError(f"{received} is wider than the globe; {_EXPECTED}")
        if east - west == 360:
            return cls(-180.0, south, 180.0, north)
        west, east = _signed(west), _signed(east)
        # 180 is the eastern edge of a box that has a width, and -180 its western edge.
        return cls(west, south, 180.0 if east == -180 and west != -180 else east, north)

    @property
    def is_across_antimeridian(self) -> bool:
        """Tell whether the box goes over 180 degrees."""
        return self.west > self.east

    @property
    def width_degrees(self) -> float:
        """The extent in longitude."""
        return self.east - self.west + (360.0 if self.is_across_antimeridian else 0.0)

    @property
    def parts(self) -> tuple[tuple[float, float, float, float], ...]:
        """The box as (west, south, east, north) with west <= east: two across the antimeridian, else one."""
        if not self.is_across_antimeridian:
            return ((self.west, self.south, self.east, self.north),)
        return ((self.west, self.south, 180.0, self.north), (-180.0, self.south, self.east, self.north))

    def contains(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[numpy.bool_]:
        """Tell which points lie inside or on the edge; a point that is NaN does not.

        Args:
            lon: Longitudes in degrees, -180 to 180 or 0 to 360, any shape.
            lat: Latitudes in degrees, of a shape that goes with it.
        """
        lons, lats = numpy.asarray(lon, dtype="float64"), numpy.asarray(lat, dtype="float64")
        inside = (lats >= self.south) & (lats <= self.north)
        if self.west == -180 and self.east == 180:
            return numpy.asarray(inside & numpy.isfinite(lons))
        lons = numpy.where(lons >= 180, lons - 360, lons)
        if self.is_across_antimeridian:
            return numpy.asarray(inside & ((lons >= self.west) | (lons <= self.east)))
        within = (lons >= self.west) & (lons <= self.east)
        if self.east == 180:
            within |= lons == -180
        return numpy.asarray(inside & within)

    def meets(self, west: ArrayLike, south: ArrayLike, east: ArrayLike, north: ArrayLike) -> NDArray[numpy.bool_]:
        """Tell which boxes have a point in common with this one; their longitudes as in ``Box``."""
        west, east = numpy.asarray(west, dtype="float64"), numpy.asarray(east, dtype="float64")
        south, north = numpy.asarray(south, dtype="float64"), numpy.asarray(north, dtype="float64")
        meets = numpy.zeros(numpy.broadcast(west, south).shape, dtype=bool)
        across = west > east
        for part_west, _, part_east, _ in self.parts:
            meets |= numpy.where(
                across, (east >= part_west) | (west <= part_east), (east >= part_west) & (west <= part_east)
            )
        # -180 and 180 are one meridian.
        if self.is_across_antimeridian or self.east == 180 or self.west == -180:
            meets |= across | (east == 180) | (west == -180)
        return numpy.asarray(meets & (south <= self.north) & (north >= self.south))

    def as_polygon(self) -> shapely.Polygon | shapely.MultiPolygon:
        """Return the box as a polygon, or as two within a MultiPolygon across the antimeridian."""
        import shapely  # here, because most selections do without

        boxes = [shapely.box(*part) for part in self.parts]
        return boxes[0] if len(boxes) == 1 else shapely.MultiPolygon(boxes)


def _four_numbers(bbox: Any) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(edge) for edge in bbox)
    except (TypeError, ValueError):
        raise ParameterValueError(f"bbox is {bbox!r:.200}; {_EXPECTED}") from None
    if not all(map(math.isfinite, (west, south, east, north))):
        raise ParameterValueError(f"bbox {bbox!r:.200} holds a value that is not finite; {_EXPECTED}")
    return west, south, east, north


def _signed(longitude: float) -> float:
    # Exact in binary, unlike a modulo: an edge that is equal to a point's longitude stays equal.
    return longitude - 360 if longitude >= 180 else longitude


def parse_time(time: Any) -> tuple[numpy.datetime64, numpy.datetime64]:
    """Return the first and the last instant (datetime64[ns], UTC) of a period.

    Args:
        time: A time, which stands for its whole period (``"2024-06"`` is June), or two of them, or a slice, both
            inclusive to the end of their precision; None is no limit on that side. Texts of ISO 8601, dates,
            datetimes, datetime64; a datetime is one instant.

    Raises:
        ParameterValueError: If it is none of these or ends before it begins.
    """
    sides = _sides(time)
    if len(sides) != 2:
        raise ParameterValueError(f"time is {time!r:.200}; {_TIME_EXPECTED}")
    begin, end = _period(sides[0])[0], _period(sides[1])[1]
    if begin > end:
        raise ParameterValueError(f"time {time!r:.200} ends before it begins; {_TIME_EXPECTED}")
    return begin, end


def _sides(time: Any) -> tuple[Any, ...]:
    if isinstance(time, slice):
        return (time.start, time.stop) if time.step is None else (time,)
    if isinstance(time, tuple | list) or getattr(time, "ndim", 0) == 1:  # an array, or an index of pandas
        return tuple(time)
    return (time, time)


def _period(value: Any) -> tuple[numpy.datetime64, numpy.datetime64]:
    if value is None:
        return EARLIEST, LATEST
    try:
        instant = _as_datetime64(value)
        unit, _ = numpy.datetime_data(instant.dtype)
        begin = instant.astype("datetime64[us]") if unit in ("Y", "M", "W", "D", "h", "m", "s") else instant
        if numpy.isnat(instant) or not EARLIEST <= begin.astype("datetime64[s]") <= LATEST.astype("datetime64[s]"):
            raise ValueError
        end = (instant + _ONE[unit]).astype("datetime64[ns]") - numpy.timedelta64(1, "ns")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise ParameterValueError(f"time {value!r:.200} cannot be read; {_TIME_EXPECTED}") from None
    return begin.astype("datetime64[ns]"), end


def _as_datetime64(value: Any) -> numpy.datetime64:
    if isinstance(value, numpy.datetime64):
        return value
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
        return numpy.datetime64(utc, "us")
    if isinstance(value, datetime.date):
        return numpy.datetime64(value, "D")
    text = value.strip().removesuffix("Z")
    if compact := _COMPACT.fullmatch(text):
        year, month, day, *clock = compact.groups()
        text = f"{year}-{month}-{day}" + (f"T{':'.join(clock)}" if clock[0] else "")
    if not _ISO.fullmatch(text):
        raise ValueError
    return numpy.datetime64(text.replace(" ", "T"))
