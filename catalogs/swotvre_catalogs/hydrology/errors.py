"""What can go wrong with a selection of features, points, lines or maps."""

from __future__ import annotations

from swotvre_catalogs.errors import MissingGranuleError, ParameterValueError


class EmptySelectionError(MissingGranuleError):
    """Nothing of the product lies in the box, the period and the classes that were asked for."""


class UnknownFeatureError(MissingGranuleError):
    """No granule that was looked at holds a feature of that name."""


class TileError(ParameterValueError):
    """A tile is not written as its number and side."""


class SelectionWarning(UserWarning):
    """A part of what was asked for is not there; the message names it."""
