"""Unsmoothed swaths: lines of all granules one behind the other, both sides or one, right at every meridian."""

import netCDF4
import numpy
import pytest

from swotvre_catalogs import GridError, open_catalog
from swotvre_catalogs.hydrology import EmptySelectionError, select

LINES, PIXELS = 40, 12


@pytest.fixture
def add_swath(lake):
    """Write an Unsmoothed pass along a meridian; heights tell cycle, side, line and pixel."""

    def write(cycle, *, west=179.0, lines=LINES, right_lines=None, scale=1e-4, begin=None):
        begin = begin or f"2024{cycle:02d}01T000000"
        name = f"SWOT_L2_LR_SSH_Unsmoothed_{cycle:03d}_014_{begin}_{begin[:9]}000100_PGC0_01.nc"
        path = lake / f"swot/l2_lr_ssh/unsmoothed/cycle_{cycle:03d}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with netCDF4.Dataset(path, "w") as dataset:
            for number, side in enumerate(("left", "right")):
                count = (right_lines or lines) if side == "right" else lines
                group = dataset.createGroup(side)
                group.createDimension("num_lines", count)
                group.createDimension("num_pixels", PIXELS)
                line, pixel = numpy.indices((count, PIXELS))
                time = group.createVariable("time", "f8", ("num_lines",))
                time.units = f"seconds since 2024-{cycle:02d}-01 00:00:00"
                time[:] = numpy.arange(count)
                for variable, values, factor in (
                    ("latitude", -20 + line * 0.01, 1e-6),
                    ("longitude", (west + number * 1.5 + pixel * 0.1) % 360, 1e-6),
                    ("ssh_karin_2", cycle + number / 10 + line / 1000, scale),
                ):
                    stored = group.createVariable(
                        variable, "i4", ("num_lines", "num_pixels"), fill_value=2147483647, zlib=True
                    )
                    stored.scale_factor = factor
                    stored[:] = values
        return path

    return write


def test_both_sides_stand_side_by_side_and_cycles_follow_one_another(lake, add_swath):
    add_swath(2)
    add_swath(1, scale=1e-3)
    found = open_catalog(lake)["l2_lr_ssh_unsmoothed"].sel(bbox=(178, -19.905, -178, -19.695)).load()
    lines = numpy.arange(10, 31)
    assert dict(found.sizes) == {"num_lines": 2 * len(lines), "num_pixels": 2 * PIXELS}
    assert found.side.values.tolist() == ["left"] * PIXELS + ["right"] * PIXELS
    assert found.cycle_number.values.tolist() == [1] * len(lines) + [2] * len(lines)
    expected = numpy.concatenate([cycle + lines / 1000 for cycle in (1, 2)])
    assert numpy.allclose(found.ssh_karin_2.isel(num_pixels=0), expected, atol=1e-9)
    assert numpy.allclose(found.ssh_karin_2.isel(num_pixels=-1), expected + 0.1, atol=1e-9)


def test_one_side_may_be_asked_for(lake, add_swath):
    add_swath(1)
    entry = open_catalog(lake)["l2_lr_ssh_unsmoothed"]
    right = entry.sel(side="right")
    assert dict(right.sizes) == {"num_lines": LINES, "num_pixels": PIXELS}
    assert numpy.allclose(right.ssh_karin_2[0], 1.1)


def test_a_line_stays_whole_unless_it_is_clipped(lake, add_swath):
    add_swath(1)
    entry = open_catalog(lake)["l2_lr_ssh_unsmoothed"]
    whole = entry.sel(bbox=(179.15, -19.905, 179.45, -19.695), side="left").load()
    assert whole.ssh_karin_2.notnull().all()
    clipped = select(entry, bbox=(179.15, -19.905, 179.45, -19.695), params={"side": "left"}, clip=True).load()
    assert clipped.sizes == whole.sizes
    inside = [False, False, True, True, True] + [False] * (PIXELS - 5)
    assert clipped.ssh_karin_2.notnull().all("num_lines").values.tolist() == inside
    assert clipped.latitude.notnull().all()


@pytest.mark.parametrize("west", [359.5, 179.5])
def test_a_box_in_either_convention_finds_the_same_lines(lake, add_swath, west):
    add_swath(1, west=west)
    entry = open_catalog(lake)["l2_lr_ssh_unsmoothed"]
    box = {359.5: [(-0.2, 0.2), (359.8, 0.2)], 179.5: [(179.8, -179.8), (179.8, 180.2)]}[west]
    for left, right in box:
        found = entry.sel(bbox=(left, -19.955, right, -19.905), side="left")
        assert found.sizes["num_lines"] == 5
        assert numpy.allclose(found.latitude[:, 0], -20 + 0.01 * numpy.arange(5, 10))


def test_time_cuts_within_a_pass(lake, add_swath):
    add_swath(1)
    add_swath(2)
    found = open_catalog(lake)["l2_lr_ssh_unsmoothed"].sel(time=("2024-02-01T00:00:10", "2024-02-01T00:00:19"))
    assert found.sizes["num_lines"] == 10
    assert set(found.cycle_number.values.tolist()) == {2}


def test_sides_of_unequal_length_are_selected_one_by_one(lake, add_swath):
    add_swath(1, right_lines=LINES - 3)
    entry = open_catalog(lake)["l2_lr_ssh_unsmoothed"]
    with pytest.raises(GridError, match="side='left' and side='right'"):
        entry.sel()
    assert entry.sel(side="right").sizes["num_lines"] == LINES - 3


def test_a_swath_that_does_not_cross_the_box_is_told(lake, add_swath):
    add_swath(1)
    with pytest.raises(EmptySelectionError, match="bbox=\\(10, 10, 20, 20\\)"):
        open_catalog(lake)["l2_lr_ssh_unsmoothed"].sel(bbox=(10, 10, 20, 20))


def test_a_product_that_the_site_has_not_says_so(lake):
    for name in ("l1b_lr_intf", "l2_hr_raster", "l2_hr_pixcvec"):
        with pytest.raises(EmptySelectionError, match=f"the datalake holds no granule of {name}.*comes from CNES"):
            open_catalog(lake)[name].sel(bbox=(10, 10, 20, 20))
