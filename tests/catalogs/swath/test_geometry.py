"""Distances, headings, pieces and corners of passes whose geometry is known."""

from pathlib import Path

import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from swotvre_catalogs.errors import CatalogError
from swotvre_catalogs.swath import SwathGeometryError
from swotvre_catalogs.swath.accessor import SwathDataset
from swotvre_catalogs.swath.ellipsoid import distance_m, normal_vectors, positions_m
from swotvre_catalogs.swath.pieces import unwrap

from .conftest import ELLIPSOID, PASSES, make_pass

SIDES = ("num_lines", "num_pixels")


def _apart(angle: object, other: object) -> float:
    return float(np.abs((np.asarray(angle) - np.asarray(other) + 180) % 360 - 180).max())


def test_cross_track_distance_is_that_of_the_geodesic_within_a_centimetre(one_pass: xarray.Dataset) -> None:
    distance = one_pass.swot.cross_track_distance()
    assert distance.dims == SIDES
    assert distance.attrs["units"] == "km"
    assert float(np.abs(distance - one_pass["true_cross_track"]).max()) < 1e-5


def test_right_of_flight_stays_right_when_pixels_count_the_other_way() -> None:
    swath = make_pass(**PASSES["descending"]).isel(num_pixels=slice(None, None, -1))
    assert float(np.abs(swath.swot.cross_track_distance() - swath["true_cross_track"]).max()) < 1e-5


def test_a_single_line_counts_its_pixels_from_left_to_right() -> None:
    swath = make_pass().isel(num_lines=[7])
    assert float(np.abs(swath.swot.cross_track_distance() - swath["true_cross_track"]).max()) < 1e-5
    assert np.isnan(swath.swot.heading()).all()


def test_heading_is_that_of_the_track(one_pass: xarray.Dataset) -> None:
    heading = one_pass.swot.heading()
    assert heading.dims == ("num_lines",)
    assert _apart(heading, one_pass["true_heading"]) < 1e-6


def test_along_track_distance_starts_anew_with_each_pass(one_pass: xarray.Dataset) -> None:
    second = one_pass.isel(num_lines=slice(10, 50))
    both = xarray.concat([one_pass, second], "num_lines", data_vars="minimal", coords="minimal", compat="override")
    both = both.assign_coords(pass_number=("num_lines", np.repeat([14, 15], [80, 40])))
    distance = both.swot.along_track_distance().to_numpy()
    np.testing.assert_allclose(distance[:80], one_pass["true_along_track"], atol=1e-6)
    np.testing.assert_allclose(distance[80:], one_pass["true_along_track"][:40], atol=1e-6)


def test_a_gap_in_the_lines_counts_in_the_along_track_distance() -> None:
    swath = make_pass().isel(num_lines=[0, 1, 2, 40, 41])
    np.testing.assert_allclose(swath.swot.along_track_distance(), [0, 2, 4, 80, 82], atol=1e-5)


def test_half_a_swath_has_no_nadir_in_its_middle() -> None:
    half = make_pass().isel(num_pixels=slice(0, 30))
    with pytest.raises(SwathGeometryError, match=r"span 58 km and are not a whole swath.*longitude_nadir"):
        half.swot.cross_track_distance()


def test_half_a_swath_with_its_nadir_has_the_distances_of_the_whole() -> None:
    whole = make_pass()
    nadir = whole.isel(num_pixels=34)
    half = whole.isel(num_pixels=slice(0, 30)).assign(
        longitude_nadir=nadir["longitude"].variable, latitude_nadir=nadir["latitude"].variable
    )
    expected = whole["true_cross_track"][:30]
    assert float(np.abs(half.swot.cross_track_distance() - expected).max()) < 1e-5


def test_two_halves_side_by_side_have_the_nadir_between_them() -> None:
    halves = make_pass().isel(num_pixels=[*range(30), *range(39, 69)])
    assert float(np.abs(halves.swot.cross_track_distance() - halves["true_cross_track"]).max()) < 5e-5


@pytest.mark.parametrize("number", ["014", "027", "042"])
def test_cross_track_distance_of_the_sample_files_is_that_of_the_product(sample_datalake: Path, number: str) -> None:
    folder = sample_datalake / "swot/l2_lr_ssh/expert/cycle_001"
    (path,) = folder.glob(f"*_Expert_001_{number}_*.nc")
    with xarray.open_dataset(path) as granule:
        for swath in (granule, granule.drop_vars(["latitude_nadir", "longitude_nadir"])):
            metres = swath.swot.cross_track_distance() * 1000
            # Places are written in steps of 1e-6 degrees, 0.11 m.
            assert float(np.abs(metres - granule["cross_track_distance"]).max()) < 0.16
        assert _apart(granule.swot.heading(), granule["velocity_heading"]) < 0.01


def test_what_is_no_swath_is_refused() -> None:
    no_places = xarray.Dataset({"height": (SIDES, np.zeros((3, 4)))})
    with pytest.raises(SwathGeometryError, match="no longitude and no latitude"):
        no_places.swot.cell_edges()
    with pytest.raises(CatalogError, match=r"dimensions \(points\), expected num_lines and num_pixels"):
        xarray.Dataset({"height": ("points", np.zeros(3))}).swot.heading()


# Pieces


def test_longitudes_are_unwrapped_over_the_antimeridian() -> None:
    swath = make_pass(**PASSES["antimeridian"])
    longitude = swath.swot.unwrap_longitude()
    assert float(longitude.max() - longitude.min()) < 3
    assert _apart(longitude, swath["longitude"]) < 1e-9
    assert -180 <= float(longitude[0, 0]) < 180


@settings(deadline=None, max_examples=60)
@given(
    start=st.floats(-180, 180),
    latitude=st.floats(-75, 70),
    heading=st.floats(0, 360),
    convention=st.sampled_from([0, -180]),
)
def test_unwrapped_longitudes_never_jump(start: float, latitude: float, heading: float, convention: int) -> None:
    swath = make_pass(start=(start, latitude), heading=heading, lines=30)
    longitude = (swath["longitude"].to_numpy() - convention) % 360 + convention
    result = unwrap(longitude)
    assert max(np.abs(np.diff(result, axis=0)).max(), np.abs(np.diff(result, axis=1)).max()) < 1
    assert _apart(result, longitude) < 1e-9


def test_pieces_hold_each_pixel_once_on_its_side() -> None:
    swath = make_pass(**PASSES["antimeridian"])
    swath["height"] = SIDES, np.random.default_rng(1).normal(size=swath["longitude"].shape)
    swath["flag"] = SIDES, np.ones(swath["longitude"].shape, dtype="uint8")
    west, east = swath.swot.split_antimeridian()
    assert [int(west["piece"]), int(east["piece"])] == [0, 1]
    assert int(west["flag"].sum() + east["flag"].sum()) == swath["flag"].size
    total = np.concatenate([piece["height"].to_numpy().ravel() for piece in (west, east)])
    np.testing.assert_array_equal(np.sort(total[np.isfinite(total)]), np.sort(swath["height"].to_numpy().ravel()))
    for piece, low, high in ((west, 170, 180), (east, -180, -170)):
        inside = piece["longitude"].where(piece["height"].notnull())
        assert low <= float(inside.min()) <= float(inside.max()) <= high
        assert float(np.abs(piece["longitude"].diff("num_pixels")).max()) < 1


def test_a_swath_away_from_the_antimeridian_is_one_piece() -> None:
    swath = make_pass(start=(359.9, 10.0))  # over Greenwich
    (piece,) = swath.swot.split_antimeridian()
    assert piece.sizes["num_lines"] == swath.sizes["num_lines"]
    assert _apart(piece["longitude"], swath["longitude"]) < 1e-9


def test_passes_are_cut_at_gaps_and_where_the_number_changes() -> None:
    first = make_pass(lines=20)
    swath = xarray.concat([first, first.isel(num_lines=slice(5, None))], "num_lines", data_vars="minimal")
    numbers = ("num_lines", np.repeat([1, 2], [20, 15]))
    runs = list(swath.assign_coords(cycle_number=numbers).swot.passes())
    assert [run.sizes["num_lines"] for run in runs] == [20, 15]
    holed = first.isel(num_lines=[0, 1, 2, 3, 9, 10, 11, 12, 13])
    assert [run.sizes["num_lines"] for run in holed.swot.passes()] == [4, 5]
    # Lines of a padded cube that no file has.
    padded = first.pad(num_lines=(0, 5))
    assert [run.sizes["num_lines"] for run in padded.swot.passes()] == [20]


def test_two_cycles_of_one_place_are_two_passes_though_no_line_is_far() -> None:
    swath = make_pass(lines=20).assign_coords(cycle_number=("num_lines", np.repeat([1, 2], 10)))
    assert [run.sizes["num_lines"] for run in swath.swot.passes()] == [10, 10]


# Corners


def test_corners_lie_half_a_pixel_around_each_pixel(one_pass: xarray.Dataset) -> None:
    edges = one_pass.swot.cell_edges(continuous=False)
    assert dict(edges.sizes) == {"num_line_edges": 81, "num_pixel_edges": 70}
    lon, lat = edges["longitude_edges"].to_numpy(), edges["latitude_edges"].to_numpy()
    # The true corners: those of a pass that starts half a posting earlier, half a pixel to the right of its pixels.
    place = (float(one_pass[name][0, 34]) for name in ("longitude", "latitude"))
    *start, heading = ELLIPSOID.fwd(*place, float(one_pass["true_heading"][0]) + 180, 1000.0)
    corners = make_pass(start=tuple(start), heading=heading, lines=81)
    for pixel, tolerance_m in ((35, 1), (69, 5), (0, 5)):
        offset = np.full(81, (pixel - 34.5) * 2000)
        expected = ELLIPSOID.fwd(
            *(corners[name][:, 34].to_numpy() for name in ("longitude", "latitude")),
            corners["true_heading"].to_numpy() + 90,
            offset,
        )
        assert _metres(lon[:, pixel], lat[:, pixel], *expected[:2]).max() < tolerance_m


def _metres(*places: object) -> np.ndarray:
    return np.asarray(ELLIPSOID.inv(*(np.asarray(place, dtype=float) for place in places))[2])


def test_corner_longitudes_are_continuous_over_the_antimeridian() -> None:
    swath = make_pass(**PASSES["antimeridian"])
    edges = swath.swot.cell_edges()
    for dimension in ("num_line_edges", "num_pixel_edges"):
        assert float(np.abs(edges["longitude_edges"].diff(dimension)).max()) < 0.2
    apart = swath.swot.cell_edges(continuous=False)["longitude_edges"]
    assert float(apart.max()) > 179
    assert float(apart.min()) < -179


def test_the_pole_lies_inside_exactly_one_cell() -> None:
    swath = make_pass(**PASSES["over the pole"])
    edges = swath.swot.cell_edges(continuous=False)
    corners = normal_vectors(edges["longitude_edges"].to_numpy(), edges["latitude_edges"].to_numpy())[..., :2]
    around = [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]]
    turning = [
        np.sign(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
        for a, b in zip(around, around[1:] + around[:1], strict=True)
    ]
    assert int((np.abs(np.sum(turning, axis=0)) == 4).sum()) == 1


def test_corners_are_not_shared_across_a_gap() -> None:
    holed = make_pass().isel(num_lines=[0, 1, 2, 9, 10, 11])
    with pytest.raises(SwathGeometryError, match=r"not one run without gaps but 2.*passes\(\)"):
        holed.swot.cell_edges()
    assert [run.swot.cell_edges().sizes["num_line_edges"] for run in holed.swot.passes()] == [4, 4]


@settings(deadline=None, max_examples=50)
@given(st.floats(-180, 180), st.floats(-89, 89), st.floats(0, 360), st.floats(1, 100_000))
def test_distance_over_the_ellipsoid_is_the_geodesic(
    longitude: float, latitude: float, azimuth: float, metres: float
) -> None:
    other = ELLIPSOID.fwd(longitude, latitude, azimuth, metres)
    ends = [positions_m(np.array(lon), np.array(lat)) for lon, lat in ((longitude, latitude), other[:2])]
    middle = np.array((latitude + other[1]) / 2)
    assert abs(float(distance_m(*ends, middle)) - metres) < 0.01


def test_every_operator_names_the_source_of_its_formula():
    operators = {name: method for name, method in vars(SwathDataset).items() if not name.startswith("_")}
    without_formula = {"passes", "plot"}
    assert [name for name, method in operators.items() if "Source: " not in method.__doc__] == sorted(without_formula)
