"""Quality, box, time and where: the same pixels as with xarray, or an error in words."""

import numpy
import pytest

from swotvre_catalogs import ParameterValueError
from swotvre_catalogs.errors import GranuleWarning
from swotvre_catalogs.index.bbox import Box
from swotvre_catalogs.reduce import FallbackNotice, QualityError, ReductionError, reduce

from .conftest import LINES, SmallLake, Stored, heights
from .test_reductions import HOWS, assert_same, by_xarray

FLAG = "ssha_karin_2_qual"


@pytest.mark.parametrize(
    ("quality", "good"),
    [
        ("good", lambda flag: flag == 0),
        ({FLAG: 0}, lambda flag: flag == 0),
        ({FLAG: (0, 32)}, lambda flag: flag.isin([0, 32])),
        ({FLAG: range(33)}, lambda flag: flag <= 32),
        ({FLAG: {"without": 2**31}}, lambda flag: flag.isin([0, 32])),
        ({FLAG: {"without": ["degraded", "suspect"]}}, lambda flag: flag.isin([0, 2**31])),
        ({FLAG: {"without": "bad_not_usable"}, "ssha_karin_2_qual": 32}, lambda flag: flag == 32),
    ],
    ids=str,
)
def test_quality_masks_the_same_pixels_as_xarray(full_lake, quality, good):
    array = full_lake.by_xarray("ssha_karin_2").where(good(full_lake.by_xarray(FLAG)))

    found = reduce(full_lake.entry(), HOWS, "ssha_karin_2", over=[None, "cycle_number"], quality=quality)

    for one, over in zip(found, (None, "cycle_number"), strict=True):
        for how in HOWS:
            assert_same(one[how], by_xarray(array, how, over))


def test_flag_values_are_chosen_by_their_meanings(small_lake):
    rng = numpy.random.default_rng(1)
    for cycle in (1, 2):
        flags = rng.choice(numpy.array([0, 5, 10, 100, 102, 255], "u1"), (LINES, 69))
        meanings = {
            "flag_values": numpy.array([0, 5, 10, 100, 102], "u1"),
            "flag_meanings": "good coast ice land no_data",
        }
        flag = Stored(flags, None, fill=255, attributes=meanings)
        small_lake.write(cycle, 1, {"ssha_unfiltered": Stored(heights(cycle)), "quality_flag": flag})
    entry = small_lake.entry()
    array, flag = small_lake.by_xarray("ssha_unfiltered"), small_lake.by_xarray("quality_flag")

    assert_same(entry.mean("ssha_unfiltered", quality="good"), array.where(flag == 0).mean())
    some = entry.mean("ssha_unfiltered", quality={"quality_flag": ["good", "ice"]})
    assert_same(some, array.where(flag.isin([0, 10])).mean())
    with pytest.raises(QualityError, match="did you mean 'coast'"):
        entry.mean("ssha_unfiltered", quality={"quality_flag": "coats"})
    with pytest.raises(QualityError, match="use a list of meanings"):
        entry.mean("ssha_unfiltered", quality={"quality_flag": {"without": "ice"}})


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ("bad", "expected 'good'"),
        (3, "mapping from flags"),
        ({"ssha_karin_qual": 0}, "did you mean 'ssha_karin_2_qual'"),
        ({FLAG: []}, "no pixel could count"),
        ({FLAG: 0.5}, "expected a number"),
        ({FLAG: {"bits": 3}}, "without"),
        ({FLAG: "degraded"}, "use {'without'"),
        ({FLAG: {"without": "degrade"}}, "did you mean 'degraded'"),
    ],
    ids=str,
)
def test_mask_that_cannot_be_understood_is_refused(full_lake, quality, words):
    with pytest.raises(QualityError, match=words):
        full_lake.entry().mean("ssha_karin_2", quality=quality)


def test_variable_without_a_flag_of_its_own_is_told(full_lake):
    with pytest.raises(QualityError, match="name one"):
        full_lake.entry().mean(FLAG, quality="good")


@pytest.mark.parametrize(
    "bbox", [(9.5, -45, 11, -43.9), (-180, -50, 180, -44), (179, -45, -179, -44), (0, -90, 360, 90)]
)
def test_box_takes_the_same_pixels_as_xarray(full_lake, bbox):
    entry = full_lake.entry()
    cube = entry.cube()
    inside = Box.parse(bbox).contains(cube["longitude"].values, cube["latitude"].values)
    array = full_lake.by_xarray("ssha_karin_2").where(inside[None])
    crossed = [number for number, some in zip((1, 2, 18), inside.any(axis=(1, 2)), strict=True) if some]

    total, by_pixel = entry.mean("ssha_karin_2", over=[None, "cycle_number"], bbox=bbox)

    assert_same(total, array.mean())
    assert by_pixel["pass_number"].values.tolist() == crossed
    assert_same(by_pixel, array.mean("cycle_number").sel(pass_number=crossed))


def test_box_across_the_antimeridian_takes_both_sides(small_lake):
    for number in (1, 2):
        small_lake.write(1, number, {"ssha_karin_2": Stored(heights(number))}, positions=across_the_antimeridian)
    entry = small_lake.entry()
    longitude = entry.cube()["longitude"].values
    assert longitude.min() < -179.5
    assert longitude.max() > 179.5

    found = entry.count("ssha_karin_2", bbox=(179.8, -46, -179.8, -43))

    inside = (longitude >= 179.8) | (longitude <= -179.8)
    assert_same(found, small_lake.by_xarray("ssha_karin_2").where(inside[None]).count())
    assert 0 < found < inside.size


def across_the_antimeridian(number: int):
    along, across = numpy.meshgrid(numpy.arange(LINES), numpy.arange(69) - 34, indexing="ij")
    longitude = 179.9 + number / 100 + along * 0.002 + across * 0.02
    return -45 + along * 0.02 - across * 0.003, (longitude + 180) % 360 - 180


def test_swapped_corners_are_refused(full_lake):
    with pytest.raises(ParameterValueError, match="swapped"):
        full_lake.entry().mean("ssha_karin_2", bbox=(10, -40, 20, -50))


def test_time_takes_the_granules_of_the_period(full_lake):
    array = full_lake.by_xarray("ssha_karin_2")
    over = ("pass_number", "num_lines", "num_pixels")
    found = full_lake.entry().mean("ssha_karin_2", over=over, time=("2024-02", "2024-03"))
    expected = array.mean(over)
    assert found["cycle_number"].values.tolist() == [1, 2, 3, 4]
    assert_same(found, expected.where(expected["cycle_number"].isin([2, 3])))


def test_empty_selection_is_missing_and_told(full_lake):
    with pytest.warns(GranuleWarning, match="in the box; the result is empty"):
        found = reduce(full_lake.entry(), ("mean", "count"), "ssha_karin_2", bbox=(100, 10, 110, 20))
    assert numpy.isnan(found["mean"])
    assert found["count"] == 0
    with pytest.warns(GranuleWarning, match="in the time; the result is empty"):
        nothing = full_lake.entry().max("ssha_karin_2", over="cycle_number", time="1999")
    assert nothing.isnull().all()


def test_function_of_the_cube_masks_through_xarray_and_says_so(full_lake):
    entry = full_lake.entry()
    array = full_lake.by_xarray("ssha_karin_2")
    bbox = (5, -50, 25, -44)
    cube = entry.cube()
    inside = Box.parse(bbox).contains(cube["longitude"].values, cube["latitude"].values)
    expected = array.where(array > 0).where(full_lake.by_xarray(FLAG) == 0).where(inside[None])

    with pytest.warns(FallbackNotice, match="where= is evaluated on the cube"):
        found = reduce(
            entry,
            HOWS,
            "ssha_karin_2",
            over="cycle_number",
            where=lambda ds: ds["ssha_karin_2"] > 0,
            quality="good",
            bbox=bbox,
        )

    for how in HOWS:
        assert_same(found[how], by_xarray(expected, how, "cycle_number").sel(pass_number=found["pass_number"]))


def test_mask_by_latitude_alone_is_possible(full_lake):
    entry = full_lake.entry()
    with pytest.warns(FallbackNotice):
        found = entry.mean("ssha_karin_2", where=lambda ds: ds["latitude"] > -44)
    latitude = entry.cube()["latitude"].values
    assert_same(found, full_lake.by_xarray("ssha_karin_2").where(latitude[None] > -44).mean())


def test_where_that_is_no_mask_is_refused(full_lake):
    # Refused before anything is said of how it is computed: warnings are errors in these tests.
    with pytest.raises(ReductionError, match="booleans"):
        full_lake.entry().mean("ssha_karin_2", where=lambda ds: ds["latitude"])


def test_layout_that_the_kernels_cannot_read_goes_through_xarray_and_says_so(small_lake: SmallLake):
    for cycle in (1, 2):
        wide = Stored(heights(cycle).astype("i8"))
        fast = Stored(heights(cycle), options={"chunks": True, "compression": "lzf"})
        small_lake.write(cycle, 1, {"wide": wide, "fast": fast})
    for name, words in (("wide", "<i8"), ("fast", "only the netCDF library")):
        with pytest.warns(FallbackNotice, match=words):
            found = reduce(small_lake.entry(), HOWS, name, over="cycle_number")
        for how in HOWS:
            assert_same(found[how], by_xarray(small_lake.by_xarray(name), how, "cycle_number"))


def test_times_are_refused_in_words(small_lake):
    seconds = numpy.arange(LINES) * 0.3
    small_lake.write(
        1, 1, {"time": Stored(seconds, None, fill=9.969e36, attributes={"units": "seconds since 2000-01-01"})}
    )
    with pytest.raises(ReductionError, match="not numbers"):
        small_lake.entry().mean("time")
