"""What a reduction reads and where each file's sums go; small enough to be sent to a Dask worker."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.layout import FileLayout
from swotvre_catalogs.cube.table_streams import NOT_CONTIGUOUS
from swotvre_catalogs.index.bbox import Box
from swotvre_catalogs.object_store import FileIdentity, RangeReader
from swotvre_catalogs.reduce import kernels
from swotvre_catalogs.reduce.quality import Condition

CYCLE, PASS, LINES = "cycle_number", "pass_number", "num_lines"


class Run(NamedTuple):
    """Lines of a file that follow one another in the cube as well."""

    file_line: int
    cube_line: int
    length: int


@dataclass(frozen=True)
class GridSpec:
    """A regular grid of longitude and latitude: its south-western corner, step and size."""

    west: float
    south: float
    step_degrees: float
    rows: int
    columns: int

    def bins(self, lon: NDArray[Any], lat: NDArray[Any], keep: NDArray[numpy.bool_]) -> NDArray[numpy.int64]:
        """Return the cell of each point, row by row from the south; -1 where ``keep`` is not set."""
        cells = numpy.empty(lon.size, "int64")
        sizes = float(self.rows), float(self.columns)
        kernels.grid_cells(lon, lat, keep.view("u1"), self.west, self.south, self.step_degrees, *sizes, cells)
        return cells


@dataclass(frozen=True)
class Output:
    """One result: which dimensions it keeps and what it gives."""

    #: Dimensions that stay, in the order of the cube's.
    dims: tuple[str, ...]
    hows: tuple[str, ...]
    #: The first dimension: ``cycle_number``, or what files are grouped by instead.
    group: str = CYCLE
    #: Instead of lines and columns.
    grid: GridSpec | None = None

    @property
    def file_dims(self) -> tuple[str, ...]:
        """The dimensions that stay and tell files apart."""
        return tuple(dim for dim in self.dims if dim in (self.group, PASS))

    @property
    def keeps_lines(self) -> bool:
        """Tell whether lines stay."""
        return LINES in self.dims

    @property
    def keeps_columns(self) -> bool:
        """Tell whether the dimension across the swath stays."""
        return any(dim not in (self.group, PASS, LINES) for dim in self.dims)

    @property
    def is_large(self) -> bool:
        """Tell whether every pixel stays."""
        return self.grid is None and self.keeps_lines and self.keeps_columns

    @property
    def squares(self) -> bool:
        """Tell whether it needs squares of the numbers."""
        return "std" in self.hows

    @property
    def extremes(self) -> bool:
        """Tell whether it needs the lowest and the highest number."""
        return bool({"min", "max"} & set(self.hows))


class Task(NamedTuple):
    """Files that are added up in the same cells."""

    #: Index of the group, and of the pass; -1 where the task has several.
    group: int
    pass_index: int
    #: Rows of `Files`.
    rows: NDArray[numpy.int64]


@dataclass(frozen=True)
class Files:
    """The files of a plan, by columns; a subset of the chunk table."""

    path: Sequence[str]
    size_bytes: NDArray[numpy.int64]
    modified_ns: NDArray[numpy.int64]
    etag: Sequence[str]
    layout: NDArray[numpy.int32]
    group: NDArray[numpy.int64]
    pass_index: NDArray[numpy.int64]
    first_line: NDArray[numpy.int32]
    #: Lines of the cube one by one, of the files that are not one run.
    line_maps: Mapping[int, NDArray[numpy.int64]]
    #: Position and size of the chunks of each variable that is read.
    chunks: Mapping[str, tuple[NDArray[numpy.int64], NDArray[numpy.int64]]]

    def __len__(self) -> int:
        return len(self.path)

    def identity(self, row: int) -> FileIdentity:
        """Return what the file was when it was indexed."""
        return FileIdentity(int(self.size_bytes[row]), int(self.modified_ns[row]), self.etag[row] or None)

    def runs(self, row: int, lines: int) -> list[Run]:
        """Return where the lines of a file lie in the cube; ``lines`` is their number."""
        if row not in self.line_maps:
            return [Run(0, int(self.first_line[row]), lines)]
        places = self.line_maps[row]
        starts = [0, *(numpy.flatnonzero(numpy.diff(places) != 1) + 1).tolist(), len(places)]
        return [Run(a, int(places[a]), b - a) for a, b in itertools.pairwise(starts)]

    def take(self, rows: NDArray[numpy.int64]) -> Files:
        """Return some of the files."""
        return Files(
            [self.path[row] for row in rows],
            self.size_bytes[rows],
            self.modified_ns[rows],
            [self.etag[row] for row in rows],
            self.layout[rows],
            self.group[rows],
            self.pass_index[rows],
            self.first_line[rows],
            {new: self.line_maps[int(row)] for new, row in enumerate(rows) if int(row) in self.line_maps},
            {name: (offsets[rows], sizes[rows]) for name, (offsets, sizes) in self.chunks.items()},
        )


@dataclass(frozen=True)
class Plan:
    """One pass over files: what is read, and what comes out."""

    #: For messages: the datalake's address.
    address: str
    reader: RangeReader
    variable: str
    conditions: tuple[Condition, ...]
    layouts: Sequence[FileLayout]
    #: Size of the cube along the swath and across it.
    lines: int
    columns: int
    outputs: tuple[Output, ...]
    files: Files
    tasks: Sequence[Task]
    box: Box | None = None
    #: Lines of the cube that may lie in the box, by pass.
    windows: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    #: Row of the file that gives latitude and longitude, by pass.
    geometry: Mapping[int, int] = field(default_factory=dict)
    skip_damaged: bool = False

    @property
    def needs_geometry(self) -> bool:
        """Tell whether latitude and longitude are read."""
        return self.box is not None or any(output.grid for output in self.outputs)

    def part(self, tasks: Iterable[Task]) -> Plan:
        """Return a plan of some of the tasks alone, with the files that they read."""
        tasks = list(tasks)
        passes = {int(number) for task in tasks for number in self.files.pass_index[task.rows]}
        geometry = {number: row for number, row in self.geometry.items() if number in passes}
        rows = numpy.unique(
            numpy.concatenate([*(task.rows for task in tasks), numpy.array(list(geometry.values()), int)])
        )
        return replace(
            self,
            files=self.files.take(rows),
            tasks=[task._replace(rows=numpy.searchsorted(rows, task.rows)) for task in tasks],
            geometry={number: int(numpy.searchsorted(rows, row)) for number, row in geometry.items()},
            windows={number: window for number, window in self.windows.items() if number in passes},
        )


def select_files(
    table: ChunkTable, names: Iterable[str], rows: NDArray[numpy.int64], group: NDArray[numpy.int64]
) -> Files:
    """Return the columns of some rows of a chunk table; ``group`` is the index of the group of each."""
    maps = {new: table.line_map(int(row)) for new, row in enumerate(rows) if table.first_line[row] == NOT_CONTIGUOUS}
    return Files(
        table.texts("path", rows),
        table.size_bytes[rows],
        table.modified_ns[rows],
        table.texts("etag", rows),
        table.signature[rows],
        group,
        table.pass_index[rows].astype("int64"),
        table.first_line[rows],
        maps,
        {name: (offsets[rows], sizes[rows]) for name, (offsets, sizes) in table.chunks_of(names).items()},
    )


def make_tasks(files: Files, rows: NDArray[numpy.int64], dims: tuple[str, ...], group: str) -> list[Task]:
    """Return the tasks for results that keep these of the dimensions that tell files apart.

    Without any, files of one pass are a task: they share their place, and there are enough of them for all cores.
    """
    if not len(rows):
        return []
    by_group, by_pass = group in dims, PASS in dims or not dims
    groups, passes = files.group[rows], files.pass_index[rows]
    key = (groups + 1) * by_group * (int(passes.max(initial=0)) + 2) + (passes + 1) * by_pass
    order = numpy.argsort(key, kind="stable")
    starts = numpy.flatnonzero(numpy.diff(key[order], prepend=-1)).tolist()
    tasks = []
    for first, last in zip(starts, [*starts[1:], len(order)], strict=True):
        chosen = order[first:last]
        tasks.append(
            Task(int(groups[chosen[0]]) if by_group else -1, int(passes[chosen[0]]) if by_pass else -1, rows[chosen])
        )
    return tasks


def separate_passes(outputs: Sequence[Output]) -> list[list[int]]:
    """Return which outputs can be had in one pass over the files, as lists of their numbers.

    A result that keeps every pixel is written once, when all files of its cells were added; another one that is cut
    along other dimensions would have to be kept whole beside it, so it gets a pass of its own.
    """
    passes: list[list[int]] = []
    for number in sorted(range(len(outputs)), key=lambda number: (not outputs[number].is_large, number)):
        for together in passes:
            base = set(outputs[together[0]].file_dims)
            mine = set(outputs[number].file_dims)
            if mine == base or (mine < base and not (outputs[number].is_large and mine)):
                together.append(number)
                break
        else:
            passes.append([number])
    return passes
