"""Every product of the catalog on the sample datalake: it opens and holds what its entry says."""

import numpy
import pytest

from swotvre_catalogs import Catalog, GranuleWarning, MissingGranuleError, open_catalog

VECTORS = ("l2_hr_riversp_reach", "l2_hr_lakesp_prior")


@pytest.fixture(scope="module")
def sample(sample_datalake) -> Catalog:
    return open_catalog(sample_datalake)


def test_the_sample_holds_granules_of_every_product(sample):
    table = sample.products()
    assert (table.granules > 0).all()
    for name, entry in sample.items():
        assert table.loc[name, "origin"] == entry.product.metadata.sample


def test_every_array_product_opens_by_its_defaults(sample):
    for name, entry in sample.items():
        if name not in VECTORS:
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
