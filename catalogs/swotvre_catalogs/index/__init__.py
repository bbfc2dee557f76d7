"""The granule index: which file holds which cycle, pass, place and time of a product.

`build_index` reads what it must of every file and publishes one GeoParquet file of STAC items per product;
`GranuleIndex` answers from it. `Box` and `parse_time` say what "inside" means wherever something is selected, and
`Place` where the indexes and cubes of a datalake lie.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swotvre_catalogs.index.bbox import Box, parse_time
    from swotvre_catalogs.index.build import build_index
    from swotvre_catalogs.index.granule_index import GranuleIndex
    from swotvre_catalogs.index.place import Place, configured_place
    from swotvre_catalogs.index.report import IndexReport

__all__ = ["Box", "GranuleIndex", "IndexReport", "Place", "build_index", "configured_place", "parse_time"]

#: pyarrow and h5py come only with the first name that needs them.
_MODULES = {
    "Box": "bbox",
    "GranuleIndex": "granule_index",
    "IndexReport": "report",
    "Place": "place",
    "build_index": "build",
    "configured_place": "place",
    "parse_time": "bbox",
}


def __getattr__(name: str) -> Any:
    """Return a name of ``_MODULES`` from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
