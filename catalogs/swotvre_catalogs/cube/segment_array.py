"""Runs of lines of several files, one after the other, as one lazy array."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.swath_array import SwathArray

#: A Dask block holds so many runs, or so many bytes.
_RUNS_PER_BLOCK = 32
_BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Segments:
    """Runs of lines: of which cycle and pass (as indices), from which line to which."""

    cycles: NDArray[numpy.int64]
    passes: NDArray[numpy.int64]
    firsts: NDArray[numpy.int64]
    ends: NDArray[numpy.int64]

    @classmethod
    def of(cls, segments: Iterable[tuple[int, int, int, int]]) -> Segments:
        """Return the segments of tuples of cycle, pass, first line and last line + 1."""
        columns = numpy.array(list(segments), dtype=numpy.int64).reshape(-1, 4).T
        return cls(*(numpy.ascontiguousarray(column) for column in columns))

    def __len__(self) -> int:
        return len(self.cycles)

    @property
    def lengths(self) -> NDArray[numpy.int64]:
        """Number of lines of each."""
        return self.ends - self.firsts

    @cached_property
    def starts(self) -> NDArray[numpy.int64]:
        """Where each begins among all lines, and the number of all lines."""
        return numpy.concatenate([[0], numpy.cumsum(self.lengths)])

    def as_tuples(self) -> list[tuple[int, int, int, int]]:
        """Return cycle, pass, first line and last line + 1 of each."""
        columns = (self.cycles, self.passes, self.firsts, self.ends)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def take(self, array: SwathArray) -> Any:
        """Return the lines of a variable as a Dask array."""
        import dask.array
        from dask.base import tokenize

        one = SegmentArray(self, array)
        token = tokenize(array.source.key, array.name, str(array.dtype), *self.as_tuples())
        chunks = (self._chunks(one), *((size,) for size in one.shape[1:]))
        meta = numpy.empty((0,) * one.ndim, one.dtype)
        return dask.array.from_array(
            one, chunks=chunks, name=f"{array.name}-lines-{token}", asarray=False, fancy=False, meta=meta
        )

    def concatenate(self, variable: Any) -> Any:
        """Return the lines of a variable of the cube that is a Dask array already."""
        import dask.array

        leading = variable.dims.index("num_lines")
        parts = []
        for cycle, number, first, end in self.as_tuples():
            index = (cycle, number) if leading == 2 else (number,)
            parts.append(variable.data[(*index, slice(first, end))])
        return dask.array.concatenate(parts)

    def _chunks(self, array: SegmentArray) -> tuple[int, ...]:
        line_bytes = int(numpy.prod(array.shape[1:])) * array.dtype.itemsize
        chunks, lines, runs = [], 0, 0
        for length in self.lengths.tolist():
            if runs and (runs >= _RUNS_PER_BLOCK or (lines + length) * line_bytes > _BLOCK_BYTES):
                chunks.append(lines)
                lines, runs = 0, 0
            lines, runs = lines + length, runs + 1
        return (*chunks, lines)


class SegmentArray:
    """The lines of some segments of a variable: (num_lines, ...)."""

    def __init__(self, segments: Segments, array: SwathArray) -> None:
        self._segments, self._array = segments, array
        self.shape = (int(segments.starts[-1]), *array.shape[(3 if array.has_cycles else 2) :])
        self.dtype = array.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        picked = numpy.arange(self.shape[0])[key[0]]
        lines = numpy.atleast_1d(picked)
        first, end = (int(lines.min()), int(lines.max()) + 1) if len(lines) else (0, 0)
        block = self._read(first, end)[lines - first]
        if numpy.ndim(picked) == 0:
            return numpy.asarray(block[(0, *key[1:])])
        return numpy.asarray(block[(slice(None), *key[1:])])

    def _read(self, first: int, end: int) -> NDArray[Any]:
        segments = self._segments
        block = numpy.empty((end - first, *self.shape[1:]), self.dtype)
        if first == end:
            return block
        starts = segments.starts
        low = int(numpy.searchsorted(starts, first, side="right")) - 1
        high = int(numpy.searchsorted(starts, end, side="left"))
        for number in range(low, high):
            begin, stop = max(first, int(starts[number])), min(end, int(starts[number + 1]))
            shift = int(segments.firsts[number]) - int(starts[number])
            index: tuple[Any, ...] = (int(segments.passes[number]), slice(begin + shift, stop + shift))
            if self._array.has_cycles:
                index = (int(segments.cycles[number]), *index)
            block[begin - first : stop - first] = self._array[index]
        return block
