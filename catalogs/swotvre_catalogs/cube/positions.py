"""Read where the lines of a file lie: latitude and longitude of its edges and of some pixels between."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.decoding import decode, read_file_variable, read_packed
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.indexer import GEOMETRY, IndexedFile
from swotvre_catalogs.cube.layout import VariableLayout

if TYPE_CHECKING:
    from swotvre_catalogs.byte_ranges import RangeReader
    from swotvre_catalogs.cube.table_streams import FileRow
    from swotvre_catalogs.datalake import Datalake

#: Latitude and longitude of a file in degrees, shape (num_lines, n): its edges, its middle and some pixels between.
Positions = tuple[NDArray[numpy.float64], NDArray[numpy.float64]]

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


def positions_in(source: IO[bytes], indexed: IndexedFile) -> Positions | None:
    """Return the same of a file that is open; None if they cannot be read without the HDF5 library.

    Raises:
        DamagedFileError: If they are corrupt.
    """

    def read(offset: int, size: int) -> bytes:
        source.seek(offset)
        return source.read(size)

    found = []
    for name in GEOMETRY:
        layout = indexed.layout.variables.get(name)
        if layout is None or len(layout.shape) != 2 or not _is_read_by_columns(layout):
            return None
        columns = columns_across(layout.shape[1])
        packed = read_packed(read, layout, indexed.offsets[name], indexed.sizes[name], indexed.path, columns)
        found.append(decode(packed, layout))
    return found[0], found[1]


def columns_across(num_pixels: int) -> NDArray[numpy.int64]:
    """Return the pixels that are looked at: the edges, the middle, and some between."""
    half = numpy.linspace(0, num_pixels // 2, _COLUMNS // 2 + 1)
    rest = numpy.linspace(num_pixels // 2, num_pixels - 1, _COLUMNS // 2 + 1)[1:]
    return numpy.rint(numpy.concatenate([half, rest])).astype(numpy.int64)


def _is_read_by_columns(layout: VariableLayout) -> bool:
    return layout.is_direct and layout.chunks[1] == layout.shape[1]


def _read(datalake: Datalake, reader: RangeReader, row: FileRow, name: str) -> NDArray[Any]:
    layout = row.layout.variables[name]
    columns = columns_across(layout.shape[1])
    if _is_read_by_columns(layout):
        packed = read_file_variable(reader, row.identity, layout, row.offsets[name], row.sizes[name], columns)
        return decode(packed, layout)
    import h5py

    try:
        with h5py.File(datalake.open(row.path), "r") as file:
            return decode(numpy.asarray(file[name][...])[:, columns], layout)
    except OSError as error:
        raise DamagedFileError(row.path, str(error)) from error
