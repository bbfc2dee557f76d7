"""A swath on a map in five levels of detail: made once, drawn again for every zoom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.swath.plot_projection import Bounds, Floats, Projection
from swotvre_catalogs.swath.plot_raster import (
    CLOSE,
    LEVELS,
    MAX,
    MEAN,
    MIN,
    MOST_PARTS,
    TILE_LINES,
    draw_points,
    draw_run,
    halve,
    measure_tiles,
)

#: How pixels that share a picture element become one value.
AGGREGATES = {"mean": MEAN, "min": MIN, "max": MAX}
#: A line further away than this many typical distances is no neighbour: a gap is not filled.
GAP = 1.8
_THREADS = 4


@dataclass(frozen=True)
class Lines:
    """Pixels in degrees, all passes one below the other."""

    #: Shape (lines, pixels); both NaN where a pixel has no place.
    longitude: Floats
    latitude: Floats
    value: Floats
    #: Whether a line is the neighbour of the one before, shape (lines,).
    follows: npt.NDArray[np.bool_]
    #: Lines of each tile that are there; they are neighbours.
    filled: npt.NDArray[np.int64]


def join_lines(longitude: Floats, latitude: Floats, value: Floats, segment: npt.NDArray[Any]) -> Lines:
    """Find which lines are neighbours, and give every run of neighbours a tile of its own.

    Args:
        longitude: degrees, shape (lines, pixels).
        latitude: degrees, same shape.
        value: same shape.
        segment: a number per line that changes from one pass to the next, shape (lines,).
    """
    distance = _distances(longitude, latitude)
    known = distance[np.isfinite(distance) & (distance > 0)]
    typical = np.median(known) if known.size else np.inf
    # NaN compares as false: a line without a place is nobody's neighbour.
    follows = np.r_[False, (distance <= GAP * typical) & (distance > 0) & (np.diff(segment) == 0)]
    starts = np.flatnonzero(~follows)
    lengths = np.diff(np.r_[starts, len(longitude)])
    rooms = -(-lengths // TILE_LINES) * TILE_LINES
    places = np.cumsum(rooms) - rooms
    shape = (int(rooms.sum()), longitude.shape[1])
    joined = np.zeros(shape[0], bool)
    kind = np.float64 if value.dtype.itemsize > 4 and value.dtype.kind in "iu" else np.float32
    target = [np.full(shape, np.nan, dtype) for dtype in (np.float32, np.float32, kind)]

    def place(run: int) -> None:
        source = slice(starts[run], starts[run] + lengths[run])
        to = slice(places[run], places[run] + lengths[run])
        joined[to] = follows[source]
        for array, part in zip(target, (longitude, latitude, value), strict=True):
            array[to] = part[source]
        lost = np.isnan(target[0][to]) | np.isnan(target[1][to])
        if lost.any():
            target[0][to][lost] = target[1][to][lost] = np.nan

    _in_threads(place, len(starts))
    tiles = np.arange(shape[0] // TILE_LINES)
    run = np.searchsorted(places, tiles * TILE_LINES, side="right") - 1
    filled = np.minimum(lengths[run] - (tiles * TILE_LINES - places[run]), TILE_LINES)
    return Lines(target[0], target[1], target[2], joined, filled)


def _distances(longitude: Floats, latitude: Floats) -> Floats:
    """Return how far each line is from the one before, in radians; NaN where one of them has no place."""
    best = np.full(max(len(longitude) - 1, 0), np.nan)
    for column in sorted({longitude.shape[1] // 2, 0, longitude.shape[1] - 1}):
        lon, lat = (np.radians(part[:, column], dtype=float) for part in (longitude, latitude))
        chord = np.sin(np.diff(lat) / 2) ** 2 + np.cos(lat[1:]) * np.cos(lat[:-1]) * np.sin(np.diff(lon) / 2) ** 2
        best = np.where(np.isnan(best), 2 * np.arcsin(np.sqrt(np.minimum(chord, 1))), best)
    return best


def _in_threads(function: Any, number: int) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(function, range(number)):
            pass


class SwathPyramid:
    """A swath in the coordinates of a projection, ready to be drawn for any view.

    A view touches the tiles (32 lines) that meet it, each at the coarsest level whose pixels are closer than a
    picture element: drawing takes as long as the picture is large, not as the data are.
    """

    def __init__(self, lines: Lines, projection: Projection, aggregate: str = "mean") -> None:
        self.projection = projection
        self.how = AGGREGATES[aggregate]
        self._period = float(projection.period or np.inf)
        self._follows = lines.follows
        self._filled = lines.filled
        height, pixels = lines.value.shape
        tiles = -(-height // TILE_LINES)
        self._bounds, self._steps = np.empty((tiles, 4)), np.empty((tiles, 4))
        shapes = [(-(-height // 2**level), -(-pixels // 2**level)) for level in range(LEVELS)]
        ends = np.cumsum([rows * columns for rows, columns in shapes])
        #: Where each level begins in the flat arrays, and its pixels per line.
        self._layout = np.array([(end - rows * width, width) for end, (rows, width) in zip(ends, shapes, strict=True)])
        self._x, self._y = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.float32)
        self._value = np.empty(ends[-1], lines.value.dtype)
        self._weight = np.empty(ends[-1] - ends[0], np.uint16)
        # Parts of whole tiles, so that no part needs another one's coarse pixels.
        share = max(64, -(-tiles // (4 * _THREADS))) * TILE_LINES
        parts = [slice(start, min(start + share, height)) for start in range(0, height, share)]
        _in_threads(lambda part: self._place(lines, parts[part]), len(parts))
        _in_threads(lambda part: self._reduce(parts[part]), len(parts))

    def _level(self, level: int, part: slice) -> tuple[Floats, Floats, Floats, npt.NDArray[np.uint16]]:
        """Return x, y, value, weight of the lines that a part of the finest level has in another one."""
        begin, width = self._layout[level]
        lines = slice(part.start >> level, -(-part.stop // 2**level))
        flat = slice(begin + lines.start * width, begin + lines.stop * width)
        shape = (lines.stop - lines.start, width)
        x, y, value = (array[flat].reshape(shape) for array in (self._x, self._y, self._value))
        if level == 0:
            return x, y, value, np.empty((0, 0), np.uint16)
        before = self._layout[1, 0]
        return x, y, value, self._weight[flat.start - before : flat.stop - before].reshape(shape)

    def _place(self, lines: Lines, part: slice) -> None:
        for start in range(part.start, part.stop, 512):
            some = slice(start, min(start + 512, part.stop))
            x, y, value, _ = self._level(0, some)
            x[:], y[:] = self.projection.forward(lines.longitude[some], lines.latitude[some])
            value[:] = lines.value[some]

    def _reduce(self, part: slice) -> None:
        tiles = slice(part.start // TILE_LINES, -(-part.stop // TILE_LINES))
        finest = self._level(0, part)
        measure_tiles(*finest[:2], self._follows[part], self._period, self._bounds[tiles], self._steps[tiles])
        for level in range(1, LEVELS):
            halve(*self._level(level - 1, part), self.how, self._period, *self._level(level, part))

    @property
    def bounds(self) -> Bounds | None:
        """Smallest and largest x and y of the pixels with a value: west, south, east, north; None without any."""
        begin = self._layout[LEVELS - 1, 0]
        known = self._weight[begin - self._layout[1, 0] :] > 0
        if not known.any():
            return None
        x, y = self._x[begin:][known], self._y[begin:][known]
        return (float(x.min()), float(y.min()), float(x.max()), float(y.max()))

    def sample(self) -> Floats:
        """Return values evenly from everywhere, at most some 100,000: for the limits of the colours."""
        value = self._level(0, slice(0, len(self._follows)))[2]
        step = max(1, value.shape[0] // 8192)
        some = value[::step, :: max(1, value.shape[1] // 12)]
        found: Floats = some[np.isfinite(some)]
        if found.size < 1000:
            found = value[np.isfinite(value)]
        return found

    def draw(self, bounds: Bounds, columns: int, rows: int) -> tuple[Floats, int]:
        """Return the picture of a part of the map.

        Args:
            bounds: west, south, east, north edge of the picture in the coordinates of the projection.
            columns: picture elements from west to east.
            rows: picture elements from south to north.

        Returns:
            Values, float32, shape (rows, columns), the first row is the southern one, NaN where there are no data;
            and the number of tiles that were looked into.
        """
        west, south, east, north = bounds
        image, count = np.zeros((rows, columns)), np.zeros((rows, columns))
        scale_x, scale_y = columns / (east - west), rows / (north - south)
        view = (float(west), float(south), scale_x, scale_y)
        across, along = (np.hypot(self._steps[:, k] * scale_x, self._steps[:, k + 1] * scale_y) / CLOSE for k in (0, 2))
        size = np.maximum(across, along)
        level = np.clip(-np.ceil(np.log2(np.maximum(size, 1e-9))), 0, LEVELS - 1).astype(int)
        drawn = 0
        for turn in (-1, 0, 1) if self.projection.period else (0,):
            seen = self._seen(bounds, turn)
            drawn += len(seen)
            for tile in seen[size[seen] > 1]:
                parts = [int(np.clip(np.ceil(size_), 1, MOST_PARTS)) for size_ in (along[tile], across[tile])]
                self._draw_cells(tile, turn, parts, view, image, count)
            far = seen[size[seen] <= 1]
            # Tiles one behind the other at the same level are drawn as one.
            for run in np.split(far, np.flatnonzero((np.diff(far) != 1) | (np.diff(level[far]) != 0)) + 1):
                if len(run):
                    self._draw_points(
                        slice(run[0] * TILE_LINES, (run[-1] + 1) * TILE_LINES), level[run[0]], view, image, count
                    )
        empty = count == 0
        if self.how == MEAN:
            np.divide(image, count, out=image, where=~empty)
        image[empty] = np.nan
        return image.astype(self._value.dtype), drawn

    def _seen(self, bounds: Bounds, turn: int) -> npt.NDArray[np.int64]:
        """Return the tiles that meet a picture when the map is moved by whole periods."""
        west, south, east, north = bounds
        margin_x = np.maximum(self._steps[:, 0], self._steps[:, 2])
        margin_y = np.maximum(self._steps[:, 1], self._steps[:, 3])
        shift = turn * self.projection.period
        # NaN, a tile without any place, compares as false.
        return np.flatnonzero(
            (self._bounds[:, 0] + shift - margin_x <= east)
            & (self._bounds[:, 2] + shift + margin_x >= west)
            & (self._bounds[:, 1] - margin_y <= north)
            & (self._bounds[:, 3] + margin_y >= south)
        )

    def _draw_cells(self, tile: int, turn: int, parts: Any, view: Any, image: Floats, count: Floats) -> None:
        width = int(self._layout[0, 1])
        first, lines = tile * TILE_LINES, int(self._filled[tile])
        after = first + lines
        ring = (bool(self._follows[first]), after < len(self._follows) and bool(self._follows[after]))
        middle = float(self._bounds[tile, 0] + self._bounds[tile, 2]) / 2 + turn * self.projection.period
        centre = np.empty((2, lines + 2, width + 2))
        draw_run(
            self._x, self._y, self._value, self._weight, ring, tuple(parts),
            (int(first * width), lines, width, int(self._layout[1, 0])), (*view, middle, self._period), self.how,
            image, count, centre,
        )  # fmt: skip

    def _draw_points(self, lines: slice, level: int, view: Any, image: Floats, count: Floats) -> None:
        begin, width = self._layout[level]
        after = min(lines.stop, len(self._follows))
        place = (begin + (lines.start >> level) * width, begin + -(-after // 2**level) * width, self._layout[1, 0])
        draw_points(
            self._x, self._y, self._value, self._weight, tuple(int(k) for k in place), (*view, self._period), self.how,
            image, count,
        )  # fmt: skip
