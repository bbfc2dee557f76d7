"""The same files in a zcollection, by the library itself: made, a cycle added, read. Runs in an environment of its own.

zcollection needs zarr 2, which the kernel does not have: ``tests/catalogs/export/make_zcollection.py`` says which
packages. One partition per cycle and pass, as the files are cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dask.distributed
import fsspec
import netCDF4
import numcodecs
import numpy as np
import xarray
import zcollection
from trial import Answer, Job

VARIABLE, POSITIONS = "ssha_karin_2", ("latitude", "longitude")
KEYS = ("cycle_number", "pass_number")

__all__ = ["netCDF4"]


def _files(job: Job, cycles: Iterable[int]) -> list[tuple[int, int, Path]]:
    found = [path for cycle in cycles for path in Path(job.lake).glob(f"swot/l2_lr_ssh/basic/cycle_{cycle:03d}/*.nc")]
    numbered = [(*map(int, path.name.split("_")[5:7]), path) for path in found]
    return sorted(one for one in numbered if one[1] in job.passes)


def _cycle(files: list[tuple[int, int, Path]]) -> Any:
    """Return the passes of a cycle, one after the other, packed as in their files."""
    parts = []
    for cycle, number, path in files:
        with xarray.open_dataset(path, mask_and_scale=False, engine="netcdf4") as opened:
            part = opened[["time", VARIABLE, *POSITIONS]].load()
        lines = part.sizes["num_lines"]
        keys = zip(KEYS, (cycle, number), strict=True)
        part = part.assign({key: ("num_lines", np.full(lines, value, "uint16")) for key, value in keys})
        parts.append(part.reset_coords())
    joined = xarray.concat(parts, "num_lines", combine_attrs="override")
    fills = {name: joined[name].attrs.pop("_FillValue", None) for name in joined.data_vars}
    dataset = zcollection.Dataset.from_xarray(joined)
    for name, variable in dataset.variables.items():
        # By itself it compresses nothing; this is the codec of the copy in Zarr.
        variable.compressor = numcodecs.Blosc("zstd", 3, numcodecs.Blosc.SHUFFLE)
        variable.fill_value = fills[name] if name in (VARIABLE, *POSITIONS) else variable.fill_value
    return dataset


def _client() -> Any:
    # Threads of this process: what other processes would cost is no part of the question.
    return dask.distributed.Client(processes=False, n_workers=1, dashboard_address=None)


def make(job: Job) -> Answer:
    """Write a collection, or add the cycles that are new; the answer is how many were written."""
    folder, filesystem = Path(str(job.place)).with_name("zcollection"), fsspec.filesystem("file")
    with _client():
        present: set[int] = set()
        if folder.exists():
            collection = zcollection.open_collection(str(folder), mode="w", filesystem=filesystem)
            present = {int(dict(keys)[KEYS[0]]) for keys in map(collection.partitioning.parse, collection.partitions())}
        new = [cycle for cycle in job.cycles if cycle not in present]
        for cycle in new:
            dataset = _cycle(_files(job, [cycle]))
            if not folder.exists():
                handler = zcollection.partitioning.Sequence(KEYS)
                collection = zcollection.create_collection("time", dataset, handler, str(folder), filesystem=filesystem)
            collection.insert(dataset)
    return Answer(np.array(len(new)))


def mean_over_cycles(job: Job) -> Answer:
    """The mean over the cycles, of what the collection loads lazily."""
    folder = Path(str(job.place)).with_name("zcollection")
    with _client():
        collection = zcollection.open_collection(str(folder), filesystem=fsspec.filesystem("file"))
        loaded = collection.load(delayed=True, selected_variables=[VARIABLE])
        if loaded is None:
            raise ValueError(f"the collection in {folder} is empty")
        packed = loaded.variables[VARIABLE]
        lines = packed.shape[0] // (len(job.cycles) * len(job.passes))
        values = packed.array.reshape(len(job.cycles), len(job.passes), lines, packed.shape[1])
        scale = {one.name: one.value for one in packed.attrs}["scale_factor"]
        physical = dask.array.where(values == packed.fill_value, np.nan, values * scale)
        return Answer(xarray.DataArray(physical).mean("dim_0").compute().to_numpy())
