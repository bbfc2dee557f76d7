"""Turn the bytes of a chunk into physical values in one pass: unshuffled, scaled, fill values NaN."""

from __future__ import annotations

from typing import Any

import numba
import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.decoding import is_shuffled
from swotvre_catalogs.cube.layout import VariableLayout

#: Values unshuffled at a time; they stay in the first-level cache.
_TILE = 2048


def unpack_into(inflated: Any, layout: VariableLayout, start: int, out: NDArray[Any]) -> None:
    """Write physical values of a chunk.

    Args:
        inflated: The bytes of the chunk, still shuffled where the layout says so.
        layout: How they are stored.
        start: First value of the chunk, counted in C order.
        out: Where as many values as it has go to: one-dimensional and contiguous, float32 or float64.

    The operations are those of xarray's CF decoding in their order, so the results are equal to the last bit.
    """
    dtype = numpy.dtype(layout.dtype)
    raw = numpy.frombuffer(inflated, numpy.uint8)
    fill = layout.fill_value
    has_fill = fill is not None and fill == fill
    packing = (
        dtype.type(fill if has_fill else 0),
        has_fill,
        1.0 if layout.scale_factor is None else float(layout.scale_factor),
        layout.scale_factor is not None,
        0.0 if layout.add_offset is None else float(layout.add_offset),
        layout.add_offset is not None,
    )
    if is_shuffled(layout):
        tile = numpy.empty(_TILE, dtype)
        _unshuffle_and_decode(raw, tile.view(f"u{dtype.itemsize}"), tile, start, *packing, out)
    else:
        _decode(raw.view(dtype)[start : start + out.size], *packing, out)


# No fastmath in either: it lets the compiler take away the test for NaN. Slices and unsigned whole numbers, because
# the compiler then needs no test of an index within the loops and does several values at once.
@numba.njit(nogil=True, cache=True)
def _unshuffle_and_decode(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    planes, bits, tile, start, fill, has_fill, scale, has_scale, offset, has_offset, out
):
    plane = planes.size // tile.itemsize
    for first in range(0, out.size, tile.size):
        count = min(tile.size, out.size - first)
        for byte in range(tile.itemsize):
            base = byte * plane + start + first
            part = planes[base : base + count]
            shift = bits.dtype.type(8 * byte)
            if byte == 0:
                for index in range(count):
                    bits[index] = part[index]
            else:
                for index in range(count):
                    bits[index] |= bits.dtype.type(part[index]) << shift
        _decode(tile[:count], fill, has_fill, scale, has_scale, offset, has_offset, out[first : first + count])


@numba.njit(nogil=True, cache=True)
def _decode(values, fill, has_fill, scale, has_scale, offset, has_offset, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for index in range(values.size):
        out[index] = values[index]
    if has_scale:
        for index in range(values.size):
            out[index] = out[index] * scale
    if has_offset:
        for index in range(values.size):
            out[index] = out[index] + offset
    if has_fill:
        for index in range(values.size):
            if values[index] == fill:
                out[index] = numpy.nan
