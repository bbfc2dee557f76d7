"""One file of L2_LR_SSH Basic: its layout is made once by netCDF-C, its numbers are put in as finished chunks.

The library that wrote the layout also chose the chunks: one per variable, its default for variables below 4 MiB.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import h5py
import imagecodecs
import netCDF4
import numpy as np
import numpy.typing as npt
from ground_track import CYCLE_SECONDS, PIXELS, Pass
from sea import FILL, QUALITY_FILL, SCALE, SEED

#: The first science cycle of 21 days; times count from the epoch.
CYCLE_1 = datetime(2023, 7, 21, 5, 33, 45, tzinfo=UTC)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
VERSION = "PGC0_01"
#: As the files say it, and as the product has it.
COMPRESSION_LEVEL = 4
_STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_FLOAT_FILL = 9.969209968386869e36

#: Name -> type, dimensions, fill, attributes; in the order of the file.
VARIABLES: dict[str, tuple[str, tuple[str, ...], float | int, dict[str, Any]]] = {
    "time": ("f8", ("num_lines",), _FLOAT_FILL, {
        "long_name": "time in UTC", "standard_name": "time", "calendar": "gregorian",
        "units": "seconds since 2000-01-01 00:00:00.0", "leap_second": "0000-00-00T00:00:00Z",
        "comment": "Time of measurement in seconds in the UTC time scale since 1 Jan 2000 00:00:00 UTC.",
    }),
    "latitude": ("i4", ("num_lines", "num_pixels"), FILL, {
        "long_name": "latitude (positive N, negative S)", "standard_name": "latitude", "units": "degrees_north",
        "scale_factor": 1e-6, "valid_min": np.int32(-80_000_000), "valid_max": np.int32(80_000_000),
        "comment": "Latitude of measurement [-80,80]. Positive latitude is North latitude, negative is South.",
    }),
    "longitude": ("i4", ("num_lines", "num_pixels"), FILL, {
        "long_name": "longitude (degrees East)", "standard_name": "longitude", "units": "degrees_east",
        "scale_factor": 1e-6, "valid_min": np.int32(0), "valid_max": np.int32(359_999_999),
        "comment": "Longitude of measurement. East longitude relative to Greenwich meridian.",
    }),
    "ssha_karin_2": ("i4", ("num_lines", "num_pixels"), FILL, {
        "long_name": "sea surface height anomaly", "units": "m", "quality_flag": "ssha_karin_2_qual",
        "scale_factor": SCALE, "valid_min": np.int32(-1_000_000), "valid_max": np.int32(1_000_000),
        "coordinates": "longitude latitude",
        "comment": "Sea surface height anomaly from the KaRIn measurement, over the mean sea surface; simulated.",
    }),
    "ssha_karin_2_qual": ("u4", ("num_lines", "num_pixels"), QUALITY_FILL, {
        "long_name": "sea surface height anomaly quality flag", "standard_name": "status_flag",
        "flag_meanings": "suspect_pixel_used degraded_media_delays_missing degraded bad_not_usable",
        "flag_masks": np.array([2, 65536, 1073741824, 2147483648], dtype="u4"),
        "coordinates": "longitude latitude", "comment": "Quality flag for the SSHA from KaRIn.",
    }),
    "mean_sea_surface_cnescls": ("i4", ("num_lines", "num_pixels"), FILL, {
        "long_name": "mean sea surface height (CNES/CLS)", "units": "m", "source": "simulated",
        "scale_factor": SCALE, "valid_min": np.int32(-1_500_000), "valid_max": np.int32(1_500_000),
        "coordinates": "longitude latitude", "comment": "Mean sea surface height above the reference ellipsoid.",
    }),
}  # fmt: skip

#: Inputs that the real product lists among its global attributes; here they say that there was none.
_INPUTS = (
    "xref_l1b_lr_intf_file", "xref_l2_nalt_gdr_files", "xref_l2_rad_gdr_files", "xref_int_lr_xover_cal_file",
    "xref_statickarincal_files", "xref_param_l2_lr_precalssh_file", "xref_orbit_ephemeris_file",
    "xref_reforbittrack_files", "xref_gridded_ssh_files", "xref_meteorological_sealevel_pressure_files",
    "xref_meteorological_wettroposphere_files", "xref_meteorological_wind_files", "xref_polar_motion_files",
    "xref_mean_sea_surface_files", "xref_geoid_files", "xref_ocean_tide_files", "xref_internal_tide_files",
    "xref_bathymetry_files", "xref_surface_classification_files", "xref_dynamic_ice_files", "xref_gim_files",
)  # fmt: skip


def moment(cycle: int, seconds: float) -> datetime:
    """Return the UTC date ``seconds`` after the start of a cycle; cycles count from 1."""
    return CYCLE_1 + timedelta(seconds=(cycle - 1) * CYCLE_SECONDS + float(seconds))


def relative_path(cycle: int, swath: Pass) -> str:
    """Return the path of a granule below the datalake, as the entry ``l2_lr_ssh_basic`` expects it."""
    begin, end = moment(cycle, swath.seconds[0]), moment(cycle, swath.seconds[-1])
    name = f"SWOT_L2_LR_SSH_Basic_{cycle:03d}_{swath.number:03d}_{begin:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}_{VERSION}.nc"
    return f"swot/l2_lr_ssh/basic/cycle_{cycle:03d}/{name}"


def _attributes(cycle: int, swath: Pass) -> dict[str, Any]:
    """Return the 61 global attributes; those of two cycles of a pass have the same types and lengths."""
    begin, end = (moment(cycle, swath.seconds[line]).strftime(_STAMP) for line in (0, -1))
    first, last = (PIXELS - 1, 0) if swath.number % 2 else (0, PIXELS - 1)
    corners = {
        f"{side}_{end_name}_{axis}": float(field[line, pixel])
        for side, pixel in (("left", first), ("right", last))
        for end_name, line in (("first", 0), ("last", -1))
        for axis, field in (("longitude", swath.longitude), ("latitude", swath.latitude))
    }
    return {
        "Conventions": "CF-1.7",
        "title": "Level 2 Low Rate Sea Surface Height Data Product - Basic SSH",
        "institution": "swot-vre",
        "source": "simulated by the benchmark of swot-vre; not a measurement",
        "history": f"{begin}: Creation",
        "platform": "SWOT (simulated)",
        "reference_document": "D-56407_SWOT_Product_Description_L2_LR_SSH",
        "references": "docs/explanation/data-speed.md of swot-vre",
        "contact": "none",
        "license": "CC-BY-4.0 for the simulation; DUACS map: Copernicus Marine",
        "simulation_seed": np.int32(SEED),
        "cycle_number": np.int16(cycle),
        "pass_number": np.int16(swath.number),
        "equator_time": moment(cycle, float(swath.seconds.mean())).strftime(_STAMP),
        "equator_longitude": float(swath.longitude[len(swath.seconds) // 2, PIXELS // 2]),
        "time_coverage_start": begin,
        "time_coverage_end": end,
        "geospatial_lon_min": float(swath.longitude.min()),
        "geospatial_lon_max": float(swath.longitude.max()),
        "geospatial_lat_min": float(swath.latitude.min()),
        "geospatial_lat_max": float(swath.latitude.max()),
        **corners,
        "wavelength": 0.008385803020979,
        "orbit_solution": "POE",
        "short_name": "L2_LR_SSH",
        "crid": "PGC0",
        "product_version": "01",
        "pge_name": "none",
        "pge_version": "0",
        "product_file_id": "Basic",
        "ellipsoid_semi_major_axis": 6378137.0,
        "ellipsoid_flattening": 0.003352810664781205,
        "good_ocean_data_percent": 76.4,
        **dict.fromkeys(_INPUTS, "none: this file is simulated"),
    }


def packed(values: npt.ArrayLike, scale: float) -> npt.NDArray[np.int32]:
    """Return values in whole units of ``scale``."""
    return np.rint(np.asarray(values) / scale).astype(np.int32)


def compress(stored: npt.NDArray[Any], *, quickly: bool = True) -> bytes:
    """Return the chunk of the filters shuffle and deflate that holds all of ``stored``.

    Quickly is a third of the time of zlib at level 4 and 5 % more bytes; decompressing takes the same time.
    """
    stored = np.ascontiguousarray(stored)
    shuffled = np.ascontiguousarray(stored.view(np.uint8).reshape(-1, stored.itemsize).T)
    if stored.dtype.kind == "u":
        return bytes(imagecodecs.zlibng_encode(shuffled, 2))
    return bytes(imagecodecs.deflate_encode(shuffled, 1 if quickly else COMPRESSION_LEVEL, raw=False))


class PassTemplate:
    """The layout of the files of one pass, of which only a few attributes and the chunks change with the cycle."""

    def __init__(self, swath: Pass) -> None:
        self._swath = swath
        dataset = netCDF4.Dataset("template.nc", "w", format="NETCDF4", memory=1 << 20)
        for name, size in (("num_lines", swath.latitude.shape[0]), ("num_pixels", PIXELS), ("num_sides", 2)):
            dataset.createDimension(name, size)
        options = {"compression": "zlib", "complevel": COMPRESSION_LEVEL, "shuffle": True}
        for name, (dtype, dimensions, fill, attributes) in VARIABLES.items():
            variable = dataset.createVariable(name, dtype, dimensions, fill_value=fill, **options)
            variable.setncatts(attributes)
        self._attributes = _attributes(1, swath)
        dataset.setncatts(self._attributes)
        self._image = bytes(dataset.close())

    def fill(self, cycle: int, chunks: dict[str, bytes]) -> bytes:
        """Return the file of a cycle with these chunks, by variable."""
        attributes = _attributes(cycle, self._swath)
        with h5py.File.in_memory(self._image) as file:
            for name, value in attributes.items():
                if value != self._attributes[name]:
                    _overwrite(h5py.h5a.open(file.id, name.encode()), value)
            for name, chunk in chunks.items():
                variable = file[name].id
                variable.write_direct_chunk((0,) * variable.rank, chunk)
            file.flush()
            return bytes(file.id.get_file_image())


def _overwrite(attribute: h5py.h5a.AttrID, value: Any) -> None:
    stored = np.asarray(value.encode() if isinstance(value, str) else value)
    # In the type of the file: a conversion would end each text with a NUL, which netCDF-C's have no room for.
    attribute.write(stored.reshape(attribute.shape).astype(attribute.dtype), mtype=attribute.get_type())


def seconds_since_epoch(cycle: int, swath: Pass) -> npt.NDArray[np.float64]:
    """Return the variable ``time`` of a cycle of a pass."""
    start = (CYCLE_1 - EPOCH).total_seconds() + (cycle - 1) * CYCLE_SECONDS
    return np.asarray(swath.seconds + start, dtype=np.float64)
