"""The Intake driver of the shapefile entries, for those who open the YAML with Intake itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
from intake.source.base import DataSource

from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.reading import read_shapes

if TYPE_CHECKING:
    import geopandas


class ShapefileSource(DataSource):
    """A zipped shapefile as a GeoDataFrame."""

    name = "shapefile"
    container = "dataframe"
    version = "1"
    partition_access = False

    def __init__(
        self, urlpath: str, storage_options: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(metadata=metadata)
        self._urlpath = urlpath
        self._storage_options = storage_options or {}

    def read(self) -> geopandas.GeoDataFrame:
        """Read the latest file that matches the URL."""
        filesystem, pattern = fsspec.core.url_to_fs(self._urlpath, **self._storage_options)
        found = sorted(filesystem.glob(pattern))
        if not found:
            raise FileNotFoundError(f"no file matches {self._urlpath}")
        folder, _, name = filesystem.unstrip_protocol(found[-1]).rpartition("/")
        return read_shapes(Datalake(folder, self._storage_options), name)
