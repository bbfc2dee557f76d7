"""Derivatives and velocities against fields whose slopes are known exactly, and against gaps of every kind."""

from collections.abc import Callable
from pathlib import Path

import cloudpickle
import dask
import dask.array
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from swotvre_catalogs.swath import SwathError, SwathGeometryError, UnknownVariableError
from swotvre_catalogs.swath.differences import difference
from swotvre_catalogs.swath.ellipsoid import (
    coriolis_parameter,
    gaussian_radius_m,
    normal_gravity,
    normal_vectors,
    positions_m,
    prime_vertical_radius_m,
)

from .conftest import PASSES, Wave, make_pass

SIDES = ("num_lines", "num_pixels")
Cut = Callable[[xarray.Dataset], xarray.Dataset]


def _places(swath: xarray.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return swath["longitude"].to_numpy(), swath["latitude"].to_numpy()


def _errors(wave: Wave, options: dict, posting_m: float) -> dict[str, float]:
    """Return the largest error of each derivative, relative to the largest value, on a swath 160 km long."""
    swath = wave.add_to(make_pass(**options, lines=int(160e3 / posting_m), posting_m=posting_m))
    lon, lat = _places(swath)
    eastward, northward = wave.slopes(lon, lat)
    heading = np.radians(swath["true_heading"].to_numpy())
    middle = swath.sizes["num_pixels"] // 2
    # At the nadir, where the direction of the track is known exactly.
    along = (eastward[:, middle] * np.sin(heading) + northward[:, middle] * np.cos(heading))[:, None]
    across = (eastward[:, middle] * np.cos(heading) - northward[:, middle] * np.sin(heading))[:, None]
    scale = normal_gravity(lat) / coriolis_parameter(lat)
    velocity = swath.swot.geostrophic_velocity("height")
    nadir = {"num_pixels": [middle]}
    pairs = {
        "along": (swath.swot.along_track_derivative("height").isel(nadir), along),
        "across": (swath.swot.cross_track_derivative("height").isel(nadir), across),
        "u": (velocity["u"], -scale * northward),
        "v": (velocity["v"], scale * eastward),
    }
    return {name: float(np.abs(got - true).max() / np.abs(true).max()) for name, (got, true) in pairs.items()}


@pytest.mark.parametrize("name", list(PASSES))
def test_derivatives_are_within_half_a_percent_and_of_second_order(wave: Wave, name: str) -> None:
    fine, coarse = (_errors(wave, PASSES[name], posting) for posting in (2000.0, 4000.0))
    assert max(fine.values()) < 5e-3, fine
    for quantity, error in fine.items():
        assert 1.8 < np.log2(coarse[quantity] / error) < 2.3, quantity


def test_native_posting_is_differentiated_as_well(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=40, posting_m=250.0, half_swath_m=60000.0))
    eastward, _ = wave.slopes(*_places(swath))
    lat = swath["latitude"].to_numpy()
    expected = normal_gravity(lat) / coriolis_parameter(lat) * eastward
    velocity = swath.swot.geostrophic_velocity("height")["v"]
    assert float(np.abs(velocity - expected).max() / np.abs(expected).max()) < 1e-4


def test_derivatives_do_not_depend_on_the_convention_of_longitude_or_on_the_order_of_pixels(wave: Wave) -> None:
    swath = wave.add_to(make_pass(**PASSES["antimeridian"]))
    turned = swath.assign_coords(longitude=(swath["longitude"] + 180) % 360 - 180).isel(
        num_pixels=slice(None, None, -1)
    )
    for method in ("along_track_derivative", "cross_track_derivative"):
        straight = getattr(swath.swot, method)("height")
        other = getattr(turned.swot, method)("height").isel(num_pixels=slice(None, None, -1))
        np.testing.assert_allclose(other, straight, rtol=0, atol=1e-14)


@pytest.mark.parametrize("number", ["014", "027", "042"])
def test_velocities_of_the_sample_level_3_are_those_of_its_height(sample_datalake: Path, number: str) -> None:
    (path,) = (sample_datalake / "swot/l3_lr_ssh/expert/cycle_001").glob(f"*_Expert_001_{number}_*.nc")
    with xarray.open_dataset(path) as swath:
        velocity = swath.swot.geostrophic_velocity("ssha_filtered")
        for mine, own in (("u", "ugosa"), ("v", "vgosa")):
            apart = float(np.sqrt(((velocity[mine] - swath[own]) ** 2).mean()))
            # The sample takes the heading of the nadir for the whole line, half a degree off at its ends.
            assert apart < 0.02 * float(np.sqrt((swath[own] ** 2).mean()))
        assert int(velocity["u"].count()) > 0.99 * int(swath["ugosa"].count())


def test_a_half_of_the_unsmoothed_sample_is_differentiated(sample_datalake: Path) -> None:
    (path,) = (sample_datalake / "swot/l2_lr_ssh/unsmoothed/cycle_001").glob("*_014_*.nc")
    for side in ("left", "right"):
        with xarray.open_dataset(path, group=side) as swath:
            surface = swath.swot.cross_track_derivative("mean_sea_surface_cnescls")
            by_hand = np.gradient(swath["mean_sea_surface_cnescls"], 250.0, axis=1)
            inner = slice(1, -1)
            np.testing.assert_allclose(surface[:, inner], by_hand[:, inner], rtol=2e-3, atol=1e-8)


# Vorticity and strain


def _rotating(swath: xarray.Dataset, rate: float = 1e-5) -> xarray.Dataset:
    """Return a swath on which the water turns like a rigid Earth, with ``rate`` in 1/s."""
    _, lat = _places(swath)
    eastward = rate * prime_vertical_radius_m(lat) * np.cos(np.radians(lat))
    return swath.assign(u=(SIDES, eastward), v=(SIDES, np.zeros_like(eastward)))


def test_a_rigid_rotation_has_twice_its_vorticity_and_no_strain(one_pass: xarray.Dataset) -> None:
    swath, rate = _rotating(one_pass), 1e-5
    vorticity = swath.swot.vorticity(("u", "v"))
    expected = 2 * rate * np.sin(np.radians(swath["latitude"]))
    np.testing.assert_allclose(vorticity, expected, rtol=0, atol=1e-8 * rate)
    np.testing.assert_allclose(swath.swot.strain(("u", "v"))["total"], 0, rtol=0, atol=1e-8 * rate)


def test_normalised_vorticity_is_that_divided_by_f() -> None:
    swath = _rotating(make_pass())
    ratio = swath.swot.vorticity(("u", "v"), normalized=True)
    np.testing.assert_allclose(ratio, 1e-5 / 7.292115e-5, rtol=1e-6)
    assert ratio.attrs["units"] == "1"


def test_strain_of_a_wave_in_the_velocity_is_that_of_its_slopes(wave: Wave) -> None:
    """With u = h and v = 0: normal = dh/dx, shear = dh/dy + u tan(lat)/N, vorticity = -dh/dy + u tan(lat)/N."""
    swath = wave.add_to(make_pass(lines=60))
    lon, lat = _places(swath)
    swath["nothing"] = SIDES, np.zeros_like(lon)
    eastward, northward = wave.slopes(lon, lat)
    turning = wave.height(lon, lat) * np.tan(np.radians(lat)) / prime_vertical_radius_m(lat)
    largest = np.abs([eastward, northward]).max()
    strain = swath.swot.strain(("height", "nothing"))
    vorticity = swath.swot.vorticity(("height", "nothing"))
    okubo_weiss = swath.swot.okubo_weiss(("height", "nothing"))
    # Rows and columns within: second order (the wave is 150 km long); at the edges one-sided.
    for got, true in (
        (strain["normal"], eastward),
        (strain["shear"], northward + turning),
        (vorticity, turning - northward),
        (strain["total"], np.hypot(eastward, northward + turning)),
    ):
        assert float(np.abs(got - true)[1:-1, 1:-1].max()) < 2e-3 * largest
        assert float(np.abs(got - true).max()) < 5e-3 * largest
    expected = eastward**2 + (northward + turning) ** 2 - (turning - northward) ** 2
    assert float(np.abs(okubo_weiss - expected).max()) < 1e-2 * largest**2


def test_vorticity_of_a_height_is_that_of_its_velocity(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=30))
    velocity = swath.swot.geostrophic_velocity("height")
    direct = swath.swot.vorticity("height")
    np.testing.assert_array_equal(direct, swath.merge(velocity).swot.vorticity(("u", "v")))
    assert direct.attrs["units"] == "1/s"


def _true_vorticity(wave: Wave, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return div((g/f) grad h), with the Laplacian on the ellipsoid from that in space.

    In the direction n of the normal: laplace_s h = laplace h - d2h/dn2 - (1/M + 1/N) dh/dn.
    """
    normal = normal_vectors(lon, lat) @ wave.wave_vector
    phase = positions_m(lon, lat) @ wave.wave_vector
    prime = prime_vertical_radius_m(lat)
    meridian = gaussian_radius_m(lat) ** 2 / prime
    squared = wave.wave_vector @ wave.wave_vector - normal**2
    laplacian = -wave.AMPLITUDE_M * (squared * np.sin(phase) + (1 / meridian + 1 / prime) * normal * np.cos(phase))

    def scale(latitude: np.ndarray) -> np.ndarray:
        return normal_gravity(latitude) / coriolis_parameter(latitude)

    by_north = (scale(lat + 1e-4) - scale(lat - 1e-4)) / np.radians(2e-4) / meridian
    return scale(lat) * laplacian + by_north * wave.slopes(lon, lat)[1]


@pytest.mark.parametrize("name", list(PASSES))
def test_vorticity_of_a_wave_is_within_one_percent_and_of_second_order(wave: Wave, name: str) -> None:
    errors = []
    for posting in (4000.0, 2000.0):
        swath = wave.add_to(make_pass(**PASSES[name], lines=int(160e3 / posting), posting_m=posting))
        true = _true_vorticity(wave, *_places(swath))
        got = swath.swot.vorticity("height").to_numpy()
        # The two outermost lines and pixels are differences of one-sided differences.
        inner = (slice(2, -2), slice(2, -2))
        errors.append(np.abs(got - true)[inner].max() / np.abs(true).max())
        assert np.abs(got - true).max() < 0.15 * np.abs(true).max()
    assert errors[1] < 1e-2
    assert 1.7 < np.log2(errors[0] / errors[1]) < 2.3


def test_near_the_equator_there_is_no_geostrophic_velocity(wave: Wave) -> None:
    swath = wave.add_to(make_pass(start=(20.0, -6.0), heading=12.0, lines=650))
    velocity = swath.swot.geostrophic_velocity("height")["u"]
    near = np.abs(swath["latitude"]) < 3
    assert bool(near.any())
    np.testing.assert_array_equal(velocity.isnull(), near)
    closer = swath.swot.geostrophic_velocity("height", equator_degrees=0.5)["u"]
    np.testing.assert_array_equal(closer.isnull(), np.abs(swath["latitude"]) < 0.5)


# Gaps


def test_the_nadir_gap_is_not_bridged(wave: Wave, with_nadir_gap: Cut) -> None:
    whole = wave.add_to(make_pass(lines=20))
    swath = with_nadir_gap(whole)
    # A step between the halves that any bridge would show.
    step = xarray.where(swath["true_cross_track"] > 0, 50.0, 0.0)
    swath["height"] = (swath["height"] + step).transpose(*SIDES)
    slope = swath.swot.cross_track_derivative("height")
    np.testing.assert_array_equal(slope.isnull(), swath["height"].isnull())
    # One-sided derivatives at the edges of the gap are of second order too.
    true = whole.swot.cross_track_derivative("height").where(slope.notnull())
    assert float(np.abs(slope - true).max()) < 6e-3 * float(np.abs(true).max())


def test_halves_without_pixels_in_between_are_not_joined(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=20)).isel(num_pixels=[*range(4, 30), *range(39, 65)])
    swath["height"] = swath["height"] + xarray.DataArray(np.repeat([0.0, 50.0], 26), dims="num_pixels")
    assert float(np.abs(swath.swot.cross_track_derivative("height")).max()) < 2e-5
    assert float(np.abs(swath.swot.geostrophic_velocity("height")["u"]).max()) < 3


def test_a_nadir_column_in_the_gap_has_no_cross_track_slope(wave: Wave, with_nadir_gap: Cut) -> None:
    whole = wave.add_to(make_pass(lines=20))
    swath = with_nadir_gap(whole)
    swath["height"] = swath["height"].fillna(whole["height"].where(whole["true_cross_track"] == 0))
    assert np.isnan(swath.swot.cross_track_derivative("height")[:, 34]).all()
    assert np.isfinite(swath.swot.along_track_derivative("height")[:, 34]).all()


def test_each_pass_of_a_selection_is_differentiated_by_itself(wave: Wave) -> None:
    first, second = (wave.add_to(make_pass(start=(lon, -40.0), lines=25)) for lon in (20.0, 27.0))
    second["height"] = second["height"] + 100
    both = xarray.concat([first, second], "num_lines", data_vars="minimal", coords="minimal")
    expected = [part.swot.geostrophic_velocity("height")["u"].to_numpy() for part in (first, second)]
    # By the numbers, and by the distance alone.
    numbered = both.assign_coords(pass_number=("num_lines", np.repeat([14, 42], 25)))
    for swath in (numbered, both):
        got = swath.swot.geostrophic_velocity("height")["u"].to_numpy()
        np.testing.assert_allclose(got, np.concatenate(expected), rtol=0, atol=1e-8)


def test_cycles_one_after_the_other_at_the_same_place_are_not_joined(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=20)).assign_coords(cycle_number=("num_lines", np.repeat([1, 2], 10)))
    jump = xarray.DataArray(np.repeat([0.0, 100.0], 10), dims="num_lines")
    swath["height"] = swath["height"] + jump
    assert float(np.abs(swath.swot.along_track_derivative("height")).max()) < 2e-5


def test_a_gap_in_the_lines_is_not_bridged(wave: Wave) -> None:
    whole = wave.add_to(make_pass(lines=40))
    holed = whole.isel(num_lines=[*range(10), *range(13, 40)])
    got = holed.swot.along_track_derivative("height")
    pieces = [run.swot.along_track_derivative("height") for run in holed.swot.passes()]
    assert [len(piece) for piece in pieces] == [10, 27]
    np.testing.assert_allclose(got, np.concatenate(pieces), rtol=0, atol=1e-18)


def test_missing_values_give_missing_derivatives_and_do_not_spread(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=20))
    hidden = np.random.default_rng(3).random(swath["height"].shape) < 0.2
    swath["height"] = swath["height"].where(~hidden)
    for method in ("along_track_derivative", "cross_track_derivative"):
        slope = getattr(swath.swot, method)("height").to_numpy()
        assert np.isnan(slope[hidden]).all()
        assert np.isfinite(slope[~hidden]).mean() > 0.9
        assert np.nanmax(np.abs(slope)) < 1.5e-5


def test_a_pixel_on_its_own_has_no_derivative_and_two_have_their_difference() -> None:
    swath = make_pass(lines=5)
    values = np.full(swath["longitude"].shape, np.nan)
    values[2, 10] = 1.0
    values[2, 20:22] = 1.0, 3.0
    slope = swath.assign(height=(SIDES, values)).swot.cross_track_derivative("height").to_numpy()
    assert np.isfinite(slope).sum() == 2
    np.testing.assert_allclose(slope[2, 20:22], 2.0 / 2000, rtol=1e-4)


def test_lines_without_places_have_no_derivative(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=20))
    padded = swath.pad(num_lines=(0, 4))
    velocity = padded.swot.geostrophic_velocity("height")["v"]
    np.testing.assert_array_equal(velocity[:20], swath.swot.geostrophic_velocity("height")["v"])
    assert np.isnan(velocity[20:]).all()


@pytest.mark.parametrize("chunks", [None, {}, {"num_lines": 1}])
@pytest.mark.parametrize("lines", [1, 2, 3])
def test_very_short_passes_have_what_can_be_had(wave: Wave, lines: int, chunks: dict | None) -> None:
    whole = wave.add_to(make_pass(lines=lines))
    swath = whole if chunks is None else whole.chunk(chunks)
    assert np.isfinite(swath.swot.cross_track_derivative("height")).all()
    assert bool(np.isfinite(swath.swot.along_track_derivative("height")).all()) == (lines > 1)


@pytest.mark.parametrize("chunks", [None, {}])
def test_an_empty_selection_gives_empty_results(wave: Wave, chunks: dict | None) -> None:
    empty = wave.add_to(make_pass(lines=5)).isel(num_lines=slice(0, 0))
    swath = empty if chunks is None else empty.chunk(chunks)
    assert swath.swot.vorticity("height").compute().shape == (0, 69)
    assert swath.swot.cross_track_distance().compute().shape == (0, 69)
    assert swath.swot.heading().compute().shape == swath.swot.along_track_distance().compute().shape == (0,)
    assert list(swath.swot.passes()) == swath.swot.split_antimeridian() == []
    assert swath.swot.section([20.0], [-40.0], "height")["height"].isnull().all()


@settings(deadline=None, max_examples=100)
@given(
    known=st.lists(st.booleans(), min_size=1, max_size=12),
    cuts=st.lists(st.booleans(), min_size=11, max_size=11),
    slope=st.floats(-5, 5),
    curvature=st.floats(-1, 1),
)
def test_the_stencil_is_exact_for_a_parabola_wherever_there_are_three_points_in_a_row(
    known: list[bool], cuts: list[bool], slope: float, curvature: float
) -> None:
    """A row with any missing values and any gaps: what is expected follows from the length of each run."""
    index = np.arange(len(known))
    values = np.where(known, 7 + slope * index + curvature * index**2, np.nan)
    links = ~np.array(cuts[: len(known) - 1], dtype=bool)
    expected = np.full(len(known), np.nan)
    for run in _runs_of(known, links):
        if len(run) >= 3:
            expected[run] = slope + 2 * curvature * index[run]
        elif len(run) == 2:
            expected[run] = slope + curvature * (2 * index[run[0]] + 1)
    for axis in (-1, -2):
        shape = (1, -1) if axis == -1 else (-1, 1)
        got = difference(values.reshape(shape), links.reshape(shape), axis)
        np.testing.assert_allclose(got.ravel(), expected, rtol=0, atol=1e-11)


def _runs_of(known: list[bool], links: np.ndarray) -> list[list[int]]:
    runs: list[list[int]] = []
    for k, here in enumerate(known):
        if here and k and known[k - 1] and links[k - 1]:
            runs[-1].append(k)
        elif here:
            runs.append([k])
    return runs


def test_an_unknown_variable_is_named_with_its_near_miss(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=5))
    with pytest.raises(UnknownVariableError, match=r"no variable 'heigth'; did you mean 'height'\?"):
        swath.swot.geostrophic_velocity("heigth")
    with pytest.raises(SwathGeometryError, match=r"true_heading has the dimensions \(num_lines\)"):
        swath.swot.along_track_derivative("true_heading")


def test_a_height_in_other_units_is_refused(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=5))
    swath["height"].attrs["units"] = "cm"
    for method in ("geostrophic_velocity", "vorticity", "strain"):
        with pytest.raises(SwathError, match="height is in 'cm', expected a height in metres"):
            getattr(swath.swot, method)("height")
    with pytest.raises(SwathError, match="received 3 names"):
        swath.swot.vorticity(("height", "height", "height"))


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint16"])
def test_small_types_are_differentiated_as_floats(dtype: str) -> None:
    swath = make_pass(lines=6)
    falling = np.broadcast_to(100 - 40 * np.arange(6)[:, None], swath["longitude"].shape) % 128
    swath["flagged"] = SIDES, falling.astype(dtype)
    exact = swath.assign(flagged=(SIDES, falling.astype(float))).swot.along_track_derivative("flagged")
    got = swath.swot.along_track_derivative("flagged")
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, exact)


# More dimensions, laziness


def test_cycles_in_front_and_passes_side_by_side_give_what_each_gives_alone(wave: Wave) -> None:
    passes = [wave.add_to(make_pass(start=(lon, -40.0), lines=20)) for lon in (20.0, 30.0)]
    along_passes = xarray.DataArray([14, 42], dims="pass_number", name="pass_number")
    cube = xarray.concat(passes, along_passes, data_vars="all", coords="all")
    cycles = xarray.DataArray([1.0, 2.0, 3.0], dims="cycle_number")
    cube["height"] = (cycles * cube["height"]).transpose("cycle_number", "pass_number", *SIDES)
    velocity = cube.swot.geostrophic_velocity("height")["u"]
    assert velocity.dims == ("cycle_number", "pass_number", *SIDES)
    for number, one in enumerate(passes):
        alone = one.swot.geostrophic_velocity("height")["u"]
        np.testing.assert_allclose(velocity[2, number], 3 * alone, rtol=0, atol=1e-8)
    distance = cube.swot.cross_track_distance()
    assert distance.dims == ("pass_number", *SIDES)
    assert cube.swot.along_track_distance().dims == ("pass_number", "num_lines")


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("computed before it was asked for")


@pytest.mark.parametrize("chunks", [{"num_lines": 7}, {"num_lines": (20, 1, 1, 18), "num_pixels": 23}, {}])
def test_lazy_values_stay_lazy_and_are_the_same_in_any_blocks(wave: Wave, with_nadir_gap: Cut, chunks: dict) -> None:
    first, second = (wave.add_to(make_pass(start=(lon, -40.0), lines=20)) for lon in (20.0, 27.0))
    both = xarray.concat([first, second], "num_lines", data_vars="minimal", coords="minimal", compat="override")
    swath = with_nadir_gap(both).assign_coords(pass_number=("num_lines", np.repeat([14, 42], 20)))
    lazy = swath.chunk(chunks)
    questions: list[Callable[[xarray.Dataset], xarray.DataArray]] = [
        lambda ds: ds.swot.along_track_derivative("height"),
        lambda ds: ds.swot.cross_track_derivative("height"),
        lambda ds: ds.swot.geostrophic_velocity("height")["v"],
        lambda ds: ds.swot.vorticity("height", normalized=True),
        lambda ds: ds.swot.strain("height")["total"],
        lambda ds: ds.swot.okubo_weiss("height"),
        lambda ds: ds.swot.cross_track_distance(),
        lambda ds: ds.swot.along_track_distance(),
        lambda ds: ds.swot.heading(),
    ]
    with dask.config.set(scheduler=_refuse):
        answers = [question(lazy) for question in questions]
    for question, answer in zip(questions, answers, strict=True):
        assert isinstance(answer.data, dask.array.Array)
        expected = question(swath)
        np.testing.assert_allclose(answer.to_numpy(), expected, rtol=1e-12, atol=1e-18)
        assert answer.attrs == expected.attrs
        assert answer.dims == expected.dims


def test_lazy_answers_to_different_questions_are_kept_apart(wave: Wave) -> None:
    """Dask recognises a task by its name: one name for two limits of the equator would be a wrong number."""
    lazy = wave.add_to(make_pass(start=(20.0, -6.0), heading=12.0, lines=200)).chunk(num_lines=50)
    wide, narrow = (lazy.swot.geostrophic_velocity("height", equator_degrees=limit)["u"] for limit in (5.0, 4.0))
    both = xarray.Dataset({"wide": wide, "narrow": narrow, "strain": lazy.swot.strain("height")["total"]}).compute()
    np.testing.assert_array_equal(both["wide"].isnull(), np.abs(lazy["latitude"]) < 5)
    np.testing.assert_array_equal(both["narrow"].isnull(), np.abs(lazy["latitude"]) < 4)
    # What dask sends to a cluster can be sent.
    assert cloudpickle.loads(cloudpickle.dumps(wide)).equals(both["wide"])


def test_lazy_heights_on_known_places_keep_their_blocks(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=40))
    stacked = xarray.concat([swath["height"], 2 * swath["height"]], "cycle_number").chunk(cycle_number=1, num_lines=16)
    lazy = swath.drop_vars("height").assign(height=stacked)
    velocity = lazy.swot.geostrophic_velocity("height")["u"]
    assert velocity.chunks == stacked.chunks
    expected = swath.swot.geostrophic_velocity("height")["u"]
    np.testing.assert_allclose(velocity[1], 2 * expected, rtol=1e-12)


def test_results_say_what_they_are(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=5))
    velocity = swath.swot.geostrophic_velocity("height")
    assert velocity["u"].attrs["standard_name"] == "surface_geostrophic_eastward_sea_water_velocity"
    results = [
        velocity["u"],
        velocity["v"],
        swath.swot.along_track_derivative("height"),
        swath.swot.cross_track_derivative("height"),
        swath.swot.vorticity("height"),
        *swath.swot.strain("height").values(),
        swath.swot.okubo_weiss("height"),
        swath.swot.heading(),
        swath.swot.along_track_distance(),
    ]
    units = [result.attrs["units"] for result in results]
    assert units == ["m/s", "m/s", "m/m", "m/m", "1/s", "1/s", "1/s", "1/s", "1/s2", "degrees", "km"]
    assert all(result.attrs["long_name"] for result in results)


def test_an_array_with_its_places_can_be_asked_as_well(wave: Wave) -> None:
    swath = wave.add_to(make_pass(lines=10))
    height = swath["height"]
    xarray.testing.assert_identical(height.swot.vorticity(), swath["height"].to_dataset().swot.vorticity("height"))
    np.testing.assert_array_equal(
        height.rename(None).swot.along_track_derivative(), swath.swot.along_track_derivative("height")
    )
    assert sum(len(run) for run in height.swot.passes()) == 10
