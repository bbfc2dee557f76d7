"""What can go wrong with copies."""

from __future__ import annotations

from swotvre_catalogs.errors import CatalogError


class ExportError(CatalogError):
    """A copy cannot be made."""


class ExportTargetError(ExportError):
    """The target holds something else, or may not be written."""


class NoSpaceError(ExportError):
    """The target is full; the cycles written so far stay."""


class ExportVerificationError(ExportError):
    """What was written is not what was read."""


class ZcollectionError(CatalogError):
    """A zcollection is not there, or cannot be read."""
