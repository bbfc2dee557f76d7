"""Where the pixels of a pass lie: box masks and grid cells, read once per pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.reduce.decoding import CorruptChunkError, Scratch, VariableDecoder
from swotvre_catalogs.reduce.plan import GridSpec, Plan

LATITUDE, LONGITUDE = "latitude", "longitude"


#: Positions of so many passes are read at once before anything else; of more, each when it is its turn.
PASSES_AT_ONCE = 64


class _Inside(NamedTuple):
    """The pixels of a pass that lie in the box."""

    first_line: int
    #: The line after the last.
    last_line: int
    #: One bit per pixel of these lines.
    bits: NDArray[numpy.uint8]


class PassGeometry:
    """Masks and cells of the passes of one plan, computed when first asked for; used by several threads."""

    def __init__(self, plan: Plan, damaged: Callable[[str, str], Exception]) -> None:
        self._plan = plan
        self._damaged = damaged
        self._found: dict[int, _Inside] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @property
    def scratch(self) -> Scratch:
        """The buffers of the thread that asks: into new memory, inflating takes a third more."""
        if not hasattr(self._of_thread, "scratch"):
            self._of_thread.scratch = Scratch()
        scratch: Scratch = self._of_thread.scratch
        return scratch

    @property
    def is_small(self) -> bool:
        """Tell whether the box lies in few passes."""
        return self._plan.box is not None and len(self._plan.windows) <= PASSES_AT_ONCE

    def prepare(self, pool: ThreadPoolExecutor) -> list[Future[Any]]:
        """Have the positions of a few passes read at once: over a network one after the other takes long.

        What fails is not remembered: who does not look at what is returned tries again for that pass, and is told.
        """
        return [pool.submit(self._inside, number) for number in self._plan.windows] if self.is_small else []

    def window(self, pass_index: int) -> tuple[int, int]:
        """Return the lines of a pass that count: first, and last without it; equal if none does."""
        if self._plan.box is None:
            return 0, self._plan.lines
        inside = self._inside(pass_index)
        return inside.first_line, inside.last_line

    def mask(self, pass_index: int) -> NDArray[numpy.uint8]:
        """Return 1 for the pixels in the box, for the lines of the window, flat."""
        inside = self._inside(pass_index)
        return numpy.unpackbits(inside.bits, count=(inside.last_line - inside.first_line) * self._plan.columns)

    def bins(self, pass_index: int, grid: GridSpec) -> NDArray[numpy.int64]:
        """Return the cell of a grid of every pixel of a pass, flat; -1 outside."""
        first, last = self.window(pass_index)
        columns = self._plan.columns
        cells = numpy.full(self._plan.lines * columns, -1, "int64")
        lon, lat = self._positions(pass_index, first, last)
        keep = numpy.isfinite(lat) if self._plan.box is None else self._plan.box.contains(lon, lat)
        cells[first * columns : last * columns] = grid.bins(lon, lat, keep)
        return cells

    def _inside(self, pass_index: int) -> _Inside:
        with self._lock:
            lock = self._locks.setdefault(pass_index, threading.Lock())
        with lock:
            if pass_index not in self._found:
                self._found[pass_index] = self._look(pass_index)
            return self._found[pass_index]

    def _look(self, pass_index: int) -> _Inside:
        plan = self._plan
        first, last = plan.windows.get(pass_index, (0, 0))
        if plan.box is None or first >= last:
            return _Inside(0, 0, numpy.zeros(0, "u1"))
        inside = plan.box.contains(*self._positions(pass_index, first, last)).reshape(last - first, -1)
        lines = numpy.flatnonzero(inside.any(axis=1))
        if not lines.size:
            return _Inside(first, first, numpy.zeros(0, "u1"))
        low, high = int(lines[0]), int(lines[-1]) + 1
        return _Inside(first + low, first + high, numpy.packbits(inside[low:high]))

    def _positions(self, pass_index: int, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        # Longitude and latitude of the lines of the cube, NaN where the file has none.
        plan = self._plan
        row = plan.geometry[pass_index]
        layout = plan.layouts[plan.files.layout[row]]
        scratch = self.scratch
        found = []
        for name in (LONGITUDE, LATITUDE):
            decoder = VariableDecoder(layout.variables[name])
            degrees = numpy.full(((last - first), decoder.columns), numpy.nan)
            for run in plan.files.runs(row, decoder.lines):
                low, high = max(first, run.cube_line), min(last, run.cube_line + run.length)
                if low >= high:
                    continue
                shift = run.file_line - run.cube_line
                keys = self._read(row, name, decoder, low + shift, high + shift, scratch)
                degrees[low - first : high - first] = decode(decoder, keys).reshape(high - low, -1)
            found.append(degrees.reshape(-1))
        return found[0], found[1]

    def _read(
        self, row: int, name: str, decoder: VariableDecoder, first: int, last: int, scratch: Scratch
    ) -> NDArray[Any]:
        plan = self._plan
        offsets, sizes = (column[row] for column in plan.files.chunks[name])

        def read(number: int) -> Any:
            if offsets[number] < 0:
                return None
            offset, size = int(offsets[number]), int(sizes[number])
            return plan.reader.read(plan.files.path[row], offset, size, expect=plan.files.identity(row))

        try:
            return decoder.values(read, first, last, scratch, name)
        except CorruptChunkError as error:
            raise self._damaged(plan.files.path[row], str(error)) from error


def decode(decoder: VariableDecoder, values: NDArray[Any]) -> NDArray[numpy.float64]:
    """Return keys or floats in the unit of the variable, NaN for the fill value; the same numbers as xarray's."""
    packing = decoder.packing
    if packing.is_float:
        filled = values == packing.fill_float
        numbers = values.astype("float64")
    else:
        filled = (values == packing.fill_key) & (not packing.unfilled)
        numbers = values.astype("float64") - float(packing.origin)
    numbers *= packing.scale
    numbers += packing.offset
    numbers[filled] = numpy.nan
    return numbers
