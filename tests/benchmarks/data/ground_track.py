"""Where the pixels of a SWOT pass lie: the science orbit over a turning Earth, and the 2 km grid around its track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

#: A whole pass of the fixed grid.
LINES, PIXELS = 9866, 69
POSTING_KM = 2.0
PASSES_PER_CYCLE = 584
#: 292 revolutions in 21 turns of the Earth below the plane of the orbit.
CYCLE_SECONDS = 20.86455 * 86400
REVOLUTIONS, TURNS = 292, 21
INCLINATION_DEGREES = 77.6
#: Puts the passes where the flown orbit has them (fitted to the tracks of the sample datalake).
_LONGITUDE_0_DEGREES = 6.655
_FLATTENING = 1 / 298.257223563
_EARTH_RADIUS_KM = 6371.0088


@dataclass(frozen=True)
class Pass:
    """The grid of one pass; two-dimensional fields have the shape (LINES, PIXELS)."""

    number: int
    #: Seconds since the start of the cycle, shape (LINES,).
    seconds: Floats
    latitude: Floats
    #: Degrees east, 0 to 360.
    longitude: Floats


def cross_track_km() -> Floats:
    """Return the distance of each pixel to the nadir track, positive to the right of flight, shape (PIXELS,)."""
    return (np.arange(PIXELS) - PIXELS // 2) * POSTING_KM


def nadir_track(number: int, fractions: Floats) -> tuple[Floats, Floats]:
    """Return longitude and geodetic latitude (degrees) below the satellite at fractions (0 to 1) of a pass.

    A circular orbit; odd passes fly north. Within 5 km of the flown orbit.
    """
    along = np.radians(180.0 * (number - 1 + fractions) - 90.0)
    inclination = np.radians(INCLINATION_DEGREES)
    geocentric = np.arcsin(np.sin(inclination) * np.sin(along))
    in_plane = np.degrees(np.arctan2(np.cos(inclination) * np.sin(along), np.cos(along)))
    turned = (number - 1 + fractions) / 2 * 360.0 * TURNS / REVOLUTIONS
    latitude = np.degrees(np.arctan(np.tan(geocentric) / (1 - _FLATTENING) ** 2))
    return (_LONGITUDE_0_DEGREES + in_plane - turned) % 360.0, latitude


def _vectors(longitude: Floats, latitude: Floats) -> Floats:
    lon, lat = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def lay_out_pass(number: int) -> Pass:
    """Return the grid of a pass (1 to 584)."""
    step = 1.0 / LINES
    fractions = (np.arange(LINES) + 0.5) * step
    nadir = _vectors(*nadir_track(number, fractions))
    ahead = _vectors(*nadir_track(number, fractions + step)) - _vectors(*nadir_track(number, fractions - step))
    right = np.cross(ahead, nadir)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    angle = cross_track_km() / _EARTH_RADIUS_KM
    x, y, z = (nadir[:, axis, None] * np.cos(angle) + right[:, axis, None] * np.sin(angle) for axis in range(3))
    return Pass(
        number=number,
        seconds=(number - 1 + fractions) * CYCLE_SECONDS / PASSES_PER_CYCLE,
        latitude=np.degrees(np.arcsin(z)),
        longitude=np.degrees(np.arctan2(y, x)) % 360.0,
    )


def crop(swath: Pass, lines: int) -> Pass:
    """Return the middle of a pass: ``lines`` lines around the equator."""
    first = (len(swath.seconds) - lines) // 2
    part = slice(first, first + lines)
    return Pass(swath.number, swath.seconds[part], swath.latitude[part], swath.longitude[part])
