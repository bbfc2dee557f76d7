"""A cube whose values tell their place, and an export of it that is killed, or runs into a full disk.

python cube_of_numbers.py FOLDER CYCLES [--kill-at CHUNK] [--limit-bytes SIZE]
"""

import argparse
import os
import resource
import signal
import sys

import numpy
import xarray

from swotvre_catalogs.errors import CatalogError
from swotvre_catalogs.export import export_dataset

PASSES, LINES, PIXELS = 4, 50, 7


def cube(cycles: int) -> xarray.Dataset:
    """Return a cube as a product's: packed heights with gaps and one missing pass, flags, times, positions."""
    shape = (cycles, PASSES, LINES, PIXELS)
    dims = ("cycle_number", "pass_number", "num_lines", "num_pixels")
    number = numpy.arange(numpy.prod(shape)).reshape(shape)
    height = numpy.where(number % 13 == 0, numpy.nan, (number % 60_000 - 30_000) * 1e-4)
    height[0, 1] = numpy.nan
    begin = numpy.datetime64("2024-01-01", "ns")
    times = begin + (numpy.arange(cycles * PASSES * LINES) * 318_123_457).astype("m8[ns]").reshape(shape[:3])
    times[0, 1] = numpy.datetime64("NaT", "ns")
    line, pixel = numpy.meshgrid(numpy.arange(LINES), numpy.arange(PIXELS), indexing="ij")
    ground = ("pass_number", "num_lines", "num_pixels")
    latitude = numpy.stack([-50 + line * 2.0 + pixel * 0.02 for _ in range(PASSES)])
    longitude = numpy.stack([(170 + 10 * at + pixel * 0.02 + line * 0.01) % 360 for at in range(PASSES)])
    dataset = xarray.Dataset(
        {
            "ssha_karin_2": (dims, height, {"units": "m", "valid_max": numpy.int32(150_000)}),
            "ssha_karin_2_qual": (dims, (number % 103).astype("uint32"), {"flag_masks": numpy.array([1, 2], "u4")}),
            "sig0": (dims, numpy.where(number % 7 == 0, numpy.nan, number / 8).astype("float32")),
            "time": (dims[:3], times),
            "is_land": (("cycle_number", "pass_number"), number[:, :, 0, 0] % 2 == 0),
            "cross_track_distance": (("num_pixels",), numpy.arange(PIXELS) * 2.0),
            "polarization": (("pass_number",), numpy.array(["H", "V", "H", "V"])),
        },
        coords={
            "cycle_number": numpy.arange(1, cycles + 1),
            "pass_number": [14, 27, 42, 50],
            "latitude": (ground, latitude),
            "longitude": (ground, longitude),
        },
        attrs={"title": "numbers"},
    )
    dataset["ssha_karin_2"].encoding = {"dtype": "int32", "scale_factor": 1e-4, "_FillValue": 2**31 - 1}
    return dataset


def main() -> int:
    """Run the export that the arguments describe; 3 for an error in words."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("cycles", type=int)
    parser.add_argument("--kill-at", type=int)
    parser.add_argument("--limit-bytes", type=int)
    args = parser.parse_args()
    if args.limit_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (args.limit_bytes, args.limit_bytes))

    def progress(done: int, total: int) -> None:
        if done == args.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        export_dataset(cube(args.cycles), args.folder, progress=progress)
    except CatalogError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
