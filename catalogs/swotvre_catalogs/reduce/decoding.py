"""From the bytes of a chunk to packed numbers: inflate, checksum, shuffle filter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.layout import VariableLayout
from swotvre_catalogs.reduce import kernels
from swotvre_catalogs.reduce.packing import Packing


class CorruptChunkError(ValueError):
    """The bytes of a chunk are not what was written; the message says how it was noticed."""


class Scratch:
    """Buffers of one thread, reused from chunk to chunk; they grow to the largest chunk."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[numpy.uint8]] = {}

    def get(self, name: str, count: int, dtype: str = "u1") -> NDArray[Any]:
        """Return ``count`` numbers with whatever they held before."""
        size = count * numpy.dtype(dtype).itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = numpy.empty(size, "u1")
        return buffer[:size].view(dtype)


#: Gives the bytes of a chunk of a variable, by its number in C order; None where it was never written.
ChunkSource = Callable[[int], Any]


class VariableDecoder:
    """Reads the numbers of one variable of one file layout."""

    def __init__(self, layout: VariableLayout) -> None:
        self.layout = layout
        self.packing = Packing.of(layout)
        self.lines = layout.shape[0]
        self.columns = math.prod(layout.shape[1:])
        self.chunk_lines = layout.chunks[0]
        self.chunk_columns = math.prod(layout.chunks[1:])
        self._across = layout.chunk_grid[1] if len(layout.shape) > 1 else 1
        self._names = [name for name, _ in layout.filters]
        self._is_shuffled = "shuffle" in self._names and self.packing.itemsize > 1
        self._size_bytes = self.chunk_lines * self.chunk_columns * self.packing.itemsize

    @property
    def has_fast_planes(self) -> bool:
        """Tell whether `planes` can be had: 4-byte integers, shuffled, chunks as wide as the variable."""
        packing = self.packing
        whole = self.chunk_columns == self.columns
        return whole and self._is_shuffled and packing.itemsize == 4 and not packing.is_float

    def chunks_of(self, first_line: int, last_line: int) -> list[int]:
        """Return the numbers of the chunks that hold lines first to last (without the last)."""
        if last_line <= first_line or not self.chunk_lines:
            return []
        bands = range(first_line // self.chunk_lines, -(-last_line // self.chunk_lines))
        return [band * self._across + across for band in bands for across in range(self._across)]

    def raw(self, data: Any, scratch: Scratch) -> NDArray[numpy.uint8]:
        """Return the bytes of a chunk before its compression, still shuffled.

        Raises:
            CorruptChunkError: If they cannot be inflated, a checksum differs, or there are too few or too many.
        """
        if "fletcher32" in self._names:
            data = _checked(memoryview(data), is_checked_by_zlib="deflate" in self._names)
        if "deflate" not in self._names:
            raw = numpy.frombuffer(data, "u1")
        else:
            buffer = scratch.get("raw", self._size_bytes)
            try:
                # libdeflate; verifies the Adler-32 at the end of the stream.
                done = imagecodecs.deflate_decode(data, raw=False, out=buffer)
            except imagecodecs.DeflateError as error:
                raise CorruptChunkError(f"{self._place()} cannot be inflated ({error})") from error
            raw = numpy.frombuffer(done, "u1")
        if raw.size != self._size_bytes:
            raise CorruptChunkError(f"{self._place()} holds {raw.size} bytes; expected {self._size_bytes}")
        return raw

    def planes(self, raw: NDArray[numpy.uint8], first: int, count: int) -> tuple[NDArray[numpy.uint8], ...]:
        """Return the bytes of some shuffled numbers, those of the same significance together, lowest first."""
        length = self.chunk_lines * self.chunk_columns
        return tuple(raw[j * length + first : j * length + first + count] for j in range(self.packing.itemsize))

    def values(self, source: ChunkSource, first_line: int, last_line: int, scratch: Scratch, name: str) -> NDArray[Any]:
        """Return lines first to last (without the last) as keys (uint32) or floats (float64), flat.

        Args:
            source: Gives the bytes of each chunk.
            first_line: First line of the file that is wanted.
            last_line: The line after the last.
            scratch: Buffers of this thread.
            name: Which of them takes the result; it is valid until the next call with that name.

        Raises:
            CorruptChunkError: If a chunk is corrupt.
        """
        count = (last_line - first_line) * self.columns
        target = scratch.get(name, count, "f8" if self.packing.is_float else "u4")
        for number in self.chunks_of(first_line, last_line):
            band, across = divmod(number, self._across)
            start = band * self.chunk_lines
            low, high = max(start, first_line), min(start + self.chunk_lines, last_line)
            inside = slice((low - start) * self.chunk_columns, (high - start) * self.chunk_columns)
            place = slice((low - first_line) * self.columns, (high - first_line) * self.columns)
            data = source(number)
            whole = self.chunk_columns == self.columns
            chunk = target[place] if whole else scratch.get("chunk", inside.stop - inside.start, target.dtype.str)
            if data is None:
                chunk[:] = self.packing.fill_float if self.packing.is_float else self.packing.fill_key
            else:
                self._unpack(self.raw(data, scratch), inside, chunk)
            if not whole:
                column = across * self.chunk_columns
                used = min(self.chunk_columns, self.columns - column)
                rows = target[place].reshape(high - low, self.columns)
                rows[:, column : column + used] = chunk.reshape(high - low, self.chunk_columns)[:, :used]
        return target

    def _unpack(self, raw: NDArray[numpy.uint8], inside: slice, out: NDArray[Any]) -> None:
        packing, size = self.packing, self.packing.itemsize
        if not self._is_shuffled:
            bits = raw.view(f"<u{size}")[inside]
        elif size == 8 or len(out) < kernels.FEW:
            numbers = numpy.empty((len(out), size), "u1")
            for j, plane in enumerate(self.planes(raw, inside.start, len(out))):
                numbers[:, j] = plane
            bits = numbers.view(f"<u{size}").reshape(-1)
        elif packing.is_float:
            bits = numpy.empty(len(out), "u4")
            kernels.unshuffle4(*self.planes(raw, inside.start, len(out)), numpy.uint32(0), bits)
        else:
            unshuffle = kernels.unshuffle4 if size == 4 else kernels.unshuffle2
            unshuffle(*self.planes(raw, inside.start, len(out)), packing.flip, out)
            return
        if packing.is_float:
            out[:] = bits.view(packing.dtype)
        else:
            numpy.bitwise_xor(bits, packing.flip, out=out)

    def _place(self) -> str:
        return f"a chunk of {self.layout.name}"


def _checked(data: memoryview, *, is_checked_by_zlib: bool) -> memoryview:
    # HDF5 appends its checksum; zlib's own, which it includes, is enough where there is one.
    body, written = data[:-4], int.from_bytes(data[-4:], "little")
    if not is_checked_by_zlib and fletcher32(body) != written:
        raise CorruptChunkError("the Fletcher-32 checksum of a chunk differs")
    return body


def fletcher32(data: bytes | memoryview) -> int:
    """Return the Fletcher-32 checksum as HDF5 computes it: over big-endian 16-bit words, the last one padded."""
    data = bytes(data)
    words = numpy.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype("int64")
    if not words.any():
        return 0
    first = second = 0
    for block in range(0, len(words), 2**20):
        part = words[block : block + 2**20]
        # The second sum counts each word as often as there are words up to the end.
        weights = numpy.arange(len(part), 0, -1)
        second = (second + first * len(part) + int((part * weights % 65535).sum())) % 65535
        first = (first + int(part.sum())) % 65535
    # HDF5 folds its sums by adding the carry: a multiple of 65535 stays 65535, it never becomes 0.
    return (second or 65535) << 16 | (first or 65535)
