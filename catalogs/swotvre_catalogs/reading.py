"""Open one granule: netCDF as an xarray Dataset, a zipped shapefile as a GeoDataFrame."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import CatalogError, UnreadableGranuleError
from swotvre_catalogs.file_kinds import first_bytes, reason_against
from swotvre_catalogs.products import Product

if TYPE_CHECKING:
    import geopandas

#: What a SWOT shapefile holds where there is no measurement.
SHAPEFILE_FILL = -999999999999.0


def open_dataset(datalake: Datalake, product: Product, path: str, values: dict[str, Any]) -> xarray.Dataset:
    """Open one netCDF file lazily, its variables as dask arrays in the file's own chunks.

    Raises:
        UnreadableGranuleError: If the file is not one that xarray can read, or lacks the group.
    """
    group = product.args.xarray_kwargs.get("group")
    if group is not None:
        name = group.strip("{} ")
        group = values[name]
    try:
        file = datalake.open(path)
        if product.metadata.undeclared_fill_value is None:
            opened = xarray.open_dataset(file, group=group, chunks={}, decode_timedelta=False)
            return _with_coordinates_of_parent(datalake, path, group, opened)
        # Undecoded first: the fill value must be declared before scale and offset are applied.
        raw = xarray.open_dataset(file, group=group, chunks={}, decode_cf=False)
        declared = _declare_fill_value(raw, product.metadata.undeclared_fill_value)
        return xarray.decode_cf(declared, decode_timedelta=False)
    except Exception as error:  # netCDF4, h5netcdf and xarray each fail in their own way on a damaged file
        raise UnreadableGranuleError(_unreadable(datalake, path, group, error)) from error


def _with_coordinates_of_parent(
    datalake: Datalake, path: str, group: str | None, opened: xarray.Dataset
) -> xarray.Dataset:
    """Give a group within a group (``data_01/ku``) the time and place that its parent holds."""
    if group is None or "/" not in group:
        return opened
    above = xarray.open_dataset(datalake.open(path), group=group.rpartition("/")[0], chunks={}, decode_timedelta=False)
    shared = [name for name in ("time", "latitude", "longitude") if name in above.variables and name not in opened]
    return opened.assign_coords({name: above[name].variable for name in shared})


def read_shapes(datalake: Datalake, path: str) -> geopandas.GeoDataFrame:
    """Read a zipped shapefile; columns of floats hold NaN where the product has its fill value.

    Raises:
        UnreadableGranuleError: If it is not a zipped shapefile.
    """
    import geopandas  # here, because it takes longer to import than all the rest and most products do without

    try:
        shapes = geopandas.read_file(datalake.open(path))
    except Exception as error:  # GDAL's drivers fail in their own ways
        raise UnreadableGranuleError(_unreadable(datalake, path, None, error)) from error
    floats = shapes.select_dtypes("floating").columns
    shapes[floats] = shapes[floats].mask(shapes[floats] == SHAPEFILE_FILL)
    return shapes


def _declare_fill_value(raw: xarray.Dataset, fill_value: int) -> xarray.Dataset:
    for variable in raw.data_vars.values():
        undeclared = not {"_FillValue", "missing_value"} & variable.attrs.keys()
        if undeclared and numpy.issubdtype(variable.dtype, numpy.integer) and variable.ndim:
            variable.attrs["_FillValue"] = variable.dtype.type(fill_value)
    return raw


def _unreadable(datalake: Datalake, path: str, group: str | None, error: Exception) -> str:
    where = f"group {group!r} of " if group else ""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "group not found" in reason:
        return f"{datalake.url(path)} has no group {group!r}; choose another group"
    with suppress(CatalogError, OSError):
        reason = reason_against(first_bytes(datalake.open(path))) or reason
    return f"cannot read {where}{datalake.url(path)}: {reason:.300}; the file may be damaged, the others still open"


def with_accessor[T](opened: T) -> T:
    """Register ``Dataset.swot`` before a user gets a dataset to call it on."""
    if isinstance(opened, xarray.Dataset):
        import swotvre_catalogs.swath  # noqa: F401  registers on import

    return opened
