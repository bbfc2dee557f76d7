"""Carry out a plan: threads that fetch, decode and add up, one task after the other."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy

from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.object_store import LocalRangeReader
from swotvre_catalogs.reduce.cells import Cells
from swotvre_catalogs.reduce.decoding import CorruptChunkError, VariableDecoder
from swotvre_catalogs.reduce.fetching import IN_FLIGHT, FileRequest, fetch, read_ahead
from swotvre_catalogs.reduce.geometry import LATITUDE, LONGITUDE, PassGeometry
from swotvre_catalogs.reduce.packing import Packing
from swotvre_catalogs.reduce.plan import Plan, Run, Task
from swotvre_catalogs.reduce.quality import FlagTest
from swotvre_catalogs.reduce.results import Results

#: Bytes of local files that are read ahead before it is known which lines lie in a box.
AHEAD_BYTES = 256 * 2**20


class _Part(NamedTuple):
    """What is read of one file: its lines first to last, and the runs of them that count."""

    task: int
    row: int
    first: int
    last: int
    runs: tuple[Run, ...]


def thread_count() -> int:
    """Return how many threads a reduction uses: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def carry_out(plan: Plan, results: Results, *, threads: int | None = None) -> None:
    """Read the files of a plan and put what comes out into ``results``.

    Ends soon after an interrupt: no thread goes on behind the caller's back.

    Raises:
        DamagedFileError: If a chunk is corrupt; with ``plan.skip_damaged`` its file is left out, and named in
            ``results.left_out``.
        ReplacedFileError: If a file is not the one that was indexed; other errors as of the reader.
    """
    count = max(1, min(threads or thread_count(), len(plan.tasks)))
    stop = threading.Event()
    work = _Work(plan, results, stop)
    pool = ThreadPoolExecutor(count, thread_name_prefix="reduce")
    ahead = ThreadPoolExecutor(1, thread_name_prefix="reduce-ahead")
    try:
        work.prepare(pool, ahead)
        futures = [pool.submit(work.run, share) for share in _shares(plan, count)]
        wait(futures, return_when=FIRST_EXCEPTION)
        stop.set()
        for future in futures:
            future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        ahead.shutdown(wait=True, cancel_futures=True)


def _shares(plan: Plan, count: int) -> list[Iterator[int]]:
    numbers = range(len(plan.tasks))
    if isinstance(plan.reader, LocalRangeReader):
        return [_Shared(numbers)] * count  # each thread takes the next one
    # Requests to a store go out long before their answers are used: a thread knows its share from the start.
    return [iter(numbers[first::count]) for first in range(count)]


class _Shared(Iterator[int]):
    """Numbers that several threads take from, each number once."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers, self._lock = iter(numbers), threading.Lock()

    def __next__(self) -> int:
        with self._lock:
            return next(self._numbers)


class _Work:
    """What the threads of one plan have in common."""

    def __init__(self, plan: Plan, results: Results, stop: threading.Event) -> None:
        self.plan, self.results, self.stop = plan, results, stop
        self.geometry = PassGeometry(plan, self.damaged)
        self.squares = any(output.squares for output in plan.outputs)
        self.extremes = any(output.extremes for output in plan.outputs)
        # Results without lines need no cell for each line of the cube: the windows of all passes share theirs.
        self.is_folded = plan.box is not None and not any(one.keeps_lines or one.grid for one in plan.outputs)
        windows = [last - first for first, last in plan.windows.values()]
        self.cell_lines = max(windows, default=0) if self.is_folded else plan.lines
        self.decoder = functools.cache(self._decoder)
        self.tests = functools.cache(self._tests)

    def prepare(self, pool: ThreadPoolExecutor, ahead: ThreadPoolExecutor) -> None:
        """Find the pixels of a small box before its files are read."""
        reader = self.plan.reader
        if isinstance(reader, LocalRangeReader):
            # Nobody waits: the thread that has no position left to read begins with the files.
            if self.geometry.prepare(pool):
                ahead.submit(self._read_ahead, reader)
        else:
            with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="reduce") as wide:
                for future in self.geometry.prepare(wide):
                    future.result()

    def _read_ahead(self, reader: LocalRangeReader) -> None:
        # The disk works while positions are inflated. Variables in many chunks wait until it is known which are needed.
        files, room = self.plan.files, AHEAD_BYTES
        wanted = [(row, name) for row in self.plan.geometry.values() for name in (LONGITUDE, LATITUDE)]
        wanted += [(row, name) for task in self.plan.tasks for row in task.rows.tolist() for name in self.names]
        for row, name in wanted:
            offsets, sizes = (column[row].tolist() for column in files.chunks[name])
            room -= sizes[0]
            if room < 0 or self.stop.is_set():
                return
            if len(offsets) == 1 and offsets[0] >= 0:
                read_ahead(reader, files.path[row], [(offsets[0], sizes[0])])

    @property
    def names(self) -> list[str]:
        """The variables that are read, flags first: they are decided upon before the variable is added."""
        return [*(one.variable for one in self.plan.conditions), self.plan.variable]

    def run(self, share: Iterator[int]) -> None:
        """Carry out tasks until there is none left, or somebody asks to stop."""
        try:
            _Thread(self).run(share)
        except BaseException:
            self.stop.set()
            raise

    def damaged(self, path: str, reason: str) -> DamagedFileError:
        """Return the error for a corrupt chunk."""
        return DamagedFileError(f"{self.plan.address}/{path}", reason)

    def _decoder(self, layout: int, variable: str) -> VariableDecoder:
        return VariableDecoder(self.plan.layouts[layout].variables[variable])

    def _tests(self, layout: int) -> list[tuple[str, FlagTest]]:
        variables = self.plan.layouts[layout].variables
        return [(one.variable, FlagTest(one, variables[one.variable])) for one in self.plan.conditions]


class _Thread:
    """One thread's cells and buffers."""

    def __init__(self, work: _Work) -> None:
        self.work, self.plan = work, work.plan
        self.scratch = work.geometry.scratch
        self.active: dict[Packing, Cells] = {}
        self.spare: list[Cells] = []

    def run(self, share: Iterator[int]) -> None:
        """Add up the files of each task, and hand over its cells when it is complete."""

        def requests() -> Iterator[FileRequest]:
            for number in share:
                for row in self.plan.tasks[number].rows.tolist():
                    yield self._request(number, row)

        with contextlib.closing(fetch(self.plan.reader, requests(), self.scratch)) as fetched:
            self._consume(fetched)

    def _consume(self, fetched: Iterator[tuple[FileRequest, list[Any]]]) -> None:
        current = -1
        for request, data in fetched:
            if self.work.stop.is_set():
                return
            part: _Part = request.tag
            if part.task != current:
                self._complete(current)
                current = part.task
            if not part.runs:
                continue
            try:
                self._add(part, data)
            except CorruptChunkError as error:
                failure = self.work.damaged(request.path, str(error))
                if not self.plan.skip_damaged:
                    raise failure from error
                self.work.results.leave_out(failure)
        self._complete(current)

    def _complete(self, number: int) -> None:
        if number < 0:
            return
        task: Task = self.plan.tasks[number]
        self.work.results.take(task, list(self.active.values()), self.work.geometry)
        self.spare += self.active.values()
        self.active = {}

    def _request(self, number: int, row: int) -> FileRequest:
        plan, files = self.plan, self.plan.files
        layout = int(files.layout[row])
        window = self.work.geometry.window(int(files.pass_index[row]))
        variables = plan.layouts[layout].variables
        present = all(name in variables for name in (plan.variable, *(one.variable for one in plan.conditions)))
        runs: tuple[Run, ...] = ()
        ranges: list[tuple[int, int]] = []
        first = last = 0
        if present:
            runs = _within(files.runs(row, self.work.decoder(layout, plan.variable).lines), *window)
        if runs:
            first, last = runs[0].file_line, runs[-1].file_line + runs[-1].length
            for name in self.work.names:
                offsets, sizes = (column[row] for column in files.chunks[name])
                chunks = self.work.decoder(layout, name).chunks_of(first, last)
                ranges += [(int(offsets[one]), int(sizes[one])) for one in chunks if offsets[one] >= 0]
        return FileRequest(files.path[row], files.identity(row), tuple(ranges), _Part(number, row, first, last, runs))

    def _add(self, part: _Part, data: list[Any]) -> None:
        plan, columns = self.plan, self.plan.columns
        layout = int(plan.files.layout[part.row])
        decoder = self.work.decoder(layout, plan.variable)
        sources = self._sources(part, layout, data)
        cells = self._cells(decoder.packing)
        if len(data) == 1 and len(part.runs) == 1 and self._is_plain(decoder):
            self._add_planes(part, decoder, sources[plan.variable], cells)
            return
        lines = part.last - part.first
        keep = self.scratch.get("keep", lines * columns)
        keep[:] = 1
        for name, test in self.work.tests(layout):
            flag = self.work.decoder(layout, name)
            keys = flag.values(sources[name], part.first, part.last, self.scratch, "flag")
            test.apply(keys if flag.columns == columns else numpy.repeat(keys, columns), keep, self.scratch)
        values = decoder.values(sources[plan.variable], part.first, part.last, self.scratch, "values")
        pass_index = int(plan.files.pass_index[part.row])
        start = self.work.geometry.window(pass_index)[0]
        if plan.box is not None:
            mask = self.work.geometry.mask(pass_index)
        for run in part.runs:
            inside = slice((run.file_line - part.first) * columns, (run.file_line - part.first + run.length) * columns)
            kept = keep[inside]
            if plan.box is not None:
                kept &= mask[(run.cube_line - start) * columns : (run.cube_line - start + run.length) * columns]
            cells.add(run.cube_line - start * self.work.is_folded, values[inside], kept)

    def _is_plain(self, decoder: VariableDecoder) -> bool:
        nothing_else = not (self.work.squares or self.work.extremes or self.plan.conditions or self.plan.box)
        return nothing_else and decoder.has_fast_planes

    def _add_planes(self, part: _Part, decoder: VariableDecoder, source: Callable[[int], Any], cells: Cells) -> None:
        # One chunk, nothing but its mean: no number is written down in between.
        (chunk,) = (one for one in decoder.chunks_of(part.first, part.last) if source(one) is not None)
        (run,) = part.runs
        start = chunk * decoder.chunk_lines
        low, high = max(start, part.first), min(start + decoder.chunk_lines, part.last)
        raw = decoder.raw(source(chunk), self.scratch)
        planes = decoder.planes(raw, (low - start) * decoder.columns, (high - low) * decoder.columns)
        cells.add_planes(run.cube_line + low - run.file_line, planes)

    def _sources(self, part: _Part, layout: int, data: list[Any]) -> dict[str, Callable[[int], Any]]:
        # For each variable, a function from the number of a chunk to its bytes.
        sources: dict[str, Callable[[int], Any]] = {}
        used = 0
        for name in self.work.names:
            offsets = self.plan.files.chunks[name][0][part.row]
            written = [
                one for one in self.work.decoder(layout, name).chunks_of(part.first, part.last) if offsets[one] >= 0
            ]
            sources[name] = dict(zip(written, data[used : used + len(written)], strict=True)).get
            used += len(written)
        return sources

    def _cells(self, packing: Packing) -> Cells:
        if packing in self.active:
            return self.active[packing]
        for number, cells in enumerate(self.spare):
            if cells.packing.is_float == packing.is_float:
                del self.spare[number]
                cells.clear(packing)
                break
        else:
            cells = Cells(
                packing, self.work.cell_lines, self.plan.columns, squares=self.work.squares, extremes=self.work.extremes
            )
        self.active[packing] = cells
        return cells


def _within(runs: list[Run], first: int, last: int) -> tuple[Run, ...]:
    """Return the parts of runs that lie in lines first to last (without the last) of the cube."""
    found = []
    for run in runs:
        low, high = max(run.cube_line, first), min(run.cube_line + run.length, last)
        if low < high:
            found.append(Run(run.file_line + low - run.cube_line, low, high - low))
    return tuple(found)
