"""``ds.swot.plot()``: a swath as a picture that is drawn anew at every zoom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from swotvre_catalogs.errors import ParameterValueError, UnknownParameterError
from swotvre_catalogs.index.bbox import Box
from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.swath.plot_input import Drawing, choose_variable, read_drawing
from swotvre_catalogs.swath.plot_projection import PROJECTIONS, Bounds, Projection, make_projection
from swotvre_catalogs.swath.plot_style import Look, choose_palette, make_frame, make_limits, make_palette, wrap_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from swotvre_catalogs.swath.plot_picture import SwathPicture
    from swotvre_catalogs.swath.plot_pyramid import SwathPyramid

#: The options of ``plot`` and their defaults.
OPTIONS: dict[str, Any] = {
    "projection": "plate_carree",
    "center": None,
    "bbox": None,
    "limits": None,
    "percentiles": (2, 98),
    "cmap": None,
    "aggregate": None,
    "width": None,
    "height": None,
    "title": None,
    "coastline": True,
    "interactive": True,
}
AGGREGATES = ("mean", "min", "max")


def plot(dataset: xarray.Dataset, variable: str | None = None, **options: Any) -> SwathPicture | Figure:
    """Draw a variable of a swath: one pass, a day of passes, a selection.

    Picture elements show the mean of the pixels in them, weighted by area; zoomed in, each pixel is a cell. Pan and
    zoom draw what is in view anew, as long as the kernel runs.

    Args:
        dataset: with ``latitude`` and ``longitude`` on (num_lines, num_pixels), passes one below the other or along
            ``pass_number``; in memory or lazy.
        variable: name; None for the sea surface height anomaly, or whatever comes first.
        **options: ``projection``: "plate_carree", or polar stereographic from above, "north" and "south".
            ``center``: central longitude in degrees; 180 puts the antimeridian in the middle.
            ``bbox``: (west, south, east, north) in degrees that is shown at first.
            ``limits``: values of the first and the last colour; else ``percentiles`` of the data, (2, 98).
            ``cmap``: a name that matplotlib knows, or a list of colours.
            ``aggregate``: "mean", "min" or "max" of the pixels in a picture element; "max" for flags.
            ``width``, ``height``: of the frame in pixels. ``title``: instead of product, cycle, pass and time.
            ``coastline``: False leaves it out.
            ``interactive``: False gives a figure of matplotlib, for a file or a notebook without a kernel.

    Returns:
        A ``SwathPicture``, which a notebook shows, or a figure of matplotlib.

    Raises:
        UnknownVariableError: The dataset has no such variable.
        SwathError: The variable cannot be drawn, for example because it has several cycles.
        UnknownParameterError: There is no such option.
        ParameterValueError: An option has a value that it cannot have.
    """
    for name in options:
        if name not in OPTIONS:
            expected = ", ".join(OPTIONS)
            raise UnknownParameterError(f"plot has no option {name!r}; expected: {expected}{near_miss(name, OPTIONS)}")
    asked = OPTIONS | options
    _check(asked)
    choose_variable(dataset, variable)
    # Reading and the compiled loops leave the interpreter free; meanwhile the libraries of the picture are imported.
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(_prepare, dataset, variable, asked)
        if asked["interactive"]:
            from swotvre_catalogs.swath.plot_picture import SwathPicture
        else:
            from swotvre_catalogs.swath.plot_figure import draw_figure
        drawing, pyramid = made.result()
    look = _look(drawing, pyramid, asked)
    return SwathPicture(pyramid, look) if asked["interactive"] else draw_figure(pyramid, look)


def _check(asked: dict[str, Any]) -> None:
    """Refuse wrong options before anything is read."""
    make_projection(asked["projection"], asked["center"], np.empty(0))
    if asked["aggregate"] not in (None, *AGGREGATES):
        expected = ", ".join(AGGREGATES)
        raise ParameterValueError(f"aggregate={asked['aggregate']!r} is unknown; expected: {expected}")
    if asked["bbox"] is not None:
        Box.parse(asked["bbox"])
    if asked["cmap"] is not None:
        make_palette(asked["cmap"])
    make_limits(asked["limits"], asked["percentiles"], np.empty(0), "")
    make_frame(make_projection(PROJECTIONS[0], 0, np.empty(0)), None, asked["width"], asked["height"])


def _prepare(dataset: xarray.Dataset, variable: str | None, asked: dict[str, Any]) -> tuple[Drawing, SwathPyramid]:
    drawing = read_drawing(dataset, variable)
    from swotvre_catalogs.swath.plot_pyramid import SwathPyramid, join_lines

    some = max(1, len(drawing.longitude) // 5000)
    center = asked["center"]
    if center is None and asked["bbox"] is not None and asked["projection"] == "plate_carree":
        center = _middle(Box.parse(asked["bbox"]))
    projection = make_projection(asked["projection"], center, drawing.longitude[::some, ::8])
    lines = join_lines(drawing.longitude, drawing.latitude, drawing.value, drawing.segment)
    return drawing, SwathPyramid(lines, projection, asked["aggregate"] or ("max" if drawing.is_flag else "mean"))


def _middle(box: Box) -> float | None:
    """Return 180 for a box across the antimeridian, so that it is not cut."""
    return 180.0 if box.west > box.east else None


def _look(drawing: Drawing, pyramid: SwathPyramid, asked: dict[str, Any]) -> Look:
    sample = pyramid.sample()
    cmap = asked["cmap"] or choose_palette(sample)
    projection = pyramid.projection
    shown = pyramid.bounds if asked["bbox"] is None else _shown(projection, Box.parse(asked["bbox"]))
    width, height, view = make_frame(projection, shown, asked["width"], asked["height"])
    return Look(
        palette=make_palette(cmap),
        limits=make_limits(asked["limits"], asked["percentiles"], sample, cmap if isinstance(cmap, str) else ""),
        label=drawing.label,
        unit=drawing.unit,
        title=wrap_title(drawing.title if asked["title"] is None else str(asked["title"]), width),
        width=width,
        height=height,
        view=view,
        coastline=bool(asked["coastline"]),
    )


def _shown(projection: Projection, box: Box) -> Bounds:
    """Return the bounds of a box on the map; the whole map where the box is cut by its edge or not on it."""
    width = (box.east - box.west) % 360 or 360.0
    longitude = box.west + np.linspace(0, width, 65)
    x, y = (np.concatenate(part) for part in zip(
        *(projection.forward(longitude, np.full(65, latitude)) for latitude in (box.south, box.north)), strict=True
    ))  # fmt: skip
    if not np.isfinite(x).any() or (projection.period and np.nanmax(np.abs(np.diff(x[:65]))) > 180):
        return projection.limits
    left, bottom, right, top = projection.limits
    edges = np.nanmin(x), np.nanmin(y), np.nanmax(x), np.nanmax(y)
    return (max(edges[0], left), max(edges[1], bottom), min(edges[2], right), min(edges[3], top))
