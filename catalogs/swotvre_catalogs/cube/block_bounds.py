"""Where the blocks of lines of each pass lie, so that a region is found without reading positions."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.index.bbox import Box

#: Lines of a block.
BLOCK_LINES = 32

#: Bounds are widened by this: they are taken from some pixels of each line, and kept as float32.
_MARGIN_DEGREES = 0.05


def file_bounds(positions: tuple[NDArray[numpy.float64], NDArray[numpy.float64]]) -> NDArray[numpy.float32]:
    """Return the bounds of all blocks of a file, of its latitudes and longitudes; see ``block_bounds``."""
    latitude, longitude = positions
    return block_bounds(latitude, longitude, -(-len(latitude) // BLOCK_LINES))


def block_bounds(
    latitude: NDArray[numpy.float64], longitude: NDArray[numpy.float64], num_blocks: int
) -> NDArray[numpy.float32]:
    """Return south, north, west, east in degrees of each block of lines of a pass: float32 (num_blocks, 4).

    Args:
        latitude: Degrees, shape (num_lines, pixels), of the edges of the swath and some pixels between; NaN is
            passed over.
        longitude: Degrees in any convention, the same shape.
        num_blocks: Blocks of the result; those without a line are NaN.

    Longitudes of the result are -180 to 180; west > east goes across the antimeridian.
    """
    lat, lon = _in_blocks(latitude, num_blocks), _in_blocks(longitude, num_blocks)
    valid = numpy.isfinite(lat) & numpy.isfinite(lon)
    some = valid.any(axis=1)
    first = lon[numpy.arange(num_blocks), valid.argmax(axis=1)]
    # Within half a turn of the first; a remainder would take three times as long.
    apart = lon - first[:, None]
    apart -= 360 * numpy.rint(apart / 360)
    apart[~valid] = lat[~valid] = numpy.nan
    bounds = numpy.full((num_blocks, 4), numpy.nan)
    low, high = _extremes(lat)
    bounds[:, 0], bounds[:, 1] = low - _MARGIN_DEGREES, high + _MARGIN_DEGREES
    low, high = _extremes(apart)
    # A margin of the same distance everywhere: degrees of longitude are short near the poles.
    nearest_pole = numpy.minimum(numpy.maximum(numpy.abs(bounds[:, 0]), numpy.abs(bounds[:, 1])), 89.9)
    margin = _MARGIN_DEGREES / numpy.cos(numpy.deg2rad(nearest_pole))
    west, east = low - margin, high + margin
    # Near a pole a block may go round it: no interval is narrower than the whole circle then.
    whole = east - west >= 180
    bounds[:, 2] = numpy.where(whole, -180.0, (first + west + 180) % 360 - 180)
    bounds[:, 3] = numpy.where(whole, 180.0, (first + east + 180) % 360 - 180)
    bounds[~some] = numpy.nan
    return bounds.astype(numpy.float32)


def _in_blocks(values: NDArray[numpy.float64], num_blocks: int) -> NDArray[numpy.float64]:
    padded = numpy.full((num_blocks * BLOCK_LINES, values.shape[1]), numpy.nan)
    padded[: len(values)] = values
    return padded.reshape(num_blocks, -1)


def _extremes(values: NDArray[numpy.float64]) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
    """Return the lowest and the highest value of each row, NaN where it has none."""
    return numpy.fmin.reduce(values, axis=1), numpy.fmax.reduce(values, axis=1)


def meeting_blocks(bounds: NDArray[numpy.float32], box: Box) -> list[tuple[int, int, int]]:
    """Return runs of blocks that have a point in common with a box: index of the pass, first block, last + 1.

    Args:
        bounds: South, north, west, east, shape (pass, block, 4).
        box: The box.
    """
    south, north, west, east = (bounds[..., edge] for edge in range(4))
    # Most blocks are not within the latitudes: the longitudes of few are looked at.
    near = numpy.flatnonzero((south <= box.north) & (north >= box.south))
    parts = (edge.reshape(-1)[near] for edge in (west, south, east, north))
    near = near[box.meets(*parts)]
    passes, blocks = numpy.divmod(near, bounds.shape[1])
    if not len(near):
        return []
    starts = numpy.flatnonzero((numpy.diff(passes, prepend=-1) != 0) | (numpy.diff(blocks, prepend=-2) != 1))
    ends = numpy.append(starts[1:], len(near))
    return [
        (int(passes[start]), int(blocks[start]), int(blocks[end - 1]) + 1)
        for start, end in zip(starts, ends, strict=True)
    ]
