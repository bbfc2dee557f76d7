"""The selection of a product by box, time, version, parameters and filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray

from swotvre_catalogs.errors import ReaderError
from swotvre_catalogs.hydrology.request import make_request

if TYPE_CHECKING:
    import geopandas

    from swotvre_catalogs.entry import Entry

#: A filter that only one kind of file can answer, and that kind.
_FILE_OF_FILTER = {"node_id": {"feature": "Node"}}


def select(
    entry: Entry,
    bbox: Any = None,
    time: Any = None,
    version: str | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    clip: bool = False,
) -> xarray.Dataset | geopandas.GeoDataFrame:
    """Select from the granules of a product that has no fixed grid; only those that may hold it are opened.

    Args:
        entry: The product; its grid is points, vector, native or regular.
        bbox: (west, south, east, north) in degrees, longitudes in any convention, west > east across the antimeridian.
        time: A period, such as ``("2024-01", "2024-06")`` or ``"2024-05-09"``.
        version: Version of the granules; the newest of each by default.
        params: Parameters of the product (several values each), its filters (``reach_id``, ``tile``, ...).
        clip: For lines, whether pixels outside the box become NaN; a line is kept whole otherwise.

    Returns:
        A GeoDataFrame of features; a Dataset of points along one dimension; of lines along ``num_lines``; of maps
        along ``time``. Arrays are lazy.

    Raises:
        EmptySelectionError: If nothing is there.
        UnknownFeatureError: If no granule holds a feature of that name.
        UnknownParameterError, ParameterValueError: If the product has no such parameter, or a value is wrong.
    """
    asked = dict(params or {})
    variants: dict[str, Any] = {}
    for name, choice in _FILE_OF_FILTER.items():
        if asked.get(name) is not None:
            variants |= choice
    request = make_request(entry, bbox, time, version, asked, clip=clip, variants=variants)
    # Each brings packages of its own, which the others do without.
    match entry.product.metadata.grid:
        case "vector":
            from swotvre_catalogs.hydrology.features import select_features

            return select_features(request)
        case "points":
            from swotvre_catalogs.hydrology.points import select_points

            return select_points(request)
        case "native":
            from swotvre_catalogs.hydrology.lines import select_lines

            return select_lines(request)
        case "regular":
            from swotvre_catalogs.hydrology.maps import select_maps

            return select_maps(request)
        case grid:
            raise ReaderError(f"{entry.name} has a {grid} grid; it is selected through its cube")
