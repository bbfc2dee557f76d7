"""Quality masks by the meanings of flags: of the sample files, and of every kind that CF knows."""

from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from swotvre_catalogs.swath import UnknownFlagError, UnknownVariableError

SIDES = ("num_lines", "num_pixels")


@pytest.fixture
def expert(sample_datalake: Path) -> xarray.Dataset:
    (path,) = (sample_datalake / "swot/l2_lr_ssh/expert/cycle_001").glob("*_Expert_001_014_*.nc")
    return xarray.open_dataset(path, chunks={})


@pytest.fixture
def level3(sample_datalake: Path) -> xarray.Dataset:
    (path,) = (sample_datalake / "swot/l3_lr_ssh/expert/cycle_001").glob("*_Expert_001_014_*.nc")
    return xarray.open_dataset(path)


def test_good_values_are_those_whose_flag_has_no_bit_set(expert: xarray.Dataset) -> None:
    masked = expert.swot.mask("ssha_karin_2", good=True)
    xarray.testing.assert_identical(
        masked.compute(), expert["ssha_karin_2"].where(expert["ssha_karin_2_qual"] == 0).compute()
    )
    assert 0 < int(masked.count()) < int(expert["ssha_karin_2"].count())
    assert isinstance(masked.data, dask.array.Array)


def test_single_bits_can_be_left_out(expert: xarray.Dataset) -> None:
    bits = expert["ssha_karin_2_qual"].fillna(0).astype("uint32")
    known = expert["ssha_karin_2_qual"].notnull()
    expected = expert["ssha_karin_2"].where(known & ((bits & (2**31 | 2**30)) == 0))
    masked = expert.swot.mask("ssha_karin_2", drop=["bad_not_usable", "degraded"])
    xarray.testing.assert_equal(masked, expected)
    assert int(masked.count()) > int(expert.swot.mask("ssha_karin_2", good=True).count())


def test_the_integer_flag_of_a_file_opened_without_decoding_is_the_same(expert: xarray.Dataset) -> None:
    raw = expert["ssha_karin_2_qual"].fillna(0).astype("uint32")
    whole = expert.assign(ssha_karin_2_qual=raw.assign_attrs(expert["ssha_karin_2_qual"].attrs))
    for name in ("degraded", "bad_not_usable", "suspect_large_ssh_std"):
        xarray.testing.assert_equal(
            whole.swot.flag("ssha_karin_2_qual", name), expert.swot.flag("ssha_karin_2_qual", name)
        )


def test_level_3_is_masked_by_the_values_of_its_one_flag(level3: xarray.Dataset) -> None:
    flag = level3["quality_flag"]
    good = level3.swot.mask("ssha_unedited", good=True)
    xarray.testing.assert_equal(good, level3["ssha_unedited"].where(flag == 0))
    coast_too = level3.swot.mask("ssha_unedited", keep=["good", "coast"])
    xarray.testing.assert_equal(coast_too, level3["ssha_unedited"].where((flag == 0) | (flag == 10)))
    no_edge = level3.swot.mask("ssha_unedited", drop="swath_edge")
    xarray.testing.assert_equal(no_edge, level3["ssha_unedited"].where(flag.notnull() & (flag != 100)))


def test_another_flag_can_be_named(expert: xarray.Dataset) -> None:
    sea = expert.swot.mask("ssha_karin_2", keep="open_ocean", flag="ancillary_surface_classification_flag")
    expected = expert["ssha_karin_2"].where(expert["ancillary_surface_classification_flag"] == 0)
    xarray.testing.assert_equal(sea, expected)


def test_the_flag_that_a_variable_names_comes_first() -> None:
    meaning = {"flag_meanings": "bad", "flag_masks": [1]}
    swath = xarray.Dataset(
        {
            "height": (SIDES, [[1.0, 2.0]], {"quality_flag": "own", "units": "m"}),
            "own": (SIDES, [[0, 1]], meaning),
            "height_qual": (SIDES, [[1, 0]], meaning),
        }
    )
    masked = swath.swot.mask("height", good=True)
    np.testing.assert_array_equal(masked, [[1.0, np.nan]])
    assert masked.attrs["units"] == "m"
    del swath["height"].attrs["quality_flag"]
    np.testing.assert_array_equal(swath.swot.mask("height", good=True), [[np.nan, 2.0]])


def test_values_within_bits_are_told_apart() -> None:
    """The example of CF 3.5: two independent bits and a field of two bits."""
    flag = xarray.DataArray(
        np.array([0, 1, 2, 4, 8, 12, 13], dtype="int8"),
        dims="num_lines",
        name="sensor",
        attrs={
            "flag_masks": np.array([1, 2, 12, 12, 12], dtype="int8"),
            "flag_values": np.array([1, 2, 4, 8, 12], dtype="int8"),
            "flag_meanings": "low_battery hardware_fault offline_mode calibration_mode maintenance_mode",
        },
    ).to_dataset()
    found = {
        meaning: flag.swot.flag("sensor", meaning).to_numpy().nonzero()[0].tolist()
        for meaning in flag["sensor"].attrs["flag_meanings"].split()
    }
    assert found == {
        "low_battery": [1, 6],
        "hardware_fault": [2],
        "offline_mode": [3],
        "calibration_mode": [4],
        "maintenance_mode": [5, 6],
    }


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20), st.integers(0, 31))
def test_every_bit_of_a_decoded_flag_counts(values: list[int], bit: int) -> None:
    attributes = {"flag_meanings": "it", "flag_masks": np.array([1 << bit], dtype="uint32")}
    decoded = xarray.Dataset({"flag": ("num_lines", np.array([*values, np.nan]), attributes)})
    found = decoded.swot.flag("flag", "it").to_numpy()
    assert found.tolist() == [*(bool(value >> bit & 1) for value in values), False]


def test_an_unknown_meaning_is_refused_with_a_near_miss(expert: xarray.Dataset, level3: xarray.Dataset) -> None:
    with pytest.raises(UnknownFlagError, match=r"'bad_not_usabel'; did you mean 'bad_not_usable'\?; expected one of"):
        expert.swot.mask("ssha_karin_2", drop="bad_not_usabel")
    with pytest.raises(UnknownFlagError, match=r"quality_flag has no meaning 'nodata'; did you mean 'no_data'\?"):
        level3.swot.mask("ssha_filtered", drop=["nodata"])


def test_a_variable_without_a_flag_is_refused_with_the_flags_there_are(expert: xarray.Dataset) -> None:
    with pytest.raises(UnknownFlagError, match=r"no flag for geoid.*flag=.*ssha_karin_2_qual"):
        expert.swot.mask("geoid", good=True)
    with pytest.raises(UnknownFlagError, match="geoid has no flag_meanings"):
        expert.swot.mask("ssha_karin_2", good=True, flag="geoid")
    with pytest.raises(UnknownVariableError, match=r"'ssha_karin_3'; did you mean 'ssha_karin_2'\?"):
        expert.swot.mask("ssha_karin_3", good=True)


def test_a_mask_by_nothing_is_refused(expert: xarray.Dataset) -> None:
    with pytest.raises(UnknownFlagError, match=r"expected good=True, keep=\.\.\. or drop=\.\.\."):
        expert.swot.mask("ssha_karin_2")


def test_a_flag_with_too_few_masks_is_refused() -> None:
    flag = xarray.Dataset({"flag": ("num_lines", [0, 1], {"flag_meanings": "a b", "flag_masks": [1]})})
    with pytest.raises(UnknownFlagError, match="2 flag_meanings, but 1 flag_masks"):
        flag.swot.flag("flag", "a")
