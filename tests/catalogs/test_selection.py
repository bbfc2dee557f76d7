"""Granules chosen by parameters: each one selects, and what cannot be opened is said."""

import datetime
import subprocess
import sys
import warnings

import numpy
import pytest
import xarray

from swotvre_catalogs import (
    GranuleWarning,
    GridError,
    MissingGranuleError,
    ReaderError,
    UnreadableGranuleError,
    open_catalog,
)


@pytest.mark.parametrize(("cycle", "number"), [(1, 14), (3, 14), (3, 42)])
def test_cycle_and_pass_choose_the_file(catalog, cycle, number):
    opened = catalog["l2_lr_ssh_expert"](cycle_number=cycle, pass_number=number).to_dask()
    assert (opened.attrs["cycle_number"], opened.attrs["pass_number"]) == (cycle, number)
    assert opened["ssh_karin_2"].chunks is not None
    assert float(opened["ssh_karin_2"][0, 0]) == pytest.approx(cycle + number / 1000, abs=1e-5)


def test_without_parameters_the_defaults_of_the_entry_count(catalog):
    assert catalog["l2_lr_ssh_expert"].to_dask().attrs["cycle_number"] == 1


def test_numpy_integers_are_integers(catalog):
    chosen = catalog["l2_lr_ssh_expert"](cycle_number=numpy.int16(2), pass_number=numpy.int64(14))
    assert chosen.to_dask().attrs["cycle_number"] == 2


def test_products_do_not_mix(catalog, add_pass):
    add_pass(1, 14, product="Basic", crid="PIC0_01")
    add_pass(1, 14, crid="v2.0.1")
    crids = [
        catalog[name].to_dask().attrs["crid"] for name in ("l2_lr_ssh_basic", "l2_lr_ssh_expert", "l3_lr_ssh_expert")
    ]
    assert crids == ["PIC0_01", "PGC0_01", "v2.0.1"]


@pytest.mark.parametrize(("side", "sign"), [("left", -1), ("right", 1)])
def test_side_chooses_the_group(catalog, add_pass, side, sign):
    add_pass(1, 14, product="Unsmoothed")
    assert int(catalog["l2_lr_ssh_unsmoothed"](side=side).to_dask()["side"]) == sign


def test_date_chooses_the_map(lake):
    (lake / "duacs").mkdir()
    for day in (1, 2):
        levels = xarray.Dataset({"adt": (("latitude",), numpy.array([day * 1000, -2147483647], dtype="int32"))})
        levels["adt"].attrs["scale_factor"] = 1e-3
        file = lake / f"duacs/dt_global_allsat_phy_l4_2019010{day}_20190515.nc"
        levels.to_netcdf(file, encoding={"adt": {"_FillValue": None}})
    entry = open_catalog(lake)["duacs_l4"]
    for asked in ("2019-01-02", datetime.date(2019, 1, 2), numpy.datetime64("2019-01-02T12:00")):
        adt = entry(date=asked).read()["adt"]
        assert float(adt[0]) == pytest.approx(2.0)
        # Land, whose fill value the file does not declare.
        assert numpy.isnan(adt[1])


@pytest.mark.parametrize("cycles", [[1, 2, 3], (3, 1, 2), range(1, 4), numpy.array([1, 2, 3]), None])
def test_several_cycles_are_stacked_in_order(catalog, cycles):
    stacked = catalog["l2_lr_ssh_expert"](cycle_number=cycles, pass_number=14).to_dask()
    assert stacked["ssh_karin_2"].dims == ("cycle_number", "num_lines", "num_pixels")
    assert stacked["cycle_number"].to_numpy().tolist() == [1, 2, 3]
    assert stacked["ssh_karin_2"][:, 0, 0].to_numpy() == pytest.approx([1.014, 2.014, 3.014], abs=1e-5)
    assert stacked["latitude"].dims == ("num_lines", "num_pixels")
    assert "cycle_number" not in stacked.attrs


@pytest.mark.parametrize("lines", [slice(0, 40), slice(25, None), slice(10, 50), numpy.r_[0:10, 30:45, 58:60]])
def test_the_lines_of_a_cut_pass_stay_where_they_are(catalog, add_pass, lines):
    add_pass(4, 14, lines=lines)
    stacked = catalog["l2_lr_ssh_expert"](cycle_number=[1, 4], pass_number=14).read()
    difference = stacked["ssh_karin_2"].sel(cycle_number=4) - stacked["ssh_karin_2"].sel(cycle_number=1)
    there = numpy.zeros(60, dtype=bool)
    there[lines] = True
    assert difference[there].to_numpy() == pytest.approx(3.0, abs=1e-4)
    assert difference[~there].isnull().all()
    assert stacked["latitude"].notnull().all()


def test_passes_cut_at_different_ends_are_refused(catalog, add_pass):
    add_pass(5, 70, lines=slice(0, 40))
    add_pass(6, 70, lines=slice(30, None))
    with pytest.raises(GridError, match="cycle 6 has lines where cycle 5"):
        catalog["l2_lr_ssh_expert"](cycle_number=[5, 6], pass_number=70).to_dask()


def test_another_grid_is_refused(catalog, add_pass):
    file = add_pass(4, 14)
    shifted = xarray.load_dataset(file)
    shifted["latitude"] = shifted["latitude"] + 0.009
    shifted.to_netcdf(file)
    with pytest.raises(GridError, match="not one grid"):
        catalog["l2_lr_ssh_expert"](cycle_number=[1, 4], pass_number=14).to_dask()


def test_a_missing_cycle_is_left_out_with_a_warning_that_names_it(catalog):
    with pytest.warns(GranuleWarning, match="no granule for cycle_number 2 with pass_number=42") as caught:
        stacked = catalog["l2_lr_ssh_expert"](cycle_number=[1, 2, 3], pass_number=42).to_dask()
    assert stacked["cycle_number"].to_numpy().tolist() == [1, 3]
    assert caught[0].filename == __file__


def test_all_cycles_that_exist_give_no_warning(catalog):
    with warnings.catch_warnings():
        warnings.simplefilter("error", GranuleWarning)
        assert catalog["l2_lr_ssh_expert"](cycle_number=None, pass_number=42).to_dask().sizes["cycle_number"] == 2


def test_a_missing_granule_is_refused_with_what_exists(catalog):
    with pytest.raises(MissingGranuleError) as refused:
        catalog["l2_lr_ssh_expert"](cycle_number=2, pass_number=42).to_dask()
    assert "cycle_number with pass_number=42: 1, 3" in str(refused.value)
    assert "pass_number with cycle_number=2: 14" in str(refused.value)


def test_when_neither_exists_all_cycles_and_passes_are_listed(catalog):
    with pytest.raises(MissingGranuleError, match=r"cycle_number: 1-3; pass_number: 14, 42"):
        catalog["l2_lr_ssh_expert"](cycle_number=9, pass_number=9).to_dask()


def test_a_product_without_any_file_says_where_it_looked(catalog):
    with pytest.raises(MissingGranuleError, match=r"swot/l3_lr_ssh/expert/cycle_\*"):
        catalog["l3_lr_ssh_expert"].to_dask()


@pytest.mark.parametrize("damage", [b"", b"not a netCDF file", None], ids=["empty", "text", "truncated"])
def test_a_damaged_file_is_named_and_the_others_open(catalog, add_pass, damage):
    file = add_pass(4, 14)
    file.write_bytes(file.read_bytes()[:3000] if damage is None else damage)
    entry = catalog["l2_lr_ssh_expert"]
    said = {b"": "it has only 0 bytes", None: "HDF error"}.get(damage, "it is neither netCDF nor a zipped shapefile")
    with pytest.raises(UnreadableGranuleError, match=f"{file.name}: .*{said}"):
        entry(cycle_number=4, pass_number=14).to_dask()
    assert entry(cycle_number=3, pass_number=14).to_dask().attrs["cycle_number"] == 3
    with pytest.warns(GranuleWarning, match=file.name):
        stacked = entry(cycle_number=None, pass_number=14).to_dask()
    assert stacked["cycle_number"].to_numpy().tolist() == [1, 2, 3]


def test_when_every_cycle_is_damaged_it_is_an_error(catalog, add_pass):
    add_pass(4, 70).write_bytes(b"damaged")
    with pytest.raises(UnreadableGranuleError, match="no cycle"):
        catalog["l2_lr_ssh_expert"](cycle_number=[4], pass_number=70).to_dask()


@pytest.mark.parametrize(
    ("crids", "latest"),
    [
        (("PGC0_01", "PGC0_02"), "PGC0_02"),
        (("PIC0_02", "PGC0_01"), "PGC0_01"),
        (("PGC0_01", "PID0_01"), "PID0_01"),
        (("PIC1_01", "PIC0_02"), "PIC1_01"),
    ],
)
def test_of_several_versions_the_latest_counts(catalog, add_pass, crids, latest):
    for crid in crids:
        add_pass(8, 70, crid=crid)
    entry = catalog["l2_lr_ssh_expert"]
    assert entry(cycle_number=8, pass_number=70).to_dask().attrs["crid"] == latest
    table = entry.granules()
    assert table[table.cycle_number == 8].crid.tolist() == [latest]
    assert len(entry.granules(all_versions=True)) == len(table) + 1


def test_level_3_versions_are_compared_as_numbers(catalog, add_pass):
    for version in ("v2.0.1", "v10.0", "v2.0"):
        add_pass(1, 14, crid=version)
    assert catalog["l3_lr_ssh_expert"].granules().crid.tolist() == ["v10.0"]


def test_granules_are_listed_with_time_and_size(catalog, lake):
    table = catalog["l2_lr_ssh_expert"].granules()
    assert table.columns.tolist() == ["cycle_number", "pass_number", "begin", "end", "crid", "path", "size_bytes"]
    assert table[["cycle_number", "pass_number"]].to_numpy().tolist() == [[1, 14], [1, 42], [2, 14], [3, 14], [3, 42]]
    assert str(table.begin[2]) == "2024-02-01 00:00:00"
    assert all((lake / row.path).stat().st_size == row.size_bytes for row in table.itertuples())


def test_a_file_that_is_no_granule_is_passed_over(catalog, lake):
    (lake / "swot/l2_lr_ssh/expert/cycle_001/SWOT_L2_LR_SSH_Expert_notes_of_a_user.nc").write_text("mine")
    assert len(catalog["l2_lr_ssh_expert"].granules()) == 5


def test_a_new_granule_is_seen_at_once(catalog, add_pass):
    entry = catalog["l2_lr_ssh_expert"]
    assert len(entry.granules()) == 5
    add_pass(4, 14)
    assert len(entry.granules()) == 6


def test_features_are_not_arrays(catalog):
    with pytest.raises(ReaderError, match=r"use \.read\(\)"):
        catalog["l2_hr_riversp"].to_dask()


def test_what_is_opened_has_the_operators_of_a_swath(lake):
    code = (
        "from swotvre_catalogs import open_catalog; "
        f"print(open_catalog({str(lake)!r})['l2_lr_ssh_expert'](cycle_number=1, pass_number=14).to_dask().swot)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
