"""Write the arrays of a cube into an Icechunk session: references to the files in place, odd files as native chunks."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.errors import CubeError, DamagedFileError
from swotvre_catalogs.cube.native_chunks import encode_chunk, read_values, zarr_codecs
from swotvre_catalogs.cube.plan import ArrayPlan, written_attributes
from swotvre_catalogs.cube.repacking import NotRepresentableError, repack
from swotvre_catalogs.cube.repository import TABLE_GROUP
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.s3_stores import location_prefix, quoted

_THREADS = 4


@dataclass
class Publication:
    """What is written of one build."""

    session: Any
    datalake: Datalake
    table: ChunkTable
    #: Chunks that were written into the repository, and their size.
    native_chunks: int = 0
    native_bytes: int = 0
    #: Variables of files that stock Zarr sees as holes, and why.
    holes: list[str] = field(default_factory=list)
    _places: dict[int, tuple[str, str | None, datetime.datetime | None]] = field(default_factory=dict)

    @property
    def store(self) -> Any:
        """The store of the session."""
        return self.session.store

    def create(self, plan: ArrayPlan, attributes: Mapping[str, Any]) -> None:
        """Create an array, over what had its name."""
        serializer, compressors = zarr_codecs(plan)
        zarr.create_array(
            self.store,
            name=plan.name,
            shape=plan.shape,
            chunks=plan.chunks,
            dtype=numpy.dtype(plan.layout.dtype),
            fill_value=plan.fill_value,
            filters=None,
            serializer=serializer,
            compressors=compressors,
            dimension_names=plan.dimensions,
            attributes=written_attributes(plan, attributes),
            zarr_format=3,
            overwrite=True,
        )

    def resize(self, plan: ArrayPlan) -> None:
        """Give an array that stays the number of cycles of the table."""
        if not plan.is_geometry:
            array = zarr.open_array(self.store, path=plan.name, mode="r+", zarr_format=3)
            if array.shape != plan.shape:
                array.resize(plan.shape)

    def write_coordinates(self) -> None:
        """Write the numbers of cycles and passes."""
        for name, values in (("cycle_number", self.table.cycle_numbers), ("pass_number", self.table.pass_numbers)):
            array = zarr.create_array(
                self.store,
                name=name,
                shape=values.shape,
                chunks=(max(len(values), 1),),
                dtype="int32",
                dimension_names=(name,),
                attributes={"long_name": name.replace("_", " ")},
                fill_value=0,
                zarr_format=3,
                overwrite=True,
            )
            array[...] = values

    def write_table(self, attributes: Mapping[str, Any], cycle_numbers: Sequence[int] | None = None) -> None:
        """Write the chunk table: all of it, or the given cycles and the geometry."""
        group = zarr.open_group(self.store, path=TABLE_GROUP, mode="a", zarr_format=3, use_consolidated=False)
        group.attrs.put(json.loads(json.dumps(dict(attributes))))
        written = self.table.to_bytes()
        numbers = list(written) if cycle_numbers is None else cycle_numbers
        parts = {f"cycle_{number:03d}": written[number] for number in numbers}
        parts["geometry"] = self.table.geometry.to_bytes()
        for name, data in parts.items():
            group.create_array(
                name, shape=(len(data),), chunks=(len(data),), dtype="uint8", compressors=None, fill_value=0,
                overwrite=True,
            )  # fmt: skip
            self._set(f"{TABLE_GROUP}/{name}/c/0", data)

    def write(self, plan: ArrayPlan, rows: NDArray[numpy.int64], emptied: Sequence[tuple[int, ...]] = ()) -> None:
        """Write the chunks of some files.

        Args:
            plan: The array.
            rows: Rows of the table.
            emptied: Cycle and pass, as indices, whose chunks of the build before have to go first.
        """
        for index in emptied:
            for start in numpy.ndindex(*plan.layout.chunk_grid if plan.is_virtual else ()):
                self._delete(_key(plan, (*index, *start)))
        table, chosen = self.table, []
        offsets, sizes = table.chunks(plan.name)
        refers: dict[tuple[int, int], bool] = {}
        for row in rows.tolist():
            layout = table.layouts[table.signature[row]].variables.get(plan.name)
            if layout is None:
                continue
            key = (int(table.signature[row]), int(table.first_line[row]))
            if key not in refers:
                refers[key] = plan.refers_to(layout, key[1])
            chosen.append((row, refers[key]))
        self._refer(plan, [row for row, is_referred in chosen if is_referred], offsets, sizes)
        odd = [row for row, is_referred in chosen if not is_referred]
        if odd:
            with ThreadPoolExecutor(_THREADS) as pool:
                for number in range(0, len(odd), 8 * _THREADS):  # so that few files are in memory at a time
                    batch = odd[number : number + 8 * _THREADS]
                    for row, chunks in zip(batch, pool.map(lambda row: self._native(plan, row), batch), strict=True):
                        self._write_native(plan, row, chunks)

    def _refer(self, plan: ArrayPlan, rows: list[int], offsets: Any, sizes: Any) -> None:
        from icechunk import VirtualChunkSpec

        prefix = location_prefix(self.datalake.address)
        grid = list(numpy.ndindex(*plan.layout.chunk_grid))
        specs = []
        for row, own_offsets, own_sizes in zip(rows, offsets[rows].tolist(), sizes[rows].tolist(), strict=True):
            location, etag, changed = self._place(prefix, row)
            index = self._index(plan, row)
            for start, offset, size in zip(grid, own_offsets, own_sizes, strict=False):
                if offset >= 0:
                    specs.append(VirtualChunkSpec([*index, *start], location, offset, size, etag, changed))
        if specs:
            refused = self.store.set_virtual_refs(f"/{plan.name}", specs)
            if refused:
                raise CubeError(f"Icechunk refused references of {plan.name} to {prefix}: {refused[:3]}")

    def _place(self, prefix: str, row: int) -> tuple[str, str | None, datetime.datetime | None]:
        if row not in self._places:
            self._places[row] = (prefix + quoted(self.table.path[row]), *self._checksum(row))
        return self._places[row]

    def _checksum(self, row: int) -> tuple[str | None, datetime.datetime | None]:
        if self.table.etag[row]:
            return self.table.etag[row], None
        # Icechunk counts whole seconds, and refuses a file that changed after this one.
        seconds = -(-int(self.table.modified_ns[row]) // 10**9)
        return None, datetime.datetime.fromtimestamp(seconds, datetime.UTC)

    def _index(self, plan: ArrayPlan, row: int) -> tuple[int, ...]:
        cycle, number = int(self.table.cycle_index[row]), int(self.table.pass_index[row])
        return (number,) if plan.is_geometry else (cycle, number)

    def _native(self, plan: ArrayPlan, row: int) -> dict[tuple[int, ...], bytes] | str:
        layout = self.table.layouts[self.table.signature[row]].variables[plan.name]
        try:
            values = read_values(self.datalake, self.table, row, layout)
            placed = repack(values, layout, self.table.line_map(row), plan)
        except (NotRepresentableError, DamagedFileError) as error:
            return f"{self.table.path[row]}, {plan.name}: {error}"
        return encode_chunk(placed, plan)

    def _write_native(self, plan: ArrayPlan, row: int, chunks: dict[tuple[int, ...], bytes] | str) -> None:
        if isinstance(chunks, str):
            self.holes.append(chunks)
            return
        for start, data in chunks.items():
            self._set(_key(plan, (*self._index(plan, row), *start)), data)
            self.native_chunks += 1
            self.native_bytes += len(data)

    def _set(self, key: str, data: bytes) -> None:
        sync(self.store.set(key, default_buffer_prototype().buffer.from_bytes(data)))

    def _delete(self, key: str) -> None:
        sync(self.store.delete(key))


def _key(plan: ArrayPlan, index: tuple[int, ...]) -> str:
    return f"{plan.name}/c/{'/'.join(map(str, index))}"
