"""What can go wrong with a cube."""

from __future__ import annotations

from swotvre_catalogs.errors import CatalogError


class CubeError(CatalogError):
    """The cube of a product cannot be built or opened."""


class MissingCubeError(CubeError, LookupError):
    """The cube was not built yet, or has no such version."""


class DamagedFileError(CatalogError):
    """A file is truncated, corrupt, or not HDF5; the message names it and says how."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[DamagedFileError], tuple[str, str]]:
        return type(self), (self.path, self.reason)
