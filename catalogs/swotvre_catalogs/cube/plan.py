"""How the arrays of a cube are stored: each in the layout of most of its files."""

from __future__ import annotations

import base64
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.indexer import GEOMETRY
from swotvre_catalogs.cube.layout import VariableLayout

#: Fill values of netCDF-C for integers that declare none: what a hole of the cube holds then.
_DEFAULT_FILL = {"i1": -127, "u1": 255, "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295}


@dataclass(frozen=True)
class ArrayPlan:
    """One array of the cube."""

    #: The layout of the files that are referred to where they lie.
    layout: VariableLayout
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    #: Of the packed values; what missing files, and lines that a file lacks, hold.
    fill_value: int | float
    #: Whether it is one of latitude and longitude, which have no cycle.
    is_geometry: bool
    #: Whether files are referred to; else every file is written into the repository.
    is_virtual: bool
    #: Whether ``fill_value`` stands for "no value": it is declared, or lines of the cube have no file.
    is_masked: bool

    @property
    def name(self) -> str:
        """Name of the variable."""
        return self.layout.name

    @property
    def leading(self) -> int:
        """Number of dimensions that the file has not: cycle and pass, or pass."""
        return 1 if self.is_geometry else 2

    @property
    def key(self) -> tuple[Any, ...]:
        """What an existing array must have in common with the plan to be carried on: all but the number of cycles."""
        shape = self.shape if self.is_geometry else self.shape[1:]
        stored = (self.layout.packing, self.layout.meaning, self.filters, self.is_virtual, self.is_masked)
        return (self.name, self.dimensions, shape, self.chunks, *stored)

    @property
    def filters(self) -> tuple[tuple[str, int], ...]:
        """The filters of the array's chunks, as in ``VariableLayout``."""
        return self.layout.filters if self.is_virtual else (("shuffle", self.layout.itemsize), ("deflate", 4))

    def refers_to(self, layout: VariableLayout, first_line: int) -> bool:
        """Tell whether a file's chunks can stand in the array as they are."""
        own = self.layout
        return (
            self.is_virtual
            and layout.is_direct
            and first_line == 0
            and layout.shape == self.shape[self.leading :]
            and (layout.chunks, layout.filters, layout.packing) == (own.chunks, own.filters, own.packing)
            and layout.units == own.units
        )


def plan_arrays(table: ChunkTable) -> dict[str, ArrayPlan]:
    """Return the arrays of a cube by name: every variable of numbers along the lines of a pass."""
    counts = Counter(table.signature.tolist())
    candidates: dict[str, Counter[VariableLayout]] = {}
    for number, count in sorted(counts.items()):
        for name, layout in table.layouts[number].variables.items():
            if layout.dimensions[:1] == ("num_lines",) and "/" not in name and numpy.dtype(layout.dtype).kind in "iuf":
                candidates.setdefault(name, Counter())[layout] += count
    return {name: _plan(name, found, table) for name, found in candidates.items()}


def _plan(name: str, found: Counter[VariableLayout], table: ChunkTable) -> ArrayPlan:
    whole = [layout for layout in found if layout.is_direct and layout.shape[0] == table.num_lines]
    is_virtual = bool(whole)
    candidates: Iterable[VariableLayout] = whole or found
    layout = max(candidates, key=lambda one: (found[one], repr(one)))
    is_geometry = name in GEOMETRY
    trailing = (table.num_lines, *layout.shape[1:])
    counts = (len(table.pass_numbers),) if is_geometry else (len(table.cycle_numbers), len(table.pass_numbers))
    chunks = layout.chunks if is_virtual else trailing
    leading = ("pass_number",) if is_geometry else ("cycle_number", "pass_number")
    dimensions = (*leading, *layout.dimensions)
    is_masked = layout.fill_value is not None or _has_holes(name, found, table)
    fill, shape, chunks = _fill(layout), counts + trailing, (1,) * len(counts) + chunks
    return ArrayPlan(layout, dimensions, shape, chunks, fill, is_geometry, is_virtual, is_masked)


def _has_holes(name: str, found: Counter[VariableLayout], table: ChunkTable) -> bool:
    complete = all(layout.shape[0] == table.num_lines for layout in found)
    if name in GEOMETRY:
        return not complete
    return not complete or sum(found.values()) < table.row.size


def _fill(layout: VariableLayout) -> int | float:
    if layout.fill_value is not None:
        return layout.fill_value
    if layout.dtype[1] == "f":
        return math.nan
    return _DEFAULT_FILL.get(layout.dtype[1:], int(numpy.iinfo(layout.dtype).min))


def written_attributes(plan: ArrayPlan, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an array, as xarray reads them from Zarr v3.

    Args:
        plan: The array.
        attributes: Attributes of the variable in one of its files.
    """
    written = {name: _plain(value) for name, value in attributes.items() if name != "_FillValue"}
    if plan.is_masked:
        written["_FillValue"] = _encoded_fill(plan)
        if "missing_value" in written and "missing_value" not in dict(plan.layout.meaning):
            del written["missing_value"]
    return written


def _encoded_fill(plan: ArrayPlan) -> Any:
    # How xarray writes a fill value into the JSON of Zarr v3: floats as base64 of the little-endian double.
    if plan.layout.dtype[1] == "f":
        return base64.standard_b64encode(struct.pack("<d", float(plan.fill_value))).decode()
    return int(plan.fill_value)


def _plain(value: Any) -> Any:
    # JSON has no not-a-number and no infinity.
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
