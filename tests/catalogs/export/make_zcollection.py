"""Write the collections that the tests read, and what zcollection itself reads from them.

``zcollections.zip`` was made by this program with zcollection 2026.6.0, zarr 2.18.7 and numcodecs 0.15.2:

    python make_zcollection.py FOLDER && cd FOLDER && zip -r -X -D zcollections.zip by_*

An environment for it: ``uv pip install "zcollection==2026.6.0" "zarr<3" "numcodecs<0.16" "fsspec<=2025.12"``. The tests
run it again where ``SWOTVRE_ZCOLLECTION_PYTHON`` names the interpreter of one.
"""

import sys
from pathlib import Path

import dask.distributed
import fsspec
import numcodecs
import numpy
import xarray
import zcollection

LINES, PIXELS = 40, 5


def swath() -> xarray.Dataset:
    """Forty lines over five days from 30 January on; the fill value stands in every seventh pixel."""
    lines = numpy.arange(LINES)
    time = numpy.datetime64("2024-01-30", "ns") + lines * numpy.timedelta64(3 * 3600, "s")
    height = (lines[:, None] * 10 + numpy.arange(PIXELS)).astype("int32")
    height.ravel()[::7] = 2147483647
    sigma0 = lines[:, None] / 4 + numpy.arange(PIXELS, dtype="float32")
    return xarray.Dataset(
        {
            "time": (("time",), time),
            "cycle_number": (("time",), (lines // 16 + 8).astype("uint16")),
            "pass_number": (("time",), (lines // 8 % 2 + 1).astype("uint16")),
            "ssha": (
                ("time", "num_pixels"),
                height,
                {"scale_factor": 0.0001, "add_offset": 1.0, "units": "m", "standard_name": "sea_surface_height"},
            ),
            "sigma0": (("time", "num_pixels"), sigma0.astype("float32")),
            "cross_track_km": (("num_pixels",), numpy.arange(PIXELS) * 2.0 - 4),
        },
        attrs={"title": "written by zcollection"},
    )


def dataset() -> zcollection.Dataset:
    """The swath as zcollection has it: a packed variable, one with a filter, and one with NaN as its fill value."""
    ds = zcollection.Dataset.from_xarray(swath())
    ds.variables["ssha"].fill_value = 2147483647
    ds.variables["ssha"].compressor = numcodecs.Zstd(3)
    ds.variables["sigma0"].fill_value = numpy.nan
    ds.variables["sigma0"].filters = (numcodecs.FixedScaleOffset(0, 4, "<f4", "<i2"),)
    return ds


def main() -> None:
    """Write a collection by date and one by cycle and pass."""
    folder = Path(sys.argv[1])
    handlers = {
        "by_day": zcollection.partitioning.Date(("time",), "D"),
        "by_pass": zcollection.partitioning.Sequence(("cycle_number", "pass_number")),
    }
    with dask.distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None):
        for name, handler in handlers.items():
            ds = dataset()
            collection = zcollection.create_collection(
                "time", ds, handler, str(folder / name), filesystem=fsspec.filesystem("file")
            )
            collection.insert(ds)
            loaded = collection.load(delayed=False).to_xarray()
            values = {variable: loaded[variable].to_numpy() for variable in loaded.variables}
            numpy.savez_compressed(folder / f"{name}.npz", **values)


if __name__ == "__main__":
    main()
