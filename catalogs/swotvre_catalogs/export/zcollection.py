"""An existing zcollection, read without the library that wrote it.

zcollection needs zarr 2, which our kernel does not have; what it writes are plain groups of Zarr format 2, one per
partition, which zarr 3 reads. The names and rules of the layout are those of zcollection 2026.6 (CNES, BSD-3):

- ``.zcollection``: JSON with ``axis``, ``dataset`` (variables with attributes, dimensions, ...) and ``partitioning``;
- ``key=value/.../``: one group per partition, in the order of its keys' numbers;
- ``.immutable``: one group with the variables that do not have the axis as a dimension.

Attributes of variables are in ``.zcollection`` alone, so that the partitions opened by xarray one by one would show
packed numbers; fill values are those of each array.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dask.array
import numpy
import obstore
import xarray
import zarr

from swotvre_catalogs.export.errors import ZcollectionError
from swotvre_catalogs.object_store import obstore_store
from swotvre_catalogs.parameters import near_miss

_SETTINGS = ".zcollection"
_IMMUTABLE = ".immutable"
_DIMENSIONS = "_ARRAY_DIMENSIONS"
_STEP = re.compile(r"([A-Za-z_]\w*)=(-?\d+)")


def open_zcollection(
    path: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None = None,
    *,
    variables: Collection[str] | None = None,
    partitions: Mapping[str, int | Collection[int]] | None = None,
) -> xarray.Dataset:
    """Open a zcollection as one lazy Dataset, its partitions put together along the axis.

    Args:
        path: A folder or ``s3://bucket/prefix``.
        storage_options: Options of an address on S3, as for `open_catalog`.
        variables: Names of those to open; all by default.
        partitions: Which partitions, by their keys: ``{"year": 2024, "month": [1, 2]}``, ``{"cycle_number": 7}``.

    Returns:
        The variables unpacked, NaN where they have their fill value; the chunks are those of the collection.

    Raises:
        ZcollectionError: If there is no zcollection, it has no such variable or partition, or one is damaged.
    """
    address = os.fspath(path).rstrip("/")
    store = obstore_store(address, storage_options)
    settings = _read_settings(store, address)
    described = {variable["name"]: variable for variable in settings["dataset"]["variables"]}
    names = _chosen_variables(variables, described, address)
    axis = described[settings["axis"]]["dimensions"][0]
    along = [name for name in names if axis in described[name]["dimensions"]]
    constant = [name for name in names if axis not in described[name]["dimensions"]]
    groups = [_open_group(store, address, folder) for folder in _chosen_partitions(store, address, partitions)]
    opened = {name: _joined(name, groups, axis, address) for name in along}
    if constant:
        immutable = _open_group(store, address, _IMMUTABLE)
        opened |= {name: _joined(name, [immutable], axis, address) for name in constant}
    for name, variable in opened.items():
        variable.attrs |= dict(described[name]["attrs"])
        if variable.dtype.kind in "mM":
            variable.attrs.pop("_FillValue", None)  # not a time is one already
    raw = xarray.Dataset({name: opened[name] for name in names}, attrs=dict(settings["dataset"]["attrs"]))
    return xarray.decode_cf(raw)


def _read_settings(store: Any, address: str) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(bytes(obstore.get(store, _SETTINGS).bytes()))
        described = {variable["name"]: variable for variable in settings["dataset"]["variables"]}
        if settings["axis"] in described:
            return settings
        reason = f"its axis {settings['axis']!r} is none of its variables"
    except FileNotFoundError:
        raise ZcollectionError(f"{address} is not a zcollection: it has no file {_SETTINGS}") from None
    except (ValueError, KeyError, TypeError) as error:
        reason = repr(error)
    raise ZcollectionError(f"{address}/{_SETTINGS} is not the description of a zcollection: {reason}")


def _chosen_variables(variables: Collection[str] | None, described: Mapping[str, Any], address: str) -> list[str]:
    for name in variables or ():
        if name not in described:
            raise ZcollectionError(f"{address} has no variable {name!r}{near_miss(name, described)}")
    return [name for name in described if variables is None or name in variables]


def _chosen_partitions(store: Any, address: str, wanted: Mapping[str, int | Collection[int]] | None) -> list[str]:
    found = sorted((_keys(folder), folder) for folder in _partitions(store, ""))
    names = [name for name, _ in found[0][0]] if found else []
    for name in wanted or ():
        if found and name not in names:
            raise ZcollectionError(f"the partitions of {address} have no key {name!r}; expected: {', '.join(names)}")
    chosen = [folder for keys, folder in found if _matches(dict(keys), wanted or {})]
    if not chosen:
        raise ZcollectionError(
            f"no partition of {address} for {dict(wanted or {})}; it has {len(found)}"
            + (f", from {found[0][1]} to {found[-1][1]}" if found else "")
        )
    return chosen


def _partitions(store: Any, folder: str) -> Iterator[str]:
    # A partition is a folder of variables; above it are only folders named key=value.
    listed = obstore.list_with_delimiter(store, folder or None)
    below = [prefix for prefix in listed["common_prefixes"] if _STEP.fullmatch(prefix.rsplit("/", 1)[-1])]
    if folder and not below:
        yield folder
    for prefix in below:
        yield from _partitions(store, prefix)


def _keys(folder: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, int(number)) for name, number in _STEP.findall(folder))


def _matches(keys: Mapping[str, int], wanted: Mapping[str, int | Collection[int]]) -> bool:
    return all(keys[name] in (value if isinstance(value, Collection) else [value]) for name, value in wanted.items())


def _open_group(store: Any, address: str, folder: str) -> zarr.Group:
    try:
        return zarr.open_group(
            zarr.storage.ObjectStore(store, read_only=True), path=folder, mode="r", zarr_format=2, use_consolidated=True
        )
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise ZcollectionError(f"the partition {address}/{folder} is damaged or being written: {error}") from error


def _joined(name: str, groups: list[zarr.Group], axis: str, address: str) -> xarray.Variable:
    pieces: list[Any] = []
    first: Any = None
    for group in groups:
        array = group.get(name)
        if not isinstance(array, zarr.Array):
            raise ZcollectionError(f"the partition {address}/{group.path} has no variable {name!r}")
        first = array if first is None else first
        if array.dtype != first.dtype or not _same(array.metadata.fill_value, first.metadata.fill_value):
            raise ZcollectionError(
                f"{name!r} is {array.dtype} with fill value {array.metadata.fill_value} in {address}/{group.path}, and "
                f"{first.dtype} with {first.metadata.fill_value} in {first.path}: they cannot be put together"
            )
        pieces.append(dask.array.from_array(array, chunks=array.chunks, name=False, meta=_meta(array)))
    dimensions = first.attrs[_DIMENSIONS]
    joined = dask.array.concatenate(pieces, axis=dimensions.index(axis)) if axis in dimensions else pieces[0]
    fill = first.metadata.fill_value
    return xarray.Variable(dimensions, joined, {} if fill is None else {"_FillValue": fill})


def _meta(array: zarr.Array) -> Any:
    return numpy.empty((0,) * array.ndim, dtype=array.dtype)


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return bool(one == other or (one != one and other != other))  # NaN is NaN here
