"""The geometry of a swath: from the ground track of the science orbit to the grid of a product."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
from pyproj import Geod
from scipy.interpolate import CubicSpline

from swotvre_catalogs.sample.errors import SampleError

Floats = npt.NDArray[np.floating]

ELLIPSOID = Geod(ellps="WGS84")

#: Sub-satellite speed over the ground that turns the length of the track into time (half an orbit is 3085.8 s).
HALF_REVOLUTION_SECONDS = 20.86455 * 86400 / 584

#: The 2 km grid of Basic, Expert and L3: 69 pixels over 68 km on either side of the track.
POSTING_M = 2000.0
HALF_SWATH_M = 68000.0

#: The native grid of Unsmoothed: 240 pixels of 250 m on each side, from 5 km outwards.
NATIVE_POSTING_M = 250.0
NATIVE_PIXELS = 240
NATIVE_INNER_EDGE_M = 5000.0

#: Seconds between two measurements of the nadir altimeter.
NADIR_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class Swath:
    """Where and when each pixel of a (cropped) pass lies.

    Two-dimensional fields have the shape (num_lines, num_pixels), the others (num_lines,).
    """

    pass_number: int
    #: Seconds since the start of the cycle.
    seconds: Floats
    latitude_nadir: Floats
    longitude_nadir: Floats
    #: Degrees clockwise from north, of the flight over the ground.
    heading: Floats
    latitude: Floats
    longitude: Floats
    #: Metres from the nadir track, positive to the right of flight, shape (num_pixels,).
    cross_track: Floats
    #: Metres along the track from the start of the pass.
    along_track: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Return (num_lines, num_pixels)."""
        return self.latitude.shape[0], self.latitude.shape[1]

    @property
    def distance(self) -> Floats:
        """Return the cross-track distance of each pixel in metres, shape (num_lines, num_pixels)."""
        return np.broadcast_to(self.cross_track, self.shape)


@lru_cache
def read_track(pass_number: int) -> tuple[float, Floats, Floats]:
    """Return the start of a pass (seconds into the cycle) and the longitudes and latitudes of its nadir track.

    Raises:
        SampleError: the orbit file of the package has no such pass.
    """
    text = (files("swotvre_catalogs.sample") / "inputs" / "orbit_passes.csv").read_text("ascii")
    rows = [row for row in csv.DictReader(text.splitlines()) if int(row["pass_number"]) == pass_number]
    if not rows:
        raise SampleError(f"no track for pass {pass_number} in orbit_passes.csv")
    longitude = np.array([float(row["longitude"]) for row in rows])
    latitude = np.array([float(row["latitude"]) for row in rows])
    return float(rows[0]["start"]), longitude, latitude


def _resample(longitude: Floats, latitude: Floats, posting_m: float) -> tuple[Floats, Floats, Floats]:
    """Return longitude, latitude and length (m) of a track at an even posting, by a spline over unit vectors."""
    lon, lat = np.radians(longitude), np.radians(latitude)
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    _, _, steps = ELLIPSOID.inv(longitude[:-1], latitude[:-1], longitude[1:], latitude[1:])
    length = np.concatenate([[0.0], np.cumsum(steps)])
    spline = CubicSpline(length, vectors)
    along = np.arange(0.0, length[-1], posting_m)
    x, y, z = spline(along).T
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y))), along


def _make_swath(pass_number: int, latitude_range: tuple[float, float], posting_m: float, cross_track: Floats) -> Swath:
    start, track_longitude, track_latitude = read_track(pass_number)
    longitude, latitude, along = _resample(track_longitude, track_latitude, posting_m)
    inside = (latitude >= latitude_range[0]) & (latitude <= latitude_range[1])
    inside[[0, -1]] = False  # each line needs a neighbour for its heading
    index = np.flatnonzero(inside)
    heading, _, _ = ELLIPSOID.inv(longitude[index - 1], latitude[index - 1], longitude[index + 1], latitude[index + 1])
    shape = (index.size, cross_track.size)
    grid_lon, grid_lat, _ = ELLIPSOID.fwd(
        np.broadcast_to(longitude[index, None], shape),
        np.broadcast_to(latitude[index, None], shape),
        np.broadcast_to(heading[:, None] + 90.0, shape),
        np.broadcast_to(cross_track, shape),
    )
    seconds = start + along[index] / along[-1] * HALF_REVOLUTION_SECONDS
    return Swath(
        pass_number=pass_number,
        seconds=seconds,
        latitude_nadir=latitude[index],
        longitude_nadir=longitude[index] % 360,
        heading=heading % 360,
        latitude=np.asarray(grid_lat, dtype=float),
        longitude=np.asarray(grid_lon, dtype=float) % 360,
        cross_track=cross_track,
        along_track=along[index],
    )


@lru_cache
def fixed_grid(pass_number: int, latitude_min: float, latitude_max: float) -> Swath:
    """Return the 2 km grid of a pass, cropped to lines whose nadir lies between two latitudes (degrees)."""
    count = round(HALF_SWATH_M / POSTING_M)
    return _make_swath(pass_number, (latitude_min, latitude_max), POSTING_M, np.arange(-count, count + 1) * POSTING_M)


@lru_cache
def native_grid(pass_number: int, side: str, latitude_min: float, latitude_max: float) -> Swath:
    """Return the 250 m grid of one side (``left`` or ``right``) of a pass; pixels count from the outer left edge."""
    outwards = NATIVE_INNER_EDGE_M + NATIVE_POSTING_M * np.arange(NATIVE_PIXELS)
    cross_track = outwards if side == "right" else -outwards[::-1]
    return _make_swath(pass_number, (latitude_min, latitude_max), NATIVE_POSTING_M, cross_track)


@lru_cache
def native_grid_of_both_sides(pass_number: int, latitude_min: float, latitude_max: float) -> Swath:
    """Return the 250 m grid of a pass from the outer left to the outer right edge, the gap at nadir included."""
    count = round(NATIVE_INNER_EDGE_M / NATIVE_POSTING_M) + NATIVE_PIXELS - 1
    cross_track = np.arange(-count, count + 1) * NATIVE_POSTING_M
    return _make_swath(pass_number, (latitude_min, latitude_max), NATIVE_POSTING_M, cross_track)


@lru_cache
def nadir_track(pass_number: int, latitude_min: float, latitude_max: float) -> Swath:
    """Return the nadir track of a pass, one measurement a second, as a swath of two pixels that are both at nadir."""
    start, longitude, latitude = read_track(pass_number)
    _, _, steps = ELLIPSOID.inv(longitude[:-1], latitude[:-1], longitude[1:], latitude[1:])
    length_m = float(np.sum(steps))
    posting_m = length_m / HALF_REVOLUTION_SECONDS * NADIR_SECONDS
    track = _make_swath(pass_number, (latitude_min, latitude_max), posting_m, np.zeros(2))
    return replace(track, seconds=start + track.along_track / length_m * HALF_REVOLUTION_SECONDS)
