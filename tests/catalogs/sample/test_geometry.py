"""The simulated swaths lie where the orbit passes, at the times and under the names that they should have."""

import datetime
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
import xarray

from swotvre_catalogs.sample.plan import CUT_GRANULE, CYCLES, MISSING_GRANULE, PASSES
from swotvre_catalogs.sample.swath import read_track

from .conftest import find_granule

Open = Callable[..., xarray.Dataset]

L2_NAME = re.compile(
    r"SWOT_L2_LR_SSH_(Basic|WindWave|Expert|Unsmoothed)_(\d{3})_(\d{3})_(\d{8}T\d{6})_(\d{8}T\d{6})_(P[IG][A-Z]\d)_(\d{2})\.nc"
)
L3_NAME = re.compile(
    r"SWOT_L3_LR_SSH_(Basic|Expert|Unsmoothed)_(\d{3})_(\d{3})_(\d{8}T\d{6})_(\d{8}T\d{6})_v(\d+\.\d+\.\d+)\.nc"
)


def _great_circle(lon1, lat1, lon2, lat2) -> numpy.ndarray:
    """Metres along the great circle of a sphere, haversine."""
    lon1, lat1, lon2, lat2 = (numpy.radians(angle) for angle in (lon1, lat1, lon2, lat2))
    half = numpy.sin((lat2 - lat1) / 2) ** 2 + numpy.cos(lat1) * numpy.cos(lat2) * numpy.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371008.8 * numpy.arcsin(numpy.sqrt(half))


@pytest.mark.parametrize("number", PASSES)
def test_cross_track_distance_is_that_on_the_earth(open_granule: Open, number: int) -> None:
    swath = open_granule("Expert", 1, number)
    measured = _great_circle(
        swath.longitude_nadir.values[:, None],
        swath.latitude_nadir.values[:, None],
        swath.longitude.values,
        swath.latitude.values,
    )
    stored = abs(swath.cross_track_distance.values)
    # A sphere against the ellipsoid: half a percent.
    numpy.testing.assert_allclose(measured, stored, rtol=5e-3, atol=1.0)
    assert stored.max() == 68000
    assert swath.sizes["num_pixels"] == 69


@pytest.mark.parametrize("number", PASSES)
def test_lines_follow_each_other_every_2_km_and_right_is_right(open_granule: Open, number: int) -> None:
    swath = open_granule("Expert", 1, number)
    lon, lat = swath.longitude_nadir.values, swath.latitude_nadir.values
    numpy.testing.assert_allclose(_great_circle(lon[:-1], lat[:-1], lon[1:], lat[1:]), 2000, rtol=6e-3)
    across = _great_circle(
        *(swath[name].values[:, part] for part in (slice(0, -1), slice(1, None)) for name in ("longitude", "latitude"))
    )
    numpy.testing.assert_allclose(across, 2000, rtol=6e-3)
    descending = lat[-1] < lat[0]
    right_is_east = swath.longitude.values[0, -1] > swath.longitude.values[0, 0]
    assert descending == (number % 2 == 0)
    assert right_is_east == (not descending)


@pytest.mark.parametrize("number", PASSES)
def test_nadir_lies_on_the_track_of_the_science_orbit(open_granule: Open, number: int) -> None:
    swath = open_granule("Basic", 1, number)
    nadir_lon, nadir_lat = swath.longitude.values[:, 34], swath.latitude.values[:, 34]
    _, lon, lat = read_track(number)
    inside = (lat > nadir_lat.min()) & (lat < nadir_lat.max())
    assert inside.sum() >= 6
    for point_lon, point_lat in zip(lon[inside], lat[inside], strict=True):
        assert _great_circle(nadir_lon, nadir_lat, point_lon, point_lat).min() < 1100


def test_names_parse_and_agree_with_what_the_files_hold(sample_datalake: Path) -> None:
    paths = sorted(sample_datalake.glob("swot/l*_lr_ssh/*/cycle_*/*.nc"))
    for path in paths:
        match = (L3_NAME if "l3_lr_ssh" in str(path) else L2_NAME).fullmatch(path.name)
        assert match, path.name
        product, cycle, number, begin, end, *_ = match.groups()
        assert path.parent.name == f"cycle_{cycle}"
        assert path.parent.parent.name == product.lower()
        group = "left" if path.name.startswith("SWOT_L2_LR_SSH_Unsmoothed") else None
        with xarray.open_dataset(path, engine="netcdf4") as dataset:
            assert (dataset.attrs["cycle_number"], dataset.attrs["pass_number"]) == (int(cycle), int(number))
        with xarray.open_dataset(path, engine="netcdf4", group=group) as dataset:
            first, last = dataset.time.values[[0, -1]].astype("datetime64[s]")
            stamps = [numpy.datetime64(datetime.datetime.strptime(text, "%Y%m%dT%H%M%S")) for text in (begin, end)]
            assert [first, last] == [stamp.astype("datetime64[s]") for stamp in stamps]


def test_times_of_the_lines_are_those_of_the_orbit(open_granule: Open) -> None:
    for number in PASSES:
        starts = [open_granule("Basic", cycle, number).time.values[0] for cycle in (1, 2, 3)]
        for early, late in pairwise(starts):
            assert abs((late - early) / numpy.timedelta64(1, "s") - 20.86455 * 86400) < 0.01
    time = open_granule("Basic", 1, 14).time
    assert time.values[0].astype("datetime64[D]") == numpy.datetime64("2024-01-01")
    step = numpy.diff(time.values) / numpy.timedelta64(1, "ms")
    assert (step > 280).all()
    assert (step < 340).all()


def test_one_pass_is_missing_and_one_is_cut_as_the_readme_says(sample_datalake: Path, open_granule: Open) -> None:
    readme = (sample_datalake / "README.md").read_text()
    lines = {}
    for product in ("Basic", "Expert"):
        for cycle in CYCLES:
            for number in PASSES:
                if (cycle, number) == MISSING_GRANULE:
                    assert not list(sample_datalake.rglob(f"*_{cycle:03d}_{number:03d}_*"))
                    continue
                path = find_granule(sample_datalake, product, cycle, number)
                with xarray.open_dataset(path, engine="netcdf4") as dataset:
                    lines[product, cycle, number] = dataset.sizes["num_lines"]
    whole = max(lines.values())
    short = {key[1:]: count for key, count in lines.items() if count != whole}
    assert short == {CUT_GRANULE: round(0.6 * whole)}
    assert f"cycle {MISSING_GRANULE[0]} pass {MISSING_GRANULE[1]} is missing" in readme
    assert f"cycle {CUT_GRANULE[0]} pass {CUT_GRANULE[1]} was cut" in readme
    assert "60% of the lines" in readme
