"""Swaths on grids, and along the tracks of others."""

from collections.abc import Callable
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray

from swotvre_catalogs.swath import SwathError, SwathGeometryError

from .conftest import ELLIPSOID, PASSES, Wave, make_pass

SIDES = ("num_lines", "num_pixels")
Cut = Callable[[xarray.Dataset], xarray.Dataset]


# Grids


def _count_by_hand(swath: xarray.Dataset, grid: xarray.Dataset) -> np.ndarray:
    lon, lat = grid["longitude"].to_numpy(), grid["latitude"].to_numpy()
    step = lon[1] - lon[0], lat[1] - lat[0]
    known = np.isfinite(swath["height"].to_numpy())
    columns = (((swath["longitude"].to_numpy()[known] - lon[0]) / step[0] + 0.5) % (360 / step[0])) // 1
    rows = (swath["latitude"].to_numpy()[known] - lat[0]) / step[1] + 0.5
    inside = (columns < lon.size) & (rows >= 0) & (rows < lat.size)
    counts = np.zeros((lat.size, lon.size), dtype=int)
    np.add.at(counts, (rows[inside].astype(int), columns[inside].astype(int)), 1)
    return counts


@pytest.mark.parametrize("name", ["ascending", "antimeridian", "northern turn"])
def test_every_pixel_falls_into_its_cell(wave: Wave, with_nadir_gap: Cut, name: str) -> None:
    swath = with_nadir_gap(wave.add_to(make_pass(**PASSES[name])))
    grid = swath.swot.to_grid("height", 0.07)
    assert int(grid["count"].sum()) == int(swath["height"].count())
    np.testing.assert_array_equal(grid["count"], _count_by_hand(swath, grid))
    np.testing.assert_array_equal(grid["height"].isnull(), grid["count"] == 0)
    weighted = float((grid["height"] * grid["count"]).sum() / grid["count"].sum())
    assert weighted == pytest.approx(float(swath["height"].mean()), abs=1e-12)
    assert grid["height"].attrs["units"] == "m"


def test_the_grid_of_a_swath_over_the_antimeridian_is_narrow(wave: Wave) -> None:
    for convention in (0, -180):
        swath = wave.add_to(make_pass(**PASSES["antimeridian"]))
        swath = swath.assign_coords(longitude=(swath["longitude"] - convention) % 360 + convention)
        longitude = swath.swot.to_grid("height", 0.1)["longitude"]
        assert 178 < float(longitude[0]) < 180 < float(longitude[-1]) < 182


def test_what_lies_outside_a_given_grid_stays_out(wave: Wave) -> None:
    swath = wave.add_to(make_pass())
    axes = {"longitude": np.arange(-340.0, -339.5, 0.1), "latitude": np.arange(-40.0, -39.6, 0.1)}
    grid = swath.swot.to_grid("height", **axes)
    np.testing.assert_array_equal(grid["count"], _count_by_hand(swath, grid))
    assert 0 < int(grid["count"].sum()) < swath["height"].size / 2


@pytest.mark.parametrize("first", [0.5, -179.5])
@pytest.mark.parametrize(("method", "shares"), [("mean", 1), ("linear", 4)])
def test_a_global_grid_holds_all_of_a_swath_over_its_seam(wave: Wave, first: float, method: str, shares: int) -> None:
    swath = wave.add_to(make_pass(start=(first - 0.9, 35.0), heading=20.0))
    grid = swath.swot.to_grid("height", longitude=first + np.arange(360), latitude=np.arange(-89.5, 90), method=method)
    assert int(grid["count"].sum()) == shares * swath["height"].size
    columns = grid["longitude"][(grid["count"] > 0).any("latitude")].to_numpy()
    assert {first, first + 359} <= set(columns.tolist()) <= {first + k for k in (0, 1, 2, 357, 358, 359)}


def test_linear_shares_are_those_of_a_tent_over_each_centre(wave: Wave) -> None:
    """Weights by hand, on a grid around the world and on a part of it that cuts the swath."""
    swath = wave.add_to(make_pass(start=(359.6, 35.0), heading=20.0))
    lon, lat, height = (swath[name].to_numpy().ravel() for name in ("longitude", "latitude", "height"))
    for longitude in (np.arange(0.5, 360), np.array([-0.5, 0.5])):
        latitude = np.array([34.5, 35.5])
        grid = swath.swot.to_grid("height", longitude=longitude, latitude=latitude, method="linear")
        for cell_lon in (-0.5, 0.5):
            for row, cell_lat in enumerate(latitude):
                apart = np.abs((lon - cell_lon + 180) % 360 - 180)
                weight = np.maximum(1 - apart, 0) * np.maximum(1 - np.abs(lat - cell_lat), 0)
                column = int(np.abs((longitude - cell_lon + 180) % 360 - 180).argmin())
                expected = (weight * height).sum() / weight.sum()
                assert float(grid["height"][row, column]) == pytest.approx(expected, abs=1e-10)


def test_inverse_distance_looks_beyond_the_edge_of_the_grid(wave: Wave) -> None:
    swath = wave.add_to(make_pass())
    wide = {"longitude": np.arange(19.0, 22.0, 0.1), "latitude": np.arange(-40.0, -39.0, 0.1)}
    narrow = {"longitude": wide["longitude"][10:14], "latitude": wide["latitude"][4:7]}
    whole = swath.swot.to_grid("height", **wide, method="idw", radius_km=25)
    part = swath.swot.to_grid("height", **narrow, method="idw", radius_km=25)
    xarray.testing.assert_allclose(part, whole.isel(longitude=slice(10, 14), latitude=slice(4, 7)), rtol=1e-12)


@pytest.mark.parametrize(("method", "tolerance_m"), [("mean", 0.004), ("linear", 0.006), ("idw", 0.004)])
def test_a_smooth_field_keeps_its_values_on_the_grid(wave: Wave, method: str, tolerance_m: float) -> None:
    swath = Wave(600.0).add_to(make_pass(**PASSES["antimeridian"]))
    grid = swath.swot.to_grid("height", 0.1, method=method)
    lon, lat = np.meshgrid(grid["longitude"], grid["latitude"])
    error = np.abs(grid["height"] - Wave(600.0).height(lon, lat))
    # Cells at the edge of the swath see a part of themselves only.
    around = (grid["count"] >= 9).rolling(longitude=3, latitude=3, center=True).sum() == 9
    assert int(around.sum()) > 60
    assert float(error.where(around).max()) < tolerance_m


def test_cycles_are_gridded_one_by_one(wave: Wave) -> None:
    swath = wave.add_to(make_pass())
    cycles = xarray.DataArray([1.0, 2.0], dims="cycle_number", coords={"cycle_number": [5, 6]})
    stacked = swath.assign(height=(cycles * swath["height"]).chunk(num_lines=20))
    grid = stacked.swot.to_grid("height", 0.1)
    assert grid["height"].dims == ("cycle_number", "latitude", "longitude")
    assert grid["cycle_number"].to_numpy().tolist() == [5, 6]
    np.testing.assert_allclose(grid["height"][1], 2 * grid["height"][0], rtol=1e-12)


def test_a_swath_without_values_gives_an_empty_grid(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=5)) * np.nan
    for method in ("mean", "linear", "idw"):
        grid = swath.swot.to_grid("height", 0.5, method=method)
        assert int(grid["count"].sum()) == 0
        assert grid["height"].isnull().all()


def test_grids_that_make_no_sense_are_refused(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=5))
    with pytest.raises(SwathError, match=r"method 'linaer' is unknown.*did you mean 'linear'\?"):
        swath.swot.to_grid("height", 0.1, method="linaer")
    with pytest.raises(SwathError, match="expected either step_degrees, or both"):
        swath.swot.to_grid("height")
    with pytest.raises(SwathError, match="step_degrees is -1"):
        swath.swot.to_grid("height", -1)
    with pytest.raises(SwathError, match="increasing, evenly spaced"):
        swath.swot.to_grid("height", longitude=[3, 2, 1], latitude=[1, 2, 3])
    with pytest.raises(SwathError, match="covers 365 degrees"):
        swath.swot.to_grid("height", longitude=np.arange(0.0, 365), latitude=[1, 2, 3])


def test_a_sample_file_is_gridded_whole(sample_datalake: Path) -> None:
    (path,) = (sample_datalake / "swot/l2_lr_ssh/expert/cycle_001").glob("*_Expert_001_014_*.nc")
    with xarray.open_dataset(path) as swath:
        grid = swath.swot.to_grid("ssha_karin_2", 0.05)
        assert int(grid["count"].sum()) == int(swath["ssha_karin_2"].count())
        low, high = float(swath["ssha_karin_2"].min()), float(swath["ssha_karin_2"].max())
        assert low <= float(grid["ssha_karin_2"].min()) <= float(grid["ssha_karin_2"].max()) <= high


# Sections

#: Which cycle is nearest in time, for each of 120 points.
_CHOSEN = np.repeat([1, 3, 2], 40)


def _crossing(swath: xarray.Dataset, azimuth: float, points: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A track that crosses the middle of the swath, 2.3 km from point to point."""
    middle = [float(swath[name][40, 34]) for name in ("longitude", "latitude")]
    start = ELLIPSOID.fwd(*middle, azimuth + 180, points / 2 * 2300.0)
    ends = [np.full(points, value) for value in (*start[:2], start[2])]
    lon, lat, _ = ELLIPSOID.fwd(*ends, np.arange(points) * 2300.0)
    return np.asarray(lon), np.asarray(lat)


@pytest.mark.parametrize("name", list(PASSES))
def test_a_section_has_the_values_of_the_field(name: str) -> None:
    wave = Wave(150.0)
    errors = []
    for posting in (4000.0, 2000.0):
        swath = wave.add_to(make_pass(**PASSES[name], lines=int(160e3 / posting), posting_m=posting))
        centre = [float(swath[place][swath.sizes["num_lines"] // 2, 2]) for place in ("longitude", "latitude")]
        azimuth = float(swath["true_heading"][0]) + 50
        lon, lat, _ = ELLIPSOID.fwd(*(np.full(60, value) for value in (*centre, azimuth)), np.arange(60) * 1300.0)
        result = swath.swot.section(lon, lat, "height")
        assert int(result["height"].notnull().sum()) > 20
        errors.append(float(np.abs(result["height"] - wave.height(np.asarray(lon), np.asarray(lat))).max()))
    # Bilinear: at most (k d)^2 / 4 of the amplitude, 0.3 m, and of second order.
    assert errors[1] < 0.6e-3
    assert errors[0] / errors[1] > 2.5


def test_points_outside_the_swath_have_no_value(wave: Wave) -> None:
    swath = wave.add_to(make_pass())
    lon, lat = _crossing(swath, 80.0)
    for method in ("bilinear", "nearest"):
        result = swath.swot.section(lon, lat, "height", method=method)
        across = np.interp(result["pixel"], np.arange(69), swath["true_cross_track"])
        inside = result["pixel"].to_numpy() >= 0
        assert 0 < inside.sum() < len(lon)
        assert np.isnan(result["height"][~inside]).all()
        assert np.isfinite(result["height"][inside][1:-1]).all()
        assert np.abs(np.diff(across[inside])).max() <= 4
    assert result["distance"].attrs["units"] == "km"
    np.testing.assert_allclose(result["distance"], np.arange(120) * 2.3, atol=1e-4)


def test_at_the_pixels_themselves_a_section_has_their_values(wave: Wave) -> None:
    swath = wave.add_to(make_pass(**PASSES["antimeridian"]))
    for pixel in (0, 20, 68):
        chosen = swath.isel(num_pixels=pixel)
        for method in ("bilinear", "nearest"):
            longitude = (chosen["longitude"].to_numpy() + 180) % 360 - 180
            result = swath.swot.section(longitude, chosen["latitude"].to_numpy(), "height", method=method)
            np.testing.assert_allclose(result["height"], chosen["height"], rtol=0, atol=1e-6)
            assert result["line"].to_numpy().tolist() == list(range(80))


def test_a_section_does_not_bridge_the_nadir_gap_or_a_gap_in_the_lines(wave: Wave, with_nadir_gap: Cut) -> None:
    whole = wave.add_to(make_pass())
    lon, lat = _crossing(whole, 80.0)
    result = with_nadir_gap(whole).swot.section(lon, lat, "height")
    distance = np.interp(result["pixel"], np.arange(69), whole["true_cross_track"])
    seen = np.isfinite(result["height"].to_numpy())
    assert np.abs(distance[seen]).min() >= 10
    assert seen.sum() > 20
    holed = whole.isel(num_lines=[*range(38), *range(46, 80)])
    along = whole.isel(num_pixels=20)
    result = holed.swot.section(along["longitude"], along["latitude"], "height")
    assert np.flatnonzero(np.isnan(result["height"])).tolist() == list(range(38, 46))


def test_time_differences_are_those_of_the_lines(wave: Wave) -> None:
    begin = np.datetime64("2024-01-01T00:00:00", "ns")
    swath = wave.add_to(make_pass())
    swath["time"] = "num_lines", begin + np.arange(80) * np.timedelta64(300, "ms")
    lon, lat = _crossing(swath, 80.0)
    result = swath.swot.section(lon, lat, "height", time=np.full(120, begin - np.timedelta64(1, "h")))
    inside = result["line"].to_numpy() >= 0
    expected = 3600 + 0.3 * result["line"].to_numpy()
    np.testing.assert_allclose(result["time_difference"][inside], expected[inside], atol=1e-6)
    assert np.isnan(result["time_difference"][~inside]).all()
    assert np.isnat(result["time"][~inside]).all()
    assert "time_difference" not in swath.swot.section(lon, lat, "height").coords


def test_where_cycles_overlap_the_nearest_in_time_counts_and_without_times_none(wave: Wave) -> None:
    swath = wave.add_to(make_pass())
    begin, day = np.datetime64("2024-01-01T00:00:00", "ns"), np.timedelta64(1, "D")
    cycles = []
    for cycle in (1, 2, 3):
        one = swath.assign(height=swath["height"] + cycle).assign_coords(cycle_number=("num_lines", np.full(80, cycle)))
        cycles.append(
            one.assign_coords(time=("num_lines", begin + np.arange(80) * np.timedelta64(300, "ms") + cycle * day))
        )
    selection = xarray.concat(cycles, "num_lines", data_vars="minimal", coords="minimal", compat="override")
    lon, lat = _crossing(swath, 80.0)
    own = begin + day * _CHOSEN
    result = selection.swot.section(lon, lat, "height", time=own)
    alone = swath.swot.section(lon, lat, "height")["height"]
    np.testing.assert_allclose(result["height"] - alone, np.where(alone.isnull(), np.nan, _CHOSEN))
    assert float(np.abs(result["time_difference"]).max()) < 25
    with pytest.raises(SwathGeometryError, match=r"3 passes hold the same point.*time=.*passes\(\)"):
        selection.swot.section(lon, lat, "height")
    with pytest.raises(SwathGeometryError, match=r"time has the shape \(3,\), expected \(120,\)"):
        selection.swot.section(lon, lat, "height", time=own[:3])


def test_a_section_of_lazy_cycles_is_lazy(wave: Wave) -> None:
    swath = wave.add_to(make_pass())
    cycles = xarray.DataArray([1.0, 2.0], dims="cycle_number", coords={"cycle_number": [5, 6]})
    stacked = swath.assign(height=(cycles * swath["height"]).chunk(num_lines=20))
    lon, lat = _crossing(swath, 80.0)
    result = stacked.swot.section(lon, lat, "height")
    assert isinstance(result["height"].data, dask.array.Array)
    alone = swath.swot.section(lon, lat, "height")["height"]
    np.testing.assert_allclose(result["height"].sel(cycle_number=6), 2 * alone, rtol=1e-12)


def test_a_track_that_is_none_is_refused(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=5))
    with pytest.raises(SwathGeometryError, match="two lists of the same length"):
        swath.swot.section([1, 2], [1], "height")
    with pytest.raises(SwathGeometryError, match="NaN or a latitude beyond 90"):
        swath.swot.section([1, 2], [1, np.nan], "height")
    with pytest.raises(SwathError, match=r"method 'bilinaer'.*did you mean 'bilinear'\?"):
        swath.swot.section([1], [2], "height", method="bilinaer")


def test_places_with_more_dimensions_are_refused_with_what_to_do(wave: Wave) -> None:
    both = xarray.concat([wave.add_to(make_pass(lines=5))] * 2, "pass_number", coords="all", data_vars="all")
    with pytest.raises(SwathGeometryError, match=r"dataset.isel\(pass_number=0\)"):
        both.swot.section([1], [2], "height")
