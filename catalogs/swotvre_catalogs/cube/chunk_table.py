"""The chunk table: for every file of a cube where it lies in the cube, and where its chunks lie in the file.

It is stored in the repository of the cube, one Arrow IPC stream per cycle and one for the geometry, so that table and
cube are always of one commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy
import pyarrow
from numpy.typing import NDArray

from swotvre_catalogs.cube.block_bounds import BLOCK_LINES, meeting_blocks
from swotvre_catalogs.cube.layout import FileLayout, layout_from_json
from swotvre_catalogs.cube.table_streams import (
    COLUMNS,
    NOT_CONTIGUOUS,
    CubeGeometry,
    FileRow,
    LeftOutFile,
    read_columns,
    read_stream,
)
from swotvre_catalogs.index.bbox import Box

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry


class ChunkTable:
    """Every file of a cube of one commit: its place in the cube, its layout, the positions of its chunks."""

    def __init__(self, geometry: CubeGeometry, cycles: Mapping[int, bytes], commit: str = "") -> None:
        self.geometry = geometry
        #: The commit (Icechunk snapshot) of the cube that it belongs to.
        self.commit = commit
        self._written = {number: cycles[number] for number in sorted(cycles)}
        self.cycle_numbers: NDArray[numpy.int32] = numpy.array(list(self._written), dtype=numpy.int32)
        self.pass_numbers = geometry.pass_numbers
        self.num_lines, self.num_pixels = geometry.num_lines, geometry.num_pixels
        self.layouts: list[FileLayout] = []
        self._known: dict[str, int] = {}
        self.left_out: list[LeftOutFile] = []
        self._candidates: dict[Box, list[tuple[int, slice]]] = {}
        self._tables = [self._open(number, written) for number, written in self._written.items()]
        self._load()

    def _open(self, number: int, written: bytes) -> tuple[Any, NDArray[numpy.int32]]:
        table, facts = read_stream(written, COLUMNS)
        renumbered = []
        for signature, written_layout in facts["layouts"]:
            if signature not in self._known:
                self._known[signature] = len(self.layouts)
                self.layouts.append(layout_from_json(json.loads(written_layout)))
            renumbered.append(self._known[signature])
        self.left_out += [LeftOutFile(cycle_number=number, **one) for one in facts["left_out"]]
        return table, numpy.array(renumbered, dtype=numpy.int32)

    def _load(self) -> None:
        tables = [table for table, _ in self._tables]
        everything = pyarrow.concat_tables(tables)
        column = {name: everything[name] for name in COLUMNS}
        self.size_bytes: NDArray[numpy.int64] = column["size_bytes"].to_numpy()
        self.modified_ns: NDArray[numpy.int64] = column["modified_ns"].to_numpy()
        self.first_line: NDArray[numpy.int32] = column["first_line"].to_numpy()
        self.fingerprint: NDArray[numpy.int64] = column["geometry"].to_numpy()
        self.begin = column["begin"].to_numpy().astype("datetime64[s]")
        self.end = column["end"].to_numpy().astype("datetime64[s]")
        own = [numbers[table["signature"].to_numpy()] for table, numbers in self._tables if len(table)]
        self.signature: NDArray[numpy.int32] = numpy.concatenate(own) if own else numpy.zeros(0, numpy.int32)
        counts = [len(table) for table in tables]
        #: Index of each file's cycle and pass in ``cycle_numbers`` and ``pass_numbers``.
        self.cycle_index: NDArray[numpy.int32] = numpy.repeat(numpy.arange(len(tables), dtype=numpy.int32), counts)
        passes = column["pass_number"].to_numpy()
        self.pass_index: NDArray[numpy.int32] = numpy.searchsorted(self.pass_numbers, passes).astype(numpy.int32)
        self.row: NDArray[numpy.int32] = numpy.full((len(tables), len(self.pass_numbers)), -1, numpy.int32)
        self.row[self.cycle_index, self.pass_index] = numpy.arange(len(passes), dtype=numpy.int32)
        self._texts = {name: column[name].combine_chunks() for name in ("path", "etag", "crid")}

    def __len__(self) -> int:
        return len(self.signature)

    def geometry_rows(self, passes: Iterable[int]) -> NDArray[numpy.int32]:
        """Return the file that latitude and longitude of each of these passes come from, by its row."""
        found = []
        for number in passes:
            rows = self.row[self.row[:, number] >= 0, number]
            found.append(rows[self.texts("path", rows).index(self.geometry.sources[number])])
        return numpy.array(found, numpy.int32)

    @cached_property
    def geometry_row(self) -> NDArray[numpy.int32]:
        """The file that latitude and longitude of each pass come from, by its row."""
        return self.geometry_rows(range(len(self.pass_numbers)))

    def texts(self, name: str, rows: NDArray[numpy.int64]) -> list[str]:
        """Return ``path``, ``etag`` or ``crid`` of some files: of few, this is faster than the whole column."""
        column = self._texts[name]
        return [column[row].as_py() for row in rows.tolist()]

    @cached_property
    def path(self) -> list[str]:
        """Where each file lies, relative to the datalake."""
        return list(self._texts["path"].to_pylist())

    @cached_property
    def etag(self) -> list[str]:
        """What an object store calls the content of each file; empty for files of a folder."""
        return list(self._texts["etag"].to_pylist())

    @cached_property
    def crid(self) -> list[str]:
        """The version of each file's granule."""
        return list(self._texts["crid"].to_pylist())

    @property
    def block_bounds(self) -> NDArray[numpy.float32]:
        """South, north, west, east of each run of 32 lines: float32 (pass, block, 4), see ``CubeGeometry``."""
        return self.geometry.block_bounds

    @cached_property
    def variables(self) -> list[str]:
        """The variables that any of the files has."""
        return list(dict.fromkeys(name for layout in self.layouts for name in layout.variables))

    @cached_property
    def _cached_chunks(self) -> dict[str, tuple[NDArray[numpy.int64], NDArray[numpy.int64]]]:
        return {}

    def chunks(self, variable: str) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
        """Return position and size in bytes of every chunk of a variable: int64 (files, chunks of the file).

        A chunk that was never written, or that the file has not, has position -1 and size 0.

        Raises:
            KeyError: If no file has the variable.
        """
        return self.chunks_of([variable])[variable]

    def chunks_of(self, variables: Iterable[str]) -> dict[str, tuple[NDArray[numpy.int64], NDArray[numpy.int64]]]:
        """Return what ``chunks`` does, of several variables: each cycle is decompressed once for all of them.

        Raises:
            KeyError: If no file has one of the variables.
        """
        names = list(dict.fromkeys(variables))
        missing = [name for name in names if name not in self._cached_chunks]
        for name in missing:
            if name not in self.variables:
                raise KeyError(name)
        found: dict[str, list[tuple[int, Any]]] = {name: [] for name in missing}
        for index, written in enumerate(self._written.values() if missing else ()):
            layouts = [self.layouts[number].variables for number in set(self._tables[index][1].tolist())]
            here = [name for name in missing if any(name in layout for layout in layouts)]
            if not here:
                continue
            table = read_columns(written, [f"{prefix}:{name}" for name in here for prefix in "os"])
            first = int(numpy.searchsorted(self.cycle_index, index))
            for name in here:
                found[name].append((first, table.select([f"o:{name}", f"s:{name}"])))
        for name, parts in found.items():
            self._cached_chunks[name] = self._joined(parts)
        return {name: self._cached_chunks[name] for name in names}

    def _joined(self, parts: list[tuple[int, Any]]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
        width = max(table.schema.field(0).type.list_size for _, table in parts)
        offsets, sizes = numpy.full((len(self), width), -1, numpy.int64), numpy.zeros((len(self), width), numpy.int64)
        for first, table in parts:
            for target, column in zip((offsets, sizes), table.columns, strict=True):
                values = column.combine_chunks().flatten().to_numpy().reshape(len(table), -1)
                target[first : first + len(table), : values.shape[1]] = values
        return offsets, sizes

    def line_map(self, row: int) -> NDArray[numpy.int64]:
        """Return the line of the cube of every line of a file, strictly increasing."""
        if self.first_line[row] != NOT_CONTIGUOUS:
            count = file_lines(self.layouts[self.signature[row]])
            return numpy.arange(count, dtype=numpy.int64) + int(self.first_line[row])
        cycle = self.cycle_index[row]
        first = int(numpy.searchsorted(self.cycle_index, cycle))
        table = read_columns(self._written[int(self.cycle_numbers[cycle])], ["lines"])
        return numpy.array(table["lines"][row - first].as_py(), dtype=numpy.int64)

    def candidates(self, box: Box) -> list[tuple[int, slice]]:
        """Return the passes that may cross a box, and where: index of the pass, lines; runs of whole blocks."""
        if box not in self._candidates:
            found = meeting_blocks(self.block_bounds, box)
            ends = [(number, first * BLOCK_LINES, last * BLOCK_LINES) for number, first, last in found]
            # Of the last box alone: a request asks more than once.
            self._candidates = {
                box: [(number, slice(first, min(last, self.num_lines))) for number, first, last in ends]
            }
        return self._candidates[box]

    def rows(self, cycle_number: int) -> list[FileRow]:
        """Return the files of one cycle as objects, for the builder."""
        index = int(numpy.searchsorted(self.cycle_numbers, cycle_number))
        chosen = numpy.flatnonzero(self.cycle_index == index)
        present = {self.layouts[number] for number in self._tables[index][1].tolist()}
        names = list(dict.fromkeys(name for layout in present for name in layout.variables))
        positions = {name: self.chunks(name) for name in names}
        return [self._row(int(row), positions) for row in chosen]

    def _row(self, row: int, positions: Mapping[str, tuple[NDArray[numpy.int64], NDArray[numpy.int64]]]) -> FileRow:
        layout = self.layouts[self.signature[row]]
        contiguous = self.first_line[row] != NOT_CONTIGUOUS
        return FileRow(
            int(self.cycle_numbers[self.cycle_index[row]]),
            int(self.pass_numbers[self.pass_index[row]]),
            self.path[row],
            int(self.size_bytes[row]),
            int(self.modified_ns[row]),
            self.etag[row],
            layout,
            {name: positions[name][0][row, : one.chunk_count] for name, one in layout.variables.items()},
            {name: positions[name][1][row, : one.chunk_count] for name, one in layout.variables.items()},
            int(self.fingerprint[row]),
            self.begin[row],
            self.end[row],
            self.crid[row],
            int(self.first_line[row]),
            () if contiguous else tuple(self.line_map(row).tolist()),
        )

    def to_bytes(self) -> dict[int, bytes]:
        """Return the Arrow IPC streams by cycle, as they are stored."""
        return dict(self._written)

    @classmethod
    def from_bytes(cls, geometry: bytes, cycles: Mapping[int, bytes], commit: str = "") -> ChunkTable:
        """Return the table of what ``CubeGeometry.to_bytes`` and ``cycle_to_bytes`` wrote."""
        return cls(CubeGeometry.from_bytes(geometry), cycles, commit)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.geometry, self._written, self.commit)


def open_chunk_table(entry: Entry, at: Any = None) -> ChunkTable:
    """Open the chunk table of a product's cube.

    Args:
        entry: The product.
        at: A commit, a tag or a time; the newest commit by default.

    Raises:
        MissingCubeError: If the cube was not built.
    """
    from swotvre_catalogs.cube.opening import open_version

    return open_version(entry, at).chunk_table()


def file_lines(layout: FileLayout) -> int:
    """Return the number of lines of a file; 0 where it has no latitude."""
    variable = layout.variables.get("latitude")
    return variable.shape[0] if variable is not None and variable.shape else 0
