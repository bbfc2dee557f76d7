"""The L4 maps of the sample: the sea of the simulation on a regular grid, day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import netCDF4
import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.coast import land_of
from swotvre_catalogs.sample.plan import GENERATOR_VERSION, MISSION_START, map_path
from swotvre_catalogs.sample.sea import Sea, look_at_sea

Floats = npt.NDArray[np.floating]

#: The grid: centres of cells of 1/8 degree in this box (west, south, east, north).
STEP_DEGREES = 0.125
BOX = (8.0, -50.0, 38.0, -28.0)

_GRAVITY, _EARTH_ROTATION = 9.80665, 7.2921159e-5
_METRES_PER_DEGREE = 111195.0
_FILL = -2147483647

_LONG_NAMES = {
    "sla": ("Sea level anomaly", "sea_surface_height_above_sea_level", "m"),
    "adt": ("Absolute dynamic topography", "sea_surface_height_above_geoid", "m"),
    "ugos": (
        "Absolute geostrophic velocity: zonal component",
        "surface_geostrophic_eastward_sea_water_velocity",
        "m/s",
    ),
    "vgos": (
        "Absolute geostrophic velocity: meridian component",
        "surface_geostrophic_northward_sea_water_velocity",
        "m/s",
    ),
}


@dataclass(frozen=True, eq=False)
class _Grid:
    """The places of a map, as the sea asks for them."""

    longitude: Floats
    latitude: Floats


def map_axes() -> tuple[Floats, Floats]:
    """Return the longitudes and latitudes (degrees) of the cells' centres."""
    west, south, east, north = BOX
    half = STEP_DEGREES / 2
    return np.arange(west + half, east, STEP_DEGREES), np.arange(south + half, north, STEP_DEGREES)


def write_map(day: date, root: Path) -> str:
    """Write the map of a day below ``root``; return its path relative to it."""
    longitude, latitude = map_axes()
    moment = (datetime(day.year, day.month, day.day, tzinfo=UTC) - MISSION_START).total_seconds()
    fields = _fields(*np.meshgrid(longitude, latitude), moment)
    path = map_path(day)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(root / path, "w", format="NETCDF4") as dataset:
        for name, values, units in (
            ("latitude", latitude, "degrees_north"),
            ("longitude", longitude, "degrees_east"),
        ):
            dataset.createDimension(name, values.size)
            axis = dataset.createVariable(name, "f4", (name,))
            axis.setncatts({"standard_name": name, "long_name": name, "units": units})
            axis[:] = values
        dataset.createDimension("time", 1)
        time = dataset.createVariable("time", "f4", ("time",))
        time.setncatts({"standard_name": "time", "units": "days since 1950-01-01 00:00:00", "calendar": "gregorian"})
        time[:] = (day - date(1950, 1, 1)).days
        for name, field in fields.items():
            _write_field(dataset, name, field)
        dataset.setncatts(_attributes(day))
    return path


def _fields(longitude: Floats, latitude: Floats, moment: float) -> dict[str, Floats]:
    # A map resolves what is larger than about 100 km: the eddies and swellings, not the fronts on their flanks.
    sea: Sea = look_at_sea(_Grid(longitude, latitude), moment, small_scales=False)
    land = land_of(longitude, latitude)
    coriolis = 2 * _EARTH_ROTATION * np.sin(np.radians(latitude))
    adt = sea.anomaly + sea.mean_dynamic_topography
    north = np.gradient(adt, STEP_DEGREES * _METRES_PER_DEGREE, axis=0)
    east = np.gradient(adt, STEP_DEGREES * _METRES_PER_DEGREE, axis=1) / np.cos(np.radians(latitude))
    fields = {"sla": sea.anomaly, "adt": adt, "ugos": -_GRAVITY / coriolis * north, "vgos": _GRAVITY / coriolis * east}
    return {name: np.where(land, np.nan, values) for name, values in fields.items()}


def _write_field(dataset: netCDF4.Dataset, name: str, field: Floats) -> None:
    long_name, standard_name, units = _LONG_NAMES[name]
    variable = dataset.createVariable(
        name, "i4", ("time", "latitude", "longitude"), fill_value=_FILL, compression="zlib", complevel=4, shuffle=True
    )
    variable.set_auto_maskandscale(False)
    variable.setncatts({"long_name": long_name, "standard_name": standard_name, "units": units, "scale_factor": 1e-4})
    variable[0] = np.where(np.isfinite(field), np.rint(np.nan_to_num(field) / 1e-4), _FILL).astype("i4")


def _attributes(day: date) -> dict[str, str]:
    return {
        "Conventions": "CF-1.6",
        "title": f"Level 4 map with SWOT KaRIn (simulated), {day:%Y-%m-%d}",
        "institution": "swot-vre",
        "source": f"simulated by swot-vre {GENERATOR_VERSION}; not a measurement",
        "history": f"created by swotvre_catalogs.sample {GENERATOR_VERSION}",
        "license": "CC-BY-4.0 for the simulation; credits of its inputs in README.md",
        "comment": "A crop of the globe. The sea of the simulated passes without its scales under 110 km, as a perfect "
        "mapping would see it; nothing was mapped.",
    }
