"""A swath as a figure of matplotlib: for files, and for notebooks without a running kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swotvre_catalogs.swath.coastline import land_in_view
from swotvre_catalogs.swath.plot_graticule import graticule, latitude_text, longitude_text
from swotvre_catalogs.swath.plot_projection import PlateCarree
from swotvre_catalogs.swath.plot_style import COAST, GRID, INK, LAND, OCEAN, Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from swotvre_catalogs.swath.plot_pyramid import SwathPyramid

_DOTS_PER_INCH = 100
#: Inches around the frame: left, bottom, right (with the colour bar), top.
_MARGINS = (0.65, 0.45, 1.15, 0.45)
#: Picture elements per pixel of the frame.
_FINENESS = 2


def draw_figure(pyramid: SwathPyramid, look: Look) -> Figure:
    """Return a picture of the view; it is not registered with pyplot, so nothing stays open."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    left, bottom, right, top = _MARGINS
    top += 0.2 * look.title.count("\n")
    wide, high = look.width / _DOTS_PER_INCH, look.height / _DOTS_PER_INCH
    size = (left + wide + right, bottom + high + top)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH)
    axes = figure.add_axes((left / size[0], bottom / size[1], wide / size[0], high / size[1]), facecolor=OCEAN)
    west, south, east, north = look.view
    if look.coastline:
        _draw_land(axes, pyramid, look)
    image, _ = pyramid.draw(look.view, _FINENESS * look.width, _FINENESS * look.height)
    low, high_value = look.limits
    drawn = axes.imshow(
        np.ma.masked_invalid(image),
        extent=(west, east, south, north),
        origin="lower",
        aspect="auto",
        cmap=ListedColormap(look.palette),
        vmin=low,
        vmax=high_value,
        interpolation="nearest",
        zorder=2,
    )
    _draw_grid(axes, pyramid, look)
    axes.set(xlim=(west, east), ylim=(south, north))
    axes.set_title(look.title, fontsize=10, color=INK, loc="left")
    for spine in axes.spines.values():
        spine.set_color(GRID)
    bar = figure.add_axes(((left + wide + 0.12) / size[0], bottom / size[1], 0.16 / size[0], high / size[1]))
    figure.colorbar(drawn, cax=bar, extend="neither").set_label(look.label, fontsize=9, color=INK)
    bar.tick_params(labelsize=8, colors=INK)
    bar.spines[:].set_visible(False)
    return figure


def _draw_land(axes: Any, pyramid: SwathPyramid, look: Look) -> None:
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.path import Path

    resolution = (look.view[3] - look.view[1]) / look.height * pyramid.projection.unit_degrees
    land = land_in_view(pyramid.projection, look.view, resolution)
    paths = [Path(ring, closed=True) for ring in _lines(land.rings)]
    axes.add_collection(PathCollection(paths, facecolor=LAND, edgecolor=LAND, linewidth=0.3, zorder=1), autolim=False)
    axes.add_collection(LineCollection(_lines(land.coast), colors=COAST, linewidths=0.6, zorder=3), autolim=False)


def _lines(vertices: Any) -> list[Any]:
    """Return the lines between the gaps."""
    gaps = np.flatnonzero(np.isnan(vertices[:, 0]))
    return [line[~np.isnan(line[:, 0])] for line in np.split(vertices, gaps) if len(line) > 2]


def _draw_grid(axes: Any, pyramid: SwathPyramid, look: Look) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if isinstance(pyramid.projection, PlateCarree):
        for axis, words, span in (
            (axes.xaxis, longitude_text, look.view[2] - look.view[0]),
            (axes.yaxis, latitude_text, look.view[3] - look.view[1]),
        ):
            steps = [1, 1.5, 3, 4.5, 6, 9, 10] if span > 45 else [1, 2, 5, 10]
            number = max(3, (look.width if axis is axes.xaxis else look.height) // 70)
            axis.set(major_locator=MaxNLocator(number, steps=steps), major_formatter=FuncFormatter(words))
        axes.grid(color=GRID, linewidth=0.4, alpha=0.6, zorder=1.5)
        axes.tick_params(labelsize=8, colors=INK, length=3)
        return
    axes.set(xticks=[], yticks=[])
    lines, texts = graticule(pyramid.projection, look.view)
    axes.add_collection(LineCollection(lines, colors=GRID, linewidths=0.5, zorder=1.5), autolim=False)
    for x, y, text in texts:
        axes.text(x, y, text, fontsize=7, color=INK, ha="center", va="center", zorder=4, clip_on=True)
