"""The Icechunk repository of a cube: opened, created, its versions found."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.cube.errors import CubeError, MissingCubeError
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.granules import check_version
from swotvre_catalogs.index.place import Place
from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.products import Product

if TYPE_CHECKING:
    import icechunk

#: The branch that builds go to.
BRANCH = "main"

#: The group with the chunk table.
TABLE_GROUP = "_swotvre"

#: Cycles whose references are kept in one manifest file: an append writes the last of them anew, not all.
CYCLES_PER_MANIFEST = 16


def cube_name(product: Product, version: str | None = None) -> str:
    """Return what the cube is called in its place: one of a pinned version lies beside that of the newest ones.

    Raises:
        ParameterValueError: If the version cannot be one.
    """
    if version is None:
        return product.name
    check_version(product, version)
    return f"{product.name}@{version}"


def open_repository(place: Place, datalake: Datalake, name: str) -> icechunk.Repository | None:
    """Open the repository of a cube, None where there is none.

    Raises:
        CubeError: If what lies there is not one that can be read.
    """
    icechunk = _icechunk()
    try:
        storage = _storage(place, name)
        if place.is_local and not (place.folder / f"cube/{name}/repo").exists():
            return None
        if not place.is_local and not icechunk.Repository.exists(storage):
            return None
        return icechunk.Repository.open(
            storage, config=_config(datalake), authorize_virtual_chunk_access=_credentials(datalake)
        )
    except icechunk.IcechunkError as error:
        raise CubeError(f"the cube at {place.cube_address(name)} cannot be opened: {first_line(error)}") from error


def create_repository(place: Place, datalake: Datalake, name: str) -> icechunk.Repository:
    """Create the repository of a cube; what a build that was killed has left there is written over.

    Raises:
        CubeError: If the place cannot be written.
    """
    icechunk = _icechunk()
    try:
        if place.is_local:
            (place.folder / f"cube/{name}").mkdir(parents=True, exist_ok=True)
        return icechunk.Repository.create(
            _storage(place, name),
            config=_config(datalake),
            authorize_virtual_chunk_access=_credentials(datalake),
            check_clean_root=False,
        )
    except (icechunk.IcechunkError, OSError) as error:
        raise CubeError(f"the cube at {place.cube_address(name)} cannot be created: {first_line(error)}") from error


def find_commit(repository: icechunk.Repository, at: Any, name: str) -> str:
    """Return the snapshot id of a version.

    Args:
        repository: The repository.
        at: None for the newest, a snapshot id, a tag, or a time (datetime, datetime64, ISO 8601; UTC): the version
            that was the newest then.
        name: Of the cube, for messages.

    Raises:
        MissingCubeError: If there is no such version.
    """
    if at is None:
        return str(repository.lookup_branch(BRANCH))
    history = list(repository.ancestry(branch=BRANCH))
    if isinstance(at, str):
        if at in repository.list_tags():
            return str(repository.lookup_tag(at))
        if at in {snapshot.id for snapshot in history}:
            return at
    moment = _moment(at)
    if moment is None:
        raise MissingCubeError(
            f"the cube of {name} has no version {at!r}: neither a commit, a tag nor a time such as "
            f"'2026-01-31T12:00'{near_miss(str(at), repository.list_tags())}; newest commits: "
            + ", ".join(f"{one.id} ({one.written_at:%Y-%m-%dT%H:%M:%S})" for one in history[:3])
        )
    for snapshot in history:
        if snapshot.written_at <= moment and snapshot.parent_id is not None:
            return str(snapshot.id)
    first = [snapshot for snapshot in history if snapshot.parent_id is not None]
    since = f"; the first commit is of {first[-1].written_at:%Y-%m-%dT%H:%M:%S} UTC" if first else ""
    raise MissingCubeError(f"the cube of {name} did not exist at {moment:%Y-%m-%dT%H:%M:%S} UTC{since}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _moment(at: Any) -> datetime.datetime | None:
    from swotvre_catalogs.errors import ParameterValueError
    from swotvre_catalogs.index.bbox import parse_time

    try:
        # The end of the period: "2026-01-31" is the cube at the end of that day.
        nanoseconds = int(parse_time(at)[1].astype("datetime64[ns]").astype("int64"))
    except ParameterValueError:
        return None
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=nanoseconds // 1000)


def _storage(place: Place, name: str) -> icechunk.Storage:
    from swotvre_catalogs.s3_stores import icechunk_storage

    return icechunk_storage(place.cube_address(name), place.storage_options)


def _credentials(datalake: Datalake) -> dict[str, Any]:
    from swotvre_catalogs.s3_stores import icechunk_credentials

    return icechunk_credentials(datalake.address, datalake.storage_options)


def _config(datalake: Datalake) -> icechunk.RepositoryConfig:
    from swotvre_catalogs.s3_stores import icechunk_container

    icechunk = _icechunk()
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(icechunk_container(datalake.address, datalake.storage_options))
    per_cycle = {icechunk.ManifestSplitDimCondition.DimensionName("cycle_number"): CYCLES_PER_MANIFEST}
    splitting = icechunk.ManifestSplittingConfig.from_dict({icechunk.ManifestSplitCondition.AnyArray(): per_cycle})
    config.manifest = icechunk.ManifestConfig(splitting=splitting)
    return config


def _icechunk() -> Any:
    import icechunk

    if "ICECHUNK_LOG" not in os.environ:
        # It warns of two writers on a local folder at every opening; we hold a lock.
        icechunk.set_logs_filter("error")
    return icechunk
