"""The air and the waves over the swath: wind, significant wave height, backscatter, rain and path delays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.plan import LATITUDE_MAX, LATITUDE_MIN
from swotvre_catalogs.sample.swath import Swath, fixed_grid
from swotvre_catalogs.sample.waves import random_waves

Floats = npt.NDArray[np.floating]

_STORMS = random_waves(201, standard_deviation=0.6, wavelengths_km=(600, 2500), slope=3, speed=12.0, count=24)
_GUSTS = random_waves(202, standard_deviation=1.1, wavelengths_km=(80, 700), slope=2.5, speed=9.0, count=40)
_STREAKS = random_waves(203, standard_deviation=0.35, wavelengths_km=(9, 60), slope=2, speed=7.0, count=60)
_VEERING = random_waves(204, standard_deviation=0.7, wavelengths_km=(700, 3000), slope=3, speed=12.0, count=16)
_PRESSURE = random_waves(205, standard_deviation=7.0, wavelengths_km=(900, 3500), slope=4, speed=12.0, count=16)
_VAPOUR = random_waves(206, standard_deviation=0.025, wavelengths_km=(300, 2000), slope=3, speed=10.0, count=24)
_VAPOUR_DETAIL = random_waves(207, standard_deviation=0.005, wavelengths_km=(30, 250), slope=3, speed=10.0, count=40)
_CELL_SHAPE = random_waves(208, standard_deviation=0.35, wavelengths_km=(8, 30), slope=1, speed=10.0, count=24)


@dataclass(frozen=True)
class Weather:
    """Air and waves at each pixel; every field has the shape of the swath."""

    #: Significant wave height in metres.
    swh: Floats
    #: Wind speed at 10 m in m/s, and the direction it blows to, radians from east.
    wind_speed: Floats
    wind_direction: Floats
    #: Rain in mm/h.
    rain_rate: Floats
    #: Normalised radar cross section in Ka band, linear.
    sig0: Floats
    #: Surface pressure in hPa.
    pressure: Floats
    #: Delay of the wet troposphere as a (negative) correction in metres: of a weather model, and as it truly is.
    wet_model: Floats
    wet_truth: Floats


def _rain_cells(swath: Swath, rng: np.random.Generator, raggedness: Floats) -> Floats:
    """Return the rain of a few convective cells that the pass happens to cross, in mm/h."""
    rain = np.zeros(swath.shape)
    crop = fixed_grid(swath.pass_number, LATITUDE_MIN, LATITUDE_MAX).along_track
    for _ in range(int(rng.integers(3, 6))):
        along, across = rng.uniform(crop[0], crop[-1]), rng.uniform(-58e3, 58e3)
        long_axis, short_axis, tilt = rng.uniform(14e3, 38e3), rng.uniform(7e3, 14e3), rng.uniform(0, np.pi)
        dy, dx = swath.along_track[:, None] - along, swath.distance - across
        a = (dx * np.cos(tilt) + dy * np.sin(tilt)) / long_axis
        b = (-dx * np.sin(tilt) + dy * np.cos(tilt)) / short_axis
        rain += rng.uniform(5, 14) * np.exp(-0.5 * (a**2 + b**2) * np.exp(raggedness))
    return np.where(rain > 0.05, rain, 0.0)


def backscatter(wind_speed: Floats, rain_rate: Floats, distance: Floats) -> Floats:
    """Return the linear sigma0 for a wind speed (m/s), rain (mm/h) and distance from nadir (m).

    Rough sea scatters less near nadir: about 6 dB per decade of wind; half a decibel more at the far edge of the
    swath; rain takes 0.35 dB per mm/h on its way down and up.
    """
    decibel = 17.5 - 6.5 * np.log10(wind_speed) - 0.5 * (distance / 60e3) ** 2 - 0.35 * rain_rate
    sigma0: Floats = np.power(10.0, decibel / 10.0)
    return sigma0


def look_at_weather(swath: Swath, seconds: float, rng: np.random.Generator) -> Weather:
    """Return the weather over a swath ``seconds`` after the start of the mission."""
    lon, lat = swath.longitude, swath.latitude
    swh = np.clip(2.1 + 0.09 * (-27.0 - lat) + _STORMS.at(lon, lat, seconds), 0.6, None)
    wind = 5.2 + 1.5 * (swh - 2.1) + _GUSTS.at(lon, lat, seconds) + _STREAKS.at(lon, lat, seconds)
    wind = 1.2 + np.log1p(np.exp(wind - 1.2))  # softly held above a breath of wind
    rain = _rain_cells(swath, rng, _CELL_SHAPE.at(lon, lat, seconds))
    wet_model = -np.clip(0.085 + 0.0055 * (lat + 43.0) + _VAPOUR.at(lon, lat, seconds), 0.02, None)
    return Weather(
        swh=swh,
        wind_speed=wind,
        wind_direction=0.3 + _VEERING.at(lon, lat, seconds),
        rain_rate=rain,
        sig0=backscatter(wind, rain, swath.distance),
        pressure=1015.0 + 0.55 * (lat + 33.0) + _PRESSURE.at(lon, lat, seconds),
        wet_model=wet_model,
        wet_truth=wet_model + _VAPOUR_DETAIL.at(lon, lat, seconds) - 0.003 * rain,
    )
