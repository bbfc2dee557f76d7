"""The cube gives the numbers that each file gives by itself: through our arrays, and through stock Zarr."""

import pickle
import warnings

import numpy
import pytest
import xarray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swotvre_catalogs import GranuleWarning, MissingGranuleError, ParameterValueError
from swotvre_catalogs.cube import build_cube, open_chunk_table, open_cube


def test_every_number_is_that_of_its_file(entry, stock, equal_to_files):
    report = build_cube(entry)
    assert (report.files, report.missing, report.left_out, report.native_chunks) == (5, 1, (), 0)
    assert equal_to_files(open_cube(entry)) == 5
    assert equal_to_files(stock(entry)) == 5


def test_names_attributes_and_flags_are_those_of_the_files(entry, root):
    cube = open_cube(entry)
    assert cube.sizes == {"cycle_number": 3, "pass_number": 2, "num_lines": 96, "num_pixels": 23}
    assert cube["ssha_karin_2"].dims == ("cycle_number", "pass_number", "num_lines", "num_pixels")
    assert cube["time"].dims == ("cycle_number", "pass_number", "num_lines")
    assert cube["latitude"].dims == ("pass_number", "num_lines", "num_pixels")
    assert {"latitude", "longitude"} <= set(cube.coords)
    assert cube["ssha_karin_2"].attrs["units"] == "m"
    assert cube["ssha_karin_2_qual"].attrs["flag_meanings"] == "good suspect bad"
    assert cube["ssha_karin_2_qual"].attrs["flag_values"] == [0, 1, 2]
    assert cube["ssha_karin_2"].encoding["scale_factor"] == 1e-4
    assert (cube.attrs["product"], cube.attrs["files"], cube.attrs["missing"]) == ("l2_lr_ssh_basic", 5, 1)


def test_means_are_those_of_open_mfdataset(entry, root):
    paths = sorted(root.glob("swot/**/*_003_2*.nc"))
    with xarray.open_mfdataset(paths, combine="nested", concat_dim="cycle_number", decode_timedelta=False) as files:
        wanted = files["ssha_karin_2"].mean("cycle_number").compute()
        overall = float(files["ssha_karin_2"].mean())
    cube = open_cube(entry).sel(pass_number=3)["ssha_karin_2"]
    numpy.testing.assert_allclose(cube.mean("cycle_number").to_numpy(), wanted.to_numpy(), rtol=0, atol=1e-12)
    assert float(cube.mean()) == pytest.approx(overall, abs=1e-12)


def test_a_cycle_that_is_missing_is_no_line_of_the_cube(entry, write, reopen, equal_to_files):
    build_cube(entry)
    write(6, 3)
    build_cube(entry)
    cube = open_cube(reopen())
    assert cube["cycle_number"].to_numpy().tolist() == [1, 2, 3, 6]
    assert equal_to_files(cube) == 6


@pytest.mark.parametrize("lines", [slice(10, None), slice(None, 50), slice(20, 70)], ids=["start", "end", "both"])
def test_a_cut_pass_lies_where_its_position_says(entry, write, stock, equal_to_files, lines):
    write(2, 3, lines=lines)
    report = build_cube(entry)
    assert report.native_chunks > 0
    assert equal_to_files(open_cube(entry)) == 5
    assert equal_to_files(stock(entry)) == 5


def test_lines_missing_within_a_pass_are_holes(entry, write, stock, equal_to_files):
    gap = numpy.r_[0:30, 47:96]
    write(2, 3, lines=gap)
    build_cube(entry)
    assert open_chunk_table(entry).line_map(2).tolist() == gap.tolist()
    assert equal_to_files(open_cube(entry)) == 5
    assert equal_to_files(stock(entry)) == 5


@pytest.mark.parametrize(
    "how",
    [
        {"scale": 1e-3},
        {"fill": -999},
        {"chunk_lines": 40},
        {"dtype": "i2", "scale": 1e-4, "fill": 32767},
        {"fletcher32": True},
        {"contiguous": True},
        {"dtype": ">i4"},
        {"dtype": ">i4", "contiguous": True},
        {"chunk_lines": 40, "lines": slice(13, 80), "fill": -999},
    ],
    ids=lambda how: "-".join(how),
)
def test_storage_changed_in_the_middle_of_the_series(entry, write, stock, equal_to_files, how):
    write(2, 3, **how)
    report = build_cube(entry)
    assert report.holes == ()
    assert equal_to_files(open_cube(entry)) == 5
    assert equal_to_files(stock(entry), tolerance=1e-12) == 5


@pytest.mark.parametrize("contiguous", [False, True])
def test_files_of_the_other_byte_order_are_read_in_theirs(entry, write, stock, equal_to_files, contiguous):
    for cycle, number in ((1, 3), (2, 3), (3, 3), (1, 7), (3, 7)):
        write(cycle, number, dtype=">i4", contiguous=contiguous)
    build_cube(entry)
    assert open_chunk_table(entry).layouts[0].variables["ssha_karin_2"].dtype == ">i4"
    assert equal_to_files(open_cube(entry)) == 5
    assert equal_to_files(stock(entry)) == 5


def test_numbers_too_fine_for_the_array_are_never_rounded(entry, write, stock, equal_to_files):
    write(2, 3, scale=3e-5)
    report = build_cube(entry)
    assert len(report.holes) == 1
    assert "ssha_karin_2: its values (scale_factor 3e-05" in report.holes[0]
    assert equal_to_files(open_cube(entry)) == 5
    assert stock(entry)["ssha_karin_2"].sel(cycle_number=2, pass_number=3).isnull().all()


def test_other_units_are_not_mixed_in(entry, write, stock):
    write(2, 3, units="cm")
    report = build_cube(entry)
    assert "its units are 'cm', those of the cube 'm'" in report.holes[0]
    for cube in (open_cube(entry), stock(entry)):
        assert cube["ssha_karin_2"].sel(cycle_number=2, pass_number=3).isnull().all()
        assert cube["ssha_karin_2"].sel(cycle_number=1, pass_number=3).notnull().any()
    # The reductions read by the table: it does not know the variable of that file.
    table = open_chunk_table(entry)
    assert table.chunks("ssha_karin_2")[0][:, 0][table.row[:, 0]].tolist()[1] == -1
    assert (table.chunks("sig0_karin_2")[0] > 0).all()


def test_times_of_another_epoch_are_the_same_instants(entry, write, equal_to_files):
    write(2, 3, epoch="2001-01-01 00:00:00.0")
    build_cube(entry)
    assert equal_to_files(open_cube(entry)) == 5


def test_a_pass_of_no_data_is_empty(entry, write, equal_to_files):
    write(2, 3, no_data=True)
    cube = open_cube(entry)
    assert equal_to_files(cube) == 5
    silent = cube.sel(cycle_number=2, pass_number=3)
    assert silent["ssha_karin_2"].isnull().all()
    assert (silent["ssha_karin_2_qual"] == 102).all()


def test_longitudes_of_another_convention_are_the_same_grid(entry, write, equal_to_files):
    write(2, 7, signed=True)
    report = build_cube(entry)
    assert report.left_out == ()
    assert equal_to_files(open_cube(entry)) == 6


def test_a_file_of_another_grid_is_left_out_and_named(entry, write, equal_to_files):
    path = write(2, 3, shift_degrees=0.5)
    report = build_cube(entry)
    assert [one.path.rsplit("/", 1)[-1] for one in report.left_out] == [path.name]
    assert "not one grid" in report.left_out[0].reason
    with pytest.warns(GranuleWarning, match=path.name):
        cube = open_cube(entry)
    assert cube.attrs["left_out"] == 1
    assert equal_to_files(cube, passed_over=(path.name,)) == 4


def test_a_worker_opens_the_cube_that_it_is_sent(entry):
    cube = open_cube(entry)
    sent = pickle.loads(pickle.dumps(cube))  # noqa: S301  our own
    assert float(sent["ssha_karin_2"].mean()) == float(cube["ssha_karin_2"].mean())
    assert len(pickle.dumps(cube["ssha_karin_2"].data)) < 20_000


def test_the_newest_version_is_taken_and_an_older_one_can_be_pinned(entry, write):
    write(1, 3, crid="PIC0_01", no_data=True)
    write(1, 3, crid="PGC0_02")
    newest = open_cube(entry)
    assert newest["ssha_karin_2"].sel(cycle_number=1, pass_number=3).notnull().any()
    pinned = open_cube(entry, version="PIC0")
    assert pinned.sizes["cycle_number"] == pinned.sizes["pass_number"] == 1
    assert pinned["ssha_karin_2"].isnull().all()
    with pytest.raises(MissingGranuleError, match="no granule of version 'PIC9'; there are: PGC0_01, PGC0_02, PIC0_01"):
        open_cube(entry, version="PIC9")
    for wrong in (1, "../../elsewhere", ""):
        with pytest.raises(ParameterValueError, match="expected a text such as 'PIC0'"):
            open_cube(entry, version=wrong)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_of_the_cube_is_that_part_of_the_whole(entry, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cube = open_cube(entry)
    name = data.draw(st.sampled_from(["ssha_karin_2", "sig0_karin_2", "time", "latitude"]))
    whole = cube[name].to_numpy()
    index = tuple(
        data.draw(
            st.one_of(
                st.integers(0, size - 1),
                st.slices(size).filter(lambda one: one.step is None or one.step != 0),
            )
        )
        for size in whole.shape
    )
    numpy.testing.assert_array_equal(cube[name][index].to_numpy(), whole[index])
