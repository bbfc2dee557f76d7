"""``ds.swot.plot()``: what it draws, what it refuses, and that a zoom draws its view anew."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
import xarray

from swotvre_catalogs.errors import ParameterValueError, UnknownParameterError, UnknownVariableError
from swotvre_catalogs.swath.errors import SwathError, SwathGeometryError
from swotvre_catalogs.swath.plot import plot
from swotvre_catalogs.swath.plot_input import read_drawing
from swotvre_catalogs.swath.plot_picture import SwathPicture

DIMS = ("num_lines", "num_pixels")


def one_pass(lines: int = 300, pixels: int = 21, longitude: float = 17.0, number: int = 14) -> xarray.Dataset:
    """A pass southwards, cells of some 4 km."""
    along, across = np.meshgrid(np.arange(lines), np.arange(pixels), indexing="ij")
    latitude = -30 - 0.04 * along
    value = 0.2 * np.sin(along / 30) + 0.001 * across
    value[:, 10] = np.nan
    return xarray.Dataset(
        {
            "ssha_karin_2": (DIMS, value, {"long_name": "sea surface height anomaly", "units": "m"}),
            "ssha_karin_2_qual": (DIMS, (along % 3).astype("uint32"), {"flag_masks": [1, 2]}),
            "quality_of_line": ("num_lines", np.zeros(lines)),
            "time": ("num_lines", np.datetime64("2019-01-01T11:42", "ns") + 318_000_000 * np.arange(lines)),
        },
        coords={"latitude": (DIMS, latitude), "longitude": (DIMS, longitude + 0.04 * across + 0.01 * along)},
        attrs={"title": "Level 2 Low Rate Sea Surface Height Data Product - Basic SSH", "cycle_number": 1}
        | {"pass_number": number},
    )


def stacked(dimension: str, number: int = 3) -> xarray.Dataset:
    passes = [one_pass(longitude=17.0 + 5 * k) for k in range(number)]
    return xarray.concat(passes, xarray.IndexVariable(dimension, np.arange(4, 4 + number)), combine_attrs="override")


def request_view(figure, view: tuple[float, float, float, float]):
    """Do what the browser does after a zoom; return the sources of image, and of land and coast."""
    callbacks = figure.x_range.js_property_callbacks["change:start"]
    request = callbacks[0].args["request"]
    edges = dict(zip(("west", "south", "east", "north"), ([edge] for edge in view), strict=True))
    request.data = {**edges, "stamp": [request.data["stamp"][0] + 1]}
    return callbacks[0].args["image"]


def test_a_lazy_pass_gives_a_picture_of_its_anomaly() -> None:
    picture = plot(one_pass().chunk({"num_lines": 100}))
    assert isinstance(picture, SwathPicture)
    assert picture.look.label == "sea surface height anomaly [m]"
    assert picture.look.title.replace("\n", ", ") == (
        "L2 LR SSH - Basic SSH, cycle 1, pass 14, 2019-01-01 11:42 to 11:43"
    )
    west, south, east, north = picture.look.view
    assert west < 17
    assert east > 20.8
    assert south < -41.9
    assert north > -30
    low, high = picture.look.limits
    assert high == pytest.approx(-low)
    assert 0.15 < high < 0.25


def test_the_figure_shows_image_land_and_coast_in_degrees() -> None:
    figure = plot(one_pass()).figure()
    kinds = [type(renderer.glyph).__name__ for renderer in figure.renderers]
    assert kinds == ["Patch", "Image", "Line"]
    image = figure.renderers[1].data_source.data["image"][0]
    assert image.dtype == np.float32
    assert np.nanmin(image) >= -0.2
    assert np.nanmax(image) <= 0.23
    assert 0.02 < np.isfinite(image).mean() < 0.7
    assert figure.title.text.startswith("L2 LR SSH")


def test_a_zoom_draws_its_view_anew_and_looks_into_nothing_else() -> None:
    picture = plot(one_pass(lines=3000))
    redrawn = []
    figure = picture.figure(lambda: redrawn.append(True))
    view = (17.2, -32.0, 18.2, -31.0)
    data = request_view(figure, view).data
    assert redrawn == [True]
    assert (data["x"][0], data["y"][0], data["dw"][0], data["dh"][0]) == pytest.approx((17.2, -32, 1, 1))
    assert data["stamp"] == [1]
    _, tiles = picture.pyramid.draw(view, 100, 100)
    assert 1 <= tiles <= 4
    # The element in the middle has the value of the pixel that lies there.
    image = data["image"][0]
    x = 17.2 + (np.arange(image.shape[1]) + 0.5) / image.shape[1]
    y = -32.0 + (np.arange(image.shape[0]) + 0.5) / image.shape[0]
    row, column = image.shape[0] // 2, int(np.abs(x - 17.7).argmin())
    line = round((-30 - y[row]) / 0.04)
    pixel = round((x[column] - 17 - 0.01 * line) / 0.04)
    assert image[row, column] == pytest.approx(0.2 * np.sin(line / 30) + 0.001 * pixel, abs=0.007)


def test_a_view_that_is_none_changes_nothing() -> None:
    figure = plot(one_pass()).figure()
    before = figure.renderers[1].data_source.data["dw"][0]
    for view in ((3.0, 0.0, 3.0, 1.0), (float("nan"), 0.0, 1.0, 1.0), (2.0, 0.0, 1.0, 1.0)):
        assert request_view(figure, view).data["dw"][0] == before


def test_each_display_is_a_figure_of_its_own() -> None:
    picture = plot(one_pass())
    assert picture.figure() is not picture.figure()
    pane = picture.panel()
    first = pane.object
    image = request_view(first, (17.2, -32.0, 18.2, -31.0))
    assert image.data["stamp"] == [1]


def test_a_static_figure_is_of_matplotlib(tmp_path: Path) -> None:
    figure = plot(one_pass(), interactive=False)
    assert isinstance(figure, matplotlib.figure.Figure)
    figure.savefig(tmp_path / "pass.png")
    axes, bar = figure.axes
    assert axes.get_title(loc="left").startswith("L2 LR SSH - Basic SSH")
    assert bar.get_ylabel() == "sea surface height anomaly [m]"
    pixels = matplotlib.image.imread(tmp_path / "pass.png")
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) > 100


def test_a_picture_is_saved_without_the_internet(tmp_path: Path) -> None:
    picture = plot(one_pass(), width=300, height=300)
    page = picture.save(tmp_path / "pass.html").read_text(encoding="utf-8")
    assert not re.search(r"<script[^>]*src=|<link[^>]*href=", page)
    assert picture.save(tmp_path / "pass.png").stat().st_size > 5000
    with pytest.raises(ParameterValueError, match=r"html or \.png"):
        picture.save(tmp_path / "pass.tif")


@pytest.mark.parametrize("value", [np.nan, None])
def test_a_pass_without_data_is_an_empty_picture(value: float | None) -> None:
    dataset = one_pass()
    dataset = (
        dataset.isel(num_lines=slice(0, 0))
        if value is None
        else dataset.assign(ssha_karin_2=dataset["ssha_karin_2"] * value)
    )
    picture = plot(dataset, "ssha_karin_2")
    assert np.isnan(picture.draw()["image"]["image"][0]).all()
    assert picture.look.view[2] - picture.look.view[0] == pytest.approx(360)
    plot(dataset, "ssha_karin_2", interactive=False)


def test_passes_along_a_dimension_and_passes_one_below_the_other_are_the_same_picture() -> None:
    side_by_side = stacked("pass_number")
    parts = [side_by_side.isel(pass_number=k, drop=True) for k in range(3)]
    below = xarray.concat(parts, "num_lines", coords="minimal", data_vars="minimal", compat="override", join="override")
    below = below.assign_coords(pass_number=("num_lines", np.repeat([4, 5, 6], 300)))
    pictures = [plot(dataset, "ssha_karin_2", width=300, height=300) for dataset in (side_by_side, below)]
    images = [picture.draw()["image"]["image"][0] for picture in pictures]
    np.testing.assert_array_equal(*images)
    assert "passes 4, 5, 6" in pictures[0].look.title.replace("\n", ", ")


def test_several_cycles_are_refused_in_words() -> None:
    with pytest.raises(SwathError, match=r"has 3 cycles \(4, 5, 6\).*dataset\.sel\(cycle_number=4\)"):
        plot(stacked("cycle_number"))
    plot(stacked("cycle_number").isel(cycle_number=[1]))


def test_an_unknown_variable_is_refused_with_the_next_best() -> None:
    with pytest.raises(UnknownVariableError, match="did you mean 'ssha_karin_2'"):
        plot(one_pass(), "ssha_karin2")
    with pytest.raises(SwathGeometryError, match="num_pixels"):
        plot(one_pass(), "quality_of_line")
    with pytest.raises(SwathError, match="nothing to draw"):
        plot(one_pass()[["quality_of_line"]])
    with pytest.raises(SwathError, match="expected numbers"):
        plot(one_pass().assign(when=(DIMS, np.zeros((300, 21), "datetime64[ns]"))), "when")


def test_too_many_pixels_are_refused_before_they_are_read() -> None:
    import dask.array

    lazy = dask.array.zeros((4_000_000, 69), chunks=(100_000, 69))
    dataset = xarray.Dataset({"ssha": (DIMS, lazy), "latitude": (DIMS, lazy), "longitude": (DIMS, lazy)})
    with pytest.raises(SwathError, match="276 million pixels"):
        plot(dataset)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"projecton": "north"}, UnknownParameterError, "did you mean 'projection'"),
        ({"projection": "nord"}, ParameterValueError, "did you mean 'north'"),
        ({"center": "west"}, ParameterValueError, "no longitude"),
        ({"limits": (1, 0)}, ParameterValueError, "two rising numbers"),
        ({"percentiles": (2, 120)}, ParameterValueError, "two rising numbers"),
        ({"cmap": "virdis"}, ParameterValueError, "did you mean 'viridis'"),
        ({"cmap": 3}, ParameterValueError, "list of colours"),
        ({"aggregate": "median"}, ParameterValueError, "mean, min, max"),
        ({"width": 0}, ParameterValueError, "number of pixels"),
        ({"bbox": (10, 20, 30)}, ParameterValueError, "bbox"),
        ({"bbox": (10, 20, 30, -20)}, ParameterValueError, "south"),
    ],
)
def test_wrong_options_are_refused_in_words(options, error, message: str) -> None:
    with pytest.raises(error, match=message):
        plot(one_pass(), **options)


def test_options_are_obeyed() -> None:
    picture = plot(
        one_pass(), "ssha_karin_2", limits=(-1, 2), cmap=["#000000", "#ffffff"], width=400, height=200, title="Mine",
        coastline=False,
    )  # fmt: skip
    look = picture.look
    assert (look.limits, look.palette, look.width, look.height) == ((-1, 2), ["#000000", "#ffffff"], 400, 200)
    assert look.title == "Mine"
    assert set(picture.draw()) == {"image"}


def test_a_box_across_the_antimeridian_is_shown_in_one_piece() -> None:
    picture = plot(one_pass(longitude=178.0), bbox=(175, -45, -170, -28))
    west, _, east, _ = picture.look.view
    assert 150 < west < 175
    assert 190 < east < 210
    image = picture.draw()["image"]["image"][0]
    columns = np.flatnonzero(np.isfinite(image).any(axis=0))
    assert np.diff(columns).max() < 10


@pytest.mark.parametrize(("projection", "sign"), [("north", 1), ("south", -1)])
def test_polar_maps_are_drawn_in_both_ways(projection: str, sign: int) -> None:
    dataset = one_pass(lines=1200)
    dataset = dataset.assign_coords(latitude=sign * (100 + 0.8 * dataset["latitude"]))
    picture = plot(dataset, projection=projection, center=30.0)
    assert np.isfinite(picture.draw()["image"]["image"][0]).any()
    assert not picture.figure().xaxis[0].visible
    plot(dataset, projection=projection, interactive=False, bbox=(0, sign * 70 - 5, 40, sign * 70 + 5))


def test_flags_are_not_averaged_and_stay_exact() -> None:
    dataset = one_pass()
    flag = dataset["ssha_karin_2_qual"]
    dataset["ssha_karin_2_qual"] = (flag + np.uint32(2**31)).assign_attrs(flag.attrs)
    drawing = read_drawing(dataset, "ssha_karin_2_qual")
    assert drawing.is_flag
    image = plot(dataset, "ssha_karin_2_qual", width=60, height=60).draw()["image"]["image"][0]
    assert set(np.unique(image[np.isfinite(image)])) <= {2.0**31, 2.0**31 + 1, 2.0**31 + 2}


def test_the_mean_of_cycles_is_of_no_time() -> None:
    mean = one_pass()
    del mean.attrs["cycle_number"]
    assert plot(mean).look.title == "L2 LR SSH - Basic SSH, pass 14"


def test_data_beside_the_map_leave_it_whole() -> None:
    picture = plot(one_pass(), "ssha_karin_2", projection="south")
    west, south, east, north = picture.pyramid.projection.limits
    assert picture.look.view == pytest.approx((west, south, east, north))


@pytest.mark.parametrize(
    ("factor", "method"), [(1.0, "toFixed(5)"), (1e4, "toFixed(1)"), (1e8, "toFixed(0)"), (1e-5, "toExponential(4)")]
)
def test_the_pointer_shows_as_many_digits_as_the_colours_tell_apart(factor: float, method: str) -> None:
    dataset = one_pass()
    dataset["ssha_karin_2"].data *= factor
    formatter = plot(dataset).figure().hover[0].formatters["@image"]
    assert formatter.code == f'return value.{method} + " m"'


def test_heights_over_land_do_not_take_the_colours() -> None:
    dataset = one_pass()
    dataset["ssha_karin_2"][100:120] = 800.0
    low, high = plot(dataset).look.limits
    assert high < 2
    assert plot(dataset, limits=(0, 900)).look.limits == (0, 900)
    assert low < high


def test_the_accessor_draws_the_same() -> None:
    import swotvre_catalogs.swath.accessor  # noqa: F401

    picture = one_pass().swot.plot("ssha_karin_2")
    assert isinstance(picture, SwathPicture)
