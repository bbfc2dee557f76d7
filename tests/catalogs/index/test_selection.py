"""Selecting granules by place, time, version and parameters."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from swotvre_catalogs import Entry, ParameterValueError, UnknownParameterError
from swotvre_catalogs.index import Box, GranuleIndex, build_index

Write = Callable[..., Path]


def _passes(index: GranuleIndex) -> set[tuple[int, int]]:
    return {(granule.values["cycle_number"], granule.values["pass_number"]) for granule in index.granules()}


@pytest.fixture
def index(entry: Entry) -> GranuleIndex:
    build_index(entry)
    return entry.index()


# Pass n goes from 60 S, 10 n E to 60 N, 60 degrees further east.
@pytest.mark.parametrize(
    ("bbox", "numbers"),
    [
        ((38, -1, 42, 1), {1}),
        ((45, -1, 48, 1), set()),
        ((38, -1, 52, 1), {1, 2}),
        ((-166, 50, -160, 58), {14}),
        ((194, 50, 200, 58), {14}),
        ((175, 40, -168, 60), {13, 14}),
        ((175, 40, 192, 60), {13, 14}),
        ((0, -90, 360, 90), {1, 2, 13, 14}),
        ((0, 80, 360, 90), set()),
    ],
)
def test_box_finds_the_swaths_that_cross_it(index: GranuleIndex, bbox: tuple[float, ...], numbers: set[int]) -> None:
    found = index.select(bbox=bbox)
    assert {number for _, number in _passes(found)} == numbers
    assert len(found) == 3 * len(numbers)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.floats(-180, 360), some.floats(-70, 69), some.floats(0.5, 180), some.floats(0.1, 20))
def test_no_swath_with_a_pixel_in_the_box_is_missed(
    index: GranuleIndex, entry: Entry, west: float, south: float, width: float, height: float
) -> None:
    east = west + width if west + width <= 360 else west + width - 360
    box = Box.parse((west, south, east, south + height))
    found = _passes(index.select(bbox=box, cycle_number=1))
    for granule in index.select(cycle_number=1).granules():
        with h5py.File(f"{entry.datalake.root}/{granule.path}") as file:
            lats, lons = (file[name][...] * 1e-6 for name in ("latitude", "longitude"))
        if box.contains(lons, lats).any():
            assert granule.key in found


def test_time_is_a_period_to_the_end_of_its_precision(index: GranuleIndex) -> None:
    assert {cycle for cycle, _ in _passes(index.select(time="2024-02"))} == {2}
    assert {cycle for cycle, _ in _passes(index.select(time=("2024-01", "2024-02")))} == {1, 2}
    assert _passes(index.select(time="2024-01-02")) == {(1, 1)}
    assert _passes(index.select(time="2024-01-02T00:30")) == {(1, 1)}
    assert len(index.select(time=("2025", None))) == 0


def test_newest_version_counts_unless_one_is_pinned(entry: Entry, write: Write) -> None:
    for crid in ("PIC0_01", "PIC0_02", "PID0_01"):
        write(1, 1, crid=crid)
    build_index(entry)
    index = entry.index()
    one = index.select(cycle_number=1, pass_number=1)
    assert [granule.crid for granule in one.granules()] == ["PID0_01"]
    assert len(one.all_versions) == 4
    assert [granule.crid for granule in one.select(version="PIC0").granules()] == ["PIC0_02"]
    assert [granule.crid for granule in one.select(version="PIC0_01").granules()] == ["PIC0_01"]
    assert len(index.select(version="PGC0")) == 12
    with pytest.raises(ParameterValueError, match=r"PGC0_01, PIC0_01, PIC0_02, PID0_01"):
        index.select(version="PIC1")


def test_parameters_are_values_or_several_and_are_checked(index: GranuleIndex) -> None:
    assert _passes(index.select(cycle_number=2, pass_number=[1, 13])) == {(2, 1), (2, 13)}
    assert _passes(index.select(cycle_number=numpy.arange(1, 3), pass_number=1)) == {(1, 1), (2, 1)}
    assert len(index.select(cycle_number=None)) == 12
    with pytest.raises(UnknownParameterError, match="did you mean 'cycle_number'"):
        index.select(cycle_nunber=1)
    with pytest.raises(ParameterValueError, match="pass_number"):
        index.select(pass_number=585)


def test_what_is_nowhere_is_an_empty_selection_not_an_error(index: GranuleIndex) -> None:
    nothing = index.select(bbox=(0, 80, 10, 85))
    assert nothing.granules() == []
    assert len(nothing.table) == len(nothing.footprints()) == len(nothing.damaged) == 0
    assert len(nothing.select(time="2024", version="PGC0")) == 0


def test_swapped_corners_are_told(index: GranuleIndex) -> None:
    with pytest.raises(ParameterValueError, match="corners are swapped"):
        index.select(bbox=(15, -33, 30, -45))


def test_granules_are_those_that_listing_finds(index: GranuleIndex, entry: Entry) -> None:
    listed = entry.granules().set_index("path")
    table = index.table.set_index("path")
    assert set(table.index) == set(listed.index)
    for column in ("cycle_number", "pass_number", "begin", "end", "crid", "size_bytes"):
        assert (table.loc[listed.index, column] == listed[column]).all()
