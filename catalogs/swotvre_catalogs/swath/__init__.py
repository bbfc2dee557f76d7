"""Swaths: ``dataset.swot`` and ``array.swot`` on xarray objects, registered by importing this package.

Derivatives, geostrophic velocities, quality masks, grids, sections, pieces and pixel corners of anything on the
dimensions (num_lines, num_pixels): a pass, a selection of many, cycles stacked on one grid.
"""

import xarray

from swotvre_catalogs.errors import UnknownVariableError
from swotvre_catalogs.swath.accessor import SwathDataset
from swotvre_catalogs.swath.array_accessor import SwathArray
from swotvre_catalogs.swath.errors import SwathError, SwathGeometryError, UnknownFlagError

__all__ = [
    "SwathArray",
    "SwathDataset",
    "SwathError",
    "SwathGeometryError",
    "UnknownFlagError",
    "UnknownVariableError",
]

# Not as decorators: the documentation is built where xarray is not, and would lose the classes.
xarray.register_dataset_accessor("swot")(SwathDataset)
xarray.register_dataarray_accessor("swot")(SwathArray)
