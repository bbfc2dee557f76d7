"""The raster against brute force: every drawn element has a value of the data that lie there, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from swotvre_catalogs.swath.plot_projection import PlateCarree, PolarStereographic
from swotvre_catalogs.swath.plot_pyramid import SwathPyramid, join_lines

EARTH_RADIUS_KM = 6371.0
LINES, PIXELS, SPACING_KM = 400, 31, 4.0


def swath(longitude: float, latitude: float, heading: float, lines: int = LINES, pixels: int = PIXELS):
    """Longitude and latitude of a straight swath whose middle is at a place; heading in degrees from north."""
    up = _vector(longitude, latitude)
    east = np.array([-np.sin(np.radians(longitude)), np.cos(np.radians(longitude)), 0.0])
    north = np.cross(up, east)
    ahead = np.cos(np.radians(heading)) * north + np.sin(np.radians(heading)) * east
    right = np.cross(ahead, up)
    along = (np.arange(lines) - lines / 2) * SPACING_KM / EARTH_RADIUS_KM
    across = (np.arange(pixels) - pixels // 2) * SPACING_KM / EARTH_RADIUS_KM
    track = np.cos(along)[:, None] * up + np.sin(along)[:, None] * ahead
    place = np.cos(across)[None, :, None] * track[:, None] + np.sin(across)[None, :, None] * right
    return np.degrees(np.arctan2(place[..., 1], place[..., 0])), np.degrees(np.arcsin(place[..., 2]))


def _vector(longitude, latitude):
    lon, lat = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def pyramid_of(longitude, latitude, value, projection, aggregate="mean", segment=None):
    lines = join_lines(longitude, latitude, value, np.zeros(len(value)) if segment is None else segment)
    return SwathPyramid(lines, projection, aggregate)


def nearest(longitude, latitude, value, projection, view, columns, rows):
    """Distance in km and value of the pixel nearest to every picture element; and the size of an element in km."""
    x = view[0] + (np.arange(columns) + 0.5) * (view[2] - view[0]) / columns
    y = view[1] + (np.arange(rows) + 0.5) * (view[3] - view[1]) / rows
    x, y = np.meshgrid(x, y)
    lon, lat = projection.inverse(x, y)
    known = np.isfinite(value)
    tree = cKDTree(_vector(longitude[known], latitude[known]))
    distance, place = tree.query(_vector(lon, lat))
    high = (view[3] - view[1]) / rows * projection.unit_degrees * 111.2
    wide = (view[2] - view[0]) / columns * projection.unit_degrees * 111.2
    return distance * EARTH_RADIUS_KM, value[known][place], np.hypot(high, wide)


CASES = {
    "open sea": (swath(20, -35, 12), PlateCarree(20), (18, -36, 19.5, -35)),
    "antimeridian in the middle": (swath(180, 10, 15), PlateCarree(180), (179, 9, 181, 11)),
    "antimeridian at the edge": (swath(180, 10, 15), PlateCarree(0), (178.5, 9, 180, 11)),
    "longitudes of 0 to 360": (
        (swath(180, 10, 15)[0] % 360, swath(180, 10, 15)[1]),
        PlateCarree(0),
        (-180, 9, -179, 10),
    ),
    "high latitude": (swath(-40, 77, 80), PlateCarree(-40), (-43, 76.5, -37, 77.5)),
    "north": (swath(170, 77, 80), PolarStereographic(1), (150, 1350, 350, 1550)),
    "over the pole": (swath(30, 89.9, 10), PolarStereographic(1), (-80, -80, 80, 80)),
    "over the south pole": (swath(30, -89.9, 10), PolarStereographic(-1, center=40), (-80, -80, 80, 80)),
}


@pytest.mark.parametrize("name", CASES)
def test_zoomed_in_every_element_has_the_value_of_its_pixel_and_nothing_is_drawn_elsewhere(name: str) -> None:
    (longitude, latitude), projection, view = CASES[name]
    value = np.random.default_rng(1).normal(size=longitude.shape)
    value[:, 14:17] = np.nan
    value[150:160] = np.nan
    image, _ = pyramid_of(longitude, latitude, value, projection).draw(view, 240, 220)
    distance, expected, _ = nearest(longitude, latitude, value, projection, view, 240, 220)

    inside = distance < 0.35 * SPACING_KM
    assert inside.sum() > 500
    np.testing.assert_allclose(image[inside], expected[inside], rtol=1e-6)
    beyond = distance > 0.8 * SPACING_KM
    assert np.isnan(image[beyond]).all()


@pytest.mark.parametrize(
    ("places", "projection"),
    [
        (swath(180, 10, 15), PlateCarree(0)),
        (swath(180, 10, 15), PlateCarree(180)),
        (swath(30, 89.5, 10), PlateCarree(0)),
        (swath(30, 89.5, 10), PolarStereographic(1)),
        (swath(100, -70, 70), PolarStereographic(-1)),
    ],
)
def test_from_afar_nothing_is_smeared_and_nothing_is_missing(places, projection) -> None:
    longitude, latitude = places
    value = np.sin(np.radians(5 * latitude))
    columns, rows = 360, 180
    image, _ = pyramid_of(longitude, latitude, value, projection).draw(projection.limits, columns, rows)

    # Brute force: the mean of the pixels in each element.
    left, bottom, right, top = projection.limits
    x, y = projection.forward(longitude, latitude)
    column = ((x - left) / (right - left) * columns).astype(int)
    row = ((y - bottom) / (top - bottom) * rows).astype(int)
    count, total = np.zeros((rows, columns)), np.zeros((rows, columns))
    np.add.at(count, (row, column), 1)
    np.add.at(total, (row, column), value)
    both = np.isfinite(image) & (count > 0)
    assert both.sum() > 10
    assert np.abs(image[both] - total[both] / count[both]).max() < 0.1
    drawn_from = np.isfinite(image)
    distance, _, element_km = nearest(longitude, latitude, value, projection, projection.limits, columns, rows)
    assert distance[drawn_from].max() < 0.8 * SPACING_KM + element_km
    # Pixels are merged before they are counted: an element with few of them at its edge may lose them to the next.
    assert not ((count > 0) & ~_with_neighbours(drawn_from)).any()


def _with_neighbours(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1, mode="wrap")
    return np.any(
        [padded[1 + i : len(padded) - 1 + i, 1 + j : padded.shape[1] - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)],
        axis=0,
    )


def test_every_zoom_shows_the_same_picture_without_holes() -> None:
    longitude, latitude = swath(10, 40, 20)
    value = np.ones(longitude.shape)
    pyramid = pyramid_of(longitude, latitude, value, PlateCarree(10))
    for width in (40.0, 20.0, 11.0, 7.0, 4.0, 2.0, 1.0, 0.3):
        view = (10 - width / 2, 40 - width / 2, 10 + width / 2, 40 + width / 2)
        image, _ = pyramid.draw(view, 150, 150)
        distance, _, element_km = nearest(longitude, latitude, value, pyramid.projection, view, 150, 150)
        lon, lat = (np.abs(a - b) for a, b in zip((10.0, 40.0), (longitude, latitude), strict=True))
        assert (lon < 40).all()
        assert (lat < 40).all()
        # Inside of the swath: further from its edge than an element is large.
        shrunk = nearest(
            longitude[2:-2, 2:-2], latitude[2:-2, 2:-2], value[2:-2, 2:-2], pyramid.projection, view, 150, 150
        )[0]
        assert np.isfinite(image[shrunk < 0.6 * SPACING_KM]).all(), width
        assert np.isnan(image[distance > 0.8 * SPACING_KM + element_km]).all(), width


def test_a_gap_between_lines_stays_empty_and_passes_are_not_joined() -> None:
    longitude, latitude = swath(0, 0, 0)
    kept = np.r_[0:100, 108:LINES]
    longitude, latitude = longitude[kept], latitude[kept]
    value = np.ones(longitude.shape)
    view = (-1, float(latitude[90, 15]), 1, float(latitude[115, 15]))
    image, _ = pyramid_of(longitude, latitude, value, PlateCarree(0)).draw(view, 200, 200)
    distance = nearest(longitude, latitude, value, PlateCarree(0), view, 200, 200)[0]
    assert np.isnan(image[distance > 0.8 * SPACING_KM]).all()
    assert np.isfinite(image[distance < 0.4 * SPACING_KM]).all()

    segment = np.r_[np.zeros(200), np.ones(len(kept) - 200)]
    assert not join_lines(longitude, latitude, value, segment).follows.all()
    assert join_lines(longitude, latitude, value, segment).value.shape[0] % 32 == 0


def test_lines_and_pixels_without_a_place_are_left_out() -> None:
    longitude, latitude = swath(0, 0, 30)
    value = np.ones(longitude.shape)
    longitude, latitude = longitude.copy(), latitude.copy()
    longitude[200:205] = np.nan
    latitude[50:60, :3] = np.nan
    pyramid = pyramid_of(longitude, latitude, value, PlateCarree(0))
    image, _ = pyramid.draw((-1, -1, 1, 1), 200, 200)
    known = np.where(np.isnan(longitude + latitude), np.nan, value)
    filled = np.nan_to_num(longitude), np.nan_to_num(latitude)
    distance = nearest(*filled, known, PlateCarree(0), (-1, -1, 1, 1), 200, 200)[0]
    assert np.isnan(image[distance > 0.8 * SPACING_KM]).all()
    assert np.isfinite(image).any()


@pytest.mark.parametrize(("aggregate", "function"), [("min", np.min), ("max", np.max), ("mean", np.mean)])
def test_pixels_that_share_an_element_are_aggregated(aggregate: str, function) -> None:
    longitude, latitude = swath(5, 5, 45)
    value = np.random.default_rng(2).normal(size=longitude.shape)
    image, _ = pyramid_of(longitude, latitude, value, PlateCarree(0), aggregate).draw((-35, -35, 45, 45), 1, 1)
    np.testing.assert_allclose(image[0, 0], function(value.astype("float32")), rtol=1e-5, atol=1e-6)


def test_a_zoom_looks_only_into_the_tiles_in_view() -> None:
    longitude, latitude = swath(0, 0, 0, lines=6400)
    pyramid = pyramid_of(longitude, latitude, np.ones(longitude.shape), PlateCarree(0))
    _, everything = pyramid.draw((-180, -90, 180, 90), 300, 150)
    _, near = pyramid.draw((-1, -1, 1, 1), 300, 300)
    assert everything >= 200
    assert near <= 4


def test_integers_of_many_digits_stay_exact() -> None:
    longitude, latitude = swath(0, 0, 0)
    value = np.full(longitude.shape, 2.0**31 + 1)
    image, _ = pyramid_of(longitude, latitude, value, PlateCarree(0), "max").draw((-0.1, -0.1, 0.1, 0.1), 9, 9)
    assert image[4, 4] == 2.0**31 + 1


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 5), (5, 1), (2, 2)])
def test_tiny_swaths_are_drawn(shape: tuple[int, int]) -> None:
    longitude, latitude = swath(0, 0, 0, *shape)
    pyramid = pyramid_of(longitude, latitude, np.ones(shape), PlateCarree(0))
    image, _ = pyramid.draw((-1, -1, 1, 1), 100, 100)
    assert np.isfinite(image).any() == (np.prod(shape) > 0)


def test_a_projection_and_back_is_the_same_place() -> None:
    longitude, latitude = (part.ravel() for part in np.meshgrid(np.arange(-180, 180, 7.5), np.arange(50, 90, 2.5)))
    for projection, sign in ((PolarStereographic(1, 30), 1), (PolarStereographic(-1, -70), -1), (PlateCarree(133), 1)):
        x, y = projection.forward(longitude, sign * latitude)
        back = projection.inverse(x, y)
        np.testing.assert_allclose(_vector(*back), _vector(longitude, sign * latitude), atol=1e-9)


def test_polar_maps_are_true_to_scale_at_the_pole_and_have_the_right_orientation() -> None:
    north, south = PolarStereographic(1), PolarStereographic(-1)
    x, y = north.forward(np.array([0.0, 90.0]), np.array([89.0, 89.0]))
    np.testing.assert_allclose([x, y], [[0, 111.2], [-111.2, 0]], atol=0.1)
    x, y = south.forward(np.array([0.0, 90.0]), np.array([-89.0, -89.0]))
    np.testing.assert_allclose([x, y], [[0, 111.2], [111.2, 0]], atol=0.1)
    assert np.isnan(north.forward(np.array([0.0]), np.array([-60.0]))[0]).all()
