"""The L3 product of a simulated pass: calibrated, edited and, beside that, without noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.fields import Fields, Scene
from swotvre_catalogs.sample.quality import FAR_EDGE_M, NEAR_EDGE_M, OUTER_EDGE_M
from swotvre_catalogs.sample.specification import Variable
from swotvre_catalogs.sample.swath import Swath

Floats = npt.NDArray[np.floating]

LEVEL3_TITLE = "Level 3 KaRIn Low Rate Sea Surface Height Data Product"

#: The variables of the smaller files beside time and place.
_BASIC = ("mdt", "ssha_filtered", "ssha_unfiltered", "i_num_line", "i_num_pixel")
_UNSMOOTHED = (
    "calibration",
    "mdt",
    "mss",
    "sigma0",
    "ssha_filtered",
    "ssha_unedited",
    "ssha_unfiltered",
    "quality_flag",
)
_SUBSETS = {"Basic": _BASIC, "Unsmoothed": _UNSMOOTHED}

_FILL = -2147483647
_SEA = ("num_lines", "num_pixels")
_GRAVITY, _EARTH_ROTATION = 9.80665, 7.2921159e-5

#: name -> (long_name, unit): heights and velocities, all int32 at 1e-4.
_HEIGHTS = {
    "calibration": ("height correction from the calibration against nadir altimeters", "m"),
    "internal_tide": ("coherent internal tide", "m"),
    "mdt": ("mean dynamic topography", "m"),
    "mss": ("mean sea surface", "m"),
    "ocean_tide": ("geocentric ocean tide height", "m"),
    "sigma0": ("normalized radar cross section, linear", "1"),
    "ssha_filtered": ("sea surface height anomaly, calibrated, edited and without noise", "m"),
    "ssha_unedited": ("sea surface height anomaly, calibrated, with the rejected pixels", "m"),
    "ssha_unfiltered": ("sea surface height anomaly, calibrated and edited", "m"),
    "ugos": ("absolute geostrophic velocity, eastward", "m/s"),
    "vgos": ("absolute geostrophic velocity, northward", "m/s"),
    "ugosa": ("geostrophic velocity anomaly, eastward", "m/s"),
    "vgosa": ("geostrophic velocity anomaly, northward", "m/s"),
}

#: Meaning of ``quality_flag``; the simulation sets 0, 10, 50, 100, 101 and 102.
_QUALITY = {0: "good", 10: "coast", 20: "ice", 30: "suspect", 50: "rain", 70: "large_error", 100: "swath_edge"}
_QUALITY |= {101: "land", 102: "no_data"}


def level3_variables(subset: str = "Expert") -> tuple[Variable, ...]:
    """Return the variables of the L3 ``Expert``, ``Basic`` or ``Unsmoothed`` file."""
    wanted = ("time", "latitude", "longitude", *_SUBSETS.get(subset, ()))
    return tuple(variable for variable in _all_variables() if subset == "Expert" or variable.name in wanted)


def _all_variables() -> tuple[Variable, ...]:

    def height(name: str, dtype: str = "i4", fill: int = _FILL) -> Variable:
        long_name, units = _HEIGHTS.get(name, ("dynamic atmospheric correction", "m"))
        attributes = {"long_name": long_name, "units": units, "coordinates": "longitude latitude"}
        return Variable(name, dtype, _SEA, fill, 1e-4, attributes)

    def index(name: str, what: str) -> Variable:
        return Variable(name, "i2", _SEA, 32767, None, {"long_name": f"index of the {what} in the L2 product"})

    degrees: dict[str, dict[str, Any]] = {
        name: {"long_name": name, "standard_name": name, "units": unit}
        for name, unit in (("latitude", "degrees_north"), ("longitude", "degrees_east"))
    }
    time = {"long_name": "time", "standard_name": "time", "calendar": "gregorian"}
    time["units"] = "seconds since 2000-01-01 00:00:00.0"
    quality = {
        "long_name": "quality of the sea surface height anomaly",
        "flag_values": np.array(list(_QUALITY), dtype="u1"),
        "flag_meanings": " ".join(_QUALITY.values()),
        "coordinates": "longitude latitude",
    }
    return (
        Variable("time", "f8", ("num_lines",), 9.969209968386869e36, None, time),
        Variable("latitude", "i4", _SEA, _FILL, 1e-6, degrees["latitude"]),
        Variable("longitude", "i4", _SEA, _FILL, 1e-6, degrees["longitude"]),
        *(height(name) for name in _HEIGHTS),
        height("dac", "i2", 32767),
        Variable("quality_flag", "u1", _SEA, 255, None, quality),
        index("i_num_line", "line"),
        index("i_num_pixel", "pixel"),
    )


def _quality(scene: Scene) -> npt.NDArray[np.uint8]:
    reach = np.abs(scene.swath.distance)
    flag = np.zeros(scene.swath.shape, dtype=np.uint8)
    flag[scene.coast.distance < 4e3] = 10
    flag[scene.verdict.rain_flag == 2] = 50
    flag[(reach > FAR_EDGE_M) & (reach <= OUTER_EDGE_M)] = 100
    flag[scene.coast.land] = 101
    flag[(reach < NEAR_EDGE_M) | (reach > OUTER_EDGE_M)] = 102
    return flag


def _geostrophic(scene: Scene, height: Floats) -> tuple[Floats, Floats]:
    """Return the eastward and northward geostrophic velocity (m/s) of a height, from its slopes in the swath."""
    along = np.gradient(height, scene.swath.along_track, axis=0)
    across = np.gradient(height, scene.swath.cross_track, axis=1)
    heading = np.radians(scene.swath.heading)[:, None]
    east = along * np.sin(heading) + across * np.cos(heading)
    north = along * np.cos(heading) - across * np.sin(heading)
    coriolis = 2 * _EARTH_ROTATION * np.sin(np.radians(scene.swath.latitude))
    return -_GRAVITY / coriolis * north, _GRAVITY / coriolis * east


def level3_fields(scene: Scene, level2: Fields) -> Fields:
    """Return the variables of the L3 Expert file by name, in physical units, from those of L2 Expert."""
    quality = _quality(scene)
    kept = (quality == 0) | (quality == 10)
    unedited = level2["ssha_karin_2"] + scene.errors.crossover_correction
    anomaly = scene.sea.anomaly
    u_anomaly, v_anomaly = _geostrophic(scene, anomaly)
    u, v = _geostrophic(scene, anomaly + scene.sea.mean_dynamic_topography)

    def edited(values: Floats) -> Floats:
        return np.where(kept, values, np.nan)

    line, pixel = np.indices(scene.swath.shape).astype(np.int16)
    return {
        "time": scene.time,
        "latitude": level2["latitude"],
        "longitude": level2["longitude"],
        "calibration": level2["height_cor_xover"],
        "dac": level2["dac"],
        "internal_tide": level2["internal_tide_hret"],
        "mdt": level2["mean_dynamic_topography"],
        "mss": level2["mean_sea_surface_cnescls"],
        "ocean_tide": level2["ocean_tide_fes"],
        "sigma0": level2["sig0_karin_2"],
        "quality_flag": quality,
        "ssha_unedited": unedited,
        "ssha_unfiltered": edited(unedited),
        "ssha_filtered": edited(anomaly),
        "ugos": edited(u),
        "vgos": edited(v),
        "ugosa": edited(u_anomaly),
        "vgosa": edited(v_anomaly),
        "i_num_line": line,
        "i_num_pixel": pixel,
    }


def unsmoothed_level3_fields(whole: Swath, sides: Sequence[tuple[Scene, Fields]]) -> Fields:
    """Return the variables of the L3 Unsmoothed file: both sides, left first, in one array with the gap between them.

    Args:
        whole: The grid of the swath, gap included.
        sides: Scene and L2 fields of the left and of the right side.
    """
    left, right = (level3_fields(scene, level2) for scene, level2 in sides)
    gap = whole.shape[1] - left["quality_flag"].shape[1] - right["quality_flag"].shape[1]
    fields: Fields = {"time": left["time"], "latitude": whole.latitude, "longitude": whole.longitude}
    for variable in level3_variables("Unsmoothed")[3:]:
        empty = np.full((whole.shape[0], gap), 102.0 if variable.name == "quality_flag" else np.nan)
        fields[variable.name] = np.hstack([left[variable.name], empty, right[variable.name]])
    return fields
