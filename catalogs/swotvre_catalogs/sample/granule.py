"""Write simulated passes as the netCDF files of the swath products of level 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from swotvre_catalogs.sample.fields import Fields, Scene, expert_fields, make_scene, observed, round_bits
from swotvre_catalogs.sample.level3 import LEVEL3_TITLE, level3_fields, level3_variables, unsmoothed_level3_fields
from swotvre_catalogs.sample.nadir import NADIR_TITLE, write_nadir
from swotvre_catalogs.sample.plan import (
    CUT_FRACTION,
    GENERATOR_VERSION,
    LATITUDE_MAX,
    LATITUDE_MIN,
    UNSMOOTHED_LATITUDE_MAX,
    UNSMOOTHED_LATITUDE_MIN,
    Granule,
    relative_path,
)
from swotvre_catalogs.sample.specification import Variable, product_variables
from swotvre_catalogs.sample.swath import NATIVE_POSTING_M, Swath, fixed_grid, native_grid, native_grid_of_both_sides

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_TITLES = {
    "Basic": "Level 2 Low Rate Sea Surface Height Data Product - Basic SSH",
    "WindWave": "Level 2 Low Rate Sea Surface Height Data Product - Wind and Wave",
    "Expert": "Level 2 Low Rate Sea Surface Height Data Product - Expert SSH with Wind and Wave",
    "Unsmoothed": "Level 2 Low Rate Sea Surface Height Data Product - Unsmoothed",
    "L3": f"{LEVEL3_TITLE} - Expert",
    "L3 Basic": f"{LEVEL3_TITLE} - Basic",
    "L3 Unsmoothed": f"{LEVEL3_TITLE} - Unsmoothed",
    "Nadir": NADIR_TITLE,
}

#: The products on the native grid.
_NATIVE = ("Unsmoothed", "L3 Unsmoothed")

#: Compression of every variable of a simulated file.
_ENCODING: dict[str, Any] = {"compression": "zlib", "complevel": 4, "shuffle": True}


def moment_of(seconds: float) -> datetime:
    """Return the UTC date of a time in seconds since 2000-01-01."""
    return _EPOCH + timedelta(seconds=float(seconds))


def write_pass(products: Sequence[Granule], root: Path) -> list[str]:
    """Simulate one pass of one cycle and write its products below ``root``; return their paths relative to it."""
    native = [granule for granule in products if granule.product in _NATIVE]
    nadir = [granule for granule in products if granule.product == "Nadir"]
    gridded = [granule for granule in products if granule not in (*native, *nadir)]
    paths = _write_native(native, root) if native else []
    if gridded:
        swath = fixed_grid(gridded[0].pass_number, LATITUDE_MIN, LATITUDE_MAX)
        scene = make_scene(swath, gridded[0].cycle_number)
        level2 = expert_fields(scene)
        paths += [_write_gridded(granule, scene, level2, root) for granule in gridded]
    return paths + [_write_nadir(granule, root) for granule in nadir]


def _write_gridded(granule: Granule, scene: Scene, level2: Fields, root: Path) -> str:
    lines = round(scene.swath.shape[0] * CUT_FRACTION) if granule.cut else scene.swath.shape[0]
    if granule.product.startswith("L3"):
        variables, fields = level3_variables(granule.subset), level3_fields(scene, level2)
    else:
        variables, fields = product_variables(granule.product), level2
    path = relative_path(granule, moment_of(scene.time[0]), moment_of(scene.time[lines - 1]))
    with netCDF4.Dataset(_new_file(root, path), "w", format="NETCDF4") as dataset:
        _write_group(dataset, variables, fields, lines)
        dataset.setncatts(_global_attributes(granule, scene, lines))
    return path


def _write_nadir(granule: Granule, root: Path) -> str:
    scene, write = write_nadir(granule)
    path = relative_path(granule, moment_of(scene.time[0]), moment_of(scene.time[-1]))
    with netCDF4.Dataset(_new_file(root, path), "w", format="NETCDF4") as dataset:
        dataset.setncatts(_global_attributes(granule, scene, scene.swath.shape[0]))
        write(dataset)
    return path


def _write_native(granules: Sequence[Granule], root: Path) -> list[str]:
    """Write a pass at 250 m: L2 as the groups ``left`` and ``right``, L3 as one array."""
    number, cycle = granules[0].pass_number, granules[0].cycle_number
    latitudes = (UNSMOOTHED_LATITUDE_MIN, UNSMOOTHED_LATITUDE_MAX)
    scenes = {
        side: make_scene(native_grid(number, side, *latitudes), cycle, NATIVE_POSTING_M, part)
        for part, side in enumerate(("left", "right"))
    }
    paths = []
    for granule in granules:
        left = scenes["left"]
        path = relative_path(granule, moment_of(left.time[0]), moment_of(left.time[-1]))
        with netCDF4.Dataset(_new_file(root, path), "w", format="NETCDF4") as dataset:
            dataset.setncatts(_global_attributes(granule, left, left.swath.shape[0]))
            if granule.product == "Unsmoothed":
                _write_sides(dataset, scenes)
            else:
                _write_level3_unsmoothed(dataset, scenes, native_grid_of_both_sides(number, *latitudes))
        paths.append(path)
    return paths


def _write_sides(dataset: netCDF4.Dataset, scenes: dict[str, Scene]) -> None:
    for side, scene in scenes.items():
        group = dataset.createGroup(side)
        group.description = f"Unsmoothed SSH of the {side} half swath at {NATIVE_POSTING_M:.0f} m"
        _write_group(group, product_variables("Unsmoothed"), _unsmoothed_fields(scene), scene.swath.shape[0])


def _write_level3_unsmoothed(dataset: netCDF4.Dataset, scenes: dict[str, Scene], whole: Swath) -> None:
    fields = unsmoothed_level3_fields(whole, [(scene, expert_fields(scene)) for scene in scenes.values()])
    _write_group(dataset, level3_variables("Unsmoothed"), fields, whole.shape[0])


def _unsmoothed_fields(scene: Scene) -> Fields:
    chosen = expert_fields(scene)
    wanted = {variable.name for variable in product_variables("Unsmoothed")}
    shape = scene.swath.shape
    rng = np.random.default_rng((*scene.seed, 8))
    speckle = 10 * np.log10(scene.weather.sig0) + rng.standard_normal(shape) * 0.4
    power = round_bits(np.power(10.0, speckle / 10))
    return {name: values for name, values in chosen.items() if name in wanted} | {
        "sig0_karin_2": observed(scene, power),
        "total_coherence": observed(scene, np.round(0.85 - 2.0 * scene.errors.noise_deviation, 3)),
        "latitude_uncert": np.full(shape, 2e-5),
        "longitude_uncert": np.full(shape, 2e-5),
        "miti_power_250m": observed(scene, power),
    }


def _new_file(root: Path, path: str) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write_group(group: netCDF4.Dataset, variables: tuple[Variable, ...], fields: Fields, lines: int) -> None:
    """Write the variables of one group; those without a field are fill, as in a product whose input was missing."""
    pixels = next(values.shape[1] for values in fields.values() if values.ndim == 2 and values.shape[1] > 2)
    sizes = {"num_lines": lines, "num_pixels": pixels}
    if any("num_sides" in variable.dimensions for variable in variables):
        sizes["num_sides"] = 2
    for name, size in sizes.items():
        group.createDimension(name, size)
    for variable in variables:
        shape = tuple(sizes[name] for name in variable.dimensions)
        stored = variable.pack(fields[variable.name][:lines]) if variable.name in fields else variable.empty(shape)
        chunks = None if len(shape) == 1 else shape
        target = group.createVariable(
            variable.name, variable.dtype, variable.dimensions, fill_value=variable.fill, chunksizes=chunks, **_ENCODING
        )
        target.set_auto_maskandscale(False)
        target.setncatts(variable.attributes)
        if variable.scale_factor is not None:
            target.scale_factor = variable.scale_factor
        target[:] = stored


def _global_attributes(granule: Granule, scene: Scene, lines: int) -> dict[str, Any]:
    swath = scene.swath
    stamp = "%Y-%m-%dT%H:%M:%S.%fZ"
    lon, lat = swath.longitude[:lines], swath.latitude[:lines]
    return {
        "Conventions": "CF-1.7",
        "title": _TITLES[granule.product],
        "institution": "swot-vre",
        "source": f"simulated by swot-vre {GENERATOR_VERSION}; not a measurement",
        "history": f"created by swotvre_catalogs.sample {GENERATOR_VERSION}",
        "platform": "SWOT (simulated)",
        "reference_document": "D-56407_SWOT_Product_Description_L2_LR_SSH",
        "references": "README.md of this folder; sample-data page of the swot-vre documentation",
        "license": "CC-BY-4.0 for the simulation; credits of its inputs in README.md",
        "simulation_seed": np.array(scene.seed, dtype=np.int32),
        "simulation_inputs": (
            "SWOT science orbit (Sept 2015 v2); DUACS absolute dynamic topography of 2019-01-01 (Copernicus Marine); "
            "CNES_CLS mean sea surface; Natural Earth 1:10m land"
        ),
        "comment": "A crop of the pass" + (", cut before its end" if granule.cut else ""),
        "cycle_number": np.int16(granule.cycle_number),
        "pass_number": np.int16(granule.pass_number),
        "time_coverage_start": moment_of(scene.time[0]).strftime(stamp),
        "time_coverage_end": moment_of(scene.time[lines - 1]).strftime(stamp),
        "geospatial_lon_min": float(lon.min()),
        "geospatial_lon_max": float(lon.max()),
        "geospatial_lat_min": float(lat.min()),
        "geospatial_lat_max": float(lat.max()),
        "ellipsoid_semi_major_axis": 6378137.0,
        "ellipsoid_flattening": 0.003352810664781205,
    }
