"""Read where the chunks of a netCDF-4 file lie, and how they are stored, without reading the data.

The positions come from the HDF5 library (``H5Dget_chunk_info``, ``H5Dget_offset``), so that what is read is what the
library would read.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import IO, Any

import h5py
import numpy
from h5py import h5d, h5f, h5g, h5l, h5o, h5p
from numpy.typing import NDArray

from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.layout import FileLayout, VariableLayout
from swotvre_catalogs.cube.structures import Places, RecordedFile, Structures
from swotvre_catalogs.cube.variable_layouts import LayoutReader
from swotvre_catalogs.file_kinds import first_bytes, reason_against

#: Path, size in bytes, time of the last modification in nanoseconds, entity tag.
_Identity = tuple[str, int, int, str]

#: The variables that say where the pixels lie.
GEOMETRY = ("latitude", "longitude")


@dataclass(frozen=True)
class IndexedFile:
    """What one file holds, and where."""

    path: str
    size_bytes: int
    modified_ns: int
    etag: str
    layout: FileLayout
    #: By variable, position of every chunk in the file in bytes, C order; -1 for a chunk that was never written.
    offsets: Mapping[str, NDArray[numpy.int64]]
    #: By variable, size of every chunk in the file in bytes; 0 for a chunk that was never written.
    sizes: Mapping[str, NDArray[numpy.int64]]
    #: Equal for files with the same latitudes and longitudes; 0 where the file has none.
    geometry: int

    @property
    def identity(self) -> tuple[str, int, int, str]:
        """What changes when the file is replaced."""
        return (self.path, self.size_bytes, self.modified_ns, self.etag)

    def positions(self) -> NDArray[numpy.int64]:
        """Return ``offsets`` and then ``sizes`` of all variables, sorted by name, in one array."""
        names = sorted(self.layout.variables)
        return numpy.concatenate([*(self.offsets[name] for name in names), *(self.sizes[name] for name in names)])

    @classmethod
    def of_positions(cls, *facts: Any, positions: NDArray[numpy.int64]) -> IndexedFile:
        """Return the file with these positions; ``facts`` are path, size, time, etag, layout and geometry."""
        path, size_bytes, modified_ns, etag, layout, geometry = facts
        parts: list[dict[str, NDArray[numpy.int64]]] = []
        first = 0
        for _ in range(2):
            columns = {}
            for name in sorted(layout.variables):
                last = first + layout.variables[name].chunk_count
                columns[name], first = positions[first:last], last
            parts.append(columns)
        return cls(path, size_bytes, modified_ns, etag, layout, parts[0], parts[1], geometry)

    def __reduce__(self) -> tuple[Any, ...]:
        # One array instead of two per variable: what is many takes its time between processes.
        facts = (self.path, self.size_bytes, self.modified_ns, self.etag, self.layout, self.geometry)
        return _of_positions, (facts, self.positions())


def _of_positions(facts: tuple[Any, ...], positions: NDArray[numpy.int64]) -> IndexedFile:
    return IndexedFile.of_positions(*facts, positions=positions)


class Indexer:
    """Indexes files one after the other; remembers the layouts it met, since most files of a product have the same.

    Args:
        undeclared_fill_value: Fill value of integer variables whose file does not declare one.
    """

    def __init__(self, undeclared_fill_value: int | None = None) -> None:
        self._reader = LayoutReader(undeclared_fill_value)
        self._corrected: dict[tuple[Any, ...], VariableLayout] = {}
        self._layouts: dict[tuple[int, ...], FileLayout] = {}
        self._structures = Structures()

    def index(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        path: str | None = None,
        size_bytes: int | None = None,
        modified_ns: int = 0,
        etag: str = "",
    ) -> IndexedFile:
        """Return the layout and the chunk positions of a file.

        Args:
            source: Name of a local file, or an object with ``read`` and ``seek``.
            path: What the file is called in the result and in messages, ``source`` by default.
            size_bytes: Size of the file, and below the rest of its identity; looked up for a local file.
            modified_ns: Time of the last modification, nanoseconds since 1970.
            etag: Entity tag of an object store.

        Raises:
            DamagedFileError: If it is truncated, corrupt or not HDF5.
        """
        called = path or str(source)
        try:
            if isinstance(source, str | os.PathLike):
                with open(source, "rb", buffering=0) as file:  # noqa: PTH123  called for every file of a product
                    status = os.fstat(file.fileno())
                    identity = (called, status.st_size, status.st_mtime_ns, etag)
                    return self._known(file, identity) or self._index(file, identity, os.fsencode(source))
            size = source.seek(0, os.SEEK_END) if size_bytes is None else size_bytes
            identity = (called, size, modified_ns, etag)
            return self._known(source, identity) or self._index(source, identity)
        except (OSError, OverflowError, RuntimeError, KeyError, ValueError, TypeError) as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            # The HDF5 library puts its reason in brackets, after what it tried.
            said = f"{error}".splitlines()[0] if str(error) else repr(error)
            raise DamagedFileError(called, reason_against(first_bytes(source)) or said) from error

    def recognise(self, raw: IO[bytes], path: str) -> IndexedFile | None:
        """Return what a local file holds whose structure is that of one before; None for another.

        The HDF5 library is not asked, and several threads may ask at a time.
        """
        status = os.fstat(raw.fileno())
        return self._known(raw, (path, status.st_size, status.st_mtime_ns, ""))

    def _known(self, raw: IO[bytes] | Any, identity: _Identity) -> IndexedFile | None:
        found = self._structures.find(raw, identity[1])
        if found is None:
            return None
        layout, places = found
        offsets = {name: numpy.array(columns[0], numpy.int64) for name, columns in places.items()}
        sizes = {name: numpy.array(columns[1], numpy.int64) for name, columns in places.items()}
        return IndexedFile(*identity, layout, offsets, sizes, _geometry(raw, None, layout, offsets, sizes))

    def _index(self, raw: IO[bytes] | Any, identity: _Identity, name: bytes | None = None) -> IndexedFile:
        """Let the library look into a file, by its name where it has one that is not to be learned."""
        recorded = RecordedFile(raw) if self._structures.wants_more else None
        if recorded is None and name is not None:
            file_id = h5f.open(name, h5f.ACC_RDONLY, fapl=file_access())
            return self._look(file_id, raw, identity)
        headers: dict[str, int] | None = None if recorded is None else {}
        with h5py.File(recorded or raw, "r") as handle:
            indexed = self._look(handle.id, raw, identity, headers)
        if recorded is not None and headers and all(one.is_direct for one in indexed.layout.variables.values()):
            self._structures.learn(recorded, identity[1], headers, indexed.layout, _places(indexed))
        return indexed

    def _look(
        self, file_id: Any, raw: IO[bytes] | Any, identity: _Identity, headers: dict[str, int] | None = None
    ) -> IndexedFile:
        path, size_bytes = identity[:2]
        offsets: dict[str, NDArray[numpy.int64]] = {}
        sizes: dict[str, NDArray[numpy.int64]] = {}
        variables: dict[str, VariableLayout] = {}
        try:
            for name, dataset in _datasets(h5g.open(file_id, b"/"), "", headers):
                found = self._reader.read(name, dataset)
                if found is None:
                    continue
                layout, is_chunked = found
                variables[name], offsets[name], sizes[name] = _positions(dataset, layout, is_chunked, self._corrected)
                if any(map(size_bytes.__lt__, (offsets[name] + sizes[name]).tolist())):
                    raise DamagedFileError(path, f"{name} ends beyond the end of the file ({size_bytes} bytes)")
            if not variables:
                raise DamagedFileError(path, "it holds no variable")
            key = tuple(map(id, variables.values()))
            kept = self._layouts.setdefault(key, FileLayout(variables))
            geometry = _geometry(raw, file_id, kept, offsets, sizes)
        finally:
            file_id.close()
        return IndexedFile(*identity, kept, offsets, sizes, geometry)


def _places(indexed: IndexedFile) -> Places:
    return {name: (indexed.offsets[name].tolist(), indexed.sizes[name].tolist()) for name in indexed.layout.variables}


def index_file(
    source: str | os.PathLike[str] | IO[bytes], *, undeclared_fill_value: int | None = None, **identity: Any
) -> IndexedFile:
    """Index one file; see ``Indexer.index`` for the arguments and errors."""
    return Indexer(undeclared_fill_value).index(source, **identity)


@cache
def file_access() -> Any:
    """Return how a file is opened: whatever is still open in it is closed with it."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    return access


def _datasets(group: Any, prefix: str, headers: dict[str, int] | None) -> Iterator[tuple[str, Any]]:
    """Return the variables with their names; ``headers`` is given the addresses of their object headers."""
    for name in group:
        opened = h5o.open(group, name)
        if isinstance(opened, h5d.DatasetID):
            if headers is not None and (link := group.links.get_info(name)).type == h5l.TYPE_HARD:
                headers[prefix + name.decode()] = link.u
            yield prefix + name.decode(), opened
        elif isinstance(opened, h5g.GroupID):
            yield from _datasets(opened, f"{prefix}{name.decode()}/", headers)


def _positions(
    dataset: Any, layout: VariableLayout, is_chunked: bool, known: dict[tuple[Any, ...], VariableLayout]
) -> tuple[VariableLayout, NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Return the layout, corrected for what this file's chunks show, and position and size of each chunk."""
    count = layout.chunk_count
    offsets, sizes = numpy.full(count, -1, numpy.int64), numpy.zeros(count, numpy.int64)
    oddities: tuple[tuple[str, int], ...] = ()
    if layout.filters[:1] in ((("compact", 0),), (("external", 0),)):
        return layout, offsets, sizes
    if not is_chunked:
        position = dataset.get_offset()
        if position is not None and count:
            offsets[0], sizes[0] = position, dataset.get_storage_size()
    elif count == 1:
        info = dataset.get_chunk_info_by_coord((0,) * len(layout.shape))
        if info.byte_offset is not None and info.size:
            offsets[0], sizes[0] = info.byte_offset, info.size
            oddities = (("skipped", info.filter_mask),) if info.filter_mask else ()
    else:
        masks = _iterate(dataset, layout, offsets, sizes)
        oddities = (("skipped", masks),) if masks else ()
    has_holes = -1 in offsets.tolist()
    if oddities or has_holes:
        layout = _corrected(dataset, layout, oddities, has_holes, known)
    return layout, offsets, sizes


def _iterate(dataset: Any, layout: VariableLayout, offsets: NDArray[numpy.int64], sizes: NDArray[numpy.int64]) -> int:
    grid, masks = layout.chunk_grid, 0

    def keep(info: Any) -> None:
        nonlocal masks
        number = 0
        for start, chunk, along in zip(info.chunk_offset, layout.chunks, grid, strict=True):
            number = number * along + start // chunk
        offsets[number], sizes[number] = info.byte_offset, info.size
        masks |= info.filter_mask

    dataset.chunk_iter(keep)
    return masks


def _corrected(
    dataset: Any,
    layout: VariableLayout,
    oddities: tuple[tuple[str, int], ...],
    has_holes: bool,
    known: dict[tuple[Any, ...], VariableLayout],
) -> VariableLayout:
    unwritten = None
    if has_holes:
        value = numpy.zeros(1, layout.dtype)
        dataset.get_create_plist().get_fill_value(value)
        unwritten = None if _same(value[0].item(), layout.fill_value) else value[0].item()
    key = ("corrected", id(layout), oddities, repr(unwritten))
    if key not in known:
        known[key] = replace(layout, filters=layout.filters + oddities, unwritten_value=unwritten)
    return known[key]


def _same(value: Any, other: Any) -> bool:
    return other is not None and (value == other or (value != value and other != other))


def _geometry(
    raw: IO[bytes] | Any,
    file_id: Any,
    layout: FileLayout,
    offsets: Mapping[str, NDArray[numpy.int64]],
    sizes: Mapping[str, NDArray[numpy.int64]],
) -> int:
    """Return a fingerprint of latitude and longitude that needs a few bytes where the storage has checksums."""
    prints = []
    for name in GEOMETRY:
        variable = layout.variables.get(name)
        if variable is None:
            return 0
        facts = repr((variable.shape, variable.chunks, variable.filters, variable.packing))
        crc = zlib.crc32(facts.encode())
        if variable.is_direct:
            last = variable.filters[-1][0] if variable.filters else ""
            for offset, size in zip(offsets[name].tolist(), sizes[name].tolist(), strict=True):
                if offset >= 0:
                    # A zlib stream ends with the Adler-32 of what was compressed.
                    tail = min(size, 4) if last == "deflate" else size
                    raw.seek(offset + size - tail)
                    crc = zlib.crc32(raw.read(tail), crc)
        else:
            dataset = h5py.Dataset(h5d.open(file_id, name.encode()))
            crc = zlib.crc32(numpy.ascontiguousarray(dataset[...]).tobytes(), crc)
        prints.append(crc)
    return prints[0] << 31 ^ prints[1]
