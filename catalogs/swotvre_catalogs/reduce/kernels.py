"""Compiled loops over packed numbers: whole chunks at a time, without the lock of the interpreter.

Packed integers are handled as *keys*: unsigned 32-bit numbers in the order of the values. The key of an unsigned number
is the number, that of a signed one has its sign bit flipped, so that one loop serves both. A cell of ``sums`` holds the
sum of its keys (exact) in the lower 47 bits and their number above: half the memory traffic of two arrays, for up to
`MOST_FILES` keys a cell.
Never compile these with ``fastmath``: it removes the tests for not-a-number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy
from numba import float64, int32, int64, uint8, uint32, uint64

#: Keys that a cell of ``sums`` can take: 2**15 keys of 32 bits.
MOST_FILES = 32_767
COUNT_SHIFT = 47
#: Fewer numbers than this are left to numpy: that takes less time than to load a compiled loop from the disk.
FEW = 65_536
_ONE = uint64(1 << COUNT_SHIFT)
_TOTAL = uint64((1 << COUNT_SHIFT) - 1)
_SHIFT = uint64(COUNT_SHIFT)
_HALF = uint64(32)
_LOW_HALF = uint64(0xFFFFFFFF)
#: Below this, a sum of squared deviations is exact in 64 bits.
_EXACT = 2.0**62


def _compiled(function: Callable[..., Any]) -> Any:
    # Compiled once per user and kernel: numba keeps the machine code beside this file, or, where that folder cannot be
    # written (installed kernels), in NUMBA_CACHE_DIR or the user's cache folder.
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # none of these folders can be written: compiled anew in every session
        return numba.njit(nogil=True, error_model="numpy")(function)


@_compiled
def add_shuffled(p0, p1, p2, p3, flip, fill, unfilled, sums):  # type: ignore[no-untyped-def]
    """Undo the shuffle filter of 4-byte integers and add them, in one go.

    ``p0`` to ``p3`` are the lowest to the highest bytes of the same numbers. ``unfilled``: no fill value.
    """
    for i in range(sums.size):
        packed = (
            uint32(p0[i]) | (uint32(p1[i]) << uint32(8)) | (uint32(p2[i]) << uint32(16)) | (uint32(p3[i]) << uint32(24))
        )
        key = packed ^ flip
        valid = (key != fill) | unfilled
        sums[i] += (uint64(key) | _ONE) if valid else uint64(0)


@_compiled
def unshuffle4(p0, p1, p2, p3, flip, keys):  # type: ignore[no-untyped-def]
    """Write the keys of 4-byte integers, given byte by byte."""
    for i in range(keys.size):
        keys[i] = (
            uint32(p0[i]) | (uint32(p1[i]) << uint32(8)) | (uint32(p2[i]) << uint32(16)) | (uint32(p3[i]) << uint32(24))
        ) ^ flip


@_compiled
def unshuffle2(p0, p1, flip, keys):  # type: ignore[no-untyped-def]
    """Write the keys of 2-byte integers, given byte by byte."""
    for i in range(keys.size):
        keys[i] = (uint32(p0[i]) | (uint32(p1[i]) << uint32(8))) ^ flip


@_compiled
def add_keys(keys, keep, fill, unfilled, sums):  # type: ignore[no-untyped-def]
    """Add keys where ``keep`` is 1 and the key is not the fill value."""
    for i in range(sums.size):
        valid = ((keys[i] != fill) | unfilled) & (keep[i] != 0)
        sums[i] += (uint64(keys[i]) | _ONE) if valid else uint64(0)


def add_few_keys(keys, keep, fill, unfilled, sums):  # type: ignore[no-untyped-def]
    """Do what ``add_keys`` does, without a compiled loop."""
    valid = keep != 0
    if not unfilled:
        valid &= keys != fill
    sums += numpy.where(valid, keys | numpy.uint64(1 << COUNT_SHIFT), numpy.uint64(0))


@_compiled
def add_squares(keys, keep, fill, unfilled, low, high):  # type: ignore[no-untyped-def]
    """Add the squares of keys as two sums, of the lower and of the upper 32 bits: exact for any number of keys."""
    for i in range(low.size):
        valid = ((keys[i] != fill) | unfilled) & (keep[i] != 0)
        key = uint64(keys[i]) if valid else uint64(0)
        square = key * key
        low[i] += int64(square & _LOW_HALF)
        high[i] += int64(square >> _HALF)


@_compiled
def add_extremes(keys, keep, fill, unfilled, lowest, highest):  # type: ignore[no-untyped-def]
    """Keep the lowest and the highest key."""
    for i in range(lowest.size):
        valid = ((keys[i] != fill) | unfilled) & (keep[i] != 0)
        drop = uint32(0) if valid else uint32(0xFFFFFFFF)
        lowest[i] = min(lowest[i], keys[i] | drop)
        highest[i] = max(highest[i], keys[i] & ~drop)


@_compiled
def add_floats(values, keep, fill, total, count):  # type: ignore[no-untyped-def]
    """Add numbers where ``keep`` is 1 and they are neither NaN nor the fill value."""
    for i in range(total.size):
        value = values[i]
        valid = (value == value) & (value != fill) & (keep[i] != 0)
        total[i] += value if valid else 0.0
        count[i] += int32(valid)


@_compiled
def add_deviations(values, keep, fill, total, count, square):  # type: ignore[no-untyped-def]
    """Add numbers and their squared deviations from the mean so far (Welford); updates all three sums."""
    for i in range(total.size):
        value = values[i]
        valid = (value == value) & (value != fill) & (keep[i] != 0)
        n = float64(count[i])
        before = total[i] / n if n > 0 else value
        deviation = (value - before) if valid else 0.0
        square[i] += deviation * deviation * (n / (n + 1.0))
        total[i] += value if valid else 0.0
        count[i] += int32(valid)


@_compiled
def add_float_extremes(values, keep, fill, lowest, highest):  # type: ignore[no-untyped-def]
    """Keep the lowest and the highest number; they start as plus and minus infinity."""
    for i in range(lowest.size):
        value = values[i]
        valid = (value == value) & (value != fill) & (keep[i] != 0)
        lowest[i] = value if valid and value < lowest[i] else lowest[i]
        highest[i] = value if valid and value > highest[i] else highest[i]


@_compiled
def keep_without_bits(keys, bits, flip, fill, unfilled, keep):  # type: ignore[no-untyped-def]
    """Clear ``keep`` where one of the bits is set, or the flag itself is missing."""
    for i in range(keep.size):
        good = ((keys[i] ^ flip) & bits == uint32(0)) & ((keys[i] != fill) | unfilled)
        keep[i] = keep[i] if good else uint8(0)


@_compiled
def keep_values(keys, values, fill, unfilled, match, keep):  # type: ignore[no-untyped-def]
    """Clear ``keep`` where the flag is none of the values, or missing; ``match`` is scratch of the same size."""
    for i in range(keep.size):
        match[i] = uint8(0)
    for j in range(values.size):
        for i in range(keep.size):
            match[i] |= uint8(keys[i] == values[j])
    for i in range(keep.size):
        keep[i] &= match[i] & uint8((keys[i] != fill) | unfilled)


@_compiled
def write_means(sums, origin, scale, offset, out):  # type: ignore[no-untyped-def]
    """Write the mean of keys in the unit of the variable; NaN where nothing counts. ``origin`` is the key of 0."""
    for i in range(out.size):
        n = int64(sums[i] >> _SHIFT)
        total = int64(sums[i] & _TOTAL) - origin * n
        out[i] = float64(total) / float64(n) * scale + offset if n > 0 else numpy.nan


@numba.njit(inline="always", error_model="numpy")
def _squares(n, total, low, high):  # type: ignore[no-untyped-def]
    # Sum of squared deviations from the mean: taken about the nearest integer to it, which is exact modulo 2**64 as
    # long as the result is less than that; above, a float is exact enough, because nothing cancels.
    middle = int64(round(float64(total) / n))
    rest = total - n * middle
    about = float64(high) * 4294967296.0 + float64(low) - float64(middle) * float64(total + rest)
    exact = (uint64(high) << _HALF) + uint64(low) - uint64(middle) * uint64(total + rest)
    return (float64(exact) if about < _EXACT else about) - float64(rest) / n * float64(rest)


@_compiled
def write_squares(count, total, low, high, out):  # type: ignore[no-untyped-def]
    """Write the sum of squared deviations of keys from their mean; NaN where nothing counts."""
    for i in range(out.size):
        out[i] = _squares(count[i], total[i], low[i], high[i]) if count[i] > 0 else numpy.nan


@_compiled
def write_stds(sums, low, high, scale, out):  # type: ignore[no-untyped-def]
    """Write the standard deviation (ddof 0) of keys in the unit of the variable; NaN where nothing counts."""
    for i in range(out.size):
        n = int64(sums[i] >> _SHIFT)
        if n == 0:
            out[i] = numpy.nan
            continue
        squares = _squares(n, int64(sums[i] & _TOTAL), low[i], high[i])
        out[i] = numpy.sqrt(max(squares, 0.0) / n) * abs(scale)


@_compiled
def total_sums(sums):  # type: ignore[no-untyped-def]
    """Return the number and the sum of the keys of all cells."""
    count, total = int64(0), int64(0)
    for i in range(sums.size):
        count += int64(sums[i] >> _SHIFT)
        total += int64(sums[i] & _TOTAL)
    return count, total


@_compiled
def write_counts(sums, out):  # type: ignore[no-untyped-def]
    """Write how many keys each cell holds."""
    for i in range(out.size):
        out[i] = int64(sums[i] >> _SHIFT)


@_compiled
def bin_sums(bins, values, out):  # type: ignore[no-untyped-def]
    """Add each value to its bin; bin -1 is none."""
    for i in range(bins.size):
        if bins[i] >= 0:
            out[bins[i]] += values[i]


@_compiled
def bin_lowest(bins, values, out):  # type: ignore[no-untyped-def]
    """Keep the lowest value of each bin; bin -1 is none."""
    for i in range(bins.size):
        if bins[i] >= 0:
            out[bins[i]] = min(out[bins[i]], values[i])


@_compiled
def bin_highest(bins, values, out):  # type: ignore[no-untyped-def]
    """Keep the highest value of each bin; bin -1 is none."""
    for i in range(bins.size):
        if bins[i] >= 0:
            out[bins[i]] = max(out[bins[i]], values[i])


@_compiled
def bin_squares(bins, count, total, square, out_count, out_total, out_square):  # type: ignore[no-untyped-def]
    """Add counts, sums and squared deviations from the mean to their bins; bin -1 is none."""
    for i in range(bins.size):
        j = bins[i]
        if j < 0 or count[i] == 0:
            continue
        n, m = float64(count[i]), float64(out_count[j])
        between = total[i] / n - out_total[j] / m if m > 0 else 0.0
        out_square[j] += square[i] + between * between * (n * m / (n + m))
        out_count[j] += count[i]
        out_total[j] += total[i]


@_compiled
def write_ends(lowest, highest, wants_highest, origin, scale, offset, out):  # type: ignore[no-untyped-def]
    """Write the lowest or the highest key of each cell in the unit of the variable; NaN where nothing counts."""
    for i in range(out.size):
        key = highest[i] if wants_highest else lowest[i]
        out[i] = float64(int64(key) - origin) * scale + offset if lowest[i] <= highest[i] else numpy.nan


@_compiled
def grid_cells(lon, lat, keep, west, south, step, rows, columns, cells):  # type: ignore[no-untyped-def]
    """Write the cell of each point, row by row from the south-west; -1 where ``keep`` is 0 or a position is missing.

    The edges in the north and in the east belong to the last cells.
    """
    for i in range(cells.size):
        east = lon[i] - west
        east -= 360.0 * numpy.floor(east / 360.0)
        column = min(numpy.floor(east / step), columns - 1.0)
        row = min(numpy.floor((lat[i] - south) / step), rows - 1.0)
        inside = (keep[i] != 0) & (row >= 0.0) & (column >= 0.0)
        cells[i] = int64(row * columns + column) if inside else int64(-1)
