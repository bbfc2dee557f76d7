"""What points, lines and maps have in common: opening granules, finding positions, joining the pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.errors import ReaderError, UnreadableGranuleError
from swotvre_catalogs.granules import Granule, number_ranges
from swotvre_catalogs.hydrology.errors import EmptySelectionError
from swotvre_catalogs.hydrology.request import Period, Request, tell_damaged
from swotvre_catalogs.reading import open_dataset

#: Names of longitude and latitude: of most products, of older ones, of the interferograms.
_POSITIONS = (("longitude", "latitude"), ("lon", "lat"), ("reference_longitude", "reference_latitude"))


def open_pieces(
    request: Request,
    cut: Callable[[Granule, xarray.Dataset], xarray.Dataset | None],
    values: Mapping[str, Any],
) -> list[xarray.Dataset]:
    """Open the granules of a request one by one and cut out what it asks for; None is nothing.

    A damaged granule is left out, with a warning that names it.

    Raises:
        EmptySelectionError: If nothing is left.
        UnreadableGranuleError: If every granule is damaged.
    """
    pieces, damaged = [], []
    for granule in request.granules:
        try:
            opened = open_dataset(request.datalake, request.product, granule.path, dict(values))
            # Not every file names its positions as coordinates.
            piece = cut(granule, opened.set_coords(position_names(opened) or ()))
        except UnreadableGranuleError as error:
            damaged.append(str(error))
        except (OSError, RuntimeError) as error:
            where = request.datalake.url(granule.path)
            damaged.append(f"cannot read {where}: {str(error)[:300]}; the file may be damaged")
        else:
            if piece is not None:
                pieces.append(piece)
    tell_damaged(request, damaged, len(request.granules))
    if not pieces:
        raise EmptySelectionError(f"nothing for {request} in {looked_at(request)}")
    return pieces


def looked_at(request: Request) -> str:
    """Say which granules were opened."""
    granules = request.granules
    names = [name for name in ("cycle_number", "pass_number", "tile_number", "date") if name in granules[0].values]
    where = "; ".join(f"{name} {number_ranges(granule.values[name] for granule in granules)}" for name in names)
    return f"{len(granules)} granule{'s' if len(granules) > 1 else ''}{f' ({where})' if where else ''}"


def position_names(dataset: xarray.Dataset) -> tuple[str, str] | None:
    """Return the names of longitude and latitude, or None if the dataset has no position."""
    return next(((lon, lat) for lon, lat in _POSITIONS if {lon, lat} <= set(dataset.variables)), None)


def require_position(request: Request, dataset: xarray.Dataset) -> tuple[str, str]:
    """Return the names of longitude and latitude.

    Raises:
        ReaderError: If the dataset has none.
    """
    names = position_names(dataset)
    if names is None:
        raise ReaderError(
            f"{request.product.name}: what is opened has no longitude and latitude, so bbox cannot be looked for; "
            f"it has {', '.join(list(dataset.variables)[:8])}; select without bbox, or another group"
        )
    return names


def within(times: NDArray[Any], period: Period) -> NDArray[numpy.bool_]:
    """Tell which times lie in a period, edges included; NaT does not."""
    return numpy.asarray((times >= period[0]) & (times <= period[1]))


def take(dataset: xarray.Dataset, dimension: str, keep: NDArray[numpy.bool_]) -> xarray.Dataset:
    """Return the members of a dimension that are kept; one run of them stays a plain slice."""
    if keep.all():
        return dataset
    chosen = numpy.flatnonzero(keep)
    if chosen[-1] - chosen[0] + 1 == len(chosen):
        return dataset.isel({dimension: slice(int(chosen[0]), int(chosen[-1]) + 1)})
    return dataset.isel({dimension: chosen})


def label(dataset: xarray.Dataset, dimension: str, values: Mapping[str, Any]) -> xarray.Dataset:
    """Give every member of a dimension the numbers of its granule."""
    size = dataset.sizes[dimension]
    return dataset.assign_coords({name: (dimension, numpy.full(size, value)) for name, value in values.items()})


def join(pieces: list[xarray.Dataset], dimension: str) -> xarray.Dataset:
    """Put the pieces one behind the other; what lies not along the dimension is that of the first."""
    if len(pieces) == 1:
        return pieces[0]
    return xarray.concat(
        pieces, dim=dimension, data_vars="minimal", coords="minimal", compat="override", join="override",
        combine_attrs="drop_conflicts",
    )  # fmt: skip
