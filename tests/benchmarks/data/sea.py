"""What the files hold: the sea of a real DUACS map that moves from cycle to cycle, KaRIn noise, land, and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files

import netCDF4
import numba
import numpy as np
import numpy.typing as npt
from ground_track import Pass, cross_track_km
from scipy.ndimage import gaussian_filter

from swotvre_catalogs.sample.real_files import DUACS_FILL, DUACS_MAP

Floats = npt.NDArray[np.floating]

SEED = 20261121
SCALE = 1e-4
#: Of the packed height; of the quality flag.
FILL, QUALITY_FILL = 2**31 - 1, 2**32 - 1
NOISE_M = 0.012
#: KaRIn sees from 10 to 60 km on either side of the track.
NEAREST_KM, FARTHEST_KM = 10.0, 60.0
#: Bits of the quality flag: suspect noise, rain, the edge of the swath, land or ice.
SUSPECT, DEGRADED, EDGE, BAD = 2, 65536, 1073741824, 2147483648
#: In a pass.
SHOWERS = 4
#: A cycle sees the map moved east by a mixture of these shifts, in degrees.
_SHIFTS_DEGREES = (0.0, 1.3, 2.9)


@dataclass(frozen=True)
class Sea:
    """What all cycles of a pass have in common; fields have the shape of the pass."""

    #: Height anomalies in units of SCALE, shape (shifts, lines, pixels).
    states: npt.NDArray[np.float32]
    mean_sea_surface: npt.NDArray[np.int32]
    #: Where no cycle has a measurement: land, ice, nadir and the outer edges.
    never: npt.NDArray[np.bool_]
    quality: npt.NDArray[np.uint32]


@lru_cache
def _maps() -> tuple[Floats, Floats, Floats]:
    """Return the height, its anomaly (m) and the share of sea (0 to 1) on a global grid of a quarter degree."""
    with as_file(files("swotvre_catalogs.sample") / "inputs" / DUACS_MAP) as path, netCDF4.Dataset(path) as source:
        source.set_auto_maskandscale(False)
        stored = source["adt"][0]
        sea = stored != DUACS_FILL
        height = np.where(sea, stored * float(source["adt"].scale_factor), 0.0)
        if float(source["latitude"][0]) > 0 or float(source["longitude"][0]) > 1:
            raise ValueError(f"{DUACS_MAP} does not begin in the south and at the meridian of Greenwich")
    weight = np.maximum(gaussian_filter(sea.astype(float), 8.0, mode=("nearest", "wrap")), 1e-3)
    mean = gaussian_filter(height, 8.0, mode=("nearest", "wrap")) / weight
    return height, np.where(sea, height - mean, 0.0), sea.astype(float)


@lru_cache
def _geoid() -> Floats:
    """Return something like a geoid (m) on the same grid: waves of the whole Earth, and grain of 100 km."""
    lat = np.radians(np.arange(-89.875, 90, 0.25))[:, None]
    lon = np.radians(np.arange(0.125, 360, 0.25))[None, :]
    white = np.random.default_rng(SEED).standard_normal((lat.size, lon.size))
    grain = gaussian_filter(white, 1.5, mode=("nearest", "wrap"))
    return 30 * np.sin(2 * lat + 1) * np.cos(2 * lon) + 9 * np.cos(5 * lat) * np.sin(3 * lon) + 4 * grain


@numba.njit(cache=False)
def _sample(field: Floats, latitude: Floats, longitude: Floats, shift_degrees: float) -> npt.NDArray[np.float32]:
    """Return the field of a global grid of a quarter degree at places, bilinear."""
    rows, columns = field.shape
    sampled = np.empty(latitude.shape, dtype=np.float32)
    for line in range(latitude.shape[0]):
        for pixel in range(latitude.shape[1]):
            y = (latitude[line, pixel] + 89.875) * 4
            x = ((longitude[line, pixel] + shift_degrees) % 360.0 - 0.125) * 4
            x = x + columns if x < 0 else x
            row, column = min(max(int(y), 0), rows - 2), int(x) % columns
            v, u, east = y - row, x - int(x), (column + 1) % columns
            south = field[row, column] * (1 - u) + field[row, east] * u
            north = field[row + 1, column] * (1 - u) + field[row + 1, east] * u
            sampled[line, pixel] = south * (1 - v) + north * v
    return sampled


def look_at_sea(swath: Pass) -> Sea:
    """Return what the cycles of a pass have in common."""
    height, anomaly, share = _maps()
    places = swath.latitude, swath.longitude
    states = np.stack([_sample(anomaly, *places, shift) for shift in _SHIFTS_DEGREES])
    distance = np.broadcast_to(np.abs(cross_track_km()), swath.latitude.shape)
    land = _sample(share, *places, 0.0) < 0.5
    edge = (distance < NEAREST_KM) | (distance > FARTHEST_KM)
    quality = np.where(land, np.uint32(BAD), np.uint32(0)) | np.where(edge, np.uint32(EDGE), np.uint32(0))
    geoid = _sample(_geoid(), *places, 0.0)
    return Sea(
        states=(states / SCALE).astype(np.float32),
        mean_sea_surface=np.rint((geoid + _sample(height, *places, 0.0)) / SCALE).astype(np.int32),
        never=land | edge,
        quality=quality.astype(np.uint32),
    )


def _noise_profile() -> npt.NDArray[np.float32]:
    """Return the standard deviation of the noise in units of SCALE: least in the middle of each half swath."""
    distance = np.abs(cross_track_km())
    profile = 0.8 + 0.9 * ((distance - 35.0) / 25.0) ** 2
    inside = (distance >= NEAREST_KM) & (distance <= FARTHEST_KM)
    return (profile / profile[inside].mean() * NOISE_M / SCALE).astype(np.float32)


def measure(sea: Sea, cycle: int, number: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint32]]:
    """Return the packed ``ssha_karin_2`` and its flag for one cycle of a pass: for the same numbers the same."""
    rng = np.random.Generator(np.random.SFC64([SEED, cycle, number]))
    lines, pixels = sea.never.shape
    weights = rng.dirichlet([1.5, 1.5, 1.5]).astype(np.float32)
    # The orbit error that the crossovers leave: long along the track, a slope across it.
    offset, slope = rng.normal(0, 0.02) / SCALE, rng.uniform(50, 150)
    along = np.sin(np.linspace(0, 2 * np.pi, lines) * rng.uniform(2, 6) + rng.uniform(0, 6)).astype(np.float32)
    rain = np.zeros(sea.never.shape, dtype=np.bool_)
    for line, pixel in zip(rng.integers(0, lines, SHOWERS), rng.integers(0, pixels, SHOWERS), strict=True):
        rain[max(line - 14, 0) : line + 14, max(pixel - 7, 0) : pixel + 7] = True
    grain = _grain()
    return _pack(
        sea.states, weights, sea.never, sea.quality, rain, along, np.float32(offset), np.float32(slope),
        grain, _noise_profile(), int(rng.integers(0, grain.size)), int(rng.integers(0, grain.size)) | 1,
    )  # fmt: skip


@lru_cache
def _grain() -> npt.NDArray[np.float32]:
    """Return a million standard normal numbers: a file takes each of its own from two of them."""
    return np.random.Generator(np.random.SFC64(SEED)).standard_normal(1 << 20, dtype=np.float32)


@numba.njit(cache=False)
def _pack(  # type: ignore[no-untyped-def]  # numba infers them
    states, weights, never, quality, rain, along, offset, slope, grain, profile, first, second
):
    """Return the packed height and its flag: a mixture of the states, the residual errors, noise and gaps."""
    lines, pixels = never.shape
    packed, flags = np.empty((lines, pixels), dtype=np.int32), quality.copy()
    last, half = grain.size - 1, np.float32(np.sqrt(0.5))
    for line in range(lines):
        for pixel in range(pixels):
            place = line * pixels + pixel
            noise = half * (grain[(first + place) & last] + grain[(second * (place + 1)) & last])
            if abs(noise) > 3.5:
                flags[line, pixel] |= np.uint32(SUSPECT)
            if rain[line, pixel]:
                flags[line, pixel] |= np.uint32(DEGRADED)
            if never[line, pixel] or (rain[line, pixel] and noise < 0.25):
                packed[line, pixel] = FILL
                continue
            height = offset + slope * along[line] * np.float32(pixel / (pixels // 2) - 1) + noise * profile[pixel]
            for state in range(len(weights)):
                height += weights[state] * states[state, line, pixel]
            packed[line, pixel] = np.int32(round(height))
    return packed, flags
