"""The figure of the Earth: WGS84, the ellipsoid that the products name in their attributes.

Latitudes and longitudes are geodetic, in degrees. Functions take arrays of any shape and keep it.

Source: NGA.STND.0036, World Geodetic System 1984, version 1.0.0 (2014), chapters 3 and 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

SEMI_MAJOR_AXIS_M = 6378137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)

#: Rate of rotation of the Earth, radians per second.
ROTATION_RATE = 7.292115e-5

#: Normal gravity on the equator (m/s2) and the constant k of Somigliana's formula.
EQUATORIAL_GRAVITY = 9.7803253359
SOMIGLIANA_CONSTANT = 0.00193185265241


def normal_vectors(longitude: Floats, latitude: Floats) -> Floats:
    """Return the unit vectors that stand upright on the ellipsoid, shape (..., 3)."""
    lon, lat = np.radians(longitude, dtype=float), np.radians(latitude, dtype=float)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def to_degrees(vectors: Floats) -> tuple[Floats, Floats]:
    """Return longitude in [-180, 180] and latitude of upright vectors of any length, shape (..., 3)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


def prime_vertical_radius_m(latitude: Floats) -> Floats:
    """Return the radius of curvature in the prime vertical, N = a / sqrt(1 - e2 sin2(latitude)), in metres."""
    radius: Floats = SEMI_MAJOR_AXIS_M / np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(np.radians(latitude)) ** 2)
    return radius


def gaussian_radius_m(latitude: Floats) -> Floats:
    """Return the Gaussian radius of curvature, sqrt(M N), in metres (M: radius in the meridian)."""
    sine_squared = np.sin(np.radians(latitude)) ** 2
    radius: Floats = SEMI_MAJOR_AXIS_M * np.sqrt(1 - ECCENTRICITY_SQUARED) / (1 - ECCENTRICITY_SQUARED * sine_squared)
    return radius


def positions_m(longitude: Floats, latitude: Floats) -> Floats:
    """Return Earth-centred positions on the ellipsoid in metres, shape (..., 3)."""
    radius = prime_vertical_radius_m(latitude)[..., None]
    positions: Floats = normal_vectors(longitude, latitude) * radius * np.array([1, 1, 1 - ECCENTRICITY_SQUARED])
    return positions


def east_north(vectors: Floats, longitude: Floats, latitude: Floats) -> npt.NDArray[np.complex128]:
    """Return the horizontal part of Earth-centred vectors at a place, as east + i north.

    Args:
        vectors: Shape (..., 3), any unit.
        longitude: Of the place, shape (...).
        latitude: Of the place, shape (...).
    """
    lon, lat = np.radians(longitude, dtype=float), np.radians(latitude, dtype=float)
    x, y, z = np.moveaxis(vectors, -1, 0)
    east = -np.sin(lon) * x + np.cos(lon) * y
    north = -np.sin(lat) * (np.cos(lon) * x + np.sin(lon) * y) + np.cos(lat) * z
    result: npt.NDArray[np.complex128] = east + 1j * north
    return result


def in_space(horizontal: npt.NDArray[np.complex128], longitude: Floats, latitude: Floats) -> Floats:
    """Return horizontal vectors, east + i north at a place, as Earth-centred vectors of shape (..., 3)."""
    lon, lat = np.radians(longitude, dtype=float), np.radians(latitude, dtype=float)
    u, v = horizontal.real, horizontal.imag
    x = -np.sin(lon) * u - np.sin(lat) * np.cos(lon) * v
    y = np.cos(lon) * u - np.sin(lat) * np.sin(lon) * v
    vectors: Floats = np.stack([x, y, np.cos(lat) * v], axis=-1)
    return vectors


def distance_m(first: Floats, second: Floats, latitude: Floats) -> Floats:
    """Return the distance over the ellipsoid between Earth-centred positions that are not far apart, in metres.

    The chord c is bent onto a sphere of the Gaussian radius R: 2 R arcsin(c / 2R). Over 100 km that is within a
    centimetre of the geodesic.
    """
    chord = np.linalg.norm(second - first, axis=-1)
    radius = gaussian_radius_m(latitude)
    distance: Floats = 2 * radius * np.arcsin(np.minimum(chord / (2 * radius), 1))
    return distance


def coriolis_parameter(latitude: Floats) -> Floats:
    """Return f = 2 Omega sin(latitude) in 1/s."""
    parameter: Floats = 2 * ROTATION_RATE * np.sin(np.radians(latitude))
    return parameter


def normal_gravity(latitude: Floats) -> Floats:
    """Return gravity on the ellipsoid in m/s2 by Somigliana's formula: 9.780 at the equator, 9.832 at a pole."""
    sine_squared = np.sin(np.radians(latitude)) ** 2
    gravity: Floats = (
        EQUATORIAL_GRAVITY * (1 + SOMIGLIANA_CONSTANT * sine_squared) / np.sqrt(1 - ECCENTRICITY_SQUARED * sine_squared)
    )
    return gravity
