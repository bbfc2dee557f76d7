"""Any packed numbers that HDF5 can hold give what numpy makes of the decoded values."""

import io
from types import SimpleNamespace
from typing import Any
from unittest import mock

import h5py
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swotvre_catalogs.cube.indexer import index_file
from swotvre_catalogs.reduce import kernels
from swotvre_catalogs.reduce.cells import Cells, Totals
from swotvre_catalogs.reduce.decoding import CorruptChunkError, Scratch, VariableDecoder, fletcher32
from swotvre_catalogs.reduce.planning import most_files_allowed
from swotvre_catalogs.reduce.results import combined

COLUMNS = 5
KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]


@st.composite
def files(draw: Any) -> tuple[list[Any], Any, dict[str, Any]]:
    """Return arrays of one type, their fill value, and how they are stored."""
    kind = draw(st.sampled_from(KINDS))
    lines, count = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    if kind[0] == "f":
        some = st.floats(-1e6, 1e6, width=32 if kind == "f4" else 64)
        elements, fill = st.one_of(some, st.just(float("nan"))), draw(some)
    else:
        limits = numpy.iinfo(kind)
        ends = st.sampled_from([int(limits.min), int(limits.max), 0, 1])
        elements = st.one_of(st.integers(int(limits.min), int(limits.max)), ends)
        fill = draw(st.one_of(ends, st.just(None)))
    shape = (lines, COLUMNS)
    size = lines * COLUMNS
    every = st.lists(st.one_of(elements, st.just(fill if fill is not None else 0)), min_size=size, max_size=size)
    arrays = [numpy.array(draw(every), kind).reshape(shape) for _ in range(count)]
    chunks = draw(st.sampled_from([None, shape, (max(1, lines // 2), COLUMNS), (1, 2), (lines, 3)]))
    options: dict[str, Any] = {}
    if chunks is not None:
        options = {"chunks": chunks, "shuffle": draw(st.booleans()), "fletcher32": draw(st.booleans())}
        if draw(st.booleans()):
            options |= {"compression": "gzip", "compression_opts": draw(st.integers(1, 9))}
    return arrays, fill, options


def stored(array: Any, fill: Any, options: dict[str, Any], scale: float, offset: float) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        dataset = file.create_dataset("height", data=array, **options)
        dataset.attrs["scale_factor"], dataset.attrs["add_offset"] = scale, offset
        if fill is not None:
            dataset.attrs["_FillValue"] = array.dtype.type(fill)
        file.create_dataset("num_lines", (len(array),), dtype=">f4").make_scale()
        dataset.dims[0].attach_scale(file["num_lines"])
    return memory.getvalue()


@settings(max_examples=150, deadline=None)
@given(
    files(),
    st.sampled_from([1.0, 1e-4, -0.5]),
    st.sampled_from([0.0, 10.0]),
    st.integers(0, 3),
    st.sampled_from([0, kernels.FEW]),
)
def test_reductions_of_any_packed_numbers_are_those_of_numpy(drawn, scale, offset, first, few):
    """By compiled loops as for large chunks, and without them as for a few numbers."""
    with mock.patch.object(kernels, "FEW", few):
        check_reductions(drawn, scale, offset, first)


def check_reductions(drawn: Any, scale: float, offset: float, first: int) -> None:
    arrays, fill, options = drawn
    lines = len(arrays[0])
    first = min(first, lines - 1)
    cells: Cells | None = None
    sums: Cells | None = None
    for array in arrays:
        data = stored(array, fill, options, scale, offset)
        indexed = index_file(io.BytesIO(data), path="drawn.nc")
        decoder = VariableDecoder(indexed.layout.variables["height"])
        offsets, sizes = indexed.offsets["height"], indexed.sizes["height"]
        chunk = lambda n, data=data, o=offsets, s=sizes: data[o[n] : o[n] + s[n]]  # noqa: E731
        values = decoder.values(chunk, first, lines, Scratch(), "values")
        cells = cells or Cells(decoder.packing, lines, COLUMNS, squares=True, extremes=True)
        sums = sums or Cells(decoder.packing, lines, COLUMNS, squares=False, extremes=False)
        for one in (cells, sums):
            one.add(first, values, numpy.ones(values.size, "u1"))
    assert cells is not None
    assert sums is not None

    packed = numpy.stack(arrays)[:, first:]
    missing = numpy.isnan(packed) if packed.dtype.kind == "f" else numpy.zeros(packed.shape, bool)
    if fill is not None:
        missing |= packed == packed.dtype.type(fill)
    decoded = numpy.ma.masked_array(packed.astype("f8") * scale + offset, missing)
    hows = ("mean", "count", "std", "min", "max")
    for keep_lines, keep_columns, axes in ((True, True, (0,)), (False, True, (0, 1)), (False, False, (0, 1, 2))):
        totals = cells.totals(keep_lines=keep_lines, keep_columns=keep_columns)
        found = combined([totals.moments()], hows)
        for how in hows:
            expected = numpy.ma.filled(getattr(decoded, how)(axis=axes), numpy.nan)
            got = found[how][first:] if keep_lines else found[how]
            size = max(1.0, float(numpy.abs(decoded).max() if decoded.count() else 0))
            numpy.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12 * size)
    alone = combined([sums.totals(keep_lines=False, keep_columns=False).moments()], ("mean", "count"))
    for how in ("mean", "count"):
        numpy.testing.assert_allclose(alone[how], found[how], rtol=1e-12)


@given(st.binary(max_size=400))
def test_fletcher32_is_that_of_the_definition(data):
    first = second = 0
    padded = data + b"\0" * (len(data) % 2)
    for i in range(0, len(padded), 2):
        first += padded[i] << 8 | padded[i + 1]
        second += first

    def folded(total: int) -> int:
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        return total

    assert fletcher32(data) == folded(second) << 16 | folded(first)


def test_wrong_fletcher32_is_noticed():
    data = stored(numpy.arange(20, dtype="i4").reshape(4, 5), -1, {"chunks": (4, 5), "fletcher32": True}, 1.0, 0.0)
    indexed = index_file(io.BytesIO(data), path="one.nc")
    offset, size = int(indexed.offsets["height"][0]), int(indexed.sizes["height"][0])
    chunk = bytearray(data[offset : offset + size])
    decoder = VariableDecoder(indexed.layout.variables["height"])
    assert decoder.raw(bytes(chunk), Scratch()).size == 80
    chunk[7] ^= 1
    with pytest.raises(CorruptChunkError, match="Fletcher-32"):
        decoder.raw(bytes(chunk), Scratch())


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6), min_size=2, max_size=5), st.booleans())
def test_totals_can_be_added_in_any_parts(parts, as_floats):
    """Of several tasks, of one packing each: the numbers are those of all together."""
    from swotvre_catalogs.reduce.packing import Packing

    kind = "f8" if as_floats else "i4"
    packing = Packing(f"<{kind}", 1e-3, 0.0, None)
    total: Totals | None = None
    for numbers in parts:
        cells = Cells(packing, 1, 1, squares=True, extremes=True)
        for number in numbers:
            key = numpy.array([number], "f8") if as_floats else numpy.array([number + 2**31], "u4")
            cells.add(0, key, numpy.ones(1, "u1"))
        one = cells.totals(keep_lines=False, keep_columns=False)
        if total is None:
            total = one
        else:
            total.add(one)
    assert total is not None
    every = numpy.array([number for numbers in parts for number in numbers], "f8") * 1e-3
    found = combined([total.moments()], ("mean", "count", "std", "min", "max"))
    assert found["count"] == every.size
    if every.size:
        size = 1e-12 * max(1.0, float(numpy.abs(every).max()))
        for how in ("mean", "std", "min", "max"):
            assert found[how] == pytest.approx(getattr(numpy, how)(every), rel=1e-12, abs=size)
    else:
        assert all(numpy.isnan(found[how]) for how in ("mean", "std", "min", "max"))


def test_as_many_files_as_are_allowed_are_added_up_exactly():
    """Every number the largest there is: with one file more, the sum over all cells would not be the right one."""
    cells, largest = 70_000, 2**32 - 1
    allowed = most_files_allowed(SimpleNamespace(lines=1000, columns=70))
    for files, is_exact in ((allowed, True), (allowed + 1, False)):
        sums = numpy.full(cells, (files << kernels.COUNT_SHIFT) + files * largest, "u8")
        count, total = kernels.total_sums(sums)
        assert count == cells * files
        assert (total == cells * files * largest) is is_exact
