"""The catalogs of swot-vre: SWOT products on the datalake, opened by name, cycle and pass."""

from swotvre_catalogs.catalog import Catalog, Entry, open_catalog
from swotvre_catalogs.errors import (
    CatalogError,
    DatalakeError,
    EntryError,
    GranuleWarning,
    GridError,
    MissingDatalakeError,
    MissingGranuleError,
    ParameterValueError,
    ReaderError,
    UnknownParameterError,
    UnknownProductError,
    UnreadableDatalakeError,
    UnreadableGranuleError,
)
from swotvre_catalogs.selection import Selection

__all__ = [
    "Catalog",
    "CatalogError",
    "DatalakeError",
    "Entry",
    "EntryError",
    "GranuleWarning",
    "GridError",
    "MissingDatalakeError",
    "MissingGranuleError",
    "ParameterValueError",
    "ReaderError",
    "Selection",
    "UnknownParameterError",
    "UnknownProductError",
    "UnreadableDatalakeError",
    "UnreadableGranuleError",
    "open_catalog",
]
