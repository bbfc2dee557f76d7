"""What a reduction says when it cannot do as it was asked."""

from __future__ import annotations

from swotvre_catalogs.errors import CatalogError


class QualityError(CatalogError, ValueError):
    """The quality mask cannot be understood, or the product has no such flag."""


class ReductionError(CatalogError, ValueError):
    """The reduction is not one that exists: another operation, or a dimension that the variable has not."""


class FallbackNotice(UserWarning):
    """A reduction goes through xarray instead of the fast kernels; the message says why."""
