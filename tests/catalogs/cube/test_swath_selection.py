"""Only the lines that cross, wherever the box lies."""

import numpy
import pytest
import xarray

from swotvre_catalogs import MissingGranuleError, ParameterValueError, UnknownParameterError
from swotvre_catalogs.cube import open_cube, select_swath
from swotvre_catalogs.index.bbox import Box

BOXES = {
    "inside": (18.9, -44.5, 19.3, -44.0),
    "a single pixel": (19.115, -44.645, 19.125, -44.635),
    "across the antimeridian": (179.2, -44.6, -179.9, -44.0),
    "the same in 0 to 360": (179.2, -44.6, 180.1, -44.0),
    "two passes": (-180, -44.7, 180, -44.3),
    "everything": (-180, -90, 180, 90),
}


def _wanted(cube: xarray.Dataset, box: Box) -> list[tuple[int, int, float]]:
    """What a search through all pixels finds: cycle, pass and height at the edge of each line that crosses."""
    found = []
    for cycle in cube["cycle_number"].to_numpy():
        for number in cube["pass_number"].to_numpy():
            one = cube.sel(cycle_number=cycle, pass_number=number).load()
            inside = box.contains(one["longitude"].to_numpy(), one["latitude"].to_numpy()).any(axis=1)
            lines = inside & one["time"].notnull().to_numpy()
            found += [(int(cycle), int(number), v) for v in one["ssha_karin_2"].to_numpy()[lines, 0]]
    return found


@pytest.mark.parametrize("name", BOXES)
def test_the_lines_are_those_of_a_search_through_all_pixels(entry, write, name):
    write(2, 3, lines=numpy.r_[0:30, 47:96])
    wanted = _wanted(open_cube(entry), Box.parse(BOXES[name]))
    chosen = select_swath(entry, BOXES[name])
    heights = chosen["ssha_karin_2"].to_numpy()[:, 0]
    assert len(wanted) == chosen.sizes["num_lines"] > 0
    assert chosen["cycle_number"].to_numpy().tolist() == [cycle for cycle, _, _ in wanted]
    assert chosen["pass_number"].to_numpy().tolist() == [number for _, number, _ in wanted]
    numpy.testing.assert_array_equal(heights, [value for _, _, value in wanted])


def test_clipping_leaves_only_pixels_inside(entry):
    box = Box.parse(BOXES["inside"])
    chosen = select_swath(entry, box, clip=True).load()
    inside = box.contains(chosen["longitude"].to_numpy(), chosen["latitude"].to_numpy())
    assert numpy.isnan(chosen["ssha_karin_2"].to_numpy()[~inside]).all()
    kept = select_swath(entry, box)["ssha_karin_2"].to_numpy()[inside]
    numpy.testing.assert_array_equal(chosen["ssha_karin_2"].to_numpy()[inside], kept)


def test_period_and_parameters_choose_granules(entry):
    chosen = select_swath(entry, time=("2024-02", "2024-03"))
    assert set(chosen["cycle_number"].to_numpy().tolist()) == {2, 3}
    one = select_swath(entry, params={"cycle_number": [1, 3], "pass_number": 7})
    assert set(zip(one["cycle_number"].values.tolist(), one["pass_number"].values.tolist(), strict=True)) == {
        (1, 7),
        (3, 7),
    }
    assert select_swath(entry, params={"cycle_number": None}).attrs["files"] == 5


def test_an_empty_selection_says_what_there_is(entry):
    with pytest.raises(
        MissingGranuleError, match=r"crosses the box; the passes lie at latitudes -45.* longitudes 18\.."
    ):
        select_swath(entry, (100, 0, 101, 1))
    with pytest.raises(MissingGranuleError, match="there is cycle_number 1-3, pass_number 3, 7"):
        select_swath(entry, time="2031")


def test_a_wrong_box_or_name_is_refused(entry):
    with pytest.raises(ParameterValueError, match="swapped"):
        select_swath(entry, (0, 10, 1, -10))
    with pytest.raises(UnknownParameterError, match="did you mean 'cycle_number'"):
        select_swath(entry, params={"cycle_numbr": 1})
    with pytest.raises(ParameterValueError, match="empty"):
        select_swath(entry, params={"pass_number": []})


def test_nothing_is_read_before_it_is_asked_for(entry, root):
    chosen = select_swath(entry, BOXES["inside"])
    for path in root.glob("swot/**/*.nc"):
        path.unlink()
    with pytest.raises(MissingGranuleError, match="not there any more"):
        chosen["ssha_karin_2"].load()
