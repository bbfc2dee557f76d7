"""The writing of one copy: begin or go on, write a cycle, read it back, publish it."""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.export.errors import ExportTargetError, ExportVerificationError
from swotvre_catalogs.export.packing import CYCLE, PASS, pack
from swotvre_catalogs.export.shards import ArrayLayout, shard_stream
from swotvre_catalogs.export.source import LINES, Source
from swotvre_catalogs.export.target import Target

#: Attribute of the root with what was exported and how far.
RECORD = "swotvre_export"
#: Says which export began in a folder that has no complete cycle yet; zarr does not see a hidden object.
_STARTED = ".export-started"
_THREADS = min(8, os.cpu_count() or 1)

#: Called with the number of inner chunks written, and of all.
Progress = Callable[[int, int], Any]


class Copy:
    """One copy in the making."""

    def __init__(self, target: Target, source: Source, layouts: list[ArrayLayout], record: dict[str, Any]) -> None:
        self._target = target
        self._source = source
        self._layouts = layouts
        self._record = record
        self._crcs: dict[str, list[int]] = {}
        self.stored_bytes = 0
        self.array_bytes = 0

    def begin(self) -> list[int]:
        """Return the cycles that the target holds, after a check that it is a copy of the same selection."""
        root = self._target.read_json("zarr.json")
        if root is None:
            if not self._target.is_empty() and self._target.read_json(_STARTED) != self._record:
                raise ExportTargetError(
                    f"{self._target.address} holds something else, or an unfinished other export; give a new folder"
                )
            self._target.write(_STARTED, json.dumps(self._record).encode())
            self._target.remove_remains([f"{layout.name}/c" for layout in self._layouts])
            return []
        found = root.get("attributes", {}).get(RECORD)
        if not isinstance(found, dict):
            raise ExportTargetError(f"{self._target.address} holds another Zarr group; give a new folder")
        for key in ("product", "bbox", "variables"):
            if found.get(key) != self._record[key]:
                raise ExportTargetError(
                    f"{self._target.address} is a copy with {key} {found.get(key)}, and this export has "
                    f"{self._record[key]}; export the same selection, or give a new folder"
                )
        self._refuse_other_shape(root)
        cycles: list[int] = found["cycles"]
        self._record["cycles"] = list(cycles)
        self._target.remove_remains([f"{layout.name}/c/{len(cycles)}" for layout in self._layouts if layout.grows])
        return cycles

    def _refuse_other_shape(self, root: Mapping[str, Any]) -> None:
        known = root["consolidated_metadata"]["metadata"]
        for layout in self._layouts:
            now, then = json.loads(json.dumps(layout.metadata(0))), known[layout.name]
            for key in ("data_type", "fill_value", "chunk_grid", "dimension_names"):
                if now[key] != then[key]:
                    raise ExportTargetError(
                        f"{self._target.address}: {layout.name} has there the {key} {then[key]}, and now {now[key]}: "
                        "the cube has changed its passes, lines or packing; export to a new folder"
                    )
            packing = ("scale_factor", "add_offset")
            if any(now["attributes"].get(key) != then["attributes"].get(key) for key in packing):
                raise ExportTargetError(
                    f"{self._target.address}: {layout.name} is packed otherwise there; export to a new folder"
                )

    def refuse_disorder(self, new: Sequence[int]) -> None:
        """Refuse a cycle that lies before one that is there: a copy only grows at its end."""
        kept = self._record["cycles"]
        early = [cycle for cycle in new if kept and cycle < max(kept)]
        if early:
            raise ExportTargetError(
                f"{self._target.address} holds cycles up to {max(kept)}, and a copy grows at its end only: "
                f"cycles {early} came later; export to a new folder"
            )

    def write_cycles(self, new: Sequence[int], progress: Progress | None) -> None:
        """Write what does not depend on the cycle, then one cycle after the other."""
        growing = [layout for layout in self._layouts if layout.grows]
        constant = [layout for layout in self._layouts if not layout.grows]
        first = not self._record["cycles"]
        total = sum(layout.chunk_count for layout in growing) * len(new)
        total += sum(layout.chunk_count for layout in constant) if first else 0
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        with ThreadPoolExecutor(_THREADS) as pool:
            for layout in constant:
                if first:
                    self._write_shard(pool, layout, 0, None, tick)
                elif new:
                    self._refuse_other_values(pool, layout)
            for cycle in new:
                at = len(self._record["cycles"])
                for layout in growing:
                    self._write_shard(pool, layout, at, cycle, tick)
                for layout in growing if at else self._layouts:
                    self._verify(pool, layout, at)
                self._publish([*self._record["cycles"], int(cycle)])

    def _write_shard(
        self, pool: ThreadPoolExecutor, layout: ArrayLayout, at: int, cycle: int | None, tick: Callable[[], None]
    ) -> None:
        crcs: list[int] = []

        def chunks() -> Iterator[bytes | None]:
            for crc, chunk in _ahead(pool, layout.chunk_count, lambda number: self._chunk(layout, cycle, number)):
                crcs.append(crc)
                tick()
                self.stored_bytes += len(chunk or b"")
                yield chunk

        if layout.split is None:
            stored = b"".join(chunk for chunk in chunks() if chunk is not None)
            if stored:
                self._target.write(layout.key(at), stored)
        else:
            self._target.write(layout.key(at), shard_stream(chunks()))
        self._crcs[layout.name] = crcs
        self.array_bytes += int(numpy.prod(layout.shard_shape)) * layout.dtype.itemsize

    def _chunk(self, layout: ArrayLayout, cycle: int | None, number: int) -> tuple[int, bytes | None]:
        packed = self._packed(layout, cycle, number)
        crc = zlib.crc32(packed)
        return crc, None if layout.is_fill(packed) else layout.compress(packed)

    def _packed(self, layout: ArrayLayout, cycle: int | None, number: int) -> NDArray[Any]:
        values = self._source.read(layout.name, cycle, None if layout.split is None else number)
        packed = numpy.ascontiguousarray(pack(layout, values))
        lines = self._source.lines
        if lines is not None and layout.dimensions[:3] == (CYCLE, PASS, LINES):
            packed = packed.copy()
            packed[0, 0, ~lines[number]] = layout.fill_value
        return packed

    def _verify(self, pool: ThreadPoolExecutor, layout: ArrayLayout, at: int) -> None:
        # Read back through zarr itself, which knows nothing of how the shard was written.
        array = self._array(layout, at + 1)

        def crc(number: int) -> int:
            return zlib.crc32(_read(array, layout, at, number))

        try:
            same = list(_ahead(pool, layout.chunk_count, crc)) == self._crcs[layout.name]
        except (ValueError, RuntimeError):  # what the codecs raise for damaged bytes
            same = False
        if not same:
            raise ExportVerificationError(
                f"{self._target.address}/{layout.key(at)} does not read back as it was written; the cycle is not part "
                "of the copy; check the disk, and run the same export again"
            )

    def _array(self, layout: ArrayLayout, length: int) -> Any:
        from zarr import Array, AsyncArray
        from zarr.core.metadata import ArrayV3Metadata
        from zarr.storage import ObjectStore, StorePath

        metadata = ArrayV3Metadata.from_dict(json.loads(json.dumps(layout.metadata(length))))
        place = StorePath(ObjectStore(self._target.store, read_only=True), layout.name)
        return Array(AsyncArray(metadata=metadata, store_path=place))

    def _refuse_other_values(self, pool: ThreadPoolExecutor, layout: ArrayLayout) -> None:
        array = self._array(layout, 0)

        def is_same(number: int) -> bool:
            there, now = _read(array, layout, 0, number), self._packed(layout, None, number)
            return numpy.array_equal(there, now, equal_nan=layout.dtype.kind == "f")

        if not all(_ahead(pool, layout.chunk_count, is_same)):
            raise ExportTargetError(
                f"{self._target.address}: {layout.name} of the cube is not the one of the copy any more; "
                "export to a new folder"
            )

    def _publish(self, cycles: list[int]) -> None:
        metadata = {layout.name: layout.metadata(len(cycles)) for layout in self._layouts}
        for name, content in metadata.items():
            self._target.write(f"{name}/zarr.json", json.dumps(content).encode())
        self._record["cycles"] = cycles
        root = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {**self._attributes(), RECORD: self._record},
            "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": metadata},
        }
        self._target.write("zarr.json", json.dumps(root).encode())
        if len(cycles) == 1:
            self._target.remove(_STARTED)

    def _attributes(self) -> dict[str, Any]:
        cube = self._source.cube
        names = {layout.name for layout in self._layouts}
        coordinates = [str(name) for name in cube.coords if name not in cube.dims and name in names]
        attributes: dict[str, Any] = json.loads(json.dumps(cube.attrs, default=str))
        return attributes | {"coordinates": " ".join(coordinates)}


def _read(array: Any, layout: ArrayLayout, at: int, number: int) -> NDArray[Any]:
    place: list[Any] = [slice(None)] * len(layout.dimensions)
    if layout.grows:
        place[0] = slice(at, at + 1)
    if layout.split is not None:
        place[layout.split] = slice(number, number + 1)
    return numpy.ascontiguousarray(array[tuple(place)])


def _ahead[T](pool: ThreadPoolExecutor, count: int, work: Callable[[int], T]) -> Iterator[T]:
    # Results in order, a few of them computed ahead, so that few are in memory.
    waiting: deque[Future[T]] = deque()
    for number in range(count):
        waiting.append(pool.submit(work, number))
        if len(waiting) > _THREADS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
