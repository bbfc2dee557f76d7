"""Boxes and periods: every convention of longitude means the same place, mistakes are told in words."""

import datetime

import numpy
import pandas
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as some

from swotvre_catalogs.errors import ParameterValueError
from swotvre_catalogs.index.bbox import EARLIEST, LATEST, Box, parse_time

# Quarters of degrees are exact in binary: the brute force below then makes no rounding of its own.
LONGITUDES = some.integers(-180 * 4, 360 * 4).map(lambda quarters: quarters / 4)
LATITUDES = some.integers(-90 * 4, 90 * 4).map(lambda quarters: quarters / 4)


def _is_inside(bbox: tuple[float, float, float, float], lon: float, lat: float) -> bool:
    """Walk eastwards from the western edge, in quarters of a degree, until the eastern one."""
    west, south, east, north = bbox
    if not south <= lat <= north:
        return False
    width = 360.0 if east - west == 360 else (east - west) % 360
    return any((west + step / 4 - lon) % 360 == 0 for step in range(int(width * 4) + 1))


@given(some.tuples(LONGITUDES, LATITUDES, LONGITUDES, LATITUDES), LONGITUDES, LATITUDES)
def test_contains_is_what_walking_through_the_box_finds(
    edges: tuple[float, float, float, float], lon: float, lat: float
) -> None:
    west, south, east, north = edges
    south, north = sorted((south, north))
    if east - west > 360:
        return
    box = Box.parse((west, south, east, north))
    expected = _is_inside((west, south, east, north), lon, lat)
    assert bool(box.contains(lon, lat)) is expected
    for same in (lon - 360, lon + 360):
        if -180 <= same <= 360:
            assert bool(box.contains(same, lat)) is expected


@given(some.tuples(LONGITUDES, LATITUDES, LONGITUDES, LATITUDES), LONGITUDES, LATITUDES)
def test_polygon_and_meets_agree_with_contains(
    edges: tuple[float, float, float, float], lon: float, lat: float
) -> None:
    west, south, east, north = edges
    if east - west > 360:
        return
    box = Box.parse((west, min(south, north), east, max(south, north)))
    point = Box.parse((lon, lat, lon, lat))
    inside = bool(box.contains(lon, lat))
    assert bool(box.meets(point.west, lat, point.west, lat)) is inside
    drawn = [shapely.Point(turned, lat) for turned in (point.west, point.west + 360) if turned <= 180]
    assert any(box.as_polygon().intersects(one) for one in drawn) is inside


@pytest.mark.parametrize(
    ("bbox", "box"),
    [
        ((15, -45, 30, -33), Box(15, -45, 30, -33)),
        ((170, 0, -170, 10), Box(170, 0, -170, 10)),
        ((170, 0, 190, 10), Box(170, 0, -170, 10)),
        ((350, 0, 10, 1), Box(-10, 0, 10, 1)),
        ((0, -90, 360, 90), Box(-180, -90, 180, 90)),
        ((-180, 0, 180, 1), Box(-180, 0, 180, 1)),
        ((200, 0, -150, 3), Box(-160, 0, -150, 3)),
        ((160, 0, 180, 2), Box(160, 0, 180, 2)),
        ((180, 0, 190, 2), Box(-180, 0, -170, 2)),
    ],
)
def test_conventions_of_longitude_give_one_box(bbox: tuple[float, ...], box: Box) -> None:
    assert Box.parse(bbox) == box
    assert Box.parse(box) == box


@pytest.mark.parametrize(
    ("bbox", "words"),
    [
        ((15, -33, 30, -45), "corners are swapped"),
        ((-45, 15, -33, 130), "latitude and longitude look swapped"),
        ((0, -100, 190, 0), "not within -90 to 90"),
        ((400, 0, 410, 1), "not within -180 to 360"),
        ((-170, 0, 350, 1), "wider than the globe"),
        ((float("nan"), 0, 1, 1), "not finite"),
        ((0, 0, float("inf"), 1), "not finite"),
        ((1, 2, 3), "expected bbox="),
        ("15,-45,30,-33", "expected bbox="),
        (None, "expected bbox="),
    ],
)
def test_what_is_no_box_is_told_with_what_was_received_and_expected(bbox: object, words: str) -> None:
    with pytest.raises(ParameterValueError, match=r"expected bbox=\(west, south, east, north\)") as caught:
        Box.parse(bbox)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_points_without_a_position_are_in_no_box_not_even_the_globe() -> None:
    lon = numpy.array([10, numpy.nan, 10])
    lat = numpy.array([5, 5, numpy.nan])
    assert Box.parse((0, -90, 360, 90)).contains(lon, lat).tolist() == [True, False, False]


def test_single_precision_positions_are_compared_as_the_numbers_that_they_are() -> None:
    # In single precision 15.1 is 15.1000003...: west of 15.1000002 it is not.
    lon = numpy.array([15.1], dtype="float32")
    assert not Box.parse((15, 0, 15.1000001, 1)).contains(lon, numpy.array([0.5])).any()


@pytest.mark.parametrize(
    ("time", "begin", "end"),
    [
        ("2024", "2024-01-01", "2024-12-31T23:59:59.999999999"),
        ("2024-02", "2024-02-01", "2024-02-29T23:59:59.999999999"),
        (("2024-01", "2024-06"), "2024-01-01", "2024-06-30T23:59:59.999999999"),
        (["2024-01-05", "2024-01-05T12"], "2024-01-05", "2024-01-05T12:59:59.999999999"),
        ("20240630", "2024-06-30", "2024-06-30T23:59:59.999999999"),
        ("20240630T101112", "2024-06-30T10:11:12", "2024-06-30T10:11:12.999999999"),
        ("2024-06-30 10:11Z", "2024-06-30T10:11", "2024-06-30T10:11:59.999999999"),
        (slice("2024-01", "2024-06"), "2024-01-01", "2024-06-30T23:59:59.999999999"),
        (numpy.array(["2024-01-05", "2024-01-06"], "M8[D]"), "2024-01-05", "2024-01-06T23:59:59.999999999"),
        (
            pandas.DatetimeIndex(["2024-01-05", "2024-01-06"]).as_unit("s"),
            "2024-01-05",
            "2024-01-06T00:00:00.000000999",
        ),
        (pandas.Timestamp("2024-01-05T06"), "2024-01-05T06", "2024-01-05T06:00:00.000000999"),
        (datetime.date(2024, 3, 1), "2024-03-01", "2024-03-01T23:59:59.999999999"),
        (numpy.datetime64("2024-03-01T05", "h"), "2024-03-01T05", "2024-03-01T05:59:59.999999999"),
    ],
)
def test_period_goes_to_the_end_of_its_precision(time: object, begin: str, end: str) -> None:
    assert parse_time(time) == (numpy.datetime64(begin, "ns"), numpy.datetime64(end, "ns"))


def test_open_sides_are_without_limit() -> None:
    assert parse_time(None) == (EARLIEST, LATEST)
    assert parse_time((None, "2024"))[0] == EARLIEST
    assert parse_time(("2024", None))[1] == LATEST


def test_time_of_another_zone_is_brought_to_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    begin, _ = parse_time(datetime.datetime(2024, 1, 1, 1, tzinfo=zone))
    assert begin == numpy.datetime64("2023-12-31T23", "ns")


@pytest.mark.parametrize(
    "time",
    [
        "yesterday",
        "",
        "2024-13",
        "1066",
        2024,
        ("2024", "2023"),
        ("2024", "2025", "2026"),
        numpy.datetime64("NaT", "s"),
        pandas.NaT,
        slice("2024", "2025", 2),
        numpy.array(["2024", "2025", "2026"], "M8[Y]"),
        float("nan"),
    ],
)
def test_what_is_no_period_is_told_with_what_is_expected(time: object) -> None:
    with pytest.raises(ParameterValueError, match="expected a time such as"):
        parse_time(time)
