"""Pixel clouds, nadir tracks, drifters and gauges: points along one dimension."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.errors import ParameterValueError, ReaderError
from swotvre_catalogs.granules import Granule
from swotvre_catalogs.hydrology.arrays import join, label, open_pieces, position_names, require_position, take, within
from swotvre_catalogs.hydrology.request import Request, one_value
from swotvre_catalogs.parameters import near_miss

#: Numbers of a granule that each of its points keeps.
_LABELS = ("cycle_number", "pass_number", "tile_number", "tile_side", "station")


def select_points(request: Request) -> xarray.Dataset:
    """Return the points of a request over all its granules, in the order of time, lazily.

    Each point carries the cycle, pass and tile of its granule as coordinates along the dimension of the points.
    ``classification`` keeps the pixels of these classes, by number or by name.
    """
    values = {}
    if "group" in request.product.parameters:
        values["group"] = one_value(request, "group")

    def cut(granule: Granule, dataset: xarray.Dataset) -> xarray.Dataset | None:
        dimension = _dimension(request, dataset)
        keep = _wanted(request, dataset, dimension)
        if not keep.any():
            return None
        numbers: dict[str, Any] = {name: granule.values[name] for name in _LABELS if name in granule.values}
        for name in position_names(dataset) or ():
            if not dataset[name].dims:  # a gauge: several of them become one series of points
                numbers[name] = dataset[name].item()
        return label(take(dataset, dimension, keep), dimension, numbers)

    pieces = open_pieces(request, cut, values)
    return join(pieces, _dimension(request, pieces[0]))


def _dimension(request: Request, dataset: xarray.Dataset) -> str:
    """Return the dimension of the points: that of the position, else the longest."""
    for name in ("latitude", "lat", "time"):
        if name in dataset.variables and dataset[name].ndim == 1:
            return str(dataset[name].dims[0])
    if not dataset.sizes:
        raise ReaderError(f"{request.product.name}: what is opened has no points")
    return str(max(dataset.sizes, key=lambda name: dataset.sizes[name]))


def _wanted(request: Request, dataset: xarray.Dataset, dimension: str) -> NDArray[numpy.bool_]:
    keep = numpy.ones(dataset.sizes[dimension], dtype=bool)
    if request.box is not None:
        longitude, latitude = (dataset[name].to_numpy() for name in require_position(request, dataset))
        keep &= request.box.contains(longitude, latitude)
    if request.period is not None and "time" in dataset.variables and dataset["time"].dims == (dimension,):
        keep &= within(dataset["time"].to_numpy(), request.period)
    if "classification" in request.filters:
        keep &= _classified(request, dataset)
    return keep


def _classified(request: Request, dataset: xarray.Dataset) -> NDArray[numpy.bool_]:
    if "classification" not in dataset:
        raise ReaderError(
            f"{request.product.name}: what is opened has no variable 'classification'; select without it, or the "
            "group 'pixel_cloud'"
        )
    flags = dataset["classification"]
    names = str(flags.attrs.get("flag_meanings", "")).split()
    numbers = dict(zip(names, numpy.atleast_1d(flags.attrs.get("flag_values", [])).tolist(), strict=False))
    value = request.filters["classification"]
    several = isinstance(value, Iterable) and not isinstance(value, str)
    classes = [_class(request, one, numbers) for one in (value if several else [value])]
    return numpy.isin(flags.to_numpy(), classes)


def _class(request: Request, value: Any, numbers: dict[str, int]) -> int:
    known: Any = numbers.get(value) if isinstance(value, str) else value
    if isinstance(value, bool) or known not in numbers.values():
        expected = ", ".join(f"{name} ({number})" for name, number in numbers.items())
        miss = near_miss(value, numbers) if isinstance(value, str) else ""
        raise ParameterValueError(
            f"{request.product.name}: classification {value!r:.100} is unknown; expected one of: {expected}{miss}"
        )
    return int(known)
