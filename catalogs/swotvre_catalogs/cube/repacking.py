"""Write the values of a file that is stored otherwise into an array of the cube, if that can be done exactly."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.decoding import decode
from swotvre_catalogs.cube.layout import VariableLayout
from swotvre_catalogs.cube.plan import ArrayPlan

#: Two values are the same when they are nearer than this, relative to the larger of them and 1.
TOLERANCE = 1e-13


def repack(values: NDArray[Any], layout: VariableLayout, lines: NDArray[numpy.int64], plan: ArrayPlan) -> NDArray[Any]:
    """Return the packed values of a file as the array packs them, on the lines of the cube.

    Args:
        values: Packed values of the file.
        layout: How the file stores them.
        lines: Line of the cube of each line of the file.
        plan: The array.

    Raises:
        NotRepresentableError: If a value cannot be written in the array's packing.
    """
    target = numpy.full(plan.shape[plan.leading :], plan.fill_value, plan.layout.dtype)
    if layout.units != plan.layout.units:
        raise NotRepresentableError(f"its units are {layout.units!r}, those of the cube {plan.layout.units!r}")
    if values.shape[1:] != target.shape[1:]:
        raise NotRepresentableError(f"its shape is {values.shape}, that of the cube {target.shape}")
    target[lines] = _converted(values, layout, plan)
    return target


class NotRepresentableError(ValueError):
    """The values of a file cannot be written exactly in the packing of the array."""


def _converted(values: NDArray[Any], layout: VariableLayout, plan: ArrayPlan) -> NDArray[Any]:
    own = plan.layout
    if layout.packing == own.packing:
        return values
    absent = _is_fill(values, layout)
    if (layout.scale_factor, layout.add_offset) == (own.scale_factor, own.add_offset):
        wanted: NDArray[Any] = values
    else:
        wanted = decode(values, layout)
        if own.add_offset is not None:
            wanted = wanted - own.add_offset
        if own.scale_factor is not None:
            wanted = wanted / own.scale_factor
        if own.dtype[1] != "f":
            wanted = numpy.rint(wanted)
    kept = wanted[~absent]
    if own.dtype[1] != "f":
        limits = numpy.iinfo(own.dtype)
        if kept.size and not (kept.min() >= limits.min and kept.max() <= limits.max):
            raise NotRepresentableError(f"its values do not fit {own.dtype[1:]}")
    converted = numpy.full(values.shape, plan.fill_value, own.dtype)
    converted[~absent] = kept.astype(own.dtype)
    if _is_fill(converted, own)[~absent].any():
        raise NotRepresentableError(f"it has a value that is the cube's fill value {own.fill_value}")
    before, after = decode(values, layout)[~absent], decode(converted, own)[~absent]
    if not (numpy.abs(before - after) <= TOLERANCE * numpy.maximum(1, numpy.abs(before))).all():
        raise NotRepresentableError(f"its values ({_told(layout)}) are not among those of the cube ({_told(own)})")
    return converted


def _told(layout: VariableLayout) -> str:
    return f"scale_factor {layout.scale_factor}, add_offset {layout.add_offset}, {layout.dtype[1:]}"


def _is_fill(values: NDArray[Any], layout: VariableLayout) -> NDArray[numpy.bool_]:
    absent = numpy.isnan(values) if values.dtype.kind == "f" else numpy.zeros(values.shape, bool)
    if layout.fill_value is not None and layout.fill_value == layout.fill_value:
        absent |= values == numpy.dtype(layout.dtype).type(layout.fill_value)
    return absent
