"""A variable of a cube as an array that reads its files when it is indexed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.byte_ranges import FileIdentity, RangeReader, RangeRequest
from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.decoding import inflate_chunk, read_file_variable
from swotvre_catalogs.cube.layout import VariableLayout
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.index.place import Place

_lock = threading.Lock()
_opened: dict[tuple[str, str, str], tuple[ChunkTable, RangeReader]] = {}


@dataclass(frozen=True)
class TableSource:
    """Where the chunk table of a commit and its files are; small when pickled, opened once per process."""

    datalake: Datalake
    place: Place
    name: str
    commit: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return (self.place.address, self.name, self.commit)

    def open(self, table: ChunkTable | None = None) -> tuple[ChunkTable, RangeReader]:
        """Return table and reader; ``table`` is one that was read already."""
        with _lock:
            if self.key not in _opened:
                from swotvre_catalogs.object_store import open_reader

                while len(_opened) >= 16:
                    _opened.pop(next(iter(_opened)))
                _opened[self.key] = (table or self._read_table(), open_reader(self.datalake))
            return _opened[self.key]

    def _read_table(self) -> ChunkTable:
        from swotvre_catalogs.cube.errors import MissingCubeError
        from swotvre_catalogs.cube.repository import open_repository
        from swotvre_catalogs.cube.versions import CubeVersion

        repository = open_repository(self.place, self.datalake, self.name)
        if repository is None:
            raise MissingCubeError(f"the cube at {self.place.cube_address(self.name)} is gone; build it again")
        session = repository.readonly_session(snapshot_id=self.commit)
        return CubeVersion(session, self.commit, self.datalake, self.place, self.name).chunk_table()


class SwathArray:
    """Physical values of a variable: (cycle_number, pass_number, num_lines, ...), or without cycle_number.

    Every file is read by its own layout: nothing is decoded with a neighbour's scale factor. A file that was replaced
    since the cube was built is a ``ReplacedFileError``.

    Args:
        source: Where table and files are.
        name: The variable.
        shape: Shape of the cube's variable.
        dtype: Of the physical values: float32, float64, or datetime64.
        has_cycles: False for latitude and longitude.
        attributes: Attributes of the variable, for what xarray has to decode.
    """

    def __init__(
        self,
        source: TableSource,
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        has_cycles: bool = True,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        self.source, self.name, self.shape = source, name, shape
        self.dtype, self.has_cycles = numpy.dtype(dtype), has_cycles
        self.ndim = len(shape)
        self._attributes = attributes or {}

    def __getitem__(self, key: Any) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        key += (slice(None),) * (self.ndim - len(key))
        leading = 2 if self.has_cycles else 1
        picked = [numpy.arange(size)[one] for one, size in zip(key, self.shape, strict=True)]
        cycles = numpy.atleast_1d(picked[0]) if self.has_cycles else numpy.zeros(1, numpy.int64)
        passes, lines = numpy.atleast_1d(picked[leading - 1]), numpy.atleast_1d(picked[leading])
        first, end = (int(lines.min()), int(lines.max()) + 1) if len(lines) else (0, 0)
        block = self._read(cycles.tolist(), passes.tolist(), first, end)
        block = block[:, :, lines - first] if len(lines) != end - first or (numpy.diff(lines) != 1).any() else block
        # What was asked for by one number loses its dimension; the rest is cut from whole lines.
        drop: list[Any] = [slice(None) if numpy.ndim(one) else 0 for one in picked[: leading + 1]]
        block = block[tuple(drop) if self.has_cycles else (0, *drop)]
        kept = sum(isinstance(one, slice) for one in drop)
        for axis, one in enumerate(key[leading + 1 :]):
            if one != slice(None):
                block = block[(slice(None),) * (kept + axis) + (one,)]
        return numpy.asarray(block)

    def _read(self, cycles: list[int], passes: list[int], first: int, end: int) -> NDArray[Any]:
        trailing = self.shape[(3 if self.has_cycles else 2) :]
        out = numpy.empty((len(cycles), len(passes), end - first, *trailing), self.dtype)
        table, reader = self.source.open()
        offsets, sizes = table.chunks(self.name)
        jobs = list(self._jobs(table, cycles, passes, first, end, offsets, sizes))
        requests = [
            RangeRequest(job.path, int(offsets[job.row, number]), int(sizes[job.row, number]), job.identity)
            for job in jobs
            for number in job.chunk_numbers
        ]
        data = reader.read_many(requests)
        written = numpy.zeros(out.shape[:2], dtype=bool)
        for job in jobs:
            target = out[job.cycle, job.number]
            written[job.cycle, job.number] = True
            if job.is_plain:
                self._decode_plain(job, data, target, first)
            else:
                target[...] = _missing(self.dtype)
                values = read_file_variable(reader, job.table_identity, job.layout, offsets[job.row], sizes[job.row])
                inside = (job.lines >= first) & (job.lines < end)
                target[job.lines[inside] - first] = self._decoded(values, job.layout)[inside]
        out[~written] = _missing(self.dtype)
        return out

    def _jobs(
        self, table: ChunkTable, cycles: list[int], passes: list[int], first: int, end: int, offsets: Any, sizes: Any
    ) -> Iterator[_Job]:
        for number, one_pass in enumerate(passes):
            for cycle, one_cycle in enumerate(cycles):
                row = int(table.row[one_cycle, one_pass] if self.has_cycles else table.geometry_row[one_pass])
                layout = None if row < 0 else table.layouts[table.signature[row]].variables.get(self.name)
                if layout is None:
                    continue
                first_line = int(table.first_line[row])
                is_plain = (
                    self.dtype.kind == "f"
                    and first_line >= 0
                    and layout.chunks[1:] == layout.shape[1:]
                    and (offsets[row, : layout.chunk_count] >= 0).all()
                )
                yield _Job(table, cycle, number, row, layout, first_line, is_plain, first, end)

    def _decode_plain(self, job: _Job, data: Iterator[Any], target: NDArray[Any], first: int) -> None:
        from swotvre_catalogs.cube.unpacking import unpack_into

        width = int(numpy.prod(job.layout.shape[1:]))
        flat = target.reshape(-1)
        low, high = job.wanted
        if low > 0 or high < target.shape[0]:
            flat[: low * width] = numpy.nan
            flat[max(high, low) * width :] = numpy.nan
        for number in job.chunk_numbers:
            start, stop = job.file_lines(number)
            inflated = inflate_chunk(next(data), job.layout, job.path)
            begin = (start + job.first_line - first) * width
            skipped = (start - number * job.layout.chunks[0]) * width
            unpack_into(inflated, job.layout, skipped, flat[begin : begin + (stop - start) * width])

    def _decoded(self, values: NDArray[Any], layout: VariableLayout) -> NDArray[Any]:
        from xarray import Variable
        from xarray.conventions import decode_cf_variable

        attributes = dict(self._attributes)
        for name in ("scale_factor", "add_offset"):
            attributes.pop(name, None)
            if getattr(layout, name) is not None:
                attributes[name] = getattr(layout, name)
        attributes |= {name: text for name, text in layout.meaning if name in ("units", "calendar")}
        attributes.pop("_FillValue", None)
        if layout.fill_value is not None:
            attributes["_FillValue"] = numpy.dtype(layout.dtype).type(layout.fill_value)
        variable = Variable(layout.dimensions, values, attributes)
        return numpy.asarray(decode_cf_variable(self.name, variable, decode_timedelta=False).values)


class _Job:
    """One file's part of a block."""

    def __init__(
        self, table: ChunkTable, cycle: int, number: int, row: int, layout: VariableLayout, first_line: int,
        is_plain: bool, first: int, end: int,
    ) -> None:  # fmt: skip
        self.cycle, self.number, self.row, self.layout = cycle, number, row, layout
        self.first_line, self.is_plain = first_line, is_plain
        self.path = table.path[row]
        modified_ns, etag = int(table.modified_ns[row]), table.etag[row]
        self.identity = FileIdentity(int(table.size_bytes[row]), modified_ns or None, etag or None)
        self.table_identity = (self.path, int(table.size_bytes[row]), modified_ns, etag)
        self.lines = numpy.zeros(0, numpy.int64) if is_plain else table.line_map(row)
        self._low = max(first, first_line) - first_line
        self._high = min(end, first_line + layout.shape[0]) - first_line
        #: Lines of the block that the file has.
        self.wanted = (self._low + first_line - first, max(self._high + first_line - first, 0))
        length = layout.chunks[0]
        self.chunk_numbers = (
            range(self._low // length, -(-self._high // length)) if is_plain and self._high > self._low else range(0)
        )
        if not self.chunk_numbers:
            self.wanted = (0, 0)

    def file_lines(self, number: int) -> tuple[int, int]:
        """Return the lines of the file that are wanted of a chunk."""
        length = self.layout.chunks[0]
        return max(self._low, number * length), min(self._high, (number + 1) * length)


def _missing(dtype: numpy.dtype[Any]) -> Any:
    return numpy.datetime64("NaT", "ns") if dtype.kind == "M" else numpy.nan
