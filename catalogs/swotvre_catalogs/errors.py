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


class UnknownVariableError(CatalogError, KeyError):
    """There is no variable of that name."""

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


class GranuleIndexError(CatalogError):
    """The granule index of a product cannot be used."""


class MissingIndexError(GranuleIndexError):
    """There is no granule index yet; the message says the command that builds it."""


class UnreadableIndexError(GranuleIndexError):
    """The granule index is damaged, of another datalake or of a later version of this program."""


class BuildRunningError(CatalogError):
    """Somebody else builds the same index or cube now; the message says who."""


class PlaceError(CatalogError):
    """The place of indexes and cubes cannot be read or written."""


class GranuleWarning(UserWarning):
    """A granule was left out of several; the message names it."""
