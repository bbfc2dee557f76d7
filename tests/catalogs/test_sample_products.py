"""Every product of the catalog on the sample datalake: it opens and holds what its entry says."""

import numpy
import pytest

from swotvre_catalogs import Catalog, GranuleWarning, MissingGranuleError, MissingIndexError, open_catalog

VECTORS = ("l2_hr_riversp", "l2_hr_lakesp")


@pytest.fixture(scope="module")
def sample(sample_datalake) -> Catalog:
    return open_catalog(sample_datalake)


def test_the_sample_holds_what_the_entries_say(sample):
    table = sample.products()
    for name, entry in sample.items():
        held = entry.product.metadata.sample
        assert (table.loc[name, "granules"] > 0) == (held != "none"), name
        assert table.loc[name, "origin"] == ("" if held == "none" else held), name


def test_a_product_of_which_there_is_none_says_so(sample):
    absent = [entry for entry in sample.values() if entry.product.metadata.sample == "none"]
    assert {entry.name for entry in absent} == {"l1b_lr_intf", "l2_hr_pixcvec", "l2_hr_raster", "l3_lr_ssh_technical"}
    for entry in absent:
        with pytest.raises(MissingGranuleError, match=r"holds no granule of .*; the product comes from CNES"):
            entry.to_dask()
        with pytest.raises(MissingIndexError, match=r"holds no granule of .*; the product comes from CNES"):
            entry.index()
        if entry.name == "l3_lr_ssh_technical":
            with pytest.raises(MissingGranuleError, match=r"holds no granule of .*; the product comes from CNES"):
                entry.mean("ssha_filtered")
        assert entry.granules().empty


def test_every_array_product_opens_by_its_defaults(sample):
    for name, entry in sample.items():
        if name not in VECTORS and entry.product.metadata.sample != "none":
            opened = entry.to_dask()
            assert opened.data_vars, name
            assert all(variable.chunks is not None for variable in opened.data_vars.values() if variable.ndim), name


@pytest.mark.parametrize("name", VECTORS)
def test_rivers_and_lakes_are_features_without_fill_values(sample, name):
    shapes = sample[name].read()
    assert shapes.crs is not None
    assert 0 < shapes["wse"].notna().sum() < len(shapes)
    assert (
        (shapes.select_dtypes("floating") > -1e11).where(shapes.select_dtypes("floating").notna(), True).all(axis=None)
    )


def test_land_of_the_map_is_not_a_height(sample):
    adt = sample["duacs_l4"](date="2019-01-01").read()["adt"]
    assert adt.isnull().any()
    assert float(adt.min()) > -3


def test_the_missing_pass_is_named_and_the_cut_pass_stays_in_place(sample):
    entry = sample["l2_lr_ssh_expert"]
    with pytest.raises(MissingGranuleError, match="cycle_number with pass_number=27: 1-3, 5-6"):
        entry(cycle_number=4, pass_number=27).to_dask()
    with pytest.warns(GranuleWarning, match="cycle_number 4 with pass_number=27"):
        assert entry(cycle_number=[3, 4, 5], pass_number=27).to_dask().sizes["cycle_number"] == 2
    cut = entry(cycle_number=5, pass_number=42).to_dask().sizes["num_lines"]
    stack = entry(cycle_number=None, pass_number=42).to_dask()
    assert cut < stack.sizes["num_lines"]
    measured = stack["cross_track_distance"].sel(cycle_number=5).notnull().any("num_pixels").to_numpy()
    assert measured.sum() == cut
    alone = entry(cycle_number=5, pass_number=42).read()
    place = stack["latitude"].to_numpy()[measured]
    assert numpy.allclose(place, alone["latitude"].to_numpy(), atol=1e-4)


def test_basic_and_expert_agree_where_both_have_a_variable(sample):
    basic = sample["l2_lr_ssh_basic"](cycle_number=2, pass_number=42).read()["ssha_karin_2"]
    expert = sample["l2_lr_ssh_expert"](cycle_number=2, pass_number=42).read()["ssha_karin_2"]
    assert numpy.array_equal(basic, expert, equal_nan=True)


def test_wind_and_waves_are_those_of_the_expert_file(sample):
    waves = sample["l2_lr_ssh_windwave"](cycle_number=2, pass_number=42).read()
    expert = sample["l2_lr_ssh_expert"](cycle_number=2, pass_number=42).read()
    assert len(waves.data_vars) + len(waves.coords) == 27
    for name in waves.data_vars:
        assert numpy.array_equal(waves[name], expert[name], equal_nan=True), name


def test_the_level_3_files_agree_where_they_share_a_variable(sample):
    basic = sample["l3_lr_ssh_basic"](cycle_number=2, pass_number=27).read()
    expert = sample["l3_lr_ssh_expert"](cycle_number=2, pass_number=27).read()
    assert set(basic.data_vars) == {"time", "mdt", "ssha_filtered", "ssha_unfiltered", "i_num_line", "i_num_pixel"}
    for name in basic.data_vars:
        assert numpy.array_equal(basic[name], expert[name], equal_nan=True), name


def test_the_unsmoothed_level_3_holds_both_sides_of_level_2(sample):
    whole = sample["l3_lr_ssh_unsmoothed"]().read()
    assert whole.sizes["num_pixels"] == 519
    for side, pixels in (("left", slice(0, 240)), ("right", slice(279, 519))):
        level2 = sample["l2_lr_ssh_unsmoothed"](side=side).read()
        assert numpy.allclose(whole.longitude[:, pixels], level2.longitude, atol=3e-6)
        assert numpy.allclose(whole.latitude[:, pixels], level2.latitude, atol=3e-6)
        raw = level2.ssh_karin_2 - level2.mean_sea_surface_cnescls
        calibrated = (whole.ssha_unedited - whole.calibration)[:, pixels]
        assert numpy.allclose(calibrated, raw, atol=2e-4, equal_nan=True)
    assert (whole.quality_flag[:, 240:279] == 102).all()
    assert whole.ssha_unedited[:, 240:279].isnull().all()


def test_the_nadir_altimeter_sees_the_sea_between_the_swaths(sample):
    track = sample["l2_nalt_gdr"](cycle_number=2, pass_number=14).read()
    seconds = numpy.diff(track.time) / numpy.timedelta64(1, "s")
    assert numpy.allclose(seconds, 1.0, atol=1e-6)
    swath = sample["l3_lr_ssh_expert"](cycle_number=2, pass_number=14).read()
    middle = swath.isel(num_pixels=34)
    latitude = numpy.interp(track.time.astype(float), middle.time.astype(float), middle.latitude)
    assert numpy.allclose(latitude, track.latitude, atol=0.02)
    near = swath.ssha_filtered.isel(num_pixels=[28, 29, 39, 40]).mean("num_pixels")
    along = numpy.interp(track.time.astype(float), swath.time.astype(float), near)
    both = numpy.isfinite(along) & numpy.isfinite(track.ssha)
    assert both.sum() > 150
    assert numpy.corrcoef(along[both], track.ssha[both])[0, 1] > 0.95


def test_the_level_4_maps_move_with_the_eddies_and_keep_to_the_sea(sample):
    maps = sample["l4_karin"].sel()
    assert maps.time.dt.day.values.tolist() == [1, 2, 3]
    assert "simulated" in maps.attrs["source"]
    levels = maps.sla.load()
    assert 0.1 < float(levels.isel(time=0).isnull().mean()) < 0.4
    assert numpy.isnan(float(levels.isel(time=0).sel(latitude=-30, longitude=24, method="nearest")))
    moved = float(abs(levels[1] - levels[0]).mean())
    assert 0 < moved < float(abs(levels[2] - levels[0]).mean())
    assert 0.3 < float(abs(maps.ugos).max()) < 3.5
