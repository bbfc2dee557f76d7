"""What the index saw of the chunks of each file, kept beside it: the cube opens no file that the index has seen.

One Arrow IPC stream per cycle, and one with the bounds of the passes. All of it can be made anew from the files: what
cannot be read, or is of another version, is as if it were not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy
import pyarrow
from numpy.typing import NDArray

from swotvre_catalogs.cube.indexer import IndexedFile
from swotvre_catalogs.cube.layout import FileLayout, layout_from_json, layout_to_json
from swotvre_catalogs.index.place import Place
from swotvre_catalogs.index.scanning import ScannedBounds
from swotvre_catalogs.products import Product

#: Raised when the meaning of what is kept changes.
_FORMAT = 1

#: Key of what is written beside the rows.
_FACTS = b"swot-vre"

_DAMAGED = (pyarrow.ArrowException, KeyError, ValueError, TypeError, IndexError)

Identity = tuple[str, int, int, str]


class Scans:
    """What was seen of the files of one product.

    Args:
        place: Where it is kept.
        product: The product.
    """

    def __init__(self, place: Place, product: Product) -> None:
        self._place = place
        self._folder = f"scan/{product.name}"
        # Layouts name the fill value: with another one they are others.
        self._facts = {"format": _FORMAT, "fill_value": product.metadata.undeclared_fill_value}

    def of_cycles(self, cycles: Iterable[int]) -> dict[Identity, IndexedFile]:
        """Return what is known of the files of some cycles, by their identity."""
        return {one.identity: one for cycle in sorted(set(cycles)) for one in self.unpacked(self._read(_cycle(cycle)))}

    def update(self, by_cycle: Mapping[int, Iterable[IndexedFile]], listed: Iterable[str]) -> None:
        """Keep what was seen of files.

        Args:
            by_cycle: The files, by cycle.
            listed: Paths of all files of these cycles that there are: others are forgotten.
        """
        present = set(listed)
        for cycle, files in by_cycle.items():
            known = {one.path: one for one in self.unpacked(self._read(_cycle(cycle))) if one.path in present}
            known |= {one.path: one for one in files}
            self._place.write_bytes(f"{self._folder}/{_cycle(cycle)}", self.packed(known.values()))

    def bounds(self) -> dict[int, ScannedBounds]:
        """Return the bounds of passes by the fingerprint of their latitudes and longitudes."""
        try:
            table, _ = self._table(self._read("bounds.arrow"))
            rows = [table[name].to_pylist() for name in ("path", "size_bytes", "modified_ns", "etag", "geometry")]
            flat, ends = _flat(table["bounds"])
        except _DAMAGED:
            return {}
        found = {}
        for number, (*identity, geometry) in enumerate(zip(*rows, strict=True)):
            bounds = flat[ends[number] : ends[number + 1]].reshape(-1, 4)
            found[geometry] = ScannedBounds(tuple(identity), bounds)
        return found

    def add_bounds(self, new: Mapping[int, ScannedBounds]) -> None:
        """Keep the bounds of more passes."""
        every = {**self.bounds(), **new}
        columns = _identity_columns([one.identity for one in every.values()])
        columns["geometry"] = pyarrow.array(list(every), pyarrow.int64())
        columns["bounds"] = _lists([one.bounds.reshape(-1) for one in every.values()], pyarrow.float32())
        self._place.write_bytes(f"{self._folder}/bounds.arrow", self._bytes(columns, {}))

    def packed(self, files: Iterable[IndexedFile]) -> bytes:
        """Return what is known of files as an Arrow IPC stream."""
        ordered = sorted(files, key=lambda one: one.path)
        layouts = list(dict.fromkeys(one.layout for one in ordered))
        number = {layout: index for index, layout in enumerate(layouts)}
        columns = _identity_columns([one.identity for one in ordered])
        columns["geometry"] = pyarrow.array([one.geometry for one in ordered], pyarrow.int64())
        columns["layout"] = pyarrow.array([number[one.layout] for one in ordered], pyarrow.int32())
        columns["positions"] = _lists([one.positions() for one in ordered], pyarrow.int64())
        return self._bytes(columns, {"layouts": [layout_to_json(layout) for layout in layouts]})

    def unpacked(self, written: bytes) -> list[IndexedFile]:
        """Return what ``packed`` wrote; nothing if it cannot be read."""
        try:
            table, facts = self._table(written)
            layouts: list[FileLayout] = [layout_from_json(one) for one in facts["layouts"]]
            names = ("path", "size_bytes", "modified_ns", "etag", "layout", "geometry")
            rows = zip(*(table[name].to_pylist() for name in names), strict=True)
            flat, ends = _flat(table["positions"])
            return [
                IndexedFile.of_positions(*identity, layouts[layout], geometry, positions=flat[first:last])
                for (*identity, layout, geometry), first, last in zip(rows, ends[:-1], ends[1:], strict=True)
            ]
        except _DAMAGED:
            return []

    def _read(self, name: str) -> bytes:
        try:
            return self._place.read_bytes(f"{self._folder}/{name}")
        except FileNotFoundError:
            return b""

    def _bytes(self, columns: Mapping[str, Any], facts: Mapping[str, Any]) -> bytes:
        table = pyarrow.table(dict(columns))
        table = table.replace_schema_metadata({_FACTS: json.dumps({**self._facts, **facts}).encode()})
        sink = pyarrow.BufferOutputStream()
        options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
        with pyarrow.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    def _table(self, written: bytes) -> tuple[Any, dict[str, Any]]:
        table = pyarrow.ipc.open_stream(pyarrow.py_buffer(written)).read_all()
        facts = json.loads(table.schema.metadata[_FACTS])
        if not self._facts.items() <= facts.items():
            raise ValueError(f"it is of {facts}, expected {self._facts}")
        return table, facts


def _cycle(number: int) -> str:
    return f"cycle_{number:03d}.arrow"


def _identity_columns(identities: Iterable[Identity]) -> dict[str, Any]:
    rows = list(identities)
    types = (pyarrow.string(), pyarrow.int64(), pyarrow.int64(), pyarrow.string())
    names = ("path", "size_bytes", "modified_ns", "etag")
    return {name: pyarrow.array([row[number] for row in rows], types[number]) for number, name in enumerate(names)}


def _lists(arrays: list[NDArray[Any]], kind: Any) -> Any:
    ends = numpy.cumsum([0, *map(len, arrays)], dtype=numpy.int32)
    flat = numpy.concatenate(arrays) if arrays else numpy.zeros(0)
    return pyarrow.ListArray.from_arrays(pyarrow.array(ends), pyarrow.array(flat, kind))


def _flat(column: Any) -> tuple[NDArray[Any], list[int]]:
    """Return the values of a column of lists, and where each of them begins, and the last ends."""
    lists = column.combine_chunks()
    return lists.values.to_numpy(), lists.offsets.to_pylist()
