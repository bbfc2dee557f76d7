"""What the index knows of every file, as rows of a table: kept between builds and while one runs."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pyarrow
import pyarrow.parquet

from swotvre_catalogs.index.records import FileRecord

_TIME = pyarrow.timestamp("us")
SCHEMA = pyarrow.schema(
    [
        ("path", pyarrow.string()),
        ("size_bytes", pyarrow.int64()),
        ("modified_ns", pyarrow.int64()),
        ("etag", pyarrow.string()),
        ("status", pyarrow.string()),
        ("reason", pyarrow.string()),
        ("geometry", pyarrow.binary()),
        ("fingerprint", pyarrow.int64()),
        ("begin", _TIME),
        ("end", _TIME),
        ("checksum", pyarrow.string()),
    ]
)


def write_records(records: Iterable[FileRecord]) -> bytes:
    """Return the rows as a Parquet file."""
    columns: list[list[Any]] = [[] for _ in SCHEMA]
    for record in records:
        for column, name in zip(columns, SCHEMA.names, strict=True):
            column.append(getattr(record, name))
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_records(data: bytes) -> list[FileRecord]:
    """Return the rows of a Parquet file that has these columns, among others.

    Raises:
        pyarrow.ArrowException: If it is none, or has other columns.
    """
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(data), columns=SCHEMA.names)
    columns = [table.column(name).to_pylist() for name in SCHEMA.names]
    # The cycles of a pass share one footprint: once in the file, once in memory.
    shared: dict[bytes, bytes] = {}
    geometry = SCHEMA.get_field_index("geometry")
    columns[geometry] = [wkb and shared.setdefault(wkb, wkb) for wkb in columns[geometry]]
    return [FileRecord(*values) for values in zip(*columns, strict=True)]
