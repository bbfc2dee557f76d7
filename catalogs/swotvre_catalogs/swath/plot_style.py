"""How a picture looks: colours, their limits, its size and what it shows at first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from swotvre_catalogs.errors import ParameterValueError
from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.swath.plot_projection import Bounds, Floats, PlateCarree, Projection

#: The sea is darker than the middle of ``DIVERGING``: a height of zero can be told from no height.
OCEAN, LAND, COAST, GRID, INK = "#d9dcde", "#cfc7b3", "#6f6a60", "#b3bcc3", "#2b3238"
#: Colours of values around zero, and of others.
DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"
#: Largest and smallest frame of a picture that is not given a size, in pixels.
LARGEST, SMALLEST = (740, 560), (360, 300)
#: The narrowest view, in degrees: one pixel of 2 km fills the screen.
NARROWEST_DEGREES = 0.01
#: Distances between the quartiles, from the quartiles to the farthest limits of the colours.
FENCE = 3.0


@dataclass(frozen=True)
class Look:
    """What a picture needs besides its values."""

    palette: list[str]
    limits: tuple[float, float]
    label: str
    #: Of the values, empty where they have none.
    unit: str
    title: str
    #: Width and height of the frame in pixels.
    width: int
    height: int
    #: What is shown at first.
    view: Bounds
    coastline: bool


def make_limits(limits: Any, percentiles: Any, sample: Floats, palette_name: str) -> tuple[float, float]:
    """Return the values of the first and the last colour.

    Args:
        limits: (low, high), or None for percentiles of the data.
        percentiles: (low, high), 0 to 100.
        sample: values of the data.
        palette_name: zero is in the middle of diverging colours.

    Raises:
        ParameterValueError: For limits or percentiles that are not two rising numbers.
    """
    if limits is not None:
        return _pair("limits", limits, (-np.inf, np.inf))
    low, high = _pair("percentiles", percentiles, (0.0, 100.0))
    if sample.size == 0:
        return (0.0, 1.0)
    first, quarter, three_quarters, last = (float(v) for v in np.percentile(sample, (low, 25, 75, high)))
    # What lies far out, such as heights over land, does not take the colours from the sea (Tukey's outer fences).
    if three_quarters > quarter:
        first = max(first, quarter - FENCE * (three_quarters - quarter))
        last = min(last, three_quarters + FENCE * (three_quarters - quarter))
    if palette_name == DIVERGING:
        last = max(abs(first), abs(last))
        first = -last
    if first == last:
        return (first - 0.5, first + 0.5)
    return (first, last)


def choose_palette(sample: Floats) -> str:
    """Return the name of the colours: diverging for values on both sides of zero."""
    if sample.size == 0:
        return SEQUENTIAL
    low, middle, high = np.percentile(sample, (2, 50, 98))
    return DIVERGING if low < 0 < high and abs(middle) < 0.25 * (high - low) else SEQUENTIAL


def make_palette(cmap: Any) -> list[str]:
    """Return 256 colours such as ``#2b3238``.

    Args:
        cmap: a name that matplotlib knows, or a list of colours.

    Raises:
        ParameterValueError: If the name is unknown.
    """
    if not isinstance(cmap, str):
        if not isinstance(cmap, list | tuple) or not all(isinstance(colour, str) for colour in cmap) or not cmap:
            raise ParameterValueError(f"cmap must be a name or a list of colours, received {cmap!r:.200}")
        return list(cmap)
    if cmap == SEQUENTIAL:
        from bokeh.palettes import Viridis256

        return list(Viridis256)
    if cmap == DIVERGING:
        from bokeh.palettes import RdBu11, interp_palette

        return list(interp_palette(RdBu11, 256))
    import matplotlib
    from matplotlib.colors import to_hex

    if cmap not in matplotlib.colormaps:
        raise ParameterValueError(
            f"cmap={cmap!r} is unknown{near_miss(cmap, matplotlib.colormaps)}; expected a name of matplotlib"
        )
    return [to_hex(colour) for colour in matplotlib.colormaps[cmap].resampled(256)(np.arange(256))]


def make_frame(
    projection: Projection, shown: Bounds | None, width: int | None, height: int | None
) -> tuple[int, int, Bounds]:
    """Return width and height of the frame in pixels, and the view that fills it without distortion.

    Args:
        projection: of the picture.
        shown: what has to be in the picture; None, or what is not on the map, for the whole map.
        width: of the frame, or None for what suits.
        height: likewise.
    """
    for name, size in (("width", width), ("height", height)):
        if size is not None and not (isinstance(size, int) and 50 <= size <= 4000):
            raise ParameterValueError(f"{name} must be a number of pixels from 50 to 4000, received {size!r}")
    left, bottom, right, top = projection.limits
    if shown is None or shown[2] < left or shown[0] > right or shown[3] < bottom or shown[1] > top:
        shown = projection.limits
    west, south, east, north = shown
    narrowest = 10 * NARROWEST_DEGREES / projection.unit_degrees
    middle_x, middle_y = (west + east) / 2, (south + north) / 2
    wide, high = max(1.06 * (east - west), narrowest), max(1.06 * (north - south), narrowest)
    # Away from the equator a degree of longitude is shorter.
    stretch = 1.0
    if isinstance(projection, PlateCarree) and north - south < 60:
        stretch = 1 / max(np.cos(np.radians(middle_y)), 0.2)
    wide, high = min(wide, right - left), min(high, top - bottom)
    scale = min((width or LARGEST[0]) / wide, (height or LARGEST[1]) / (high * stretch))
    columns = width or int(max(SMALLEST[0], round(wide * scale)))
    rows = height or int(max(SMALLEST[1], round(high * stretch * scale)))
    return columns, rows, _within((middle_x, middle_y), (columns / scale, rows / scale / stretch), projection.limits)


def _within(middle: tuple[float, float], size: tuple[float, float], limits: Bounds) -> Bounds:
    """Return bounds of that size, moved into the map as far as they fit."""
    edges = []
    for centre, length, low, high in zip(middle, size, limits[:2], limits[2:], strict=True):
        room = (high - low - length) / 2
        edges.append(min(max(centre, (low + high) / 2 - max(room, 0)), (low + high) / 2 + max(room, 0)) - length / 2)
    return (edges[0], edges[1], edges[0] + size[0], edges[1] + size[1])


def _pair(name: str, values: Any, allowed: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (allowed[0] <= low < high <= allowed[1]) or not np.isfinite(high - low):
        raise ParameterValueError(f"{name} must be two rising numbers such as (-0.5, 0.5), received {values!r:.200}")
    return low, high


def number_format(limits: tuple[float, float]) -> str:
    """Return the method of JavaScript that writes a value to a ten-thousandth of the span of the colours or finer."""
    decimals = 5 - math.ceil(math.log10(limits[1] - limits[0]))
    return f"toFixed({max(decimals, 0)})" if decimals <= 6 else "toExponential(4)"


def wrap_title(title: str, width: int) -> str:
    """Return a title in lines that fit a frame of that many pixels; it is broken after commas."""
    lines: list[str] = []
    for part in title.split(", "):
        if lines and len(lines[-1]) + len(part) < width // 6.5:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return "\n".join(lines)
