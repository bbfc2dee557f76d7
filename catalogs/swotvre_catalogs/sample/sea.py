"""The sea under the swath: mean sea surface, dynamic topography, eddies that drift, and the smaller scales."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from typing import Protocol

import netCDF4
import numpy as np
import numpy.typing as npt
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import gaussian_filter

from swotvre_catalogs.sample.real_files import DUACS_FILL, DUACS_MAP
from swotvre_catalogs.sample.waves import random_waves

Floats = npt.NDArray[np.floating]

#: Eddies of the Agulhas drift westward at about 4.5 cm/s: degrees of longitude per second at 35 S.
_DRIFT_DEGREES_PER_SECOND = 0.045 / (111195.0 * np.cos(np.radians(35.0)))

#: Grid cells (0.25 degree) over which the dynamic topography is smoothed to become its mean.
_MEAN_CELLS = 6.0

_SMALL_SCALES = random_waves(101, standard_deviation=0.014, wavelengths_km=(14, 110), slope=4, speed=0.05, count=110)
_SWELLING = random_waves(102, standard_deviation=0.03, wavelengths_km=(180, 500), slope=2, speed=0.02, count=40)
_INTERNAL_TIDE = random_waves(103, standard_deviation=0.009, wavelengths_km=(90, 160), slope=0, speed=3.0, count=8)
_SEA_FLOOR = random_waves(104, standard_deviation=0.16, wavelengths_km=(18, 150), slope=3.5, speed=0.0, count=110)


class Places(Protocol):
    """Anything that has a longitude and a latitude (degrees) at each of its places."""

    @property
    def longitude(self) -> Floats:
        """Degrees east."""

    @property
    def latitude(self) -> Floats:
        """Degrees north."""


@dataclass(frozen=True)
class Sea:
    """The height of the sea at each pixel, in metres; every field has the shape of the swath."""

    mean_sea_surface: Floats
    mean_dynamic_topography: Floats
    #: Sea level anomaly: eddies, fronts and the rest of the motion, without tides.
    anomaly: Floats
    internal_tide: Floats


@dataclass(frozen=True)
class _Maps:
    mean_sea_surface: RectBivariateSpline
    mean_dynamic_topography: RectBivariateSpline
    anomaly: RectBivariateSpline


def _fill_land(field: Floats, cells: float) -> Floats:
    """Return the field with its gaps filled by the weighted mean of the sea around, ever wider."""
    filled = field.copy()
    width = cells
    while np.isnan(filled).any():
        sea = np.isfinite(filled)
        weight = gaussian_filter(sea.astype(float), width)
        mean = gaussian_filter(np.where(sea, filled, 0.0), width)
        reached = ~sea & (weight > 1e-3)
        filled[reached] = mean[reached] / weight[reached]
        width *= 1.5
    return filled


@lru_cache
def _maps() -> _Maps:
    inputs = files("swotvre_catalogs.sample") / "inputs"
    with as_file(inputs / DUACS_MAP) as path, netCDF4.Dataset(path) as source:
        source.set_auto_maskandscale(False)
        latitude, longitude = source["latitude"][:].astype(float), source["longitude"][:].astype(float)
        rows = np.flatnonzero((latitude > -50) & (latitude < -20))
        columns = np.flatnonzero((longitude > 4) & (longitude < 46))
        stored = source["adt"][0, rows, columns]
        adt = np.where(stored == DUACS_FILL, np.nan, stored * float(source["adt"].scale_factor))
        latitude, longitude = latitude[rows], longitude[columns]
    adt = _fill_land(adt, 2.0)
    mean = gaussian_filter(adt, _MEAN_CELLS, mode="nearest")
    with as_file(inputs / "mean_sea_surface_agulhas.nc") as path, netCDF4.Dataset(path) as source:
        mss = np.ma.filled(source["mss"][:].astype(float), np.nan)
        mss_latitude, mss_longitude = source["latitude"][:].data, source["longitude"][:].data
    mss = gaussian_filter(_fill_land(mss, 2.0), 3.0, mode="nearest")
    return _Maps(
        RectBivariateSpline(mss_latitude, mss_longitude, mss),
        RectBivariateSpline(latitude, longitude, mean),
        RectBivariateSpline(latitude, longitude, adt - mean),
    )


def look_at_sea(places: Places, seconds: float, *, small_scales: bool = True) -> Sea:
    """Return the sea at places ``seconds`` after the start of the mission, without scales under 110 km if so asked."""
    maps = _maps()
    lon, lat = places.longitude, places.latitude
    upstream = lon + _DRIFT_DEGREES_PER_SECOND * seconds
    eddies = maps.anomaly.ev(lat, upstream)
    steepness = np.hypot(maps.anomaly.ev(lat, upstream, dx=1), maps.anomaly.ev(lat, upstream, dy=1))
    # Small scales live on the flanks of eddies: 0.15 m per degree is the mean slope of the region.
    liveliness = np.clip(0.35 + steepness / 0.15, 0.35, 2.5)
    anomaly = eddies + _SWELLING.at(lon, lat, seconds)
    if small_scales:
        anomaly = anomaly + liveliness * _SMALL_SCALES.at(lon, lat, seconds)
    return Sea(
        mean_sea_surface=maps.mean_sea_surface.ev(lat, lon) + _SEA_FLOOR.at(lon, lat, 0.0),
        mean_dynamic_topography=maps.mean_dynamic_topography.ev(lat, lon),
        anomaly=anomaly,
        internal_tide=_INTERNAL_TIDE.at(lon, lat, seconds),
    )
