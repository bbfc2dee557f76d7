"""What is stored of the chunk table: its rows, the geometry, and the Arrow IPC streams that they are written as."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import pyarrow
from numpy.typing import NDArray

from swotvre_catalogs.cube.layout import FileLayout, layout_to_json

#: ``first_line`` of a file whose lines are not one run of lines of the cube.
NOT_CONTIGUOUS = -1


@dataclass(frozen=True)
class FileRow:
    """One file of the cube."""

    cycle_number: int
    pass_number: int
    #: Relative to the datalake.
    path: str
    size_bytes: int
    modified_ns: int
    etag: str
    layout: FileLayout
    offsets: Mapping[str, NDArray[numpy.int64]]
    sizes: Mapping[str, NDArray[numpy.int64]]
    #: Fingerprint of latitude and longitude.
    geometry: int
    begin: numpy.datetime64
    end: numpy.datetime64
    crid: str
    #: Line of the cube of the first line of the file, or NOT_CONTIGUOUS and then the lines one by one.
    first_line: int = 0
    lines: tuple[int, ...] = ()

    @property
    def identity(self) -> tuple[str, int, int, str]:
        """What changes when the file is replaced."""
        return (self.path, self.size_bytes, self.modified_ns, self.etag)


@dataclass(frozen=True)
class LeftOutFile:
    """A file that is on the datalake, but not in the cube."""

    path: str
    size_bytes: int
    modified_ns: int
    etag: str
    cycle_number: int
    pass_number: int
    reason: str

    @property
    def identity(self) -> tuple[str, int, int, str]:
        """What changes when the file is replaced."""
        return (self.path, self.size_bytes, self.modified_ns, self.etag)


@dataclass(frozen=True)
class CubeGeometry:
    """Where the passes lie."""

    pass_numbers: NDArray[numpy.int32]
    num_lines: int
    num_pixels: int
    #: Path of the file that gives latitude and longitude of each pass.
    sources: tuple[str, ...]
    #: Fingerprint of latitude and longitude of those files.
    fingerprints: NDArray[numpy.int64]
    #: South, north, west, east in degrees of each run of BLOCK_LINES lines, float32 (pass, block, 4); longitudes are
    #: -180 to 180, west > east across the antimeridian, NaN where a pass has no line.
    block_bounds: NDArray[numpy.float32]

    def to_bytes(self) -> bytes:
        """Return the geometry as an Arrow IPC stream."""
        facts = {"num_lines": self.num_lines, "num_pixels": self.num_pixels, "blocks": self.block_bounds.shape[1]}
        flat = pyarrow.array(self.block_bounds.reshape(-1))
        bounds = pyarrow.FixedSizeListArray.from_arrays(flat, 4 * self.block_bounds.shape[1])
        columns = [self.pass_numbers.astype("int32"), list(self.sources), self.fingerprints.astype("int64"), bounds]
        names = ["pass_number", "source", "fingerprint", "bounds"]
        return _write_stream(pyarrow.table(columns, names=names), facts)

    @classmethod
    def from_bytes(cls, written: bytes) -> CubeGeometry:
        """Return the geometry of what ``to_bytes`` wrote."""
        table, facts = read_stream(written)
        bounds = table["bounds"].combine_chunks().flatten().to_numpy().reshape(len(table), facts["blocks"], 4)
        return cls(
            table["pass_number"].to_numpy(),
            facts["num_lines"],
            facts["num_pixels"],
            tuple(table["source"].to_pylist()),
            table["fingerprint"].to_numpy(),
            bounds,
        )


#: The columns that say what a file is; those with the places of its chunks are decompressed when they are wanted.
COLUMNS = [
    *("pass_number", "path", "size_bytes", "modified_ns", "etag", "signature"),
    *("geometry", "first_line", "begin", "end", "crid"),
]


def cycle_to_bytes(rows: Iterable[FileRow], left_out: Iterable[LeftOutFile] = ()) -> bytes:
    """Return the files of one cycle as an Arrow IPC stream."""
    ordered = sorted(rows, key=lambda row: row.pass_number)
    layouts = list(dict.fromkeys(row.layout for row in ordered))
    number = {layout: index for index, layout in enumerate(layouts)}
    columns: dict[str, Any] = {
        "pass_number": pyarrow.array([row.pass_number for row in ordered], pyarrow.int32()),
        "path": pyarrow.array([row.path for row in ordered], pyarrow.string()),
        "size_bytes": pyarrow.array([row.size_bytes for row in ordered], pyarrow.int64()),
        "modified_ns": pyarrow.array([row.modified_ns for row in ordered], pyarrow.int64()),
        "etag": pyarrow.array([row.etag for row in ordered], pyarrow.string()),
        "signature": pyarrow.array([number[row.layout] for row in ordered], pyarrow.int32()),
        "geometry": pyarrow.array([row.geometry for row in ordered], pyarrow.int64()),
        "first_line": pyarrow.array([row.first_line for row in ordered], pyarrow.int32()),
        "begin": pyarrow.array(_seconds(row.begin for row in ordered), pyarrow.int64()),
        "end": pyarrow.array(_seconds(row.end for row in ordered), pyarrow.int64()),
        "crid": pyarrow.array([row.crid for row in ordered], pyarrow.string()),
        "lines": pyarrow.array([row.lines or None for row in ordered], pyarrow.list_(pyarrow.int32())),
    }
    for name in dict.fromkeys(name for layout in layouts for name in layout.variables):
        width = max(layout.variables[name].chunk_count for layout in layouts if name in layout.variables)
        for prefix, absent, values in (
            ("o", -1, [row.offsets.get(name) for row in ordered]),
            ("s", 0, [row.sizes.get(name) for row in ordered]),
        ):
            filled = numpy.full((len(ordered), width), absent, numpy.int64)
            for target, value in zip(filled, values, strict=True):
                if value is not None:
                    target[: len(value)] = value
            flat = pyarrow.array(filled.reshape(-1))
            columns[f"{prefix}:{name}"] = pyarrow.FixedSizeListArray.from_arrays(flat, width)
    facts = {
        "layouts": [(layout.signature, json.dumps(layout_to_json(layout))) for layout in layouts],
        "left_out": [
            {key: getattr(one, key) for key in ("path", "size_bytes", "modified_ns", "etag", "pass_number", "reason")}
            for one in left_out
        ],
    }
    return _write_stream(pyarrow.table(columns), facts)


def _seconds(times: Iterable[numpy.datetime64]) -> NDArray[numpy.int64]:
    return numpy.array(list(times), dtype="datetime64[s]").astype(numpy.int64)


def _write_stream(table: Any, facts: Mapping[str, Any]) -> bytes:
    table = table.replace_schema_metadata({b"swotvre": json.dumps(facts).encode()})
    sink = pyarrow.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_stream(written: bytes, names: list[str] | None = None) -> tuple[Any, dict[str, Any]]:
    """Read some columns as ``read_columns`` does, and what was written beside them."""
    table = read_columns(written, names)
    return table, json.loads(table.schema.metadata[b"swotvre"])


def read_columns(written: bytes, names: list[str] | None = None) -> Any:
    """Read some columns, all by default; only they are decompressed."""
    buffer = pyarrow.py_buffer(written)
    # The columns of a cycle are small: threads would cost more than they bring.
    options = pyarrow.ipc.IpcReadOptions(use_threads=False)
    if names is not None:
        schema = pyarrow.ipc.read_schema(buffer)
        options.included_fields = [schema.get_field_index(name) for name in names]
    return pyarrow.ipc.open_stream(buffer, options=options).read_all()
