"""One version of a cube: a commit of its repository, opened for reading."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.repository import TABLE_GROUP
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.index.place import Place

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry

#: Where Zarr keeps the attributes of a group.
_METADATA = "zarr.json"


@dataclass(frozen=True)
class CubeVersion:
    """A commit of a cube."""

    session: Any
    #: Snapshot id.
    commit: str
    datalake: Datalake
    place: Place
    name: str

    @classmethod
    def open(cls, repository: Any, commit: str, entry: Entry, place: Place, name: str) -> CubeVersion:
        """Open a commit of a repository."""
        session = repository.readonly_session(snapshot_id=commit)
        return cls(session, commit, entry.datalake, place, name)

    @property
    def store(self) -> Any:
        """The Zarr store of the commit."""
        return self.session.store

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the builder wrote down of the commit; empty for one without a cube."""
        written = self._parts.get(_METADATA)
        return dict(json.loads(written).get("attributes", {})) if written is not None else {}

    def is_of(self, datalake: Datalake) -> bool:
        """Tell whether the cube refers to files of this datalake."""
        return bool(self.facts.get("datalake") == datalake.address)

    def chunk_table(self) -> ChunkTable:
        """Read the chunk table of the commit."""
        numbers = {name: name.removeprefix("cycle_") for name in self._parts}
        cycles = {int(number): self._parts[name] for name, number in numbers.items() if number != name}
        return ChunkTable.from_bytes(self._parts["geometry"], cycles, self.commit)

    @cached_property
    def _parts(self) -> dict[str, bytes]:
        from zarr.core.sync import sync

        return dict(sync(_read_parts(self.store)))


async def _read_parts(store: Any) -> dict[str, bytes]:
    from zarr.core.buffer import default_buffer_prototype

    # Straight from the store, all at once: one round trip for an object store.
    names = [name async for name in store.list_dir(TABLE_GROUP)]
    keys = [f"{TABLE_GROUP}/{name}{'' if name == _METADATA else '/c/0'}" for name in names]
    buffers = await asyncio.gather(*(store.get(key, default_buffer_prototype()) for key in keys))
    return {name: bytes(buffer.to_bytes()) for name, buffer in zip(names, buffers, strict=True)}
