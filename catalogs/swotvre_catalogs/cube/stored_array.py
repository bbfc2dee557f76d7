"""A variable of a cube that is read through its Zarr store, with the words of our own reader where a file changed."""

from __future__ import annotations

from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.byte_ranges import FileIdentity
from swotvre_catalogs.cube.repository import first_line
from swotvre_catalogs.cube.swath_array import TableSource
from swotvre_catalogs.errors import UnreadableGranuleError


class StoredArray:
    """Values of a variable as stock xarray decodes them.

    Args:
        variable: The lazy variable of the store.
        source: Where the chunk table and the files are.
        name: The variable.
        has_cycles: False for latitude and longitude.
    """

    def __init__(self, variable: xarray.Variable, source: TableSource, name: str, has_cycles: bool) -> None:
        self._variable, self._source, self._name, self._has_cycles = variable, source, name, has_cycles
        self.shape, self.dtype, self.ndim = variable.shape, variable.dtype, variable.ndim

    def __getitem__(self, key: Any) -> NDArray[Any]:
        import icechunk

        try:
            return numpy.asarray(self._variable[key].values)
        except icechunk.IcechunkError as error:
            self._say_which_file(key if isinstance(key, tuple) else (key,))
            # None of the files has changed: a request failed, or the repository is damaged.
            raise UnreadableGranuleError(
                f"{self._name} cannot be read from the cube {self._source.name}: {first_line(error)}"
            ) from error

    def _say_which_file(self, key: tuple[Any, ...]) -> None:
        """Refuse, as our own reader does, the first file of a block that is not the one that was indexed.

        Raises:
            ReplacedFileError: There is one; the message names it.
        """
        table, reader = self._source.open()
        rows = table.row if self._has_cycles else table.geometry_row
        for row in numpy.ravel(rows[key[: rows.ndim]]).tolist():
            if row >= 0:
                identity = FileIdentity(int(table.size_bytes[row]), int(table.modified_ns[row]) or None,
                                        table.etag[row] or None)  # fmt: skip
                reader.read(table.path[row], 0, 1, expect=identity)
