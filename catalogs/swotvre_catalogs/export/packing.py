"""Variables of a cube as a copy stores them: packed as in the files, times as integers, all of it reversible."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.export.errors import ExportError
from swotvre_catalogs.export.shards import ArrayLayout
from swotvre_catalogs.parameters import near_miss

CYCLE, PASS = "cycle_number", "pass_number"
#: Times are stored as whole nanoseconds since then, so that none is rounded.
_EPOCH = numpy.datetime64("2000-01-01", "ns")
_NO_TIME = int(numpy.iinfo(numpy.int64).min)


def chosen_variables(dataset: xarray.Dataset, variables: Collection[str] | None) -> tuple[list[str], list[str]]:
    """Return the names of what is copied, coordinates first, and of what is neither number nor time.

    Raises:
        ExportError: If the dataset has no such variable, or is no cube.
    """
    if CYCLE not in dataset.dims:
        raise ExportError(f"only a cube can be exported by cycles; this has the dimensions {tuple(dataset.dims)}")
    for name in variables or ():
        if name not in dataset.variables:
            known = [str(known) for known in dataset.variables]
            raise ExportError(f"there is no variable {name!r} to export{near_miss(name, known)}")
    names = [str(name) for name in dataset.coords]
    names += [str(name) for name in dataset.data_vars if variables is None or name in variables]
    others = [name for name in names if dataset[name].dtype.kind not in "iufbM"]
    return [name for name in names if name not in others], others


def array_layout(variable: xarray.Variable, name: str) -> ArrayLayout:
    """Return how a variable is stored: one shard per cycle, one inner chunk per pass.

    Raises:
        ExportError: If its dimensions are not in the order of a cube.
    """
    dimensions = tuple(map(str, variable.dims))
    order = [dimension for dimension in (CYCLE, PASS) if dimension in dimensions]
    if dimensions[: len(order)] != tuple(order):
        raise ExportError(f"{name} has the dimensions {dimensions}; expected {', '.join(order)} first")
    grows = CYCLE in dimensions
    split = dimensions.index(PASS) if PASS in dimensions and len(dimensions) > len(order) else None
    shape = tuple(1 if dimension == CYCLE else size for dimension, size in zip(dimensions, variable.shape, strict=True))
    dtype, fill_value, attributes = _storage(variable)
    attributes = {key: _plain(value) for key, value in variable.attrs.items() if key != "coordinates"} | attributes
    return ArrayLayout(name, dimensions, shape, split, dtype, fill_value, grows, attributes)


def _storage(variable: xarray.Variable) -> tuple[numpy.dtype[Any], Any, dict[str, Any]]:
    encoding = variable.encoding
    if variable.dtype.kind == "M":
        units = f"nanoseconds since {_EPOCH.astype('datetime64[D]')}"
        return numpy.dtype("int64"), _NO_TIME, {"units": units, "calendar": "standard", "_FillValue": _NO_TIME}
    stored = numpy.dtype(encoding.get("dtype") or variable.dtype)
    attributes = {key: _plain(encoding[key]) for key in ("scale_factor", "add_offset") if encoding.get(key) is not None}
    fill = encoding.get("_FillValue", encoding.get("missing_value"))
    if stored.kind in "iu":
        if fill is None and variable.dtype.kind == "f":
            info = numpy.iinfo(stored)
            fill = info.max if stored.kind == "u" else info.min
        if fill is not None:
            return stored, int(fill), attributes | {"_FillValue": int(fill)}
        return stored, 0, attributes
    if variable.dtype.kind == "b":
        return numpy.dtype("bool"), False, {}
    if variable.dtype.kind in "iu":
        return variable.dtype, 0, {}
    return variable.dtype, math.nan, {}


def pack(layout: ArrayLayout, values: NDArray[Any]) -> NDArray[Any]:
    """Return values as they are stored, after a check that they come back exactly.

    Raises:
        ExportError: If they would not.
    """
    if values.dtype.kind == "M":
        since = (values.astype("datetime64[ns]") - _EPOCH).astype("int64")
        return numpy.where(numpy.isnat(values), _NO_TIME, since)
    if layout.dtype.kind not in "iu" or values.dtype.kind != "f":
        return values.astype(layout.dtype, copy=False)
    missing = numpy.isnan(values)
    scale, offset = (layout.attributes.get(key) for key in ("scale_factor", "add_offset"))
    numbers = values.copy() if offset is None else values - values.dtype.type(offset)
    if scale is not None:
        numbers /= values.dtype.type(scale)
    numbers[missing] = 0
    numpy.rint(numbers, out=numbers)
    info = numpy.iinfo(layout.dtype)
    inside = bool(numbers.min(initial=0) >= info.min and numbers.max(initial=0) <= info.max)
    packed = numbers.astype(layout.dtype) if inside else None
    if packed is None or not ((_unpack(layout, packed, values.dtype) == values) | missing).all():
        raise ExportError(
            f"{layout.name} holds values that {layout.dtype} with scale_factor {scale} and add_offset {offset} does "
            "not give back exactly: its files are not all packed alike; leave it out with variables="
        )
    packed[missing] = layout.fill_value
    return packed


def _unpack(layout: ArrayLayout, packed: NDArray[Any], dtype: numpy.dtype[Any]) -> NDArray[Any]:
    values = packed.astype(dtype)
    if (scale := layout.attributes.get("scale_factor")) is not None:
        values *= dtype.type(scale)
    if (offset := layout.attributes.get("add_offset")) is not None:
        values += dtype.type(offset)
    return values


def _plain(value: Any) -> Any:
    # JSON has neither numpy's numbers nor its arrays.
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    if isinstance(value, numpy.generic):
        return value.item()
    return value if isinstance(value, str | int | float | bool | list | tuple) else str(value)
