"""Pixel clouds, nadir tracks, drifters and gauges: the points of the files, each with its granule's numbers."""

import h5py
import numpy
import pandas
import pytest
import xarray

from swotvre_catalogs import GranuleWarning, ParameterValueError, ReaderError, open_catalog
from swotvre_catalogs.hydrology import EmptySelectionError, TileError
from swotvre_catalogs.index.build import build_index

CLOUD = "swot/l2_hr/pixc/SWOT_L2_HR_PIXC_015_033_163R_20240509T115817_20240509T115828_PIC0_01.nc"


@pytest.fixture(scope="module")
def pixels(real_files):
    """The pixel cloud as HDF5 stores it."""
    with h5py.File(real_files / CLOUD) as file:
        return {name: values[...] for name, values in file["pixel_cloud"].items() if values.shape == (10001,)}


@pytest.fixture
def add_cloud(lake):
    def write(tile, *, cycle=15, begin="20240509T115828", offset=0.0, encoding=None):
        with xarray.open_dataset(lake / CLOUD, group="pixel_cloud") as cloud:
            moved = cloud.isel(points=slice(0, 500)).load()
        moved["latitude"] = moved["latitude"] + 1
        moved["height"] = moved["height"] + offset
        moved.encoding.clear()
        path = lake / f"swot/l2_hr/pixc/SWOT_L2_HR_PIXC_{cycle:03d}_033_{tile}_{begin}_{begin}_PIC0_01.nc"
        moved.to_netcdf(path, group="pixel_cloud", encoding=encoding or {})
        return path

    return write


def test_a_box_keeps_the_pixels_inside_with_their_numbers(real, pixels):
    west, south = numpy.quantile(pixels["longitude"], 0.2), numpy.quantile(pixels["latitude"], 0.3)
    east, north = numpy.quantile(pixels["longitude"], 0.7), numpy.quantile(pixels["latitude"], 0.9)
    lon, lat = pixels["longitude"], pixels["latitude"]
    inside = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    assert 1000 < inside.sum() < 9000
    for turn in (0, 360):
        found = real["l2_hr_pixc"].sel(tile="163R", bbox=(west + turn, south, east + turn, north))
        count = found.sizes["points"]
        assert abs(count - inside.sum()) <= (2 if turn else 0)  # 360 degrees away an edge is rounded
    found = real["l2_hr_pixc"].sel(tile="163r", bbox=(west, south, east, north)).load()
    for name in ("latitude", "longitude", "height", "sig0", "classification"):
        stored = pixels[name][inside].astype(float)
        assert numpy.array_equal(found[name].to_numpy().astype(float), stored), name
    assert set(found.tile_number.values.tolist()) == {163}
    assert set(found.tile_side.values.tolist()) == {"R"}
    assert set(found.cycle_number.values.tolist()) == {15}


@pytest.mark.parametrize(
    ("asked", "numbers"), [(4, [4]), ("open_water", [4]), (["open_water", "land_near_water"], [4, 2]), ([3, 4], [3, 4])]
)
def test_pixels_are_kept_by_their_class(real, pixels, asked, numbers):
    found = real["l2_hr_pixc"].sel(classification=asked)
    assert found.sizes["points"] == numpy.isin(pixels["classification"], numbers).sum() > 0


@pytest.mark.parametrize("tile", ["163", "R163", "0R", "163RL", 163, "1634R", ["163R"]])
def test_a_tile_that_is_none_is_refused(real, tile):
    with pytest.raises(TileError, match="expected its number and its side L or R, such as '163R'"):
        real["l2_hr_pixc"].sel(tile=tile)


def test_a_tile_and_its_parts_at_once_are_refused(real):
    with pytest.raises(TileError, match="tile_number were both given"):
        real["l2_hr_pixc"].sel(tile="163R", tile_number=163)


def test_a_tile_beyond_the_last_one_is_out_of_bounds(real):
    with pytest.raises(ParameterValueError, match="tile_number=400 is out of bounds; expected from 1 to 308"):
        real["l2_hr_pixc"].sel(tile="400R")


def test_tiles_come_in_the_order_of_time_and_keep_their_own_packing(lake, add_cloud, pixels):
    packed = {"height": {"dtype": "int32", "scale_factor": 0.001, "_FillValue": -(2**31)}}
    add_cloud("164R", offset=100.0, encoding=packed)
    add_cloud("162R", begin="20240509T115806", offset=-100.0)
    entry = open_catalog(lake)["l2_hr_pixc"]
    found = entry.sel().load()
    assert [int(tile) for tile in pandas.unique(found.tile_number.values)] == [162, 163, 164]
    heights = pixels["height"][:500].astype(float)
    first, last = (found.height[found.tile_number == tile].to_numpy() for tile in (162, 164))
    assert numpy.allclose(first, heights - 100, atol=1e-3)
    assert numpy.allclose(last, heights + 100, atol=1e-3)
    assert entry.sel(tile="164R").sizes["points"] == 500
    assert entry.sel(tile_number=[162, 164]).sizes["points"] == 1000
    with pytest.raises(EmptySelectionError, match="the datalake holds 3 granules"):
        entry.sel(tile="164L")


def test_the_points_stay_lazy(real):
    found = real["l2_hr_pixc"].sel(tile="163R")
    assert all(found[name].chunks for name in found.data_vars)


def test_a_truncated_tile_is_named_and_the_rest_is_there(lake, add_cloud):
    broken = add_cloud("164R")
    entry = open_catalog(lake)["l2_hr_pixc"]
    build_index(entry)  # as the command does: the files are not looked at again
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.warns(GranuleWarning, match="_164R_"):
        assert entry.sel().sizes["points"] == 10001


def test_a_class_or_a_group_that_is_none_is_answered_in_words(real):
    with pytest.raises(ParameterValueError, match="did you mean 'open_water'"):
        real["l2_hr_pixc"].sel(classification="openwater")
    with pytest.raises(ParameterValueError, match="classification 9 is unknown; expected one of: land \\(1\\)"):
        real["l2_hr_pixc"].sel(classification=9)
    with pytest.raises(Exception, match="has no group 'tvp'; choose another group"):
        real["l2_hr_pixc"].sel(group="tvp")


def test_drifters_are_kept_by_place_and_time(real, real_files):
    found = real["aoml_drifters"].sel(bbox=(30, 42, 36, 44), time=("2002-03", "2003-01-15"))
    with h5py.File(real_files / "insitu/drifters/aoml_v2019.nc") as file:
        hours, lon, lat, speed = (file[name][...] for name in ("time", "lon", "lat", "ud"))
    when = numpy.datetime64("2001-12-19T18") + hours.astype("timedelta64[h]")
    keep = (when >= numpy.datetime64("2002-03-01")) & (when < numpy.datetime64("2003-01-16"))
    keep &= (lon >= 30) & (lon <= 36) & (lat >= 42) & (lat <= 44)
    assert found.sizes["time"] == keep.sum() > 100
    assert numpy.array_equal(found.ud.to_numpy(), speed[keep], equal_nan=True)


def test_a_gauge_lies_at_its_station(real):
    found = real["tide_gauges"].sel(station="honolulu", time=("2010-03", "2010-04"))
    assert found.sizes["time"] == 61 * 24
    assert real["tide_gauges"].sel(bbox=(-160, 18, -154, 23)).sizes["time"] == 8760
    assert real["tide_gauges"].sel(bbox=(200, 18, 206, 23)).sizes["time"] == 8760
    with pytest.raises(EmptySelectionError):
        real["tide_gauges"].sel(bbox=(0, 0, 1, 1))
    with pytest.raises(EmptySelectionError, match="the datalake holds 1 granule: station honolulu, year 2010"):
        real["tide_gauges"].sel(station="brest")


def _nadir(lake, cycle, number, *, seconds):
    name = f"SWOT_GPR_2PfP{cycle:03d}_{number:03d}_20240101_000000_20240101_000100.nc"
    path = lake / f"swot/l2_nalt_gdr/cycle_{cycle:03d}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 100
    with h5py.File(path, "w") as file:
        above = file.create_group("data_01")
        time = above.create_dataset("time", data=seconds + numpy.arange(size, dtype=float))
        time.attrs["units"] = "seconds since 2000-01-01 00:00:00.0"
        time.make_scale("time")
        group = above.create_group("ku")
        for parent, name, values in (
            (above, "latitude", numpy.linspace(-10, 10, size)),
            (above, "longitude", numpy.linspace(175, 185, size)),
            (group, "ssha", cycle + numpy.arange(size) / 1000),
        ):
            variable = parent.create_dataset(name, data=values)
            variable.dims[0].attach_scale(time)
    return path


def test_a_group_within_a_group_has_the_place_of_the_one_above(lake):
    start = (numpy.datetime64("2024-01-01") - numpy.datetime64("2000-01-01")) / numpy.timedelta64(1, "s")
    for cycle in (8, 9):
        _nadir(lake, cycle, 7, seconds=start + (cycle - 8) * 21 * 86400)
    entry = open_catalog(lake)["l2_nalt_gdr"]
    found = entry.sel(bbox=(178, -5, -178, 5)).load()
    inside = (abs(numpy.linspace(-10, 10, 100)) <= 5) & (abs(numpy.linspace(175, 185, 100) - 180) <= 2)
    assert found.sizes["time"] == 2 * inside.sum() > 20
    assert numpy.array_equal(found.ssha.values[: inside.sum()], 8 + numpy.flatnonzero(inside) / 1000)
    assert found.cycle_number.values.tolist() == [8] * inside.sum() + [9] * inside.sum()
    assert "ssha" not in entry.sel(group="data_01", cycle_number=9)
    assert entry(cycle_number=8, pass_number=7).to_dask().latitude.shape == (100,)


def test_a_box_needs_positions(lake):
    path = _nadir(lake, 8, 7, seconds=0.0)
    with h5py.File(path, "a") as file:
        del file["data_01/latitude"]
    with pytest.raises((ReaderError, EmptySelectionError), match="longitude and latitude"):
        open_catalog(lake)["l2_nalt_gdr"].sel(bbox=(170, -5, -170, 5))
