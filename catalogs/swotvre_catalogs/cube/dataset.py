"""The Dataset of a cube: its metadata from Zarr, its values read from the files by their chunk table."""

from __future__ import annotations

from typing import Any

import numpy
import xarray

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.decoding import decoded_dtype
from swotvre_catalogs.cube.indexer import GEOMETRY
from swotvre_catalogs.cube.stored_array import StoredArray
from swotvre_catalogs.cube.swath_array import SwathArray, TableSource
from swotvre_catalogs.cube.versions import CubeVersion

#: Size of a Dask block of decoded values: all cycles of one pass, or of some passes, up to this.
BLOCK_BYTES = 32 * 2**20


def open_dataset(opened: CubeVersion, table: ChunkTable) -> xarray.Dataset:
    """Return the cube as a lazy Dataset; nothing is read of the files.

    Names, attributes and encodings are those of the Zarr store. A variable whose files can all be read directly is
    read from them, each by its own layout; the others are read through the Zarr store.
    """
    stored, source = open_stored(opened), table_source(opened, table)
    variables: dict[str, Any] = {}
    for name, variable in stored.variables.items():
        if variable.dims == (name,):
            continue
        array = lazy_variable(source, str(name), variable, table)
        if isinstance(array, SwathArray):
            chunks = block_shape(variable.dims, variable.shape, array.dtype.itemsize)
            data = _as_dask(array, (*source.key, name), chunks)
            array = xarray.Variable(variable.dims, data, variable.attrs, variable.encoding)
        variables[str(name)] = array
    dataset = stored.assign_coords({name: variables.pop(name) for name in list(variables) if name in stored.coords})
    attributes = {
        "product": opened.name,
        "commit": opened.commit,
        "files": len(table),
        "missing": int((table.row < 0).sum()),
        "left_out": len(table.left_out),
    }
    return dataset.assign(variables).assign_attrs(attributes)


def open_stored(opened: CubeVersion) -> xarray.Dataset:
    """Return the Dataset that stock xarray gives of the Zarr store."""
    return xarray.open_zarr(opened.store, consolidated=False, chunks=None, decode_timedelta=False)


def table_source(opened: CubeVersion, table: ChunkTable) -> TableSource:
    """Return where arrays of this version read from; the table need not be read again."""
    source = TableSource(opened.datalake, opened.place, opened.name, opened.commit)
    source.open(table)
    return source


def lazy_variable(
    source: TableSource, name: str, variable: xarray.Variable, table: ChunkTable
) -> SwathArray | xarray.Variable:
    """Return a variable that reads the files where that is possible, else one of Dask that reads the Zarr store."""
    dtype = _direct_dtype(name, variable, table)
    if dtype is None:
        chunks = block_shape(variable.dims, variable.shape, variable.dtype.itemsize)
        stored = StoredArray(variable, source, name, name not in GEOMETRY)
        data = _as_dask(stored, (*source.key, name, "stored"), chunks)
        return xarray.Variable(variable.dims, data, variable.attrs, variable.encoding)
    attributes = {**variable.encoding, **variable.attrs}
    kept = {key: attributes[key] for key in (*variable.attrs, "units", "calendar") if key in attributes}
    return SwathArray(source, name, variable.shape, dtype, name not in GEOMETRY, kept)


def block_shape(dims: tuple[Any, ...], shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of a Dask block: whole lines of all cycles of as few passes as make it large enough."""
    sizes = dict(zip(dims, shape, strict=True))
    plane = itemsize * int(numpy.prod([size for dim, size in sizes.items() if dim not in _LEADING]))
    planes = max(1, BLOCK_BYTES // max(plane, 1))
    cycles = sizes.get("cycle_number", 1)
    parts = -(-cycles // planes)
    chosen = {"cycle_number": -(-cycles // max(parts, 1)), "pass_number": max(1, planes // max(cycles, 1))}
    return tuple(min(chosen.get(dim, size), size) for dim, size in sizes.items())


_LEADING = ("cycle_number", "pass_number")


def _direct_dtype(name: str, variable: xarray.Variable, table: ChunkTable) -> numpy.dtype[Any] | None:
    """Return the dtype of a variable that can be read from the files, None for one that cannot."""
    layouts = [layout.variables[name] for layout in table.layouts if name in layout.variables]
    if not layouts or not all(layout.is_direct for layout in layouts):
        return None
    trailing = variable.shape[(2 if name in GEOMETRY else 3) :]
    if any(layout.shape[1:] != trailing for layout in layouts):
        return None
    dtype: numpy.dtype[Any] = variable.dtype
    if dtype.kind == "M":
        return dtype
    return numpy.result_type(dtype, *map(decoded_dtype, layouts)) if dtype.kind == "f" else None


def _as_dask(array: SwathArray | StoredArray, key: tuple[Any, ...], chunks: tuple[int, ...]) -> Any:
    """Return a lazy array of Dask; ``key`` tells what it holds."""
    import dask.array
    from dask.base import tokenize

    token = tokenize(*key, array.shape, str(array.dtype), chunks)
    meta = numpy.empty((0,) * array.ndim, array.dtype)
    return dask.array.from_array(array, chunks=chunks, name=f"{key[3]}-{token}", asarray=False, fancy=False, meta=meta)
