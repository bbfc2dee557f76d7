"""How packed numbers of one layout become values, and what xarray would have to do instead of the kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy

from swotvre_catalogs.cube.layout import VariableLayout

_KERNEL_TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")


@dataclass(frozen=True)
class Packing:
    """Stored type, scale, offset and fill value: files of one packing can be added before they are scaled."""

    #: As numpy writes it: ``<i4``.
    dtype: str
    scale: float
    offset: float
    #: Of the packed values; None where every number counts.
    fill: int | float | None

    @classmethod
    def of(cls, layout: VariableLayout) -> Packing:
        """Return the packing of a variable in one file."""
        scale = 1.0 if layout.scale_factor is None else float(layout.scale_factor)
        offset = 0.0 if layout.add_offset is None else float(layout.add_offset)
        fill = layout.fill_value
        if isinstance(fill, float) and math.isnan(fill):
            fill = None  # not-a-number never counts
        return cls(layout.dtype, scale, offset, fill)

    @property
    def is_float(self) -> bool:
        """Tell whether the numbers are floats; integers otherwise."""
        return self.dtype[1] == "f"

    @property
    def itemsize(self) -> int:
        """Size of one stored number in bytes."""
        return int(self.dtype[2:])

    @cached_property
    def flip(self) -> numpy.uint32:
        """The bit that turns a stored integer into its key (see `kernels`)."""
        return numpy.uint32(self.origin)

    @property
    def origin(self) -> int:
        """The key of zero."""
        return 1 << (8 * self.itemsize - 1) if self.dtype[1] == "i" else 0

    def key(self, number: float) -> numpy.uint32 | None:
        """Return the key of an integer; None where the stored type cannot hold it."""
        key = int(number) + self.origin
        whole = float(number).is_integer() and 0 <= key < 1 << (8 * self.itemsize)
        return numpy.uint32(key) if whole else None

    @cached_property
    def fill_key(self) -> numpy.uint32:
        """The key of the fill value; 0 where there is none, see ``unfilled``."""
        key = None if self.fill is None else self.key(self.fill)
        return numpy.uint32(0) if key is None else key

    @cached_property
    def unfilled(self) -> bool:
        """Tell whether every integer counts."""
        return self.fill is None or self.key(self.fill) is None

    @cached_property
    def fill_float(self) -> float:
        """The fill value of stored floats, in their precision; not-a-number where there is none."""
        if self.fill is None:
            return math.nan
        return float(numpy.dtype(self.dtype).type(self.fill))


def reason_against_kernels(layout: VariableLayout) -> str:
    """Return why the kernels cannot read a variable, in words; empty if they can."""
    where = f"{layout.name} is stored as {layout.dtype}"
    filters = [name for name, _ in layout.filters]
    if not layout.is_direct:
        return f"{where} with the filters {filters}, which only the netCDF library can undo"
    if layout.dtype[1:] not in _KERNEL_TYPES:
        return f"{where}, which the kernels do not know"
    if " since " in layout.units:
        return f"{layout.name} holds times ({layout.units})"
    if not layout.dimensions or layout.dimensions[0] != "num_lines" or len(layout.dimensions) > 2:
        return f"{layout.name} has the dimensions {layout.dimensions}; the kernels know (num_lines, ...) of one or two"
    return ""
