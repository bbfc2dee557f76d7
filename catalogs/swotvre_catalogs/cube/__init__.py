"""Virtual cubes: all cycles of a product as one Dataset over the files in place."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swotvre_catalogs.cube.building import BuildReport, build_cube
    from swotvre_catalogs.cube.chunk_table import ChunkTable, open_chunk_table
    from swotvre_catalogs.cube.errors import CubeError, DamagedFileError, MissingCubeError
    from swotvre_catalogs.cube.opening import open_cube
    from swotvre_catalogs.cube.swath_selection import select_swath

__all__ = [
    "BuildReport",
    "ChunkTable",
    "CubeError",
    "DamagedFileError",
    "MissingCubeError",
    "build_cube",
    "open_chunk_table",
    "open_cube",
    "select_swath",
]

#: Loaded when they are first asked for: a process that only indexes files needs neither zarr nor xarray.
_LATE = {
    "BuildReport": "building",
    "ChunkTable": "chunk_table",
    "CubeError": "errors",
    "DamagedFileError": "errors",
    "MissingCubeError": "errors",
    "build_cube": "building",
    "open_chunk_table": "chunk_table",
    "open_cube": "opening",
    "select_swath": "swath_selection",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
