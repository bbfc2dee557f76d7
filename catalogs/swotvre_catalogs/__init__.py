"""The catalogs of swot-vre: SWOT products on the datalake, opened by name, cycle and pass."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Catalog, Entry, open_catalog
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

#: Names that bring xarray and intake with them, seconds of import: loaded when they are first asked for, so that
#: the sample generator of this package starts without them.
_LATE = {"Catalog": "catalog", "Entry": "catalog", "open_catalog": "catalog", "Selection": "selection"}


def __getattr__(name: str) -> Any:
    """Return a name of ``_LATE`` from its module."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value
