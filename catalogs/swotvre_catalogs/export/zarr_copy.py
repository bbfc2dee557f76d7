"""A selection of a product as sharded Zarr v3: one cycle per shard, one pass per inner chunk.

The consolidated metadata of the root names the cycles that are complete. They are written last, in one object: a reader
sees a cycle whole or not at all, an export that was killed goes on where it stood, and a new cycle adds objects without
touching those that are there.
"""

from __future__ import annotations

import os
import time as clock
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xarray

from swotvre_catalogs.errors import MissingGranuleError
from swotvre_catalogs.export.copying import Copy, Progress
from swotvre_catalogs.export.packing import CYCLE, array_layout, chosen_variables
from swotvre_catalogs.export.source import Source
from swotvre_catalogs.export.target import Target

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry


@dataclass(frozen=True)
class ExportReport:
    """What an export did."""

    address: str
    #: Cycles written now, and those that were there before.
    written: list[int]
    kept: list[int]
    #: Bytes stored for the cycles written now, and what their arrays take unpacked to packed integers in memory.
    stored_bytes: int
    array_bytes: int
    duration_s: float
    #: Variables left out because they are neither numbers nor times.
    left_out: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.written:
            return f"{self.address} holds all {len(self.kept)} cycles already"
        ratio = f", {self.array_bytes / self.stored_bytes:.1f} times smaller" if self.stored_bytes else ""
        lines = [
            f"{len(self.written)} cycles written to {self.address} in {self.duration_s:.1f} s: "
            f"{self.stored_bytes / 1e6:.1f} MB{ratio}, read back and compared"
        ]
        if self.kept:
            lines.append(f"{len(self.kept)} cycles were there already")
        if self.left_out:
            lines.append(f"left out, as they are neither numbers nor times: {', '.join(self.left_out)}")
        return "\n".join(lines)


def export_zarr(
    entry: Entry,
    to: str | os.PathLike[str],
    bbox: Sequence[float] | None = None,
    time: Any = None,
    variables: Collection[str] | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Copy a selection of a product's cube to sharded Zarr v3, or add the cycles that are new to a copy.

    Args:
        entry: A product with a cube.
        to: A folder, or ``s3://bucket/prefix``.
        bbox: (west, south, east, north) in degrees. Passes that do not cross it are left out; of the others, lines
            that do not cross it are NaN, so that positions stay those of the cube.
        time: A period, as for ``Entry.sel``; cycles with a measurement in it are copied whole.
        variables: Names of the variables; all by default. Coordinates are always copied.
        storage_options: Options of an address on S3, as for `open_catalog`.
        progress: Called with the number of passes done and of all.

    Raises:
        ExportTargetError: If the target holds something else, or cannot be written.
        NoSpaceError: If the target is full.
        ExportVerificationError: If what was written does not read back as it was.
        BuildRunningError: If another export writes to the same folder.
        MissingGranuleError: If the selection is empty.
    """
    cycles = None
    if time is not None:
        cycles = set(entry.index().select(time=time).table[CYCLE].tolist())
        if not cycles:
            raise MissingGranuleError(f"{entry.name} has no cycle in {time}; see catalog['{entry.name}'].index()")
    return export_dataset(
        entry.cube(),
        to,
        bbox,
        variables,
        cycles=cycles,
        name=entry.name,
        storage_options=storage_options,
        progress=progress,
    )


def export_dataset(
    cube: xarray.Dataset,
    to: str | os.PathLike[str],
    bbox: Sequence[float] | None = None,
    variables: Collection[str] | None = None,
    *,
    cycles: Collection[int] | None = None,
    name: str = "",
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Copy a Dataset with the dimensions of a cube, as `export_zarr` does.

    ``cycles`` are the numbers of those to copy, all by default; ``name`` is that of the product.
    """
    started = clock.perf_counter()
    names, left_out = chosen_variables(cube, variables)
    source = Source.select(cube, bbox, cycles)
    layouts = [array_layout(source.variable(variable), variable) for variable in names]
    record = {
        "product": name,
        "bbox": None if bbox is None else [float(edge) for edge in bbox],
        "variables": sorted(names),
        "cycles": [],
    }
    target = Target(to, storage_options)
    with target.lock():
        copy = Copy(target, source, layouts, record)
        kept = copy.begin()
        new = [cycle for cycle in source.cycle_numbers if cycle not in kept]
        copy.refuse_disorder(new)
        copy.write_cycles(new, progress)
    return ExportReport(
        target.address, new, kept, copy.stored_bytes, copy.array_bytes, clock.perf_counter() - started, left_out
    )
