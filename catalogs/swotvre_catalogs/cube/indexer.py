"""Read where the chunks of a netCDF-4 file lie, and how they are stored, without reading the data.

The positions come from the HDF5 library (``H5Dget_chunk_info``, ``H5Dget_offset``), so that what is read is what the
library would read.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import h5py
import numpy
from h5py import h5a, h5d, h5f, h5g, h5o, h5p, h5t, h5z
from numpy.typing import NDArray

from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.layout import MEANING, FileLayout, VariableLayout

#: The variables that say where the pixels lie.
GEOMETRY = ("latitude", "longitude")

_FILTER_NAMES = {h5z.FILTER_DEFLATE: "deflate", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32"}

#: How netCDF marks a dimension that has no variable of its own.
_NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"

#: Attributes that belong to the storage, not to the variable.
_STORAGE_ATTRIBUTES = frozenset(
    {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties"}
)


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


class Indexer:
    """Indexes files one after the other; remembers the layouts it met, since most files of a product have the same.

    Args:
        undeclared_fill_value: Fill value of integer variables whose file does not declare one.
    """

    def __init__(self, undeclared_fill_value: int | None = None) -> None:
        self._undeclared_fill_value = undeclared_fill_value
        self._known: dict[tuple[Any, ...], VariableLayout] = {}
        self._layouts: dict[tuple[int, ...], FileLayout] = {}
        self._kinds: dict[str, tuple[Any, str]] = {}

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
                with Path(source).open("rb", buffering=0) as file:
                    status = os.fstat(file.fileno())
                    opened = h5f.open(os.fsencode(source), h5f.ACC_RDONLY, fapl=_access())
                    return self._index(opened, file, called, status.st_size, status.st_mtime_ns, etag)
            size = source.seek(0, os.SEEK_END) if size_bytes is None else size_bytes
            with h5py.File(source, "r") as handle:
                return self._index(handle.id, source, called, size, modified_ns, etag)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            # The HDF5 library puts its reason in brackets, after what it tried.
            raise DamagedFileError(called, f"{error}".splitlines()[0] if str(error) else repr(error)) from error

    def _index(
        self, file_id: Any, raw: IO[bytes] | Any, path: str, size_bytes: int, modified_ns: int, etag: str
    ) -> IndexedFile:
        offsets: dict[str, NDArray[numpy.int64]] = {}
        sizes: dict[str, NDArray[numpy.int64]] = {}
        variables: dict[str, VariableLayout] = {}
        try:
            for name, dataset in _datasets(h5g.open(file_id, b"/"), ""):
                found = self._layout(name, dataset)
                if found is None:
                    continue
                layout, is_chunked = found
                variables[name], offsets[name], sizes[name] = _positions(dataset, layout, is_chunked, self._known)
                if any(map(size_bytes.__lt__, (offsets[name] + sizes[name]).tolist())):
                    raise DamagedFileError(path, f"{name} ends beyond the end of the file ({size_bytes} bytes)")
            if not variables:
                raise DamagedFileError(path, "it holds no variable")
            key = tuple(map(id, variables.values()))
            kept = self._layouts.setdefault(key, FileLayout(variables))
            geometry = _geometry(raw, file_id, kept, offsets, sizes)
        finally:
            file_id.close()
        return IndexedFile(path, size_bytes, modified_ns, etag, kept, offsets, sizes, geometry)

    def _layout(self, name: str, dataset: Any) -> tuple[VariableLayout, bool] | None:
        """Return the layout and whether it is chunked; None for what holds no numbers of its own."""
        names: set[bytes] = set()
        h5a.iterate(dataset, lambda one, *_: names.add(one))
        kind = dataset.get_type()
        if kind.get_class() not in (h5t.INTEGER, h5t.FLOAT) or _is_bare_dimension(dataset, names):
            return None
        dtype, chunks, filters = self._storage(name, dataset, kind)
        shape = dataset.shape
        fill, scale, offset = (_number(dataset, one, names) for one in (b"_FillValue", b"scale_factor", b"add_offset"))
        meaning = tuple((text, _text(dataset, text)) for text in MEANING if text.encode() in names)
        if fill is None:
            fill = _number(dataset, b"missing_value", names)
            if fill is not None:
                meaning = tuple(pair for pair in meaning if pair[0] != "missing_value")
        elif ("missing_value", repr(fill)) in meaning:
            meaning = tuple(pair for pair in meaning if pair[0] != "missing_value")
        if fill is None and dtype[1] in "iu" and shape:
            fill = self._undeclared_fill_value
        key = (name, shape, chunks or shape, dtype, filters, scale, offset, repr(fill), meaning)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = VariableLayout(
                name, _dimensions(dataset), *key[1:7], fill, None, meaning, _attributes(dataset)
            )
        return known, chunks is not None

    def _storage(
        self, name: str, dataset: Any, kind: Any
    ) -> tuple[str, tuple[int, ...] | None, tuple[tuple[str, int], ...]]:
        """Return dtype, chunks (None for contiguous) and filters."""
        # Lists of properties are not compared as wholes: H5Pequal takes other chunks for the same.
        creation = dataset.get_create_plist()
        layout = creation.get_layout()
        chunks = creation.get_chunk() if layout == h5d.CHUNKED else None
        filters = tuple(_filter(creation.get_filter(number)) for number in range(creation.get_nfilters()))
        if layout == h5d.COMPACT:
            filters = (("compact", 0),)
        elif layout not in (h5d.CHUNKED, h5d.CONTIGUOUS) or creation.get_external_count():
            filters = (("external", 0),)
        known = self._kinds.get(name)
        if known is None or not known[0].equal(kind):
            known = self._kinds[name] = (kind.copy(), kind.dtype.str)  # a copy, as the type would keep the file open
        return known[1], chunks, filters


def index_file(
    source: str | os.PathLike[str] | IO[bytes], *, undeclared_fill_value: int | None = None, **identity: Any
) -> IndexedFile:
    """Index one file; see ``Indexer.index`` for the arguments and errors."""
    return Indexer(undeclared_fill_value).index(source, **identity)


def _access() -> Any:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    return access


def _datasets(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in group:
        opened = h5o.open(group, name)
        if isinstance(opened, h5d.DatasetID):
            yield prefix + name.decode(), opened
        elif isinstance(opened, h5g.GroupID):
            yield from _datasets(opened, f"{prefix}{name.decode()}/")


def _is_bare_dimension(dataset: Any, names: set[bytes]) -> bool:
    if not {b"NAME", b"CLASS"} <= names:
        return False
    return _text(dataset, "NAME").encode().startswith(_NO_VARIABLE)


def _filter(found: tuple[int, int, tuple[int, ...], bytes]) -> tuple[str, int]:
    code, _, values, _ = found
    return _FILTER_NAMES.get(code, f"hdf5-{code}"), int(values[0]) if values else 0


def _number(dataset: Any, name: bytes, names: set[bytes]) -> Any:
    """Read a numeric attribute as a Python number, None where there is none."""
    if name not in names:
        return None
    attribute = h5a.open(dataset, name)
    kind = attribute.get_type()
    code = kind.get_class()
    if code not in (h5t.INTEGER, h5t.FLOAT) or attribute.get_storage_size() < kind.get_size():
        return None
    dtype, memory = _NUMBERS[code, code == h5t.INTEGER and kind.get_sign() == h5t.SGN_NONE]
    value = numpy.empty(attribute.get_storage_size() // kind.get_size(), dtype)
    attribute.read(value, mtype=memory)
    return value[0].item()


#: What numbers are read as: class of the type, whether it is unsigned.
_NUMBERS = {
    (h5t.FLOAT, False): (numpy.dtype("f8"), h5t.NATIVE_DOUBLE),
    (h5t.INTEGER, False): (numpy.dtype("i8"), h5t.NATIVE_INT64),
    (h5t.INTEGER, True): (numpy.dtype("u8"), h5t.NATIVE_UINT64),
}


def _text(dataset: Any, name: str) -> str:
    value = _attribute(dataset, name)
    if isinstance(value, str):
        return value
    items = numpy.asarray(value).reshape(-1)
    return repr(items[0].item()) if items.size == 1 else " ".join(str(item) for item in items.tolist())


def _attribute(dataset: Any, name: str) -> Any:
    attribute = h5a.open(dataset, name.encode())
    kind = attribute.get_type()
    if kind.get_class() == h5t.STRING and not kind.is_variable_str():
        size = kind.get_size()
        raw = numpy.zeros(max(attribute.get_storage_size() // size, 1), f"S{size}")
        attribute.read(raw, mtype=kind)
        return raw[0].decode("utf-8", "replace")
    value = h5py.Dataset(dataset).attrs[name]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _attributes(dataset: Any) -> dict[str, Any]:
    names = [name for name in h5py.Dataset(dataset).attrs if name not in _STORAGE_ATTRIBUTES]
    return {name: _plain(_attribute(dataset, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    items = numpy.asarray(value).reshape(-1).tolist()
    items = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in items]
    return items[0] if len(items) == 1 else items


def _dimensions(dataset: Any) -> tuple[str, ...]:
    names = []
    for number, dimension in enumerate(h5py.Dataset(dataset).dims):
        if len(dimension):
            names.append(str(dimension[0].name).rsplit("/", 1)[-1])
        elif h5a.exists(dataset, b"CLASS"):  # the variable of a dimension has no scale but itself
            names.append(h5py.Dataset(dataset).name.rsplit("/", 1)[-1])
        else:
            names.append(f"dim_{number}")
    return tuple(names)


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
