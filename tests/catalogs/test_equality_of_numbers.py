"""Every fast reduction gives the numbers of xarray's ``open_mfdataset`` over the same realistic files."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy
import pytest
import xarray

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "data"))

from files import spread_passes, write_pass
from granule import relative_path
from ground_track import crop, lay_out_pass
from sea import FILL, SCALE, look_at_sea, measure

from swotvre_catalogs import Entry, open_catalog

LINES = 600
CYCLES = (1, 2, 3)
PASSES = sorted(spread_passes(4))
MISSING = (2, PASSES[1])
PRODUCT, VARIABLE, FLAG = "l2_lr_ssh_basic", "ssha_karin_2", "ssha_karin_2_qual"
TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cycles of four passes, one file missing."""
    root = tmp_path_factory.mktemp("equality")
    for number in PASSES:
        cycles = [cycle for cycle in CYCLES if (cycle, number) != MISSING]
        assert write_pass(root, number, cycles, LINES) == len(cycles)
    return root


@pytest.fixture(scope="module")
def entry(lake: Path) -> Entry:
    entry = open_catalog(lake)[PRODUCT]
    entry.build_cube()
    return entry


@pytest.fixture(scope="module")
def reference(lake: Path) -> Iterator[xarray.Dataset]:
    """All files by ``open_mfdataset``, on (cycle_number, pass_number, num_lines, num_pixels)."""
    passes = []
    for number in PASSES:
        paths = sorted(lake.glob(f"swot/l2_lr_ssh/basic/cycle_*/SWOT_L2_LR_SSH_Basic_???_{number:03d}_*.nc"))
        with warnings.catch_warnings():
            # xarray announces other defaults.
            warnings.simplefilter("ignore", FutureWarning)
            stacked = xarray.open_mfdataset(paths, combine="nested", concat_dim="cycle_number")
        cycles = [int(path.name.split("_")[5]) for path in paths]
        with xarray.open_dataset(paths[0]) as first:
            place = {name: first[name].load() for name in ("latitude", "longitude")}
        stacked = stacked[[VARIABLE, FLAG]].drop_vars(list(place)).load()
        passes.append(stacked.assign_coords(cycle_number=cycles).reindex(cycle_number=list(CYCLES)).assign(place))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield xarray.concat(passes, dim=xarray.DataArray(PASSES, dims="pass_number", name="pass_number"))


def assert_same(found: xarray.DataArray, expected: xarray.DataArray) -> None:
    assert set(found.dims) == set(expected.dims)
    found = found.transpose(*expected.dims)
    assert numpy.array_equal(numpy.isnan(found), numpy.isnan(expected))
    difference = numpy.abs(found - expected).fillna(0.0)
    assert float(difference.max()) < TOLERANCE
    assert bool(expected.notnull().any())


def box_around_a_pass(reference: xarray.Dataset) -> tuple[float, float, float, float]:
    """Two degrees around the middle of the first pass."""
    middle = reference.isel(pass_number=0, num_lines=LINES // 2, num_pixels=34)
    longitude, latitude = float(middle["longitude"]), float(middle["latitude"])
    return longitude - 1, latitude - 1, longitude + 1, latitude + 1


def inside(reference: xarray.Dataset, box: tuple[float, float, float, float]) -> xarray.DataArray:
    west, south, east, north = box
    latitude = reference["latitude"]
    within = (reference["longitude"] - west) % 360 <= east - west
    return (latitude >= south) & (latitude <= north) & within


@pytest.mark.parametrize("number", PASSES)
def test_generated_files_hold_the_field(lake, number):
    swath = crop(lay_out_pass(number), LINES)
    height, quality = measure(look_at_sea(swath), 3, number)
    path = lake / relative_path(3, swath)
    with netCDF4.Dataset(path) as dataset:
        assert (dataset.cycle_number, dataset.pass_number, len(dataset.ncattrs())) == (3, number, 61)
        assert dataset.time_coverage_start.endswith("Z")
        for variable in dataset.variables.values():
            filters = variable.filters()
            assert (filters["zlib"], filters["shuffle"], filters["complevel"]) == (True, True, 4)
            assert tuple(variable.chunking()) == variable.shape
        dataset.set_auto_maskandscale(False)
        assert (dataset[VARIABLE][:] == height).all()
        assert (dataset[FLAG][:] == quality).all()
    expected = numpy.where(height == FILL, numpy.nan, height * SCALE)
    for engine in ("netcdf4", "h5netcdf"):
        with xarray.open_dataset(path, engine=engine) as opened:
            assert numpy.array_equal(opened[VARIABLE], expected, equal_nan=True)
            assert numpy.abs(opened["latitude"] - swath.latitude).max() < 1e-6


def test_files_have_gaps_of_their_own_and_common_ones(reference):
    heights = reference[VARIABLE].isel(pass_number=0)
    gone = heights.isnull()
    assert bool(gone.isel(num_pixels=34).all())
    assert 0.1 < float(heights.notnull().mean()) < 0.9
    assert not bool((gone.isel(cycle_number=0) == gone.isel(cycle_number=2)).all())


@pytest.mark.parametrize("over", [None, "cycle_number", "pass_number", ("cycle_number", "pass_number"), "num_pixels"])
@pytest.mark.parametrize("how", ["mean", "count", "std", "min", "max"])
def test_reductions(entry, reference, how, over):
    expected = getattr(reference[VARIABLE], how)(over)
    assert_same(getattr(entry, how)(VARIABLE, over=over), expected)


@pytest.mark.parametrize("over", [None, "cycle_number"])
def test_reductions_of_good_pixels(entry, reference, over):
    good = reference[VARIABLE].where(reference[FLAG] == 0)
    assert_same(entry.mean(VARIABLE, over=over, quality="good"), good.mean(over))
    assert_same(entry.count(VARIABLE, over=over, quality="good"), good.count(over))


def test_several_means_of_one_reading(entry, reference):
    of_all, over_cycles = entry.mean(VARIABLE, over=[None, "cycle_number"])
    assert_same(of_all, reference[VARIABLE].mean())
    assert_same(over_cycles, reference[VARIABLE].mean("cycle_number"))


@pytest.mark.parametrize("how", ["mean", "count", "max"])
def test_regional_series(entry, reference, how):
    box = box_around_a_pass(reference)
    chosen = reference[VARIABLE].where(inside(reference, box))
    expected = getattr(chosen, how)(["pass_number", "num_lines", "num_pixels"])
    assert_same(entry.series(VARIABLE, box, how=how), expected)


def test_climatology_by_month(entry, reference):
    months = sorted({int(path.split("_")[-4][4:6]) for path in entry.granules()["path"]})
    found = entry.climatology(VARIABLE)
    assert found.dropna("month")["month"].to_numpy().tolist() == months
    counts = entry.climatology(VARIABLE, how="count")
    assert int(counts.sum()) == int(reference[VARIABLE].count())
    weighted = float((found * counts).sum() / counts.sum())
    assert weighted == pytest.approx(float(reference[VARIABLE].mean()), abs=TOLERANCE)


def test_grid(entry, reference):
    step = 0.5
    found = entry.grid(VARIABLE, step, how=["mean", "count"])
    heights = reference[VARIABLE].transpose("cycle_number", ...)
    rows = numpy.floor((reference["latitude"].to_numpy() + 90) / step).astype(int)
    columns = numpy.floor(((reference["longitude"].to_numpy() + 180) % 360) / step).astype(int)
    cells = numpy.broadcast_to(rows * round(360 / step) + columns, heights.shape)
    valid = heights.notnull().to_numpy()
    size = found["count"].size
    count = numpy.bincount(cells[valid], minlength=size)
    total = numpy.bincount(cells[valid], heights.to_numpy()[valid], minlength=size)
    ordered = found.transpose("latitude", "longitude").sortby(["latitude", "longitude"])
    assert ordered["count"].to_numpy().ravel().tolist() == count.tolist()
    reached = count > 0
    means = ordered["mean"].to_numpy().ravel()
    assert numpy.array_equal(numpy.isnan(means), ~reached)
    assert numpy.abs(means[reached] - total[reached] / count[reached]).max() < TOLERANCE


def test_the_cube_is_the_files(entry, reference):
    cube = entry.cube()[[VARIABLE]].load()
    assert_same(cube[VARIABLE].drop_vars(["latitude", "longitude"], errors="ignore"), reference[VARIABLE])
