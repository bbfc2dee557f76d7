"""Native chunks of a cube: the values of odd files, encoded with the codecs of their array."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.byte_ranges import RangeReader
from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.decoding import read_file_variable
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.layout import VariableLayout
from swotvre_catalogs.cube.plan import ArrayPlan
from swotvre_catalogs.datalake import Datalake

#: Any level is read back by the codec of the array; this one is fast.
_LEVEL = 1


def zarr_codecs(plan: ArrayPlan) -> tuple[Any, tuple[Any, ...]]:
    """Return serializer and compressors of an array: the filters of the netCDF files, as Zarr names them."""
    from zarr.codecs import BytesCodec
    from zarr.codecs.numcodecs import Fletcher32, Shuffle, Zlib

    made: list[Any] = []
    for name, parameter in plan.filters:
        if name == "shuffle" and plan.layout.itemsize > 1:
            made.append(Shuffle(elementsize=plan.layout.itemsize))
        elif name == "deflate":
            made.append(Zlib(level=parameter))
        elif name == "fletcher32":
            made.append(Fletcher32())
    return BytesCodec(endian="little"), tuple(made)


def encode_chunk(values: NDArray[Any], plan: ArrayPlan) -> dict[tuple[int, ...], bytes]:
    """Return the encoded chunks of one file by their index in the file's part of the array; empty ones are left out.

    Args:
        values: Packed values on the lines of the cube, shape of the array without its leading dimensions.
        plan: The array.
    """
    chunk = plan.chunks[plan.leading :]
    encoded = {}
    for index in numpy.ndindex(*(-(-size // length) for size, length in zip(values.shape, chunk, strict=True))):
        part = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, chunk, strict=True))]
        whole = numpy.full(chunk, plan.fill_value, plan.layout.dtype)
        whole[tuple(slice(0, size) for size in part.shape)] = part
        if not _is_empty(whole, plan.fill_value):
            encoded[index] = _encode(whole, plan)
    return encoded


def _is_empty(values: NDArray[Any], fill: int | float) -> bool:
    if fill != fill:
        return bool(numpy.isnan(values).all())
    return bool((values == values.dtype.type(fill)).all())


def _encode(values: NDArray[Any], plan: ArrayPlan) -> bytes:
    import imagecodecs

    # The arrays of the repository are little-endian, whatever the files are.
    data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    for name, _ in plan.filters:
        if name == "shuffle":
            data = numpy.frombuffer(data, numpy.uint8).reshape(-1, plan.layout.itemsize).T.tobytes()
        elif name == "deflate":
            data = bytes(imagecodecs.deflate_encode(data, level=_LEVEL, raw=False))
        elif name == "fletcher32":
            from numcodecs.fletcher32 import Fletcher32

            data = bytes(Fletcher32().encode(data))
    return data


def read_values(
    datalake: Datalake, table: ChunkTable, row: int, layout: VariableLayout, reader: RangeReader | None = None
) -> NDArray[Any]:
    """Return the packed values of a variable of a file of the table, in the shape that the file gives them.

    Raises:
        ReplacedFileError: If the file is not the one of the table.
        DamagedFileError: If it is corrupt.
    """
    from swotvre_catalogs.object_store import open_reader

    if not layout.is_direct:
        return _read_by_library(datalake, table.path[row], layout)
    offsets, sizes = table.chunks(layout.name)
    identity = (table.path[row], int(table.size_bytes[row]), int(table.modified_ns[row]), table.etag[row])
    return read_file_variable(reader or open_reader(datalake), identity, layout, offsets[row], sizes[row])


def _read_by_library(datalake: Datalake, path: str, layout: VariableLayout) -> NDArray[Any]:
    import h5py

    try:
        with h5py.File(datalake.open(path), "r") as file:
            return numpy.asarray(file[layout.name][...]).astype(layout.dtype, copy=False)
    except OSError as error:
        raise DamagedFileError(path, str(error)) from error
