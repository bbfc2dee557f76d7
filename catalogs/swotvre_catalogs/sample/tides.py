"""The tides that a product lists beside its heights: smooth, of the right size, and no model of the real ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.swath import Swath

Floats = npt.NDArray[np.floating]

#: Periods of M2 and K1 in seconds.
M2_SECONDS, K1_SECONDS = 12.4206012 * 3600, 23.9344696 * 3600


def tide_fields(swath: Swath, seconds: float) -> dict[str, Floats]:
    """Return the tide variables (m) of a swath at a time (seconds since the start of the mission).

    The ocean tide is a Kelvin wave that runs west along the coast: 0.4 m near land in the north, less offshore.
    The solid Earth tide follows the degree-two tide of the Moon; the pole tide a polar motion of 0.3 arc seconds.
    """
    lat, lon = np.radians(swath.latitude), np.radians(swath.longitude)
    semidiurnal = 2 * np.pi * seconds / M2_SECONDS
    diurnal = 2 * np.pi * seconds / K1_SECONDS
    amplitude = 0.42 + 0.012 * (swath.latitude + 35.0)
    ocean = amplitude * np.cos(semidiurnal + 2.2 * lon - 1.1 * lat) + 0.06 * np.cos(diurnal + lon)
    solid = 0.15 * np.cos(lat) ** 2 * np.cos(semidiurnal + 2 * lon) + 0.08 * np.sin(2 * lat) * np.cos(diurnal + lon)
    load = -0.045 * ocean
    return {
        "solid_earth_tide": solid,
        "ocean_tide_fes": ocean,
        "ocean_tide_got": ocean + 0.006 * np.cos(9 * lon + 7 * lat),
        "load_tide_fes": load,
        "load_tide_got": 1.02 * load,
        "ocean_tide_eq": 0.011 * (1.5 * np.sin(lat) ** 2 - 0.5) * np.cos(2 * np.pi * seconds / (13.66 * 86400)),
        "ocean_tide_non_eq": np.zeros(swath.shape),
        "internal_tide_sol2": np.full(swath.shape, np.nan),
        "pole_tide": -0.0045 * np.sin(2 * lat) * np.cos(lon + 1.2),
    }
