"""What the field does today: xarray's ``open_mfdataset``, over files and over s3fs; VirtualiZarr for references."""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import dask  # its import is not a part of the measurement
import icechunk
import netCDF4
import numpy as np
import s3fs
import xarray
from files import file_paths
from obstore.store import LocalStore
from trial import Answer, Job
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser
from virtualizarr.registry import ObjectStoreRegistry

VARIABLE = "ssha_karin_2"
#: Files of the works that would take minutes: their time is linear in the number of files.
S3_FILES, REFERENCE_FILES = 90, 504

__all__ = ["dask", "netCDF4"]


def _paths(job: Job) -> list[Path]:
    return file_paths(Path(job.lake), job.cycles, job.passes)


def _by_cycle(job: Job) -> list[list[Path]]:
    paths = _paths(job)
    width = len(job.passes)
    return [paths[start : start + width] for start in range(0, len(paths), width)]


def _open_cycles(job: Job) -> xarray.Dataset:
    """Open all files as (cycle_number, pass_number, num_lines, num_pixels)."""
    with warnings.catch_warnings():
        # xarray tells that the defaults of combine will change.
        warnings.simplefilter("ignore", FutureWarning)
        return xarray.open_mfdataset(_by_cycle(job), combine="nested", concat_dim=["cycle_number", "pass_number"])


def mean_of_all(job: Job) -> Answer:
    """``open_mfdataset`` in its defaults along ``num_lines``, then the mean of everything."""
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        dataset = xarray.open_mfdataset(_paths(job), combine="nested", concat_dim="num_lines")
    opening = time.perf_counter() - begun
    return Answer(float(dataset[VARIABLE].mean().compute()), {"opening": opening})


def mean_over_cycles(job: Job) -> Answer:
    """``open_mfdataset`` in its defaults by cycle and pass, then the mean over the cycles."""
    return Answer(_open_cycles(job)[VARIABLE].mean("cycle_number").compute().to_numpy())


def regional_series(job: Job) -> Answer:
    """``open_mfdataset`` by cycle and pass, masked to the box, the mean of each cycle."""
    west, south, east, north = job.box
    dataset = _open_cycles(job)
    lat = dataset["latitude"]
    inside = (lat >= south) & (lat <= north) & ((dataset["longitude"] - west) % 360 <= east - west)
    rest = [name for name in dataset[VARIABLE].dims if name != "cycle_number"]
    return Answer(dataset[VARIABLE].where(inside).mean(rest).compute().to_numpy())


def mean_of_all_s3(job: Job) -> Answer:
    """``open_mfdataset`` over file objects of s3fs, on the first files."""
    bucket = job.lake.removeprefix("s3://")
    filesystem = s3fs.S3FileSystem(**job.storage_options)
    objects = sorted(filesystem.find(f"{bucket}/swot"))[: min(S3_FILES, job.files)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        dataset = xarray.open_mfdataset(
            [filesystem.open(name) for name in objects], combine="nested", concat_dim="num_lines", engine="h5netcdf"
        )
    mean = float(dataset[VARIABLE].mean().compute())
    return Answer(mean, files_read=len(objects))


def references(job: Job) -> Answer:
    """VirtualiZarr's references of the first files, written to Icechunk."""
    paths = _paths(job)[: min(REFERENCE_FILES, job.files)]
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    datasets: list[Any] = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        container = icechunk.VirtualChunkContainer(f"file://{job.lake}/", icechunk.local_filesystem_store(job.lake))
        config = icechunk.RepositoryConfig.default()
        config.set_virtual_chunk_container(container)
        repository = icechunk.Repository.create(icechunk.local_filesystem_storage(folder), config)
        for path in paths:
            opened = open_virtual_dataset(
                f"file://{path}", registry=registry, parser=HDFParser(), loadable_variables=[]
            )
            datasets.append(opened.drop_attrs())
        joined = xarray.concat(
            datasets, dim="cycle_number", coords="minimal", compat="override", join="override", combine_attrs="override"
        )
        session = repository.writable_session("main")
        joined.vz.to_icechunk(session.store)
        session.commit("references")
    return Answer(np.zeros(0), files_read=len(paths))
