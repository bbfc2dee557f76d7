"""Open the index of a product: the published one, or one built now where that takes a moment."""

from __future__ import annotations

import time
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from swotvre_catalogs.errors import BuildRunningError, GranuleWarning, MissingIndexError, UnreadableIndexError
from swotvre_catalogs.granules import absence
from swotvre_catalogs.index.build import build_index
from swotvre_catalogs.index.granule_index import GranuleIndex, parse_index
from swotvre_catalogs.index.listing import list_files
from swotvre_catalogs.index.place import FOLDER, index_path

if TYPE_CHECKING:
    from swotvre_catalogs.entry import Entry

#: An index of at most so many files is built when it is first asked for.
FEW_FILES = 2000

#: Indexes that stay in memory: one of 100,000 granules takes about 60 MB.
_KEPT = 8
#: Seconds to wait for another process that builds such an index.
_PATIENCE = 30

_opened: OrderedDict[tuple[str, str, str], GranuleIndex] = OrderedDict()

_PACKAGE_FOLDER = str(Path(__file__).parents[1])


def open_index(entry: Entry) -> GranuleIndex:
    """Open the index of a product; build it first where there is none and the files are few.

    Raises:
        MissingIndexError: If there is none and the files are many; the message says the command that builds it.
        UnreadableIndexError: If it is damaged or of another datalake.
    """
    found = published_index(entry)
    if found is not None and not found.facts.get("on_the_way"):
        return found
    files = [file for file, _ in list_files(entry)]
    if found is None and not files:
        raise MissingIndexError(absence(entry.datalake, entry.product))
    if found is not None:
        # Nobody runs a command for a folder of a few files: what was added or replaced there is seen at once.
        if found.identities() == {file[:4] for file in files} or len(files) > FEW_FILES:
            return found
    elif len(files) > FEW_FILES:
        raise MissingIndexError(
            f"{entry.name} has no granule index at {entry.place.index_address(entry.name)}, and {len(files)} files are "
            f"too many to index on the way; build it once with: {entry.command('index')}"
        )
    _build_on_the_way(entry)
    return published_index(entry) or _gone(entry)


def _build_on_the_way(entry: Entry) -> None:
    for _ in range(_PATIENCE):
        try:
            report = build_index(entry, on_the_way=True)
        except BuildRunningError:
            time.sleep(1.0)  # another notebook asked for the same; it has few files as well
            continue
        break
    else:
        report = build_index(entry, on_the_way=True)
    left_out = [f"{path} ({status}: {reason})" for path, status, reason in report.damaged]
    left_out += [f"{path} ({reason})" for path, reason in report.duplicates]
    if left_out and report.read:
        message = f"left out of the index of {entry.name}: {'; '.join(left_out):.2000}"
        warnings.warn(message, GranuleWarning, skip_file_prefixes=(_PACKAGE_FOLDER,))


def _gone(entry: Entry) -> GranuleIndex:
    raise MissingIndexError(f"the index of {entry.name} was removed by another process while it was opened; try again")


def published_index(entry: Entry) -> GranuleIndex | None:
    """Open the index if there is one.

    Raises:
        UnreadableIndexError: If it is damaged or of another datalake.
    """
    path = index_path(entry.name)
    address = entry.place.index_address(entry.name)
    version = entry.place.version(path)
    if version is None:
        return None
    key = (address, version, entry.product.template)
    if key in _opened:
        _opened.move_to_end(key)
    else:
        _opened[key] = parse_index(entry.place.read_bytes(path), entry.product, address)
        while len(_opened) > _KEPT:
            _opened.popitem(last=False)
    index = _opened[key]
    built_for = str(index.facts.get("datalake", ""))
    inside = entry.place.address == f"{entry.datalake.address}/{FOLDER}"
    # A datalake that was moved as a whole keeps its index; another one must not be read through it.
    if not inside and built_for != entry.datalake.address:
        raise UnreadableIndexError(
            f"the index {address} is of the datalake {built_for}, not of {entry.datalake.address}; name another place "
            f"with open_catalog(index=...) or --index, or build it anew with: {entry.command('index')}"
        )
    return index
