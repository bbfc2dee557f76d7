"""What can go wrong with a swath."""

from __future__ import annotations

from swotvre_catalogs.errors import CatalogError


class SwathError(CatalogError):
    """A dataset cannot be treated as a swath in the way that was asked."""


class SwathGeometryError(SwathError, ValueError):
    """The places of the pixels are missing, or do not allow what was asked."""


class UnknownFlagError(SwathError, LookupError):
    """The flag has no such meaning, or a variable has no flag."""
