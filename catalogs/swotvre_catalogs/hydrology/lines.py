"""Swaths whose lines differ from cycle to cycle (L1B, Unsmoothed): lines one behind the other."""

from __future__ import annotations

from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.errors import GridError
from swotvre_catalogs.granules import Granule
from swotvre_catalogs.hydrology.arrays import join, label, open_pieces, position_names, require_position, take, within
from swotvre_catalogs.hydrology.request import Request
from swotvre_catalogs.reading import open_dataset

LINES, PIXELS = "num_lines", "num_pixels"


def select_lines(request: Request) -> xarray.Dataset:
    """Return the lines of a request over all its granules, one behind the other along ``num_lines``, lazily.

    A line stays if one of its pixels lies in the box; ``clip`` makes its other pixels NaN. Where each side of the swath
    is a group and none was asked for, both stand side by side along ``num_pixels``, with the coordinate ``side``.
    """
    sides = _sides(request)

    def cut(granule: Granule, dataset: xarray.Dataset) -> xarray.Dataset | None:
        if len(sides) > 1:
            other = open_dataset(request.datalake, request.product, granule.path, {"side": sides[1]})
            other = other.set_coords(position_names(other) or ())
            dataset = _side_by_side(request, granule, dict(zip(sides, (dataset, other), strict=True)))
        keep, inside = _wanted(request, dataset)
        if not keep.any():
            return None
        if request.clip and inside is not None:
            dataset = _clipped(dataset, inside)
        numbers = {name: granule.values[name] for name in ("cycle_number", "pass_number")}
        return label(take(dataset, LINES, keep), LINES, numbers)

    return join(open_pieces(request, cut, {"side": sides[0]} if sides else {}), LINES)


def _sides(request: Request) -> list[str]:
    side = request.product.parameters.get("side")
    if side is None:
        return []
    asked = request.values.get("side")
    if asked is None:
        return list(side.allowed or ())
    return asked if isinstance(asked, list) else [asked]


def _side_by_side(request: Request, granule: Granule, sides: dict[str, xarray.Dataset]) -> xarray.Dataset:
    lengths = {name: dataset.sizes[LINES] for name, dataset in sides.items()}
    if len(set(lengths.values())) > 1:
        raise GridError(
            f"{request.product.name}: the sides of {granule.path} have {lengths} lines, so they do not stand side by "
            "side; select them one by one with side='left' and side='right'"
        )
    labelled = [
        dataset.assign_coords(side=(PIXELS, numpy.full(dataset.sizes[PIXELS], name))) for name, dataset in sides.items()
    ]
    return xarray.concat(
        labelled, dim=PIXELS, data_vars="minimal", coords="minimal", compat="override", join="override",
        combine_attrs="drop_conflicts",
    )  # fmt: skip


def _wanted(request: Request, dataset: xarray.Dataset) -> tuple[NDArray[numpy.bool_], xarray.DataArray | None]:
    """Return which lines stay, and which pixels lie in the box."""
    keep = numpy.ones(dataset.sizes[LINES], dtype=bool)
    inside = None
    if request.box is not None:
        longitude, latitude = (dataset[name] for name in require_position(request, dataset))
        inside = latitude.copy(data=request.box.contains(longitude.to_numpy(), latitude.to_numpy()))
        keep &= inside.any([name for name in inside.dims if name != LINES]).to_numpy()
    if request.period is not None and "time" in dataset.variables and dataset["time"].dims == (LINES,):
        keep &= within(dataset["time"].to_numpy(), request.period)
    return keep, inside


def _clipped(dataset: xarray.Dataset, inside: xarray.DataArray) -> xarray.Dataset:
    """Make the data outside the box NaN; positions stay."""
    mask: Any = inside.reset_coords(drop=True)
    return dataset.map(lambda variable: variable.where(mask) if set(mask.dims) <= set(variable.dims) else variable)
