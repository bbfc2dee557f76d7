"""One simulated pass: sea, weather, coast and instrument put together as the variables of the Expert product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.coast import Coast, look_at_coast
from swotvre_catalogs.sample.instrument import InstrumentErrors, look_through_instrument
from swotvre_catalogs.sample.plan import MISSION_START, cycle_start
from swotvre_catalogs.sample.quality import Verdict, judge
from swotvre_catalogs.sample.sea import Sea, look_at_sea
from swotvre_catalogs.sample.swath import POSTING_M, Swath
from swotvre_catalogs.sample.tides import tide_fields
from swotvre_catalogs.sample.weather import Weather, look_at_weather

Floats = npt.NDArray[np.floating]
Fields = dict[str, npt.NDArray[Any]]

#: Seconds of the SWOT epoch (2000-01-01) at the start of the simulated mission, and TAI - UTC on that day.
_EPOCH_OFFSET = (MISSION_START.replace(tzinfo=None) - MISSION_START.replace(2000, tzinfo=None)).total_seconds()
_TAI_MINUS_UTC = 37.0


@dataclass(frozen=True)
class Scene:
    """Everything that is known of one pass of one cycle before it is written down in a product."""

    swath: Swath
    #: Seconds in UTC since 2000-01-01, shape (num_lines,).
    time: Floats
    #: Seconds since the start of the mission, of the middle of the crop.
    moment: float
    seed: tuple[int, ...]
    sea: Sea
    weather: Weather
    coast: Coast
    errors: InstrumentErrors
    verdict: Verdict
    #: Sea surface height without and with the errors, in whole tenths of a millimetre, as metres.
    true_ssh: Floats
    ssh: Floats
    mean_sea_surface: Floats


def on_grid(values: Floats) -> Floats:
    """Return heights rounded to the 0.1 mm that the products store, so that differences stay exact."""
    return np.round(values, 4)


def make_scene(swath: Swath, cycle_number: int, posting_m: float = POSTING_M, part: int = 0) -> Scene:
    """Simulate one pass; the same cycle, pass, posting and ``part`` (side of the swath) give the same numbers."""
    start = (cycle_start(cycle_number) - MISSION_START).total_seconds()
    seconds = start + swath.seconds
    moment = float(seconds.mean())
    pass_seed = (20190101, cycle_number, swath.pass_number)
    seed = (*pass_seed, round(posting_m), part)
    sea = look_at_sea(swath, moment)
    weather = look_at_weather(swath, moment, np.random.default_rng(pass_seed))
    coast = look_at_coast(swath)
    rng = np.random.default_rng(seed)
    errors = look_through_instrument(swath, weather.swh, np.random.default_rng((*pass_seed, 1)), rng, posting_m)
    verdict = judge(swath, coast, weather.rain_rate)
    mean_sea_surface = on_grid(sea.mean_sea_surface)
    ground = elevation(coast)
    true_ssh = mean_sea_surface + sea.anomaly + ground
    spoilt = verdict.spoilt * rng.standard_normal(swath.shape) * (4 * errors.noise_deviation + 0.4 * coast.land)
    wet_bias = np.where(verdict.rain_flag == 2, -0.02 * weather.rain_rate, 0.0)
    return Scene(
        swath=swath,
        time=_EPOCH_OFFSET + seconds,
        moment=moment,
        seed=seed,
        sea=sea,
        weather=weather,
        coast=coast,
        errors=errors,
        verdict=verdict,
        true_ssh=on_grid(true_ssh),
        ssh=on_grid(true_ssh + errors.noise + errors.systematic + spoilt + wet_bias),
        mean_sea_surface=mean_sea_surface,
    )


def elevation(coast: Coast) -> Floats:
    """Return the height of the ground above the sea in metres: land rises from the coast, the sea is 0."""
    return np.where(coast.land, np.minimum(0.002 * coast.distance, 40.0), 0.0)


def observed(scene: Scene, values: Floats) -> Floats:
    """Return values where KaRIn saw something, NaN elsewhere."""
    return np.where(scene.verdict.observed, values, np.nan)


def round_bits(values: Floats, bits: int = 9) -> npt.NDArray[np.float32]:
    """Return single-precision values with ``bits`` bits of mantissa: further digits would only be noise on disk."""
    drop = 23 - bits
    stored = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((stored + np.uint32(1 << (drop - 1))) & np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)).view(np.float32)


def expert_fields(scene: Scene) -> Fields:
    """Return the variables of the Expert product by name; floats in physical units, integers as stored."""
    fields: Fields = {}
    for make in (_place, _heights, _surface, _wind_and_waves, _attitude, _radiometer, _corrections):
        fields |= make(scene)
    return fields


def _place(scene: Scene) -> Fields:
    swath = scene.swath
    return {
        "time": scene.time,
        "time_tai": scene.time + _TAI_MINUS_UTC,
        "latitude": swath.latitude,
        "longitude": swath.longitude,
        "latitude_nadir": swath.latitude_nadir,
        "longitude_nadir": swath.longitude_nadir,
        "cross_track_distance": swath.distance,
    }


def _heights(scene: Scene) -> Fields:
    sea, verdict, errors = scene.sea, scene.verdict, scene.errors
    # The radiometer sees the true vapour; with it the height moves by what the model got wrong.
    drier = np.where(verdict.radiometer_bits == verdict.bits, scene.weather.wet_truth - scene.weather.wet_model, 0.0)
    ssh = on_grid(scene.ssh - drier)
    reliable = np.where(scene.coast.distance < 10e3, 1, 0)
    return {
        "ssh_karin": observed(scene, ssh),
        "ssh_karin_qual": verdict.radiometer_bits,
        "ssh_karin_uncert": observed(scene, errors.noise_deviation),
        "ssha_karin": observed(scene, ssh - scene.mean_sea_surface),
        "ssha_karin_qual": verdict.radiometer_bits,
        "ssh_karin_2": observed(scene, scene.ssh),
        "ssh_karin_2_qual": verdict.bits,
        "ssha_karin_2": observed(scene, scene.ssh - scene.mean_sea_surface),
        "ssha_karin_2_qual": verdict.bits,
        "simulated_true_ssh_karin": observed(scene, scene.true_ssh),
        "num_pt_avg": np.where(verdict.observed, np.where(verdict.spoilt, 31, 64), 0).astype(np.uint16),
        "mean_sea_surface_cnescls": scene.mean_sea_surface,
        "mean_sea_surface_cnescls_uncert": np.full(scene.swath.shape, 0.012),
        "mean_dynamic_topography": sea.mean_dynamic_topography,
        "mean_dynamic_topography_uncert": np.full(scene.swath.shape, 0.03),
        "geoid": scene.mean_sea_surface - on_grid(sea.mean_dynamic_topography),
        "internal_tide_hret": sea.internal_tide,
        "height_cor_xover": errors.crossover_correction,
        "height_cor_xover_qual": np.where(scene.coast.land, 2, reliable).astype(np.uint8),
    }


def _surface(scene: Scene) -> Fields:
    coast = scene.coast
    sides = [slice(0, scene.swath.shape[1] // 2), slice(scene.swath.shape[1] // 2, None)]
    near = np.stack([(coast.distance[:, side] < 30e3).any(axis=1) for side in sides], axis=1)
    land = np.stack([coast.land[:, side].mean(axis=1) > 0.5 for side in sides], axis=1)
    depth = -40.0 - 4400.0 * (1 - np.exp(-coast.distance / 110e3))
    height = np.where(coast.land, elevation(coast), depth)
    zero = np.zeros(scene.swath.shape, dtype=np.uint8)
    return {
        "distance_to_coast": coast.distance,
        "heading_to_coast": np.round(coast.heading, 0),
        "ancillary_surface_classification_flag": coast.land.astype(np.uint8),
        "dynamic_ice_flag": zero,
        "ice_conc": zero.astype(float),
        "rain_flag": scene.verdict.rain_flag,
        "rain_rate": np.minimum(scene.weather.rain_rate, 250),
        "rad_surface_type_flag": np.where(land, 2, near).astype(np.uint8),
        "depth_or_elevation": height,
    }


def _wind_and_waves(scene: Scene) -> Fields:
    weather, verdict, shape = scene.weather, scene.verdict, scene.swath.shape
    rng = np.random.default_rng((*scene.seed, 7))
    bits = verdict.bits
    decibel = 10 * np.log10(weather.sig0) + rng.standard_normal(shape) * 0.04
    sig0 = round_bits(np.power(10.0, decibel / 10))
    wind = np.round(np.clip(weather.wind_speed + rng.standard_normal(shape) * 0.3, 0, None), 1)
    swh = np.round(np.clip(weather.swh + rng.standard_normal(shape) * 0.15, 0, None), 2)
    sides = [weather.wind_speed[:, : shape[1] // 2].mean(axis=1), weather.wind_speed[:, shape[1] // 2 :].mean(axis=1)]
    return {
        "swh_karin": observed(scene, swh),
        "swh_karin_uncert": observed(scene, np.full(shape, 0.15)),
        "swh_karin_qual": bits,
        "sig0_karin": observed(scene, sig0),
        "sig0_karin_qual": verdict.radiometer_bits,
        "sig0_karin_2": observed(scene, sig0),
        "sig0_karin_2_qual": bits,
        "sig0_karin_uncert": observed(scene, np.full(shape, 0.01)),
        "wind_speed_karin": observed(scene, wind),
        "wind_speed_karin_2": observed(scene, wind),
        "swh_model": np.round(weather.swh, 2),
        "mean_wave_direction": np.round(np.degrees(np.pi / 2 - weather.wind_direction) % 360, 0),
        "mean_wave_period_t02": np.round(4.2 * np.sqrt(weather.swh), 2),
        "wind_speed_model_u": np.round(weather.wind_speed * np.cos(weather.wind_direction), 1),
        "wind_speed_model_v": np.round(weather.wind_speed * np.sin(weather.wind_direction), 1),
        "wind_speed_rad": np.stack(sides, axis=1),
        "swh_sea_state_bias": np.round(weather.swh, 2),
    }


def _attitude(scene: Scene) -> Fields:
    swath = scene.swath
    latitude = np.radians(swath.latitude_nadir)
    # The specification stores sc_altitude as int32 at 0.1 mm, which no orbit fits: it stays fill.
    altitude = 891e3 - 14e3 * np.cos(latitude) ** 2
    wobble = 0.002 * np.sin(scene.time / 900.0)
    return {
        "orbit_alt_rate": np.gradient(altitude, scene.time),
        "cross_track_angle": (swath.heading + 90) % 360,
        "velocity_heading": swath.heading,
        "sc_roll": wobble,
        "sc_pitch": 0.6 * wobble,
        "sc_yaw": 0.3 * wobble,
        "orbit_qual": np.zeros(swath.shape[0], dtype=np.uint8),
    }


def _radiometer(scene: Scene) -> Fields:
    half = scene.swath.shape[1] // 2
    wet = -np.stack([scene.weather.wet_truth[:, :half].mean(1), scene.weather.wet_truth[:, half:].mean(1)], axis=1)
    vapour = wet / 0.0063  # 6.3 mm of delay for each kg/m2
    return {
        "rad_water_vapor": vapour,
        "rad_cloud_liquid_water": 0.002 * vapour,
        "rad_tmb_187": 135.0 + 1.1 * vapour,
        "rad_tmb_238": 150.0 + 2.2 * vapour,
        "rad_tmb_340": 165.0 + 1.0 * vapour,
    }


def _corrections(scene: Scene) -> Fields:
    weather, shape = scene.weather, scene.swath.shape
    bias = np.round(-0.032 * weather.swh, 3)
    barometer = -0.00995 * (weather.pressure - 1013.25)
    return tide_fields(scene.swath, scene.moment) | {
        "dac": 0.9 * barometer,
        "inv_bar_cor": barometer,
        "model_dry_tropo_cor": -0.002277 * weather.pressure,
        "model_wet_tropo_cor": weather.wet_model,
        "rad_wet_tropo_cor": np.where(scene.coast.distance > 20e3, weather.wet_truth, weather.wet_model),
        "iono_cor_gim_ka": np.full(shape, -0.0022),
        "sea_state_bias_cor": bias,
        "sea_state_bias_cor_2": bias,
        "correction_flag": np.zeros(shape, dtype=np.uint8),
    }
