"""Passes over a geodesic, and fields whose derivatives are known at every place of the ellipsoid."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray
from pyproj import Geod

import swotvre_catalogs.swath  # noqa: F401  (registers the accessor)
from swotvre_catalogs.swath.ellipsoid import Floats, positions_m

ELLIPSOID = Geod(ellps="WGS84")


def make_pass(
    *,
    start: tuple[float, float] = (20.0, -40.0),
    heading: float = 15.0,
    lines: int = 80,
    posting_m: float = 2000.0,
    half_swath_m: float = 68000.0,
) -> xarray.Dataset:
    """Return a pass along a geodesic: places, and the true distances and headings, which the accessor does not see.

    Longitudes are 0 to 360, as in the files.
    """
    count = round(half_swath_m / posting_m)
    along = np.arange(lines) * posting_m
    across = np.arange(-count, count + 1) * posting_m
    lon, lat, back = ELLIPSOID.fwd(*(np.full(lines, v) for v in (*start, heading)), along)
    flight = (np.asarray(back) + 180) % 360
    shape = (lines, across.size)
    grid = [np.broadcast_to(np.asarray(v)[:, None], shape) for v in (lon, lat, flight + 90)]
    longitude, latitude, _ = ELLIPSOID.fwd(*grid, np.broadcast_to(across, shape))
    both = ("num_lines", "num_pixels")
    return xarray.Dataset(
        {
            "true_cross_track": ("num_pixels", across / 1000),
            "true_along_track": ("num_lines", along / 1000),
            "true_heading": ("num_lines", flight),
        },
        coords={
            "longitude": (both, np.asarray(longitude) % 360, {"units": "degrees_east"}),
            "latitude": (both, np.asarray(latitude), {"units": "degrees_north"}),
        },
    )


#: Passes that differ in everything a formula could get wrong: direction, hemisphere, antimeridian, nearness to a pole.
PASSES = {
    "ascending": {"start": (20.0, -40.0), "heading": 15.0},
    "descending": {"start": (20.0, 45.0), "heading": 165.0},
    "antimeridian": {"start": (179.6, 35.0), "heading": 20.0},
    "northern turn": {"start": (100.0, 77.3), "heading": 85.0},
    "over the pole": {"start": (10.0, 89.2), "heading": 20.0},
}


@pytest.fixture(params=list(PASSES))
def one_pass(request: pytest.FixtureRequest) -> xarray.Dataset:
    return make_pass(**PASSES[request.param])


class Wave:
    """A plane wave in space, ``height = 0.3 sin(k . X)`` with X on the ellipsoid, and its exact slopes."""

    AMPLITUDE_M = 0.3

    def __init__(self, wavelength_km: float = 150.0) -> None:
        direction = np.array([0.48, -0.6, 0.64])
        self.wave_vector = 2 * np.pi / (wavelength_km * 1000) * direction / np.linalg.norm(direction)

    def height(self, longitude: Floats, latitude: Floats) -> Floats:
        return self.AMPLITUDE_M * np.sin(positions_m(longitude, latitude) @ self.wave_vector)

    def slopes(self, longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
        """Return the derivatives eastward and northward, per metre."""
        lon, lat = np.radians(longitude), np.radians(latitude)
        east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
        north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1)
        rise = self.AMPLITUDE_M * np.cos(positions_m(longitude, latitude) @ self.wave_vector)
        return (east @ self.wave_vector) * rise, (north @ self.wave_vector) * rise

    def add_to(self, swath: xarray.Dataset) -> xarray.Dataset:
        """Return the swath with this ``height`` in metres."""
        values = self.height(swath["longitude"].to_numpy(), swath["latitude"].to_numpy())
        return swath.assign(height=(("num_lines", "num_pixels"), values, {"units": "m"}))


@pytest.fixture
def wave() -> Wave:
    return Wave()


@pytest.fixture
def with_nadir_gap() -> Callable[[xarray.Dataset], xarray.Dataset]:
    """Take away the heights that KaRIn does not see: nearer than 10 km to the nadir, farther than 60 km."""

    def cut(swath: xarray.Dataset) -> xarray.Dataset:
        distance = abs(swath["true_cross_track"])
        return swath.assign(height=swath["height"].where((distance >= 10) & (distance <= 60)).assign_attrs(units="m"))

    return cut
