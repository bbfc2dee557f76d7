"""Coastlines without the internet: valid, closed rightly, and with the credit beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

import swotvre_catalogs.swath
from swotvre_catalogs.swath.coastline import (
    DATA,
    QUANTUM_DEGREES,
    TOLERANCES_DEGREES,
    decode_land,
    encode_land,
    land_in_view,
    land_polygons,
    level_for,
)
from swotvre_catalogs.swath.plot_projection import PlateCarree, PolarStereographic

FOLDER = Path(swotvre_catalogs.swath.__file__).parent
ON_LAND = [(20.0, 25.0), (-100.0, 45.0), (135.0, -25.0), (100.0, 60.0), (-40.0, 72.0), (178.0, 67.5), (-172.0, 66.0)]
AT_SEA = [(-30.0, 30.0), (-150.0, 0.0), (75.0, -40.0), (0.0, 85.0), (179.9, 0.0), (51.0, 41.5), (180.0, -50.0)]


def regions(vertices: np.ndarray) -> shapely.Geometry:
    """One geometry of the rings between the gaps."""
    lines = np.split(vertices, np.flatnonzero(np.isnan(vertices[:, 0])))
    rings = [line[~np.isnan(line[:, 0])] for line in lines if len(line) > 3]
    return shapely.union_all([shapely.make_valid(shapely.Polygon(ring)) for ring in rings])


def test_the_file_is_small_and_credited() -> None:
    assert (FOLDER / DATA).stat().st_size < 1_000_000
    credits_ = (FOLDER / "CREDITS.md").read_text(encoding="utf-8")
    assert "Natural Earth" in credits_
    assert "public domain" in credits_


@pytest.mark.parametrize("level", range(len(TOLERANCES_DEGREES)))
def test_polygons_are_valid_and_say_what_is_land(level: int) -> None:
    polygons = land_polygons(level)
    assert shapely.is_valid(polygons).all()
    west, south, east, north = shapely.total_bounds(polygons)
    assert (west, south, east) == pytest.approx((-180, -90, 180), abs=QUANTUM_DEGREES)
    assert 83 < north < 84
    tree = shapely.STRtree(polygons)
    for place in [*ON_LAND, (0.0, -85.0), (150.0, -89.0)]:
        assert len(tree.query(shapely.Point(place), predicate="within")), place
    for place in AT_SEA:
        assert not len(tree.query(shapely.Point(place), predicate="within")), place


def test_coding_and_back_gives_the_same_polygons() -> None:
    ring = [(-180, -90), (180, -90), (180, -70.004), (0, -65), (-180, -70.004)]
    hole = [(-10, -80), (10, -80), (0, -75)]
    back = decode_land(*encode_land([shapely.Polygon(ring, [hole]), shapely.box(1, 2, 3, 4)]))
    assert len(back) == 2
    assert len(back[0].interiors) == 1
    assert back[0].area == pytest.approx(shapely.Polygon(ring, [hole]).area)
    assert back[1].equals(shapely.box(1, 2, 3, 4))


@pytest.mark.parametrize(
    ("projection", "resolution"),
    [(PlateCarree(0), 0.4), (PlateCarree(180), 0.4), (PlateCarree(-75), 0.1), (PolarStereographic(1), 0.15),
     (PolarStereographic(-1, 50), 0.15)],
)  # fmt: skip
def test_land_is_where_it_belongs_on_every_map(projection, resolution: float) -> None:
    land = regions(land_in_view(projection, projection.limits, resolution).rings)
    shapely.prepare(land)
    places = [*((place, True) for place in [*ON_LAND, (0.0, -85.0), (150.0, -89.5)]), *((p, False) for p in AT_SEA)]
    seen = 0
    for (longitude, latitude), is_land in places:
        x, y = projection.forward(np.array([longitude]), np.array([latitude]))
        left, bottom, right, top = projection.limits
        if not (left <= x[0] <= right and bottom <= y[0] <= top):
            continue
        seen += 1
        assert land.contains(shapely.Point(x[0], y[0])) == is_land, (longitude, latitude)
    assert seen >= 3


@pytest.mark.parametrize("center", [0, 180])
def test_no_coast_is_drawn_along_the_antimeridian_or_a_pole(center: int) -> None:
    projection = PlateCarree(center)
    coast = land_in_view(projection, projection.limits, 0.1).coast
    edge = (np.abs(np.abs(coast[:, 0]) % 360 - 180) < 1e-3) | (coast[:, 1] < -89)
    assert not (edge[1:] & edge[:-1]).any()
    # No line runs across the map.
    steps = np.abs(np.diff(coast[:, 0]))
    assert np.nanmax(steps) < 30


def test_the_south_pole_has_no_coast() -> None:
    projection = PolarStereographic(-1)
    coast = land_in_view(projection, projection.limits, 0.1).coast
    assert np.nanmin(np.hypot(coast[:, 0], coast[:, 1])) > 300


def test_land_across_the_antimeridian_is_whole_when_it_is_in_the_middle() -> None:
    rings = land_in_view(PlateCarree(180), (170, 60, 200, 75), 0.02).rings
    land = regions(rings)
    for longitude in (179.9, 179.999, 180.001, 180.1):
        assert land.contains(shapely.Point(longitude, 67.5))


def test_a_zoom_gets_more_detail_of_less_land() -> None:
    assert level_for(1.0) == 0
    assert level_for(0.001) == len(TOLERANCES_DEGREES) - 1
    whole = land_in_view(PlateCarree(0), (-180, -90, 180, 90), 0.4).coast
    view = (5, 57, 8, 63)
    near = land_in_view(PlateCarree(0), view, 0.003).coast
    inside = (whole[:, 0] > 5) & (whole[:, 0] < 8) & (whole[:, 1] > 57) & (whole[:, 1] < 63)
    assert len(near) > 3 * inside.sum()
    assert np.nanmin(near[:, 0]) > 4.9
    assert np.nanmax(near[:, 0]) < 8.1


def test_a_view_without_land_is_empty() -> None:
    land = land_in_view(PlateCarree(0), (-32, 28, -30, 30), 0.01)
    assert land.rings.shape == (0, 2)
    assert land.coast.shape == (0, 2)
