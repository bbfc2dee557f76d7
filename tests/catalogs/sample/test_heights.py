"""The simulated heights: physics, noise, flags, and that no two granules are the same sea."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import xarray

from swotvre_catalogs.sample.quality import Quality

Open = Callable[..., xarray.Dataset]

FLOWN = [(1, 14), (3, 27), (5, 42)]


def _raw(dataset: xarray.Dataset, name: str) -> numpy.ndarray:
    values = dataset[name].values
    return numpy.where(values == dataset[name].attrs["_FillValue"], 0, values).astype("int64")


@pytest.mark.parametrize(("cycle", "number"), FLOWN)
@pytest.mark.parametrize("product", ["Basic", "Expert"])
@pytest.mark.parametrize("suffix", ["karin", "karin_2"])
def test_anomaly_is_height_minus_mean_sea_surface_in_the_stored_digits(
    open_granule: Open, product: str, cycle: int, number: int, suffix: str
) -> None:
    stored = open_granule(product, cycle, number, mask_and_scale=False)
    seen = stored[f"ssha_{suffix}"].values != stored[f"ssha_{suffix}"].attrs["_FillValue"]
    difference = _raw(stored, f"ssh_{suffix}") - _raw(stored, "mean_sea_surface_cnescls")
    assert seen.sum() > 10_000
    numpy.testing.assert_array_equal(_raw(stored, f"ssha_{suffix}")[seen], difference[seen])
    assert "mean_sea_surface_cnescls" in stored[f"ssha_{suffix}"].attrs["comment"]


@pytest.mark.parametrize(("cycle", "number"), FLOWN)
def test_good_sea_has_the_level_and_the_liveliness_of_the_agulhas(open_granule: Open, cycle: int, number: int) -> None:
    swath = open_granule("Expert", cycle, number)
    good = (swath.ssha_karin_2 + swath.height_cor_xover).where(swath.ssha_karin_2_qual == 0)
    assert good.count() > 0.3 * good.size
    assert abs(float(good.mean())) < 0.25
    assert 0.03 < float(good.std()) < 0.4
    assert float(abs(good).max()) < 2.0
    assert 20 < float(swath.mean_sea_surface_cnescls.mean()) < 40
    assert float(abs(swath.geoid + swath.mean_dynamic_topography - swath.mean_sea_surface_cnescls).max()) < 2e-4


def test_crossover_correction_leaves_the_noise_alone(open_granule: Open) -> None:
    swath = open_granule("Expert", 1, 42)
    good = swath.ssha_karin_2_qual == 0
    error = (swath.ssh_karin_2 - swath.simulated_true_ssh_karin).where(good)
    corrected = error + swath.height_cor_xover
    assert float(error.std()) > 2 * float(corrected.std())
    # Pixel to pixel only the noise is left: 1.2 cm, more at both edges of a half swath than in its middle.
    noise = corrected.diff("num_lines") / numpy.sqrt(2)
    reach = abs(swath.cross_track_distance[0])
    edge, middle, inner = (float(noise.where(reach == distance).std()) for distance in (60e3, 36e3, 10e3))
    assert 0.009 < float(noise.std()) < 0.019
    assert edge > 1.5 * middle
    assert inner > 1.5 * middle
    assert float(abs(noise.std() - swath.ssh_karin_uncert.where(good).mean())) < 0.005


def test_nadir_gap_and_outer_pixels_hold_no_measurement(open_granule: Open) -> None:
    swath = open_granule("Basic", 2, 42)
    across = open_granule("Expert", 2, 42).cross_track_distance
    blind = (abs(across) < 10e3) | (abs(across) > 64e3)
    assert bool(swath.ssh_karin_2.where(blind, drop=False).isnull().all())
    unusable = swath.ssh_karin_2_qual.astype("uint32") & int(Quality.BAD_NOT_USABLE)
    assert bool((unusable.where(blind, 1) > 0).all())
    assert bool(swath.ssh_karin_2.where(~blind, 0).notnull().all())


@pytest.mark.parametrize("number", [14, 27])
def test_land_is_flagged_bad_and_inland_is_fill(open_granule: Open, number: int) -> None:
    swath = open_granule("Expert", 2, number)
    land = swath.ancillary_surface_classification_flag == 1
    assert 200 < int(land.sum()) < land.size / 2
    bits = swath.ssha_karin_2_qual.fillna(0).astype("uint32")
    assert bool(((bits & int(Quality.BAD_NOT_USABLE)) > 0).where(land, True).all())
    assert bool(swath.ssha_karin_2.where(land & (swath.distance_to_coast > 11e3)).isnull().all())
    assert int(swath.ssha_karin_2.where(land).notnull().sum()) > 50, "land near the coast keeps its spoilt values"
    assert float(swath.distance_to_coast.where(land & (swath.distance_to_coast < 2e3)).count()) > 0


def test_rain_is_where_height_is_degraded_and_backscatter_is_lost(open_granule: Open) -> None:
    swath = open_granule("Expert", 1, 42)
    across = abs(swath.cross_track_distance)
    inside = (across >= 10e3) & (across <= 60e3) & (swath.distance_to_coast > 10e3)
    rain, dry = inside & (swath.rain_flag == 2), inside & (swath.rain_flag == 0)
    bits = swath.ssha_karin_2_qual.astype("uint32")
    assert 100 < int(rain.sum()) < 0.3 * int(inside.sum())
    assert bool(((bits & int(Quality.DEGRADED)) > 0).where(rain, True).all())
    assert bool((bits == 0).where(dry, True).all())
    error = abs(swath.ssh_karin_2 + swath.height_cor_xover - swath.simulated_true_ssh_karin)
    assert float(error.where(rain).median()) > 3 * float(error.where(dry).median())
    assert float(swath.sig0_karin_2.where(rain).median()) < float(swath.sig0_karin_2.where(dry).median())
    assert float(swath.rain_rate.where(rain).min()) >= 2


def test_backscatter_falls_and_waves_grow_with_the_wind(open_granule: Open) -> None:
    swath = open_granule("Expert", 1, 42)
    good = swath.ssha_karin_2_qual == 0
    wind = swath.wind_speed_karin_2.where(good)
    # The sea is not fully grown everywhere: waves follow the wind loosely, backscatter closely.
    assert float(xarray.corr(numpy.log(wind), numpy.log(swath.sig0_karin_2.where(good)))) < -0.9
    assert float(xarray.corr(wind, swath.swh_karin.where(good))) > 0.2
    assert 0.5 < float(swath.swh_karin.where(good).min()) < float(swath.swh_karin.where(good).max()) < 9
    model = numpy.hypot(swath.wind_speed_model_u, swath.wind_speed_model_v).where(good)
    assert float(abs(model - wind).mean()) < 0.5


def test_the_sea_changes_with_the_cycle_and_little_within_a_day(open_granule: Open) -> None:
    def field(cycle: int, number: int) -> xarray.DataArray:
        swath = open_granule("Expert", cycle, number)
        return (swath.ssha_karin_2 + swath.height_cor_xover).where(swath.ssha_karin_2_qual == 0)

    first, second = field(1, 14), field(2, 14)
    assert float(abs(first - second).mean()) > 0.03
    crossing, other = open_granule("Expert", 1, 14), open_granule("Expert", 1, 27)
    # Passes 14 and 27 cross eleven hours apart: the pixels of one nearest those of the other agree but for noise.
    from scipy.spatial import cKDTree

    tree = cKDTree(numpy.c_[crossing.longitude.values.ravel(), crossing.latitude.values.ravel()])
    distance, index = tree.query(numpy.c_[other.longitude.values.ravel(), other.latitude.values.ravel()])
    met = distance < 0.01
    difference = field(1, 27).values.ravel()[met] - first.values.ravel()[index[met]]
    difference = difference[numpy.isfinite(difference)]
    assert difference.size > 300
    assert difference.std() < 0.04


@pytest.mark.parametrize("cycle", [1, 2])
def test_unsmoothed_sides_show_the_sea_of_the_gridded_pass(open_granule: Open, cycle: int) -> None:
    from scipy.spatial import cKDTree

    gridded = open_granule("Expert", cycle, 14)
    tree = cKDTree(numpy.c_[gridded.longitude.values.ravel(), gridded.latitude.values.ravel()])
    for side in ("left", "right"):
        native = open_granule("Unsmoothed", cycle, 14, group=side)
        assert native.sizes["num_pixels"] == 240
        good = (native.ssh_karin_2_qual == 0).values.ravel()
        height = (native.ssh_karin_2 - native.mean_sea_surface_cnescls).values.ravel()[good]
        _, index = tree.query(numpy.c_[native.longitude.values.ravel()[good], native.latitude.values.ravel()[good]])
        difference = height - gridded.ssha_karin_2.where(gridded.ssha_karin_2_qual == 0).values.ravel()[index]
        assert abs(numpy.nanmean(difference)) < 0.01
        assert numpy.nanstd(difference) > 0.05, "250 m pixels are noisier than 2 km pixels"


@pytest.mark.parametrize("number", [14, 27, 42])
def test_level_3_is_level_2_calibrated_and_edited(open_granule: Open, number: int) -> None:
    level2, level3 = open_granule("Expert", 2, number), open_granule("L3", 2, number)
    expected = level2.ssha_karin_2 + level2.height_cor_xover
    kept = level3.quality_flag.isin([0, 10])
    assert float(abs(level3.ssha_unfiltered - expected).max()) < 2e-4
    assert bool((level3.ssha_unfiltered.notnull() == kept).all())
    assert float((level3.ssha_unfiltered - level3.ssha_filtered).std()) < 0.05
    speed = numpy.hypot(level3.ugos, level3.vgos)
    assert 0.1 < float(speed.max()) < 6


def test_every_simulated_file_says_so(sample_datalake: Path) -> None:
    paths = [*sample_datalake.glob("swot/l*_lr_ssh/**/*.nc")]
    assert len(paths) > 40
    for path in paths:
        with xarray.open_dataset(path, engine="netcdf4") as dataset:
            assert dataset.attrs["source"].startswith("simulated by swot-vre")
            assert "not a measurement" in dataset.attrs["source"]
            assert {"simulation_seed", "simulation_inputs", "title", "license"} <= set(dataset.attrs)
