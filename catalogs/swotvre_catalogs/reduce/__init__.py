"""Fast reductions over the netCDF files of a product, read in place.

``reduce``, ``series``, ``grid`` and ``climatology`` are what an entry of the catalog offers as methods. They read byte
ranges that the chunk table of the cube names, inflate them, and add up packed integers in compiled loops; what they do
not cover goes through xarray on the cube, with a `FallbackNotice` that says why.
"""

from swotvre_catalogs.errors import UnknownVariableError
from swotvre_catalogs.reduce.errors import FallbackNotice, QualityError, ReductionError
from swotvre_catalogs.reduce.reduction import reduce
from swotvre_catalogs.reduce.regional import climatology, grid, series

__all__ = [
    "FallbackNotice",
    "QualityError",
    "ReductionError",
    "UnknownVariableError",
    "climatology",
    "grid",
    "reduce",
    "series",
]
