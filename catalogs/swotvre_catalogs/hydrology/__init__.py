"""Select features, points, lines and maps by place, time and name: every product whose grid is not fixed."""

from swotvre_catalogs.hydrology.errors import (
    EmptySelectionError,
    SelectionWarning,
    TileError,
    UnknownFeatureError,
)
from swotvre_catalogs.hydrology.selecting import select

__all__ = ["EmptySelectionError", "SelectionWarning", "TileError", "UnknownFeatureError", "select"]
