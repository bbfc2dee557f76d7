"""The catalogs of swot-vre: SWOT products on the datalake, opened by name, cycle and pass."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.errors import (
    BuildRunningError,
    CatalogError,
    DatalakeError,
    EntryError,
    GranuleIndexError,
    GranuleWarning,
    GridError,
    MissingDatalakeError,
    MissingGranuleError,
    MissingIndexError,
    ParameterValueError,
    PlaceError,
    ReaderError,
    UnknownParameterError,
    UnknownProductError,
    UnknownVariableError,
    UnreadableDatalakeError,
    UnreadableGranuleError,
    UnreadableIndexError,
)

if TYPE_CHECKING:
    from swotvre_catalogs.byte_ranges import ReplacedFileError
    from swotvre_catalogs.catalog import Catalog, open_catalog, open_folder
    from swotvre_catalogs.cube.errors import DamagedFileError, MissingCubeError
    from swotvre_catalogs.entry import Entry
    from swotvre_catalogs.export.errors import ExportError, ZcollectionError
    from swotvre_catalogs.export.zcollection import open_zcollection
    from swotvre_catalogs.hydrology.errors import EmptySelectionError, SelectionWarning, TileError, UnknownFeatureError
    from swotvre_catalogs.index.granule_index import GranuleIndex
    from swotvre_catalogs.index.place import Place
    from swotvre_catalogs.reduce.errors import FallbackNotice, QualityError, ReductionError
    from swotvre_catalogs.s3_access import AccessDeniedError, ExpiredCredentialsError
    from swotvre_catalogs.selection import Selection
    from swotvre_catalogs.swath.errors import SwathError, SwathGeometryError, UnknownFlagError

__all__ = [
    "AccessDeniedError",
    "BuildRunningError",
    "Catalog",
    "CatalogError",
    "DamagedFileError",
    "DatalakeError",
    "EmptySelectionError",
    "Entry",
    "EntryError",
    "ExpiredCredentialsError",
    "ExportError",
    "FallbackNotice",
    "GranuleIndex",
    "GranuleIndexError",
    "GranuleWarning",
    "GridError",
    "MissingCubeError",
    "MissingDatalakeError",
    "MissingGranuleError",
    "MissingIndexError",
    "ParameterValueError",
    "Place",
    "PlaceError",
    "QualityError",
    "ReaderError",
    "ReductionError",
    "ReplacedFileError",
    "Selection",
    "SelectionWarning",
    "SwathError",
    "SwathGeometryError",
    "TileError",
    "UnknownFeatureError",
    "UnknownFlagError",
    "UnknownParameterError",
    "UnknownProductError",
    "UnknownVariableError",
    "UnreadableDatalakeError",
    "UnreadableGranuleError",
    "UnreadableIndexError",
    "ZcollectionError",
    "open_catalog",
    "open_folder",
    "open_zcollection",
]

#: Names that are loaded when they are first asked for: xarray and intake take seconds, and the sample generator of this
#: package starts without them.
_LATE = {
    "AccessDeniedError": "s3_access",
    "Catalog": "catalog",
    "DamagedFileError": "cube.errors",
    "EmptySelectionError": "hydrology.errors",
    "Entry": "entry",
    "ExpiredCredentialsError": "s3_access",
    "ExportError": "export.errors",
    "FallbackNotice": "reduce.errors",
    "GranuleIndex": "index.granule_index",
    "MissingCubeError": "cube.errors",
    "Place": "index.place",
    "QualityError": "reduce.errors",
    "ReductionError": "reduce.errors",
    "ReplacedFileError": "byte_ranges",
    "Selection": "selection",
    "SelectionWarning": "hydrology.errors",
    "SwathError": "swath.errors",
    "SwathGeometryError": "swath.errors",
    "TileError": "hydrology.errors",
    "UnknownFeatureError": "hydrology.errors",
    "UnknownFlagError": "swath.errors",
    "ZcollectionError": "export.errors",
    "open_catalog": "catalog",
    "open_folder": "catalog",
    "open_zcollection": "export.zcollection",
}


def __getattr__(name: str) -> Any:
    """Return a name of ``_LATE`` from its module."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value
