"""The same works by the public interface of ``swotvre_catalogs``."""

from __future__ import annotations

import os
import time

# What the methods import when they are first called: the imports are no part of the measurement.
import dask
import icechunk
import imagecodecs
import numba
import numpy as np
import obstore
import s3fs
import zarr
from trial import Answer, Job

import swotvre_catalogs.cube
import swotvre_catalogs.index.build
import swotvre_catalogs.reduce
import swotvre_catalogs.swath
from swotvre_catalogs import Entry, open_catalog

PRODUCT, VARIABLE = "l2_lr_ssh_basic", "ssha_karin_2"

__all__ = ["dask", "icechunk", "imagecodecs", "numba", "obstore", "s3fs", "swotvre_catalogs", "zarr"]

# imagecodecs imports a codec when it is first named, numba half of itself when it first compiles.
_CODECS = imagecodecs.deflate_decode, imagecodecs.zlib_decode
numba.njit(lambda number: number + 1)(1)


def entry(job: Job) -> Entry:
    """Return the product of a job."""
    return open_catalog(job.lake, dict(job.storage_options), index=job.place)[PRODUCT]


def mean_of_all(job: Job) -> Answer:
    """The mean of everything."""
    return Answer(float(entry(job).mean(VARIABLE)))


def mean_over_cycles(job: Job) -> Answer:
    """The mean over the cycles."""
    return Answer(entry(job).mean(VARIABLE, over="cycle_number").to_numpy())


def both_means(job: Job) -> Answer:
    """The mean of everything and the mean over the cycles, the files read once; the second is the answer."""
    _, means = entry(job).mean(VARIABLE, over=[None, "cycle_number"])
    return Answer(means.to_numpy())


def regional_series(job: Job) -> Answer:
    """The mean of each cycle in the box."""
    return Answer(entry(job).series(VARIABLE, job.box).to_numpy())


def open_cube(job: Job) -> Answer:
    """Open the cube."""
    return Answer(np.array(entry(job).cube()[VARIABLE].shape))


def mean_of_cube(job: Job) -> Answer:
    """The mean of everything by xarray and Dask, as anybody would write it, from the cube."""
    return Answer(float(entry(job).cube()[VARIABLE].mean().compute()))


def warm_up(job: Job) -> Answer:
    """Let numba compile every kernel that the other works use, and keep them on disk."""
    product = entry(job)
    swotvre_catalogs.index.build.build_index(product, jobs=1)
    product.build_cube()
    product.mean(VARIABLE, over=[None, "cycle_number"])
    product.series(VARIABLE, job.box)
    product.cube()[VARIABLE][0, 0].compute()
    return Answer(np.zeros(0))


def build(job: Job) -> Answer:
    """Build the granule index and the cube, or bring them up to date."""
    product = entry(job)
    begun = time.perf_counter()
    swotvre_catalogs.index.build.build_index(product, jobs=os.cpu_count() or 1)
    indexed = time.perf_counter() - begun
    report = product.build_cube()
    parts = {"index": indexed, "cube": time.perf_counter() - begun - indexed}
    return Answer(np.array([report.files, report.added, len(report.left_out)]), parts)
