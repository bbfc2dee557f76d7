"""Write the real files: copied as they are, or anew where xarray could not read them rightly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import netCDF4
import numpy as np
from scipy.io import loadmat

from swotvre_catalogs.sample.plan import GENERATOR_VERSION
from swotvre_catalogs.sample.real_files import DUACS_FILL, RealFile

_STATION = "Honolulu"

#: MATLAB's day number of 1970-01-01.
_MATLAB_1970 = 719529

_COMPRESSED = {"compression": "zlib", "complevel": 4, "shuffle": True}


def write_duacs_map(source: Path, target: Path) -> None:
    """Write the DUACS map with its land declared as missing: the source holds a fill value that it does not name."""
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w") as new:
        old.set_auto_maskandscale(False)
        for name, dimension in old.dimensions.items():
            new.createDimension(name, dimension.size)
        for name, variable in old.variables.items():
            fill = DUACS_FILL if name == "adt" else None
            copy = new.createVariable(name, variable.dtype, variable.dimensions, fill_value=fill, **_COMPRESSED)
            copy.set_auto_maskandscale(False)
            copy.setncatts({key: variable.getncattr(key) for key in variable.ncattrs() if key != "grid_mapping"})
            copy[:] = variable[:]
        new.setncatts(
            {
                "Conventions": "CF-1.6",
                "title": "DUACS delayed-time all-satellite gridded absolute dynamic topography, 2019-01-01",
                "source": "Altimetry measurements; adt alone, from CNES/swot_simulator",
                "credit": "Generated using E.U. Copernicus Marine Service information; produced by CNES/CLS (DUACS)",
                "license": "BSD-3-Clause (the distribution it was taken from)",
                "history": f"swotvre_catalogs.sample {GENERATOR_VERSION}: declared the land value {DUACS_FILL} as "
                "_FillValue, dropped the attribute grid_mapping (its variable is not there), compressed",
            }
        )


def write_mean_sea_surface(source: Path, target: Path) -> None:
    """Write the mean sea surface in metres: the source holds whole metres under a scale factor of 0.001."""
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w") as new:
        old.set_auto_maskandscale(False)
        for name, standard_name in (("lat", "latitude"), ("lon", "longitude")):
            new.createDimension(standard_name, old[name].size)
            axis = new.createVariable(standard_name, "f4", (standard_name,))
            axis.setncatts({"standard_name": standard_name, "units": old[name].units})
            axis[:] = old[name][:]
        stored = old["mss"][:]
        missing = stored == old["mss"].getncattr("_FillValue")
        surface = new.createVariable("mss", "i2", ("latitude", "longitude"), fill_value=32767, **_COMPRESSED)
        surface.set_auto_maskandscale(False)
        surface.setncatts({"long_name": old["mss"].long_name, "units": "m"})
        surface[:] = np.where(missing, 32767, stored).astype(np.int16)
        new.setncatts(
            {
                "Conventions": "CF-1.6",
                "title": "Mean sea surface, global, 0.25 degree, in whole metres",
                "institution": "CNES CLS",
                "source": "CNES/pangeo-pyinterp tests/dataset/mss.nc (SMO15_1s60_V2.dat)",
                "license": "BSD-3-Clause (the distribution it was taken from)",
                "history": f"swotvre_catalogs.sample {GENERATOR_VERSION}: removed the scale factor of 0.001, which "
                "does not belong to whole metres; lat and lon renamed; compressed",
            }
        )


def write_tide_gauge(source: Path, target: Path) -> None:
    """Write the hourly heights of a MATLAB file as a CF time series of a station."""
    content = loadmat(source, variable_names=["t", "h"])
    hours = np.rint((content["t"].ravel() - _MATLAB_1970) * 24).astype(np.int64)
    height = content["h"].ravel().astype(np.int32)
    with netCDF4.Dataset(target, "w") as dataset:
        dataset.createDimension("time", hours.size)
        time = dataset.createVariable("time", "i4", ("time",), **_COMPRESSED)
        time.setncatts({"standard_name": "time", "units": "hours since 1970-01-01 00:00:00", "calendar": "gregorian"})
        time[:] = hours
        level = dataset.createVariable("sea_level", "i4", ("time",), fill_value=-99999, **_COMPRESSED)
        level.set_auto_maskandscale(False)
        level.setncatts(
            {
                "standard_name": "water_surface_height_above_reference_datum",
                "long_name": "hourly sea level above the zero of the gauge",
                "units": "m",
                "scale_factor": 0.001,
                "coordinates": "latitude longitude station_name",
            }
        )
        level[:] = height
        for name, value, unit in (("latitude", 21.31, "degrees_north"), ("longitude", 202.13, "degrees_east")):
            place = dataset.createVariable(name, "f8")
            place.setncatts({"standard_name": name, "units": unit, "comment": "of the harbour, not of the survey"})
            place.assignValue(value)
        # Characters, not a string: netCDF-C over HDF5 2.0 can crash when it opens a second file with a string variable.
        dataset.createDimension("name_length", len(_STATION))
        station = dataset.createVariable("station_name", "S1", ("name_length",))
        station.setncatts({"long_name": "station name", "cf_role": "timeseries_id", "_Encoding": "utf-8"})
        station[:] = _STATION
        dataset.setncatts(
            {
                "Conventions": "CF-1.8",
                "featureType": "timeSeries",
                "title": "Hourly sea level at Honolulu, 2010",
                "source": "tide gauge; the station is inferred from the name HNL2010.mat of the source",
                "credit": "UTide (W. Bowman and others), test data HNL2010.mat",
                "license": "MIT",
                "history": f"swotvre_catalogs.sample {GENERATOR_VERSION}: variables t and h of HNL2010.mat, "
                "MATLAB days to hours, millimetres kept under a scale factor",
            }
        )


_WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "as it is": shutil.copyfile,
    "DUACS map": write_duacs_map,
    "mean sea surface": write_mean_sea_surface,
    "tide gauge": write_tide_gauge,
}


def write_real_file(real: RealFile, root: Path) -> str:
    """Write one real file below ``root``; return its path relative to it."""
    target = root / real.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with as_file(files("swotvre_catalogs.sample") / "inputs" / real.source) as source:
        _WRITERS[real.treatment](source, target)
    return real.path
