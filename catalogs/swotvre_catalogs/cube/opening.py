"""Open the cube of a product as one lazy Dataset."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.cube.errors import MissingCubeError
from swotvre_catalogs.cube.repository import cube_name, find_commit, open_repository
from swotvre_catalogs.cube.versions import CubeVersion
from swotvre_catalogs.errors import BuildRunningError, GranuleWarning, PlaceError

if TYPE_CHECKING:
    import xarray

    from swotvre_catalogs.catalog import Entry
    from swotvre_catalogs.cube.chunk_table import ChunkTable

#: A cube of at most so many files is built when it is first asked for, and then follows the files.
BUILT_AT_ONCE = 2000

#: Seconds to wait for another process that builds such a cube.
_PATIENCE = 30

_PACKAGE_FOLDER = str(Path(__file__).parents[1])


def open_cube(entry: Entry, at: Any = None, version: str | None = None) -> xarray.Dataset:
    """Open all cycles of a product as one lazy Dataset of (cycle_number, pass_number, num_lines, num_pixels).

    Its attributes say the product, the commit, and how many files there are, are missing and were left out.

    Args:
        entry: The product.
        at: A commit, a tag or a time (UTC): the cube as it was then; the newest by default.
        version: A CRID instead of the newest version of each granule.

    Raises:
        MissingCubeError: If it was not built and is not small, or has no such version.
        CubeError: If the product has no fixed grid.
    """
    from swotvre_catalogs.cube.dataset import open_dataset

    opened = open_version(entry, at, version)
    table = opened.chunk_table()
    warn_of_left_out(opened.name, table)
    return open_dataset(opened, table)


def open_version(entry: Entry, at: Any = None, version: str | None = None) -> CubeVersion:
    """Open a commit of the cube; build it first when there is none and the files are few.

    Raises:
        MissingCubeError: If it was not built and is not small, or has no such version.
        CubeError: If the product has no fixed grid.
    """
    name = cube_name(entry.product, version)
    repository = open_repository(entry.place, entry.datalake, name)
    if repository is not None:
        opened = CubeVersion.open(repository, find_commit(repository, at, name), entry, entry.place, name)
        if opened.facts:
            _refuse_other_datalake(opened, entry, version)
            # Nobody runs a command for a folder of a few files: what was added or replaced there is seen at once.
            if at is None and opened.facts.get("on_the_way") and _has_changed(opened, entry, version):
                return _followed(opened, entry, version)
            return opened
    if at is not None:
        raise MissingCubeError(f"{name} has no cube yet, so none of {at!r}; build it: {entry.command('cube', version)}")
    from swotvre_catalogs.cube.listing import list_files

    count = len(list_files(entry.datalake, entry.product, version=version))
    if count > BUILT_AT_ONCE:
        raise MissingCubeError(
            f"{name} has no cube yet, and {count} files; build it once: {entry.command('cube', version)}"
        )
    return _built_on_the_way(entry, version)


def _built_on_the_way(entry: Entry, version: str | None) -> CubeVersion:
    from swotvre_catalogs.cube.building import build_cube

    for _ in range(_PATIENCE):
        try:
            report = build_cube(entry, version=version, on_the_way=True)
        except BuildRunningError:
            time.sleep(1.0)  # another notebook asked for the same; it has few files as well
            continue
        break
    else:
        report = build_cube(entry, version=version, on_the_way=True)
    entry.__dict__.pop("place", None)  # on an object store it may be another one now that it was written
    name = cube_name(entry.product, version)
    repository = open_repository(entry.place, entry.datalake, name)
    if repository is None:
        raise MissingCubeError(f"the cube of {name} is gone again; build it: {entry.command('cube', version)}")
    return CubeVersion.open(repository, report.commit, entry, entry.place, name)


def _has_changed(opened: CubeVersion, entry: Entry, version: str | None) -> bool:
    from swotvre_catalogs.cube.listing import list_files
    from swotvre_catalogs.cube.table_building import find_changes

    listed = list_files(entry.datalake, entry.product, version=version)
    return len(listed) <= BUILT_AT_ONCE and bool(find_changes(listed, opened.chunk_table()))


def _followed(opened: CubeVersion, entry: Entry, version: str | None) -> CubeVersion:
    try:
        return _built_on_the_way(entry, version)
    except PlaceError as error:
        message = f"files of {opened.name} were added, replaced or removed since its cube was built, but {error}"
        warnings.warn(message, GranuleWarning, skip_file_prefixes=(_PACKAGE_FOLDER,))
        return opened


def warn_of_left_out(name: str, table: ChunkTable) -> None:
    """Warn of files that are on the datalake, but not in the cube."""
    if table.left_out:
        told = "; ".join(f"{one.path}: {one.reason}" for one in table.left_out[:5])
        more = f"; and {len(table.left_out) - 5} more" if len(table.left_out) > 5 else ""
        warnings.warn(
            f"left out of the cube of {name}: {told}{more}", GranuleWarning, skip_file_prefixes=(_PACKAGE_FOLDER,)
        )


def _refuse_other_datalake(opened: CubeVersion, entry: Entry, version: str | None) -> None:
    if not opened.is_of(entry.datalake):
        raise MissingCubeError(
            f"the cube at {opened.place.cube_address(opened.name)} is of the datalake {opened.facts.get('datalake')}, "
            f"not of {entry.datalake.address}; build it anew: {entry.command('cube', version)}"
        )
