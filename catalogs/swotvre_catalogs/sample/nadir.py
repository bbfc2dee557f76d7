"""The nadir altimeter of a simulated pass: one measurement a second between the two swaths."""

from __future__ import annotations

from collections.abc import Callable

import netCDF4
import numpy as np

from swotvre_catalogs.sample.fields import Fields, Scene, expert_fields, make_scene
from swotvre_catalogs.sample.plan import LATITUDE_MAX, LATITUDE_MIN, Granule
from swotvre_catalogs.sample.specification import nadir_variables
from swotvre_catalogs.sample.swath import nadir_track

NADIR_TITLE = "Nadir Altimeter Geophysical Data Record"

#: Standard deviation of the noise of one second, of the height (m), the waves (m) and the backscatter (dB).
_HEIGHT_NOISE_M, _WAVE_NOISE_M, _SIGMA0_NOISE_DB = 0.017, 0.08, 0.05

#: Backscatter is stronger in Ku than in Ka band and weaker over a rough sea: decibels at 1 m/s, and per decade of wind.
_SIGMA0_DB, _SIGMA0_PER_DECADE_DB = 21.0, -8.5


def write_nadir(granule: Granule) -> tuple[Scene, Callable[[netCDF4.Dataset], None]]:
    """Simulate the nadir track of a pass; return the scene, and what writes its groups into a file."""
    scene = make_scene(
        nadir_track(granule.pass_number, LATITUDE_MIN, LATITUDE_MAX), granule.cycle_number, posting_m=6500.0, part=2
    )
    fields = _fields(scene)

    def write(dataset: netCDF4.Dataset) -> None:
        dataset.createGroup("data_01").createDimension("time", scene.swath.shape[0])
        for name, variables in nadir_variables().items():
            group = dataset.createGroup(name)
            for variable in variables:
                values = fields.get(variable.name)
                stored = variable.empty(scene.time.shape) if values is None else variable.pack(values)
                fill = None if variable.name == "time" else variable.fill
                target = group.createVariable(variable.name, variable.dtype, ("time",), fill_value=fill)
                target.set_auto_maskandscale(False)
                target.setncatts(variable.attributes)
                if variable.scale_factor is not None:
                    target.scale_factor = variable.scale_factor
                target[:] = stored

    return scene, write


def _fields(scene: Scene) -> Fields:
    """Return the variables of all groups by name, shape (time,); those that the simulation does not know are left out.

    The altimeter sees what KaRIn does, without the errors of an interferometer: the height is that of the sea with its
    own noise. Over land every measured variable is missing.
    """
    level2 = {name: values[:, 0] if values.ndim == 2 else values for name, values in expert_fields(scene).items()}
    rng = np.random.default_rng((*scene.seed, 9))
    size = scene.time.size
    land = scene.coast.land[:, 0]
    zero = np.zeros(size, dtype=np.int8)
    surface = np.where(land, 2, np.where(scene.coast.distance[:, 0] < 30e3, 1, 0)).astype(np.int8)
    wind = np.clip(scene.weather.wind_speed[:, 0], 0.5, None)

    def at_sea(values: np.ndarray) -> np.ndarray:
        return np.where(land, np.nan, values)

    return {
        "time": scene.time,
        "time_tai": level2["time_tai"],
        "latitude": scene.swath.latitude_nadir,
        "longitude": scene.swath.longitude_nadir,
        "surface_classification_flag": land.astype(np.int8),
        "rad_side_1_surface_type_flag": surface,
        "rad_side_2_surface_type_flag": surface,
        "alt_qual": land.astype(np.int8),
        "rad_qual": (surface > 0).astype(np.int8),
        "geo_qual": zero,
        "meteo_map_availability_flag": zero,
        "rad_wet_tropo_cor_interp_qual": zero,
        "rain_flag": (scene.verdict.rain_flag[:, 0] == 2).astype(np.int8),
        "ice_flag": zero,
        "model_dry_tropo_cor_zero_altitude": level2["model_dry_tropo_cor"],
        **{
            name: level2[name]
            for name in (
                "rad_wet_tropo_cor", "mean_sea_surface_cnescls", "mean_dynamic_topography", "depth_or_elevation",
                "inv_bar_cor", "dac", "ocean_tide_fes", "solid_earth_tide", "pole_tide",
            )
        },
        "internal_tide": level2["internal_tide_hret"],
        "wind_speed_alt": at_sea(wind + rng.standard_normal(size) * 0.3),
        "sea_state_bias": level2["sea_state_bias_cor"],
        "swh_ocean": at_sea(np.clip(scene.weather.swh[:, 0] + rng.standard_normal(size) * _WAVE_NOISE_M, 0, None)),
        "sig0_ocean": at_sea(
            _SIGMA0_DB + _SIGMA0_PER_DECADE_DB * np.log10(wind) + rng.standard_normal(size) * _SIGMA0_NOISE_DB
        ),
        "ssha": at_sea(scene.sea.anomaly[:, 0] + rng.standard_normal(size) * _HEIGHT_NOISE_M),
    }  # fmt: skip
