"""Running sums of the cells of one pass, and their exact totals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.reduce import kernels
from swotvre_catalogs.reduce.packing import Packing

#: Totals of at most this many cells are kept in Python integers, which cannot overflow.
_SMALL = 4096

#: Value of an empty cell of each field.
_EMPTY: dict[str, float] = {
    "lowest": 0xFFFFFFFF,
    "highest": 0,
    "least": math.inf,
    "greatest": -math.inf,
}


@dataclass
class Totals:
    """Sums of cells of one packing: exact for integers, so that they can be added in any order.

    Fields of integers are of keys: count, total, low and high (of squares), lowest, highest; of floats: count, total,
    square (sum of squared deviations), least, greatest.
    """

    packing: Packing
    fields: dict[str, NDArray[Any]]

    def add(self, other: Totals) -> None:
        """Add the totals of other files of the same packing."""
        mine, more = self.fields, other.fields
        added: dict[str, Any] = {}
        for name, values in mine.items():
            if name in ("lowest", "least"):
                added[name] = numpy.minimum(values, more[name])
            elif name in ("highest", "greatest"):
                added[name] = numpy.maximum(values, more[name])
            elif name == "square":
                added[name] = _merged_squares(mine, more)
            else:
                added[name] = values + more[name]
        # Of arrays without dimensions numpy gives back bare numbers.
        self.fields = {name: numpy.asarray(value, dtype=mine[name].dtype) for name, value in added.items()}

    def moments(self) -> dict[str, NDArray[Any]]:
        """Return count, mean, squares (sum of squared deviations), min and max in the unit of the variable, float64."""
        fields, scale, offset = self.fields, self.packing.scale, self.packing.offset
        count = fields["count"]
        found: dict[str, NDArray[Any]] = {"count": count.astype("int64")}
        origin = 0 if self.packing.is_float else self.packing.origin
        with numpy.errstate(divide="ignore", invalid="ignore"):
            if count.dtype == object:
                ratios = [
                    _ratio(total - origin * n, n) for total, n in zip(fields["total"].flat, count.flat, strict=True)
                ]
                mean = numpy.array(ratios, "float64").reshape(count.shape)
            else:
                mean = (fields["total"] - origin * count) / count
            found["mean"] = mean * scale + offset
            if "low" in fields:
                found["squares"] = _exact_squares(fields) * scale**2
            elif "square" in fields:
                found["squares"] = fields["square"].astype("float64") * scale**2
            low, high = (("lowest", "highest"), ("least", "greatest"))[self.packing.is_float]
            if low in fields:
                empty = found["count"] == 0
                ends = [
                    numpy.where(empty, numpy.nan, (fields[name].astype("float64") - origin) * scale + offset)
                    for name in (low, high)
                ]
                found["min"], found["max"] = numpy.minimum(*ends), numpy.maximum(*ends)
        return found


def _ratio(total: Any, count: int) -> float:
    return total / count if count else math.nan


def _merged_squares(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> NDArray[Any]:
    # Chan, Golub, LeVeque (1979): the squared deviations of two sets about their common mean.
    n, m = one["count"].astype("float64"), other["count"].astype("float64")
    with numpy.errstate(divide="ignore", invalid="ignore"):
        between = one["total"].astype("float64") / n - other["total"].astype("float64") / m
        extra = numpy.where((n > 0) & (m > 0), between**2 * (n * m / (n + m)), 0.0)
    return numpy.asarray(one["square"].astype("float64") + other["square"].astype("float64") + extra)


def _exact_squares(fields: dict[str, NDArray[Any]]) -> NDArray[Any]:
    count, total = fields["count"], fields["total"]
    if count.dtype == object:
        sums = zip(count.flat, total.flat, fields["low"].flat, fields["high"].flat, strict=True)
        squares = [float(Fraction(n * ((h << 32) + low) - t * t, n)) if n else math.nan for n, t, low, h in sums]
        return numpy.array(squares, "float64").reshape(count.shape)
    deviations = numpy.empty(count.size)
    flat = [numpy.ascontiguousarray(fields[name]).reshape(-1) for name in ("count", "total", "low", "high")]
    kernels.write_squares(*flat, deviations)
    return deviations.reshape(count.shape)


class Cells:
    """Sums for every line and column of one pass, or of a window of its lines, reused for the next; one packing."""

    def __init__(self, packing: Packing, lines: int, columns: int, *, squares: bool, extremes: bool) -> None:
        self.packing, self.lines, self.columns = packing, lines, columns
        kinds: dict[str, str]
        if packing.is_float:
            kinds = {"count": "i4", "total": "f8"}
            kinds |= {"square": "f8"} if squares else {}
            kinds |= {"least": "f8", "greatest": "f8"} if extremes else {}
        else:
            kinds = {"sums": "u8"}
            kinds |= {"low": "i8", "high": "i8"} if squares else {}
            kinds |= {"lowest": "u4", "highest": "u4"} if extremes else {}
        self.fields = {name: numpy.full(lines * columns, _EMPTY.get(name, 0), kind) for name, kind in kinds.items()}
        self._first, self._last = lines, 0

    def clear(self, packing: Packing) -> None:
        """Empty the cells for numbers of a packing of the same kind."""
        self.packing = packing
        cells = slice(self._first * self.columns, self._last * self.columns)
        for name, values in self.fields.items():
            values[cells] = _EMPTY.get(name, 0)
        self._first, self._last = self.lines, 0

    def touch(self, first_line: int, lines: int) -> slice:
        """Return the cells of a run of lines, and remember that they are in use."""
        self._first, self._last = min(self._first, first_line), max(self._last, first_line + lines)
        return slice(first_line * self.columns, (first_line + lines) * self.columns)

    def add(self, first_line: int, values: NDArray[Any], keep: NDArray[numpy.uint8]) -> None:
        """Add whole lines: keys (uint32) or floats (float64), and 1 in ``keep`` where they count."""
        cells = self.touch(first_line, len(values) // self.columns)
        field = {name: array[cells] for name, array in self.fields.items()}
        if self.packing.is_float:
            fill = self.packing.fill_float
            if "square" in field:
                kernels.add_deviations(values, keep, fill, field["total"], field["count"], field["square"])
            else:
                kernels.add_floats(values, keep, fill, field["total"], field["count"])
            if "least" in field:
                kernels.add_float_extremes(values, keep, fill, field["least"], field["greatest"])
            return
        fill_key, unfilled = self.packing.fill_key, self.packing.unfilled
        add = kernels.add_keys if values.size >= kernels.FEW else kernels.add_few_keys
        add(values, keep, fill_key, unfilled, field["sums"])
        if "low" in field:
            kernels.add_squares(values, keep, fill_key, unfilled, field["low"], field["high"])
        if "lowest" in field:
            kernels.add_extremes(values, keep, fill_key, unfilled, field["lowest"], field["highest"])

    def add_planes(self, first_line: int, planes: tuple[NDArray[numpy.uint8], ...]) -> None:
        """Add whole lines of 4-byte integers as the shuffle filter left them, lowest bytes first."""
        cells = self.touch(first_line, len(planes[0]) // self.columns)
        packing = self.packing
        kernels.add_shuffled(*planes, packing.flip, packing.fill_key, packing.unfilled, self.fields["sums"][cells])

    def totals(self, *, keep_lines: bool, keep_columns: bool) -> Totals:
        """Return the totals over lines or columns or both or neither."""
        whole = keep_lines or self._first >= self._last
        first, last = (0, self.lines) if whole else (self._first, self._last)
        if (
            list(self.fields) == ["sums"]
            and not keep_lines
            and not keep_columns
            and len(self.fields["sums"]) >= kernels.FEW
        ):
            # One pass over the cells, without unpacking them.
            count, total = kernels.total_sums(self.fields["sums"][first * self.columns : last * self.columns])
            return Totals(self.packing, {"count": numpy.array(count, object), "total": numpy.array(total, object)})
        fields = self._unpacked(slice(first * self.columns, last * self.columns))
        by_line = {name: array.reshape(last - first, self.columns) for name, array in fields.items()}
        axes = tuple(axis for axis, kept in enumerate((keep_lines, keep_columns)) if not kept)
        return Totals(self.packing, summed(by_line, axes))

    def binned(self, bins: NDArray[numpy.int64], count: int) -> Totals:
        """Return the totals of the cells of a grid; ``bins`` gives that of each pixel, flat, or -1."""
        fields = self._unpacked(slice(None))
        found = {name: numpy.full(count, _EMPTY.get(name, 0), array.dtype) for name, array in fields.items()}
        if "square" in fields:
            numbers = [fields[name] for name in ("count", "total", "square")]
            kernels.bin_squares(bins, *numbers, *(found[name] for name in ("count", "total", "square")))
        for name, array in fields.items():
            if name in ("lowest", "least"):
                kernels.bin_lowest(bins, array, found[name])
            elif name in ("highest", "greatest"):
                kernels.bin_highest(bins, array, found[name])
            elif "square" not in fields:
                kernels.bin_sums(bins, array, found[name])
        return Totals(self.packing, summed(found, ()))

    def _unpacked(self, cells: slice) -> dict[str, NDArray[Any]]:
        fields = {name: array[cells] for name, array in self.fields.items()}
        if "sums" in fields:
            sums = fields.pop("sums")
            fields["count"] = (sums >> numpy.uint64(kernels.COUNT_SHIFT)).astype("int64")
            fields["total"] = (sums & numpy.uint64((1 << kernels.COUNT_SHIFT) - 1)).astype("int64")
        else:
            fields["count"] = fields["count"].astype("int64")
        return fields


def summed(fields: dict[str, NDArray[Any]], axes: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Return the totals of fields over some axes; few cells as Python numbers, which are exact at any size."""
    result: dict[str, NDArray[Any]] = {}
    for name, values in fields.items():
        if name in ("lowest", "least"):
            total = numpy.min(values, axis=axes)
        elif name in ("highest", "greatest"):
            total = numpy.max(values, axis=axes)
        elif name == "square":
            total = _squares_over(fields, axes)
        else:
            total = numpy.sum(values, axis=axes, dtype="float64" if values.dtype.kind == "f" else "int64")
        total = numpy.array(total)
        result[name] = total.astype(object) if total.size <= _SMALL else total
    return result


def _squares_over(fields: dict[str, NDArray[Any]], axes: tuple[int, ...]) -> NDArray[Any]:
    count, total = fields["count"], fields["total"]
    with numpy.errstate(divide="ignore", invalid="ignore"):
        mean = total.sum(axis=axes, keepdims=True) / count.sum(axis=axes, keepdims=True)
        between = numpy.where(count > 0, (total / count - mean) ** 2 * count, 0.0)
    return numpy.asarray((fields["square"] + between).sum(axis=axes))
