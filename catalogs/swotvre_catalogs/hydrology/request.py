"""What is asked of a product: box, period, granules and filters, checked before a file is touched."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import GranuleWarning, MissingIndexError, ParameterValueError, UnreadableGranuleError
from swotvre_catalogs.granules import Granule, absence, number_ranges
from swotvre_catalogs.hydrology.errors import EmptySelectionError, TileError
from swotvre_catalogs.index.bbox import Box, parse_time
from swotvre_catalogs.parameters import resolve_asked
from swotvre_catalogs.products import Product

if TYPE_CHECKING:
    from swotvre_catalogs.entry import Entry
    from swotvre_catalogs.index.granule_index import GranuleIndex

Period = tuple[numpy.datetime64, numpy.datetime64]

#: A warning points at the first line outside this folder: the user's.
PACKAGE_FOLDER = str(Path(__file__).parent.parent)

_TILE = re.compile(r"(\d{1,3})([LR])", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """A selection of one product, checked, with the granules that may hold it in the order of their time."""

    datalake: Datalake
    product: Product
    box: Box | None
    #: First and last instant, both inclusive.
    period: Period | None
    #: Parameters that choose granules, and those that choose inside a file.
    values: Mapping[str, Any]
    #: Values of the product's filters that were asked for.
    filters: Mapping[str, Any]
    #: Whether pixels outside the box become NaN.
    clip: bool
    granules: tuple[Granule, ...]

    def __str__(self) -> str:
        asked: dict[str, Any] = {name: value for name, value in self.values.items() if value is not None}
        asked |= self.filters
        if self.box:
            edges = (self.box.west, self.box.south, self.box.east, self.box.north)
            asked["bbox"] = f"({', '.join(f'{edge:g}' for edge in edges)})"
        if self.period:
            asked["time"] = " to ".join(str(instant)[:19] for instant in self.period)
        return f"{self.product.name}({', '.join(f'{name}={value}' for name, value in asked.items())})"


def make_request(
    entry: Entry,
    bbox: Any,
    time: Any,
    version: str | None,
    params: Mapping[str, Any],
    *,
    clip: bool = False,
    variants: Mapping[str, Any],
) -> Request:
    """Check what is asked and find the granules that may hold it.

    Args:
        entry: The product.
        bbox: (west, south, east, north) in degrees, or None.
        time: A period as ``parse_time`` takes it, or None.
        version: Version of the granules; None is the newest of each.
        params: Parameters and filters of the product.
        clip: Whether pixels outside the box become NaN.
        variants: Values that stand in for the defaults of the product's variants.

    Raises:
        CatalogError: If a value is wrong, or no granule can hold it.
    """
    product = entry.product
    asked = dict(params)
    filters = {name: asked.pop(name) for name in product.metadata.filters if name in asked}
    filters = {name: value for name, value in filters.items() if value is not None}
    asked |= _tile(filters.pop("tile", None), asked)
    values = resolve_asked(product, asked)
    for name, parameter in product.parameters.items():
        if name in product.metadata.variants and name not in values:
            values |= resolve_asked(product, {name: variants.get(name, parameter.default)})
    box = None if bbox is None else Box.parse(bbox)
    period = None if time is None else parse_time(time)
    wanted = {name: value for name, value in values.items() if name in product.path_parameters}
    granules = _index_of(entry).select(bbox=box, time=time, version=version, **wanted).granules()
    ordered = sorted(granules, key=lambda granule: (granule.begin is not None, granule.begin, granule.key))
    request = Request(entry.datalake, product, box, period, values, filters, clip, tuple(ordered))
    if not granules:
        raise EmptySelectionError(_no_granule(entry, request))
    return request


def _tile(tile: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    if tile is None:
        return {}
    if both := {"tile_number", "tile_side"} & asked.keys():
        raise TileError(f"tile={tile!r} and {', '.join(sorted(both))} were both given; give one of them")
    matched = _TILE.fullmatch(tile.strip()) if isinstance(tile, str) else None
    if matched is None or int(matched[1]) == 0:
        raise TileError(f"tile={tile!r:.100} is not a tile; expected its number and its side L or R, such as '163R'")
    return {"tile_number": int(matched[1]), "tile_side": matched[2].upper()}


def _index_of(entry: Entry) -> GranuleIndex:
    try:
        return entry.index()
    except MissingIndexError:
        if entry.granules().empty:
            raise EmptySelectionError(absence(entry.datalake, entry.product)) from None
        raise


def _no_granule(entry: Entry, request: Request) -> str:
    table = entry.granules()
    if table.empty:
        return absence(entry.datalake, entry.product)
    facts = [f"{name} {number_ranges(table[name]):.200}" for name in entry.product.path_parameters if name != "date"]
    if table["begin"].notna().any():
        facts.append(f"{table['begin'].min():%Y-%m-%d} to {table['end'].max():%Y-%m-%d}")
    count = f"{len(table)} granule{'s' if len(table) > 1 else ''}"
    advice = "; widen the box or the time" if request.box or request.period else ""
    return f"nothing for {request}; the datalake holds {count}{': ' if facts else ''}{', '.join(facts)}{advice}"


def tell_damaged(request: Request, damaged: Sequence[str], total: int) -> None:
    """Warn of each granule that could not be read.

    Raises:
        UnreadableGranuleError: If that is all of them.
    """
    if damaged and len(damaged) == total:
        more = f"; and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise UnreadableGranuleError(f"no granule of {request} can be read: {damaged[0]}{more}")
    for reason in damaged:
        warnings.warn(f"left out: {reason}", GranuleWarning, skip_file_prefixes=(PACKAGE_FOLDER,))


def one_value(request: Request, name: str) -> Any:
    """Return the value of a parameter that chooses inside a file, the default if none was given.

    Raises:
        ParameterValueError: If several were given.
    """
    value = request.values.get(name, request.product.parameters[name].default)
    if isinstance(value, list):
        raise ParameterValueError(f"{request.product.name}: {name} takes one value, received {value!r}")
    return value
