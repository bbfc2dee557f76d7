"""The row of a product in the table of products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.errors import GranuleIndexError, PlaceError
from swotvre_catalogs.granules import Granule, find_granules, latest_versions, number_ranges
from swotvre_catalogs.index.opening import published_index
from swotvre_catalogs.index.report import written_size
from swotvre_catalogs.parameters import STACKED

if TYPE_CHECKING:
    from swotvre_catalogs.entry import Entry

#: What ``where`` says of a product that the site does not have.
ABSENT = "not on this datalake"

#: What a file is, by whether the manifest of a sample calls it simulated; other datalakes do not tell.
_ORIGINS = {False: "real", True: "simulated"}


def summarise(entry: Entry) -> dict[str, Any]:
    """Return what a product is, and what of it the datalake holds, as one row of the table.

    The index answers where there is one that can be used; else the datalake is listed.
    """
    granules = _granules(entry)
    simulated = entry.datalake.simulated_paths
    origins = set() if simulated is None else {_ORIGINS[granule.path in simulated] for granule in granules}
    size_bytes = sum(granule.size_bytes for granule in granules)
    return {
        "name": entry.name,
        "product": entry.product.metadata.title,
        "level": entry.product.metadata.level,
        "grid": entry.product.metadata.grid,
        "period": _period(granules),
        "cycles": _numbers(granules, STACKED),
        "passes": _numbers(granules, "pass_number"),
        "granules": len(granules),
        "volume": written_size(size_bytes),
        "origin": " and ".join(sorted(origins)),
        "where": _where(entry, granules),
    }


def known_place(entry: Entry) -> str | None:
    """Return where the product's files lie, or that this datalake has none; None if that takes listing a store."""
    try:
        index = published_index(entry)
    except (GranuleIndexError, PlaceError):
        index = None
    if index is None and not entry.datalake.is_local:
        return None
    return _where(entry, _granules(entry))


def _granules(entry: Entry) -> list[Granule]:
    try:
        index = published_index(entry)
    except (GranuleIndexError, PlaceError):
        index = None  # the table is no place to fail: what is there can still be listed
    if index is not None:
        return index.granules()
    return latest_versions(find_granules(entry.datalake, entry.product))


def _numbers(granules: Sequence[Granule], name: str) -> str:
    return number_ranges(granule.values[name] for granule in granules if name in granule.values)


def _period(granules: Sequence[Granule]) -> str:
    begins = [granule.begin for granule in granules if granule.begin]
    ends = [granule.end for granule in granules if granule.end]
    return f"{min(begins):%Y-%m-%d} - {max(ends):%Y-%m-%d}" if begins else ""


def _where(entry: Entry, granules: Sequence[Granule]) -> str:
    if not granules:
        return ABSENT
    fixed = entry.product.template.split("/")[:-1]
    known = next((number for number, part in enumerate(fixed) if "{" in part or "*" in part), len(fixed))
    return "/".join([entry.datalake.address, *fixed[:known]])
