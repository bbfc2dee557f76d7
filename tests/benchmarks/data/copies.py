"""A copy in sharded Zarr beside the files in place: made, brought up to date, read by stock xarray."""

from __future__ import annotations

import fast
import google_crc32c  # the imports are no part of the measurement
import numcodecs
import numpy as np
import xarray
from trial import Answer, Job

import swotvre_catalogs.export.zarr_copy
from swotvre_catalogs.export import export_zarr

VARIABLE = fast.VARIABLE

__all__ = ["google_crc32c", "numcodecs", "swotvre_catalogs"]


def make(job: Job) -> Answer:
    """Copy one variable and the positions, or add the cycles that are new; the answer is how many were written."""
    return Answer(np.array(len(export_zarr(fast.entry(job), job.copy, variables=[VARIABLE]).written)))


def mean_over_cycles(job: Job) -> Answer:
    """The mean over the cycles of the copy, by xarray and Dask, as anybody would write it."""
    return Answer(xarray.open_zarr(job.copy)[VARIABLE].mean("cycle_number").compute().to_numpy())


def mean_over_cycles_in_blocks(job: Job) -> Answer:
    """The same in the Dask blocks of the cube: some cycles of a pass each, not one pass of one cycle."""
    cycles, passes = fast.entry(job).cube()[VARIABLE].data.chunksize[:2]
    copy = xarray.open_zarr(job.copy, chunks={"cycle_number": cycles, "pass_number": passes})
    return Answer(copy[VARIABLE].mean("cycle_number").compute().to_numpy())


def mean_over_cycles_of_cube(job: Job) -> Answer:
    """The same of the cube over the files."""
    return Answer(fast.entry(job).cube()[VARIABLE].mean("cycle_number").compute().to_numpy())
