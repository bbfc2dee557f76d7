"""Read where the lines of a file lie: latitude and longitude of its edges and of some pixels between."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.byte_ranges import RangeReader
from swotvre_catalogs.cube.chunk_table import FileRow
from swotvre_catalogs.cube.decoding import decode, read_file_variable
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.indexer import GEOMETRY
from swotvre_catalogs.cube.placement import Positions
from swotvre_catalogs.datalake import Datalake

#: Pixels across the swath whose positions are looked at; odd, so that the middle is one of them.
_COLUMNS = 9


def read_positions(datalake: Datalake, reader: RangeReader, row: FileRow) -> Positions:
    """Return latitude and longitude in degrees, shape (num_lines, 9 or fewer).

    Raises:
        DamagedFileError: If they are corrupt.
        ReplacedFileError: If the file is not the one that was indexed.
    """
    latitude, longitude = (_read(datalake, reader, row, name) for name in GEOMETRY)
    return latitude, longitude


def columns_across(num_pixels: int) -> NDArray[numpy.int64]:
    """Return the pixels that are looked at: the edges, the middle, and some between."""
    half = numpy.linspace(0, num_pixels // 2, _COLUMNS // 2 + 1)
    rest = numpy.linspace(num_pixels // 2, num_pixels - 1, _COLUMNS // 2 + 1)[1:]
    return numpy.rint(numpy.concatenate([half, rest])).astype(numpy.int64)


def _read(datalake: Datalake, reader: RangeReader, row: FileRow, name: str) -> NDArray[Any]:
    layout = row.layout.variables[name]
    columns = columns_across(layout.shape[1])
    if layout.is_direct and layout.chunks[1] == layout.shape[1]:
        packed = read_file_variable(reader, row.identity, layout, row.offsets[name], row.sizes[name], columns)
        return decode(packed, layout)
    import h5py

    try:
        with h5py.File(datalake.open(row.path), "r") as file:
            return decode(numpy.asarray(file[name][...])[:, columns], layout)
    except OSError as error:
        raise DamagedFileError(row.path, str(error)) from error
