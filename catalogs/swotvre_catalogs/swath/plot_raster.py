"""Pixels of a swath to picture elements: compiled loops over tiles of 32 lines.

Every cell spreads its weight evenly over its area; a picture element has the mean (or smallest, or largest) of what
falls into it. So a picture from afar averages, a picture from near shows cells, and nothing is drawn without data.

The functions are few and flat on purpose: numba compiles what is called once more inside of each caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

#: Lines of a tile: what is looked at, or not, as a whole.
TILE_LINES = 32
#: Each level has half the lines and half the pixels of the one before.
LEVELS = 5
MEAN, MIN, MAX = 0, 1, 2
#: Points closer than this, in picture elements, leave no hole: half the diagonal of their square is 0.5.
CLOSE = 0.7
#: A cell wider than this part of a map that repeats holds a pole; it is drawn as a point.
_WIDEST = 0.1
#: Parts of a cell in one direction; it could fill a screen.
MOST_PARTS = 4096
#: Cells are measured on every fourth line.
_MEASURED = 4


def _compiled[F: Callable[..., Any]](function: F) -> F:
    """Return the function as machine code; numba keeps it for the next session where it can write."""
    try:
        made: F = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder can be written
        made = njit(nogil=True, error_model="numpy")(function)
    return made


@_compiled
def measure_tiles(x: Any, y: Any, follows: Any, period: Any, bounds: Any, steps: Any) -> None:
    """Fill in where the tiles lie and how large their cells are.

    Args:
        x: shape (lines, pixels), float32; both NaN where a pixel is not on the map.
        y: likewise.
        follows: whether a line is the neighbour of the one before, shape (lines,).
        period: of x, or infinity.
        bounds: smallest x, y, largest x, y, shape (tiles, 4); NaN without any place. x is not wrapped within a tile.
        steps: largest difference in x and y to the next pixel and to the next line, shape (tiles, 4).
    """
    half = np.float32(0.5 * period)
    period = np.float32(period)
    for tile in range(bounds.shape[0]):
        first, last = tile * TILE_LINES, min((tile + 1) * TILE_LINES, x.shape[0])
        west = south = across_x = across_y = along_x = along_y = np.float32(np.inf)
        east = north = reference = -west
        across_x = across_y = along_x = along_y = np.float32(0.0)
        for i in range(first, last):
            measured = (i - first) % _MEASURED == 0
            for j in range(x.shape[1]):
                place = x[i, j]
                if not np.isfinite(place):
                    continue
                if reference < -1e30:
                    reference = place
                if place - reference > half:
                    place -= period
                elif reference - place > half:
                    place += period
                west, east = min(west, place), max(east, place)
                south, north = min(south, y[i, j]), max(north, y[i, j])
                if not measured:
                    continue
                if j > 0:
                    step = abs(x[i, j] - x[i, j - 1])
                    across_x = max(across_x, min(step, abs(period - step)))
                    across_y = max(across_y, abs(y[i, j] - y[i, j - 1]))
                if i + 1 < last and follows[i + 1]:
                    step = abs(x[i, j] - x[i + 1, j])
                    along_x = max(along_x, min(step, abs(period - step)))
                    along_y = max(along_y, abs(y[i, j] - y[i + 1, j]))
        if west > east:
            west = south = east = north = np.float32(np.nan)
        bounds[tile, 0], bounds[tile, 1], bounds[tile, 2], bounds[tile, 3] = west, south, east, north
        steps[tile, 0], steps[tile, 1], steps[tile, 2], steps[tile, 3] = across_x, across_y, along_x, along_y


@_compiled
def halve(
    x: Any, y: Any, value: Any, weight: Any, how: Any, period: Any,
    to_x: Any, to_y: Any, to_value: Any, to_weight: Any,
) -> None:  # fmt: skip
    """Fill the next level: four pixels become one, at the mean place of those that have a value.

    Args:
        x: shape (lines, pixels).
        y: likewise.
        value: likewise.
        weight: number of original pixels in each; shape (lines, pixels), or (0, 0) for one each.
        how: MEAN, MIN or MAX.
        period: of x, or infinity.
        to_x: the arrays to fill.
        to_y: likewise.
        to_value: likewise.
        to_weight: likewise.
    """
    lines, pixels = x.shape
    half = 0.5 * period
    for block in range(to_x.shape[0]):
        for across in range(to_x.shape[1]):
            sum_x = sum_y = result = total = reference = 0.0
            for i in range(2 * block, min(2 * block + 2, lines)):
                for j in range(2 * across, min(2 * across + 2, pixels)):
                    found, place = float(value[i, j]), float(x[i, j])
                    if not np.isfinite(found + place):
                        continue
                    share = 1.0
                    if weight.size > 0:
                        share = float(weight[i, j])
                    if total == 0.0:
                        reference = place
                        if how != MEAN:
                            result = found
                    if place - reference > half:
                        place -= period
                    elif reference - place > half:
                        place += period
                    sum_x += share * place
                    sum_y += share * y[i, j]
                    total += share
                    if how == MEAN:
                        result += share * found
                    elif how == MIN:
                        result = min(result, found)
                    else:
                        result = max(result, found)
            to_weight[block, across] = total
            if total == 0.0:
                sum_x = sum_y = result = total = np.nan
            to_x[block, across] = sum_x / total
            to_y[block, across] = sum_y / total
            if how == MEAN:
                result /= total
            to_value[block, across] = result


@_compiled
def _place_centres(x: Any, start: Any, middle: Any, period: Any, pixels: Any, lines: Any, ring: Any, to: Any) -> None:
    """Fill in one coordinate of the centres of neighbouring lines and of the ring of cells around them.

    Args:
        x: of all pixels of the level, flat.
        start: the first one of the lines.
        middle: x near which the lines are to be.
        period: of x, infinity where it does not repeat.
        pixels: of a line.
        lines: how many.
        ring: whether there is a neighbour before the lines, and after them.
        to: shape (lines + 2, pixels + 2) or more lines.
    """
    for row in range(lines + 2):
        known = (row > 0 or ring[0]) and (row <= lines or ring[1])
        for j in range(pixels + 2):
            place = np.nan
            if known and j > 0 and j <= pixels:
                place = float(x[start + (row - 1) * pixels + j - 1])
                if np.isfinite(period):
                    place -= period * np.floor((place - middle) / period + 0.5)
            to[row, j] = place
        # Where a neighbour is missing, cells go on as they do on the other side.
        for j in range(pixels - 1, -1, -1):
            if np.isnan(to[row, j]):
                to[row, j] = 2.0 * to[row, j + 1] - to[row, j + 2]
        for j in range(2, pixels + 2):
            if np.isnan(to[row, j]):
                to[row, j] = 2.0 * to[row, j - 1] - to[row, j - 2]
    for j in range(pixels + 2):
        if (lines > 1 or ring[1]) and np.isnan(to[0, j]):
            to[0, j] = 2.0 * to[1, j] - to[2, j]
        if (lines > 1 or ring[0]) and np.isnan(to[lines + 1, j]):
            to[lines + 1, j] = 2.0 * to[lines, j] - to[lines - 1, j]


@_compiled
def _put(found: float, share: float, row: int, column: int, how: Any, image: Any, count: Any) -> None:
    if how == MEAN:
        image[row, column] += share * found
    elif count[row, column] == 0.0:
        image[row, column] = found
    elif how == MIN:
        image[row, column] = min(image[row, column], found)
    else:
        image[row, column] = max(image[row, column], found)
    count[row, column] += share


@_compiled
def draw_run(
    x: Any, y: Any, value: Any, weight: Any, ring: Any, parts: Any, place: Any, view: Any, how: Any,
    image: Any, count: Any, centre: Any,
) -> None:  # fmt: skip
    """Add a run of neighbouring lines of one level to the picture.

    Args:
        x: of all pixels of all levels, flat.
        y: likewise.
        value: likewise.
        weight: of the pixels, flat; of those before ``place[3]`` it is 1.
        ring: whether there is a neighbour before the run, and after it.
        parts: of a cell along and across, so small that no picture element is missed; (1, 1) draws a point.
        place: first pixel of the run, lines, pixels of a line, first pixel that has a weight.
        view: x and y of the corner of the first picture element, picture elements per unit of x and y, x near which
            the run is to be drawn, period of x.
        how: MEAN, MIN or MAX.
        image: the picture so far, shape (rows, columns).
        count: likewise.
        centre: room for x and y of lines + 2 and pixels + 2.
    """
    start, lines, pixels, weighted = place
    left, bottom, scale_x, scale_y, middle, period = view
    rows, columns = image.shape
    _place_centres(x, start, middle, period, pixels, lines, ring, centre[0])
    _place_centres(y, start, 0.0, np.inf, pixels, lines, ring, centre[1])
    for row in range(1, lines + 1):
        for column in range(1, pixels + 1):
            k = start + (row - 1) * pixels + column - 1
            found = float(value[k])
            if np.isnan(found) or np.isnan(x[k]):
                continue
            # Three by three centres; a cell reaches half-way to each.
            low_x = high_x = (centre[0, row, column] - left) * scale_x
            low_y = high_y = (centre[1, row, column] - bottom) * scale_y
            along, across = parts
            if along * across > 1:
                missing = False
                for i in range(-1, 2):
                    for j in range(-1, 2):
                        at_x = 0.5 * (centre[0, row + i, column + j] + centre[0, row, column])
                        at_y = 0.5 * (centre[1, row + i, column + j] + centre[1, row, column])
                        missing |= np.isnan(at_x + at_y)
                        low_x, high_x = min(low_x, (at_x - left) * scale_x), max(high_x, (at_x - left) * scale_x)
                        low_y, high_y = min(low_y, (at_y - bottom) * scale_y), max(high_y, (at_y - bottom) * scale_y)
                if missing or high_x - low_x > _WIDEST * period * scale_x:
                    along = across = 1
            if high_x < 0.0 or high_y < 0.0 or low_x >= columns or low_y >= rows:
                continue
            share = 1.0 / (along * across)
            if k >= weighted:
                share *= weight[k - weighted]
            for part in range(along):
                up = (part + 0.5) / along - 0.5
                i = row + (1 if up > 0.0 else -1)
                up = abs(up)
                near_x = (
                    (1.0 - up) * centre[0, row, column] + up * centre[0, i, column] if up else centre[0, row, column]
                )
                near_y = (
                    (1.0 - up) * centre[1, row, column] + up * centre[1, i, column] if up else centre[1, row, column]
                )
                for side in range(across):
                    right = (side + 0.5) / across - 0.5
                    j = column + (1 if right > 0.0 else -1)
                    right = abs(right)
                    at_x, at_y = near_x, near_y
                    if right:
                        far_x, far_y = centre[0, row, j], centre[1, row, j]
                        if up:
                            far_x = (1.0 - up) * far_x + up * centre[0, i, j]
                            far_y = (1.0 - up) * far_y + up * centre[1, i, j]
                        at_x, at_y = (1.0 - right) * near_x + right * far_x, (1.0 - right) * near_y + right * far_y
                    at_x, at_y = (at_x - left) * scale_x, (at_y - bottom) * scale_y
                    if not (at_x >= 0.0 and at_y >= 0.0 and at_x < columns and at_y < rows):
                        continue
                    _put(found, share, int(at_y), int(at_x), how, image, count)


@_compiled
def draw_points(
    x: Any, y: Any, value: Any, weight: Any, place: Any, view: Any, how: Any, image: Any, count: Any
) -> None:
    """Add pixels of one level to the picture, each where it lies.

    Args:
        x: as those of ``draw_run``.
        y: likewise.
        value: likewise.
        weight: likewise.
        how: likewise.
        image: likewise.
        count: likewise.
        place: first pixel, the one after the last, first pixel that has a weight.
        view: x and y of the corner of the first picture element, picture elements per unit of x and y, period of x.
    """
    start, stop, weighted = place
    left, bottom, scale_x, scale_y, period = view
    rows, columns = image.shape
    for k in range(start, stop):
        found, at_x = float(value[k]), float(x[k])
        if not np.isfinite(found + at_x):
            continue
        if np.isfinite(period):
            at_x -= period * np.floor((at_x - left) / period)
        at_x, at_y = (at_x - left) * scale_x, (y[k] - bottom) * scale_y
        if not (at_x >= 0.0 and at_y >= 0.0 and at_x < columns and at_y < rows):
            continue
        share = 1.0
        if k >= weighted:
            share = float(weight[k - weighted])
        _put(found, share, int(at_y), int(at_x), how, image, count)
