"""Series, grids and climatologies against xarray and numpy."""

import numpy
import pytest

from swotvre_catalogs.index.bbox import Box
from swotvre_catalogs.reduce import ReductionError, kernels

from .conftest import Stored, heights, pass_positions
from .test_masks import across_the_antimeridian
from .test_reductions import HOWS, assert_same, by_xarray

BBOX = (10.2, -44.7, 20.5, -43.5)


@pytest.fixture
def masked(full_lake):
    cube = full_lake.entry().cube()
    inside = Box.parse(BBOX).contains(cube["longitude"].values, cube["latitude"].values)
    return full_lake.by_xarray("ssha_karin_2").where(full_lake.by_xarray("ssha_karin_2_qual") == 0).where(inside[None])


@pytest.mark.parametrize("few", [0, kernels.FEW])
def test_series_gives_one_number_per_cycle(full_lake, masked, monkeypatch, few):
    monkeypatch.setattr(kernels, "FEW", few)  # by compiled loops, and without them
    found = full_lake.entry().series("ssha_karin_2", BBOX, HOWS, quality="good")
    for how in HOWS:
        assert_same(found[how], by_xarray(masked, how, ("pass_number", "num_lines", "num_pixels")))
    assert found["time"].dt.month.values.tolist() == [1, 2, 3, 4]


def test_series_of_every_variable_and_box_is_that_of_xarray(small_lake):
    """One pass goes the other way: it crosses the box on other lines, and shares its cells with the others."""

    def positions(number):
        latitude, longitude = pass_positions(number)
        return (latitude[::-1], longitude[::-1]) if number == 2 else (latitude, longitude)

    for cycle in (1, 2):
        for number in (1, 2, 3):
            floats = Stored(heights(cycle + number) * 1.5, None, fill=None)
            variables = {"height": Stored(heights(cycle * number)), "depth": floats}
            small_lake.write(cycle, number, variables, positions=positions)
    cube = small_lake.entry().cube()
    for bbox in ((-180, -90, 180, 90), BBOX):
        inside = Box.parse(bbox).contains(cube["longitude"].values, cube["latitude"].values)
        for name in ("height", "depth"):
            found = small_lake.entry().series(name, bbox, HOWS)
            array = small_lake.by_xarray(name).where(inside[None])
            for how in HOWS:
                assert_same(found[how], by_xarray(array, how, ("pass_number", "num_lines", "num_pixels")))


def test_series_by_pass_gives_every_crossing(full_lake, masked):
    found = full_lake.entry().series("ssha_karin_2", BBOX, by="pass_number", quality="good")
    assert_same(found, masked.mean(("num_lines", "num_pixels")).sel(pass_number=found["pass_number"]))


def test_series_by_month_puts_cycles_of_a_month_together(small_lake):
    for cycle, month in ((1, 1), (2, 1), (3, 2)):
        small_lake.write(cycle, 1, {"height": Stored(heights(cycle))}, month=month)
    found = small_lake.entry().series("height", (-180, -90, 180, 90), by="month")
    array = small_lake.by_xarray("height")
    assert found["time"].values.astype("datetime64[M]").astype(str).tolist() == ["2024-01", "2024-02"]
    numpy.testing.assert_allclose(found, [array[:2].mean(), array[2].mean()], rtol=1e-12)


def binned(array, longitude, latitude, west, south, step, rows, columns, how):
    values = array.to_numpy()
    lon = numpy.broadcast_to(longitude, values.shape)
    lat = numpy.broadcast_to(latitude, values.shape)
    column = numpy.floor(((lon - west) % 360) / step).astype(int)
    row = numpy.floor((lat - south) / step).astype(int)
    expected = numpy.full((rows, columns), 0.0 if how == "count" else numpy.nan)
    for i in range(rows):
        for j in range(columns):
            cell = values[(row == i) & (column == j) & ~numpy.isnan(values)]
            if how == "count":
                expected[i, j] = cell.size
            elif cell.size:
                expected[i, j] = getattr(numpy, how)(cell)
    return expected


@pytest.mark.parametrize("stored", ["integers", "floats"])
def test_grid_puts_every_pixel_in_its_cell(small_lake, stored):
    for cycle in (1, 2, 3):
        for number in (1, 2):
            packed = heights(cycle + 5 * number)
            height = Stored(packed)
            if stored == "floats":
                height = Stored(numpy.where(packed == 2**31 - 1, 9e36, packed * 1e-4), None, fill=9e36)
            small_lake.write(cycle, number, {"height": height})
    entry = small_lake.entry()
    cube = entry.cube()
    bbox, step = (9, -46, 22, -42), 0.5

    found = entry.grid("height", step, bbox=bbox, how=HOWS)

    assert found["mean"].shape == (8, 26)
    assert found["latitude"].values[0] == -45.75
    assert found["longitude"].values[-1] == 21.75
    for how in HOWS:
        expected = binned(
            small_lake.by_xarray("height"), cube["longitude"].values, cube["latitude"].values, 9, -46, step, 8, 26, how
        )
        numpy.testing.assert_allclose(found[how], expected, rtol=1e-12, atol=1e-12)


def test_grid_of_the_globe_counts_every_pixel_once(full_lake):
    entry = full_lake.entry()
    found = entry.grid("ssha_karin_2", 2.0, how="count")
    assert found.shape == (90, 180)
    assert found.sum() == entry.count("ssha_karin_2")


def test_grid_across_the_antimeridian_is_one_piece(small_lake):
    for number in (1, 2):
        small_lake.write(1, number, {"height": Stored(heights(number))}, positions=across_the_antimeridian)
    entry = small_lake.entry()
    found = entry.grid("height", 0.25, bbox=(179, -46, -179, -43), how="count")
    assert found["longitude"].values[[0, -1]].tolist() == [179.125, 180.875]
    assert found.sum() == entry.count("height", bbox=(179, -46, -179, -43))
    assert (found.sum("latitude") > 0).sum() > 3


def test_grid_by_cycle_is_one_map_for_each(full_lake):
    entry = full_lake.entry()
    found = entry.grid("ssha_karin_2", 1.0, bbox=BBOX, how="count", by="cycle_number")
    each = entry.series("ssha_karin_2", BBOX, how="count")
    numpy.testing.assert_array_equal(found.sum(("latitude", "longitude")), each)


def test_step_of_a_grid_may_be_a_number_of_numpy(full_lake):
    found = full_lake.entry().grid("ssha_karin_2", numpy.int64(2), BBOX)
    assert_same(found, full_lake.entry().grid("ssha_karin_2", 2, BBOX))


@pytest.mark.parametrize("step", [0, -1, "1", 1e-6, float("nan")])
def test_grid_that_cannot_be_is_refused(full_lake, step):
    with pytest.raises(ReductionError, match="step_degrees"):
        full_lake.entry().grid("ssha_karin_2", step)


def test_climatology_puts_the_months_of_all_years_together(small_lake):
    months = {1: 1, 2: 3, 3: 1, 4: 12}
    for cycle, month in months.items():
        small_lake.write(cycle, 1, {"height": Stored(heights(cycle))}, month=month)
    entry = small_lake.entry()
    array = small_lake.by_xarray("height")

    by_month = entry.climatology("height")
    assert by_month["month"].values.tolist() == list(range(1, 13))
    expected = numpy.full(12, numpy.nan)
    for month in (1, 3, 12):
        expected[month - 1] = array.sel(cycle_number=[c for c, m in months.items() if m == month]).mean()
    numpy.testing.assert_allclose(by_month, expected, rtol=1e-12)

    by_pixel = entry.climatology("height", over="cycle_number")
    assert by_pixel.dims == ("month", "pass_number", "num_lines", "num_pixels")
    assert_same(by_pixel[0].drop_vars("month"), array.sel(cycle_number=[1, 3]).mean("cycle_number"))
    assert by_pixel[5].isnull().all()

    by_season = entry.climatology("height", by="season", how="count")
    counts = [int(array.sel(cycle_number=cycles).count()) for cycles in ([1, 3, 4], [2])]
    assert by_season["season"].values.tolist() == ["DJF", "MAM", "JJA", "SON"]
    assert by_season.values.tolist() == [*counts, 0, 0]

    maps = entry.climatology("height", step_degrees=5.0, how="count")
    assert maps.dims == ("month", "latitude", "longitude")
    assert maps.sum() == array.count()


def test_unknown_grouping_is_refused(full_lake):
    entry = full_lake.entry()
    with pytest.raises(ReductionError, match="month, season"):
        entry.climatology("ssha_karin_2", by="week")
    with pytest.raises(ReductionError, match="cycle_number"):
        entry.series("ssha_karin_2", BBOX, by="week")
