"""From the bytes of chunks to numbers: the filters of HDF5 undone, packed values turned into physical ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.byte_ranges import FileIdentity, RangeReader
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.layout import VariableLayout

_of_thread = threading.local()


def inflate_chunk(data: Any, layout: VariableLayout, path: str) -> Any:
    """Undo checksum and compression of one chunk; bytes are still shuffled where the layout says so.

    They are valid until the same thread inflates another chunk.

    Raises:
        DamagedFileError: If the chunk is corrupt.
    """
    import imagecodecs

    expected = int(numpy.prod(layout.chunks)) * layout.itemsize
    try:
        for name, _ in reversed(layout.filters):
            if name == "fletcher32":
                from numcodecs.fletcher32 import Fletcher32

                data = Fletcher32().decode(data)
            elif name == "deflate":
                data = imagecodecs.deflate_decode(data, out=_buffer(expected), raw=False)
    except (RuntimeError, ValueError) as error:
        raise DamagedFileError(path, f"a chunk of {layout.name} is corrupt ({error}); get the file again") from error
    if len(data) != expected:
        raise DamagedFileError(
            path, f"a chunk of {layout.name} has {len(data)} bytes, expected {expected}; get the file again"
        )
    return data


def _buffer(size_bytes: int) -> memoryview:
    # New memory for every chunk would take a quarter as long as inflating it: the system clears its pages.
    if len(getattr(_of_thread, "buffer", b"")) < size_bytes:
        _of_thread.buffer = bytearray(size_bytes)
    return memoryview(_of_thread.buffer)[:size_bytes]


def is_shuffled(layout: VariableLayout) -> bool:
    """Tell whether the bytes of a chunk are shuffled."""
    return layout.filters[:1] == (("shuffle", layout.itemsize),) and layout.itemsize > 1


def unpack_chunk(inflated: Any, layout: VariableLayout, columns: NDArray[numpy.int64] | None = None) -> NDArray[Any]:
    """Return the packed values of an inflated chunk, in the shape of a chunk, or some of its last dimension."""
    raw = numpy.frombuffer(inflated, numpy.uint8)
    if not is_shuffled(layout):
        values = raw.view(layout.dtype).reshape(layout.chunks)
        return values if columns is None else values[..., columns]
    planes = raw.reshape(layout.itemsize, *layout.chunks)
    if columns is not None:
        planes = planes[..., columns]
    return numpy.ascontiguousarray(numpy.moveaxis(planes, 0, -1)).view(layout.dtype)[..., 0]


def read_packed(
    read: Callable[[int, int], Any],
    layout: VariableLayout,
    offsets: Sequence[int] | NDArray[numpy.int64],
    sizes: Sequence[int] | NDArray[numpy.int64],
    path: str,
    columns: NDArray[numpy.int64] | None = None,
) -> NDArray[Any]:
    """Return the packed values of a variable of one file.

    Args:
        read: Returns the bytes at a position: ``read(offset, size)``.
        layout: A layout that is direct.
        offsets: Position of every chunk, C order, -1 where there is none.
        sizes: Size of every chunk.
        path: Name of the file for messages.
        columns: Indices along the last dimension, all by default; for chunks that span that dimension.

    Raises:
        DamagedFileError: If a chunk is corrupt.
    """
    fill = layout.fill_value if layout.fill_value is not None else 0
    shape = layout.shape if columns is None else (*layout.shape[:-1], len(columns))
    values = numpy.full(shape, fill, layout.dtype)
    for number, start in enumerate(numpy.ndindex(*layout.chunk_grid)):
        if offsets[number] < 0:
            continue
        inflated = inflate_chunk(read(int(offsets[number]), int(sizes[number])), layout, path)
        corner = [index * chunk for index, chunk in zip(start, layout.chunks, strict=True)]
        ends = [min(first + chunk, n) for first, chunk, n in zip(corner, layout.chunks, layout.shape, strict=True)]
        target = [slice(first, end) for first, end in zip(corner, ends, strict=True)]
        part = [slice(0, end - first) for first, end in zip(corner, ends, strict=True)]
        if columns is not None:
            target[-1] = part[-1] = slice(None)
        values[tuple(target)] = unpack_chunk(inflated, layout, columns)[tuple(part)]
    return values


def read_file_variable(
    reader: RangeReader,
    identity: tuple[str, int, int, str],
    layout: VariableLayout,
    offsets: Any,
    sizes: Any,
    columns: NDArray[numpy.int64] | None = None,
) -> NDArray[Any]:
    """Return the packed values of a variable of a file that is still the one that was indexed.

    Raises:
        ReplacedFileError: If it is not.
        DamagedFileError: If a chunk is corrupt.
    """
    path, size_bytes, modified_ns, etag = identity
    expect = FileIdentity(size_bytes, modified_ns or None, etag or None)
    return read_packed(
        lambda offset, size: reader.read(path, offset, size, expect=expect), layout, offsets, sizes, path, columns
    )


def decoded_dtype(layout: VariableLayout) -> numpy.dtype[Any]:
    """Return the dtype that xarray gives to the decoded values of the variable."""
    dtype = numpy.dtype(layout.dtype)
    packed = layout.scale_factor is not None or layout.add_offset is not None
    if layout.fill_value is not None and dtype.kind in "iu" and not packed:
        return numpy.dtype("float32" if dtype.itemsize <= 2 else "float64")
    if not packed:
        return dtype
    return numpy.dtype("float64")


def decode(values: NDArray[Any], layout: VariableLayout, dtype: Any = "float64") -> NDArray[Any]:
    """Return the physical values of packed ones; fill values are NaN."""
    decoded = values.astype(dtype)
    if layout.scale_factor is not None:
        decoded *= layout.scale_factor
    if layout.add_offset is not None:
        decoded += layout.add_offset
    if layout.fill_value is not None and layout.fill_value == layout.fill_value:
        decoded[values == numpy.dtype(layout.dtype).type(layout.fill_value)] = numpy.nan
    return decoded
