"""Read how the variables of a netCDF-4 file are stored; what is as in a file before is compared, not read anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy
from h5py import h5a, h5d, h5t, h5z
from numpy.typing import NDArray

from swotvre_catalogs.cube.layout import MEANING, VariableLayout

_FILTER_NAMES = {h5z.FILTER_DEFLATE: "deflate", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32"}

#: How netCDF marks a dimension that has no variable of its own.
_NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"

#: Attributes that belong to the storage, not to the variable.
_STORAGE_ATTRIBUTES = frozenset(
    {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties"}
)

#: Attributes whose values the layout of a variable depends on.
_READ_ATTRIBUTES = frozenset(
    {b"_FillValue", b"scale_factor", b"add_offset", b"NAME", *(name.encode() for name in MEANING)}
)

#: Forms that are remembered of a variable: of files of many shapes, the last ones.
_MOST_FORMS = 8

#: How a variable is stored: HDF5's class of layout, chunks, filters, number of external files.
_Storage = tuple[int, tuple[int, ...] | None, tuple[Any, ...], int]


@dataclass(frozen=True)
class _AttributeValue:
    """The value of an attribute as the file stores it."""

    name: bytes
    kind: Any
    value: bytes
    #: What values of other files are read into.
    buffer: NDArray[numpy.uint8]

    @classmethod
    def read(cls, dataset: Any, name: bytes) -> _AttributeValue | None:
        """Read an attribute; None for what is no plain bytes, such as a text of variable length."""
        attribute = h5a.open(dataset, name)
        kind = attribute.get_type()
        code = kind.get_class()
        if code not in (h5t.INTEGER, h5t.FLOAT, h5t.STRING) or (code == h5t.STRING and kind.is_variable_str()):
            return None
        buffer = numpy.zeros(attribute.get_storage_size(), numpy.uint8)
        attribute.read(buffer, mtype=kind)
        return cls(name, kind.copy(), buffer.tobytes(), buffer)

    def is_that_of(self, dataset: Any) -> bool:
        """Tell whether a variable of another file has the same attribute."""
        attribute = h5a.open(dataset, self.name)
        # Of the same type and size, it fits into the buffer.
        if attribute.get_storage_size() != len(self.value) or not attribute.get_type().equal(self.kind):
            return False
        attribute.read(self.buffer, mtype=self.kind)
        return self.buffer.tobytes() == self.value


@dataclass(frozen=True)
class _Form:
    """All of a variable in one file that its layout was read from."""

    kind: Any
    shape: tuple[int, ...]
    names: list[bytes]
    #: None where it does not matter.
    storage: _Storage | None
    attributes: list[_AttributeValue]
    #: As ``LayoutReader.read`` returns it.
    found: tuple[VariableLayout, bool] | None

    def is_that_of(self, dataset: Any, kind: Any, names: list[bytes]) -> bool:
        """Tell whether a variable of another file has the same form."""
        return (
            self.names == names
            and self.shape == dataset.shape
            and self.kind.equal(kind)
            and (self.storage is None or self.storage == _storage(dataset))
            and all(attribute.is_that_of(dataset) for attribute in self.attributes)
        )


class LayoutReader:
    """Reads the layouts of variables, and remembers the forms that it met: most files of a product have the same.

    Args:
        undeclared_fill_value: Fill value of integer variables whose file does not declare one.
    """

    def __init__(self, undeclared_fill_value: int | None = None) -> None:
        self._undeclared_fill_value = undeclared_fill_value
        self._forms: dict[str, list[_Form]] = {}
        self._known: dict[tuple[Any, ...], VariableLayout] = {}

    def read(self, name: str, dataset: Any) -> tuple[VariableLayout, bool] | None:
        """Return the layout and whether it is chunked; None for what holds no numbers of its own.

        Args:
            name: Name of the variable, with its group.
            dataset: The variable, of the low-level interface of h5py.
        """
        names: list[bytes] = []
        h5a.iterate(dataset, lambda one, *_: names.append(one))
        kind = dataset.get_type()
        forms = self._forms.setdefault(name, [])
        for form in forms:
            if form.is_that_of(dataset, kind, names):
                return form.found
        found = self._read(name, dataset, kind, set(names))
        attributes = [_AttributeValue.read(dataset, one) for one in names if one in _READ_ATTRIBUTES]
        comparable = [one for one in attributes if one is not None]
        if len(comparable) == len(attributes):
            storage = None if found is None else _storage(dataset)
            # A copy of the type, as its own would keep the file open.
            forms.insert(0, _Form(kind.copy(), dataset.shape, names, storage, comparable, found))
            del forms[_MOST_FORMS:]
        return found

    def _read(self, name: str, dataset: Any, kind: Any, names: set[bytes]) -> tuple[VariableLayout, bool] | None:
        if kind.get_class() not in (h5t.INTEGER, h5t.FLOAT) or _is_bare_dimension(dataset, names):
            return None
        chunks, filters = _chunks_and_filters(_storage(dataset))
        shape, dtype = dataset.shape, kind.dtype.str
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


def _storage(dataset: Any) -> _Storage:
    # Lists of properties are not compared as wholes: H5Pequal takes other chunks for the same.
    creation = dataset.get_create_plist()
    layout = creation.get_layout()
    chunks = creation.get_chunk() if layout == h5d.CHUNKED else None
    filters = tuple(creation.get_filter(number) for number in range(creation.get_nfilters()))
    return layout, chunks, filters, 0 if layout == h5d.CHUNKED else creation.get_external_count()


def _chunks_and_filters(storage: _Storage) -> tuple[tuple[int, ...] | None, tuple[tuple[str, int], ...]]:
    """Return the chunks, None for contiguous, and the filters."""
    layout, chunks, filters, external_count = storage
    if layout == h5d.COMPACT:
        return None, (("compact", 0),)
    if layout not in (h5d.CHUNKED, h5d.CONTIGUOUS) or external_count:
        return chunks, (("external", 0),)
    return chunks, tuple(map(_filter, filters))


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
