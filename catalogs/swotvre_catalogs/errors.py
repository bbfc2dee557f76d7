"""What can go wrong with a catalog: one root, one class per thing that a caller can do differently."""

from __future__ import annotations


class CatalogError(Exception):
    """Something a person can mend; the message says what was received, what was expected and what to do."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this: a notebook then shows the message, not forty lines of our stack.
        return [f"{type(self).__name__}: {self}"]


class DatalakeError(CatalogError):
    """The datalake cannot be used as its address says."""


class MissingDatalakeError(DatalakeError):
    """No datalake is configured, or nothing lies at its address."""


class UnreadableDatalakeError(DatalakeError):
    """The datalake is there, but does not let us read it."""


class EntryError(CatalogError):
    """An entry of the catalog is written wrongly."""


class UnknownProductError(CatalogError, KeyError):
    """The catalog has no product of that name."""

    # KeyError would show the repr of the message.
    __str__ = Exception.__str__


class UnknownParameterError(CatalogError, TypeError):
    """The product has no parameter of that name."""


class ParameterValueError(CatalogError, ValueError):
    """The value of a parameter has the wrong type or is out of bounds."""


class MissingGranuleError(CatalogError, LookupError):
    """The datalake holds no granule for these parameters."""


class UnreadableGranuleError(CatalogError):
    """A granule is there, but its file cannot be read."""


class GridError(CatalogError):
    """Cycles do not lie on one grid, so they cannot be stacked."""


class ReaderError(CatalogError):
    """The product is not of the kind that the reader gives."""


class GranuleWarning(UserWarning):
    """A granule was left out of several; the message names it."""
