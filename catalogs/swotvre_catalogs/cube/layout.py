"""How the variables of one netCDF file are stored: what a reader needs beside the position of the bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy

#: Attributes that change what the values mean: they belong to the signature.
MEANING = ("units", "calendar", "flag_meanings", "flag_masks", "flag_values", "missing_value", "_Unsigned")

#: Filters that can be undone without the HDF5 library.
_DIRECT_FILTERS = ((), ("shuffle",), ("deflate",), ("shuffle", "deflate"))


@dataclass(frozen=True)
class VariableLayout:
    """How one variable is stored in one file."""

    #: ``ssha_karin_2``; in a group ``left/ssh_karin_2``.
    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    #: Shape of a chunk; equal to ``shape`` when the variable is contiguous.
    chunks: tuple[int, ...]
    #: As numpy writes it: ``<i4``.
    dtype: str
    #: Name and parameter in the order of writing: ``("shuffle", 4), ("deflate", 4), ("fletcher32", 0)``.
    filters: tuple[tuple[str, int], ...]
    scale_factor: float | None = None
    add_offset: float | None = None
    #: Of the packed values.
    fill_value: int | float | None = None
    #: What stands in chunks that were never written, where that is not ``fill_value``.
    unwritten_value: int | float | None = None
    #: Name and text of the attributes that change what the values mean, such as ``units``.
    meaning: tuple[tuple[str, str], ...] = ()
    #: All attributes, as the publication writes them; empty where the layout comes from a chunk table.
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False, repr=False)

    @cached_property
    def is_direct(self) -> bool:
        """Tell whether the values can be read without the HDF5 library: numbers, in filters that we can undo."""
        names = tuple(name for name, _ in self.filters)
        return (
            names in (*_DIRECT_FILTERS, *((*filters, "fletcher32") for filters in _DIRECT_FILTERS))
            and self.dtype[0] in "<|"
            and self.dtype[1] in "iuf"
            and self.unwritten_value is None
            and not {"missing_value", "_Unsigned"} & {name for name, _ in self.meaning}
        )

    @property
    def packing(self) -> tuple[Any, ...]:
        """What turns stored numbers into values: dtype, scale factor, offset, fill value."""
        fill = "nan" if isinstance(self.fill_value, float) and math.isnan(self.fill_value) else self.fill_value
        return (self.dtype, self.scale_factor, self.add_offset, fill)

    @property
    def chunk_grid(self) -> tuple[int, ...]:
        """Number of chunks along each dimension."""
        return tuple(-(-size // chunk) if chunk else 0 for size, chunk in zip(self.shape, self.chunks, strict=True))

    @cached_property
    def chunk_count(self) -> int:
        """Number of chunks of the file."""
        return math.prod(self.chunk_grid)

    @property
    def itemsize(self) -> int:
        """Size of one stored number in bytes."""
        return numpy.dtype(self.dtype).itemsize

    @property
    def units(self) -> str:
        """The attribute ``units``; empty where there is none."""
        return dict(self.meaning).get("units", "")


@dataclass(frozen=True)
class FileLayout:
    """How all variables of one file are stored."""

    variables: Mapping[str, VariableLayout]

    @cached_property
    def signature(self) -> str:
        """A short hash: equal for two files whose bytes are to be read in the same way."""
        text = json.dumps(layout_to_json(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.signature)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileLayout) and self.signature == other.signature


_FACTS = tuple(one.name for one in fields(VariableLayout) if one.name != "attributes")


def layout_to_json(layout: FileLayout) -> list[dict[str, Any]]:
    """Return the layout without its attributes as JSON values; not-a-number is written as the text ``nan``."""
    written = []
    for name in sorted(layout.variables):
        facts = {key: getattr(layout.variables[name], key) for key in _FACTS}
        for key in ("fill_value", "unwritten_value"):
            if isinstance(facts[key], float) and not math.isfinite(facts[key]):
                facts[key] = str(facts[key])
        written.append(facts)
    return written


def layout_from_json(written: list[dict[str, Any]]) -> FileLayout:
    """Return what ``layout_to_json`` wrote."""
    variables = {}
    for facts in written:
        for key in ("fill_value", "unwritten_value"):
            if isinstance(facts[key], str):
                facts[key] = float(facts[key])
        for key in ("dimensions", "shape", "chunks"):
            facts[key] = tuple(facts[key])
        for key in ("filters", "meaning"):
            facts[key] = tuple(tuple(pair) for pair in facts[key])
        variables[facts["name"]] = VariableLayout(**facts)
    return FileLayout(variables)
