"""Raster scenes on UTM grids: the scenes of a pass put together, the passes one behind the other in time."""

from __future__ import annotations

from functools import reduce

import numpy
import xarray

from swotvre_catalogs.errors import GridError
from swotvre_catalogs.granules import Granule
from swotvre_catalogs.hydrology.arrays import open_pieces, require_position
from swotvre_catalogs.hydrology.request import Request

X, Y = "x", "y"


def select_rasters(request: Request) -> xarray.Dataset:
    """Return raster scenes cropped to the box, on the axes ``x`` and ``y`` (metres), along ``time``, lazily.

    ``time`` is the begin of the first scene of each pass. Scenes of one pass that lie side by side become one map;
    they must be of one UTM zone.

    Raises:
        GridError: If scenes of several UTM zones were selected.
    """
    passes: dict[tuple[int, int], list[xarray.Dataset]] = {}
    begins: dict[tuple[int, int], numpy.datetime64] = {}
    zones: dict[str, int] = {}

    def cut(granule: Granule, dataset: xarray.Dataset) -> xarray.Dataset | None:
        scene = _cropped(request, dataset)
        if scene is None:
            return None
        zones.setdefault(_zone(dataset), granule.values["scene_number"])
        flown = (granule.values["cycle_number"], granule.values["pass_number"])
        passes.setdefault(flown, []).append(scene)
        begins.setdefault(flown, numpy.datetime64(granule.begin, "ns"))
        return scene

    open_pieces(request, cut, {})
    if len(zones) > 1:
        listed = ", ".join(f"{zone} (scene {scene})" for zone, scene in zones.items())
        raise GridError(
            f"{request.product.name}: {request} meets several UTM zones: {listed}; select them one by one with "
            "scene_number"
        )
    maps = []
    for flown, scenes in passes.items():
        mosaic = reduce(lambda one, other: one.combine_first(other), scenes)
        numbers = {"time": [begins[flown]], "cycle_number": ("time", [flown[0]]), "pass_number": ("time", [flown[1]])}
        maps.append(_over_time(mosaic).assign_coords(numbers))
    if len(maps) == 1:
        return maps[0]
    return xarray.concat(
        maps, dim="time", data_vars="all", coords="different", compat="equals", join="outer",
        combine_attrs="drop_conflicts",
    )  # fmt: skip


def _over_time(scene: xarray.Dataset) -> xarray.Dataset:
    """Give the variables of a scene a time; its axes and positions have none."""
    places = {"longitude", "latitude"} & set(scene.variables)
    return scene.set_coords(places).expand_dims("time")


def _cropped(request: Request, dataset: xarray.Dataset) -> xarray.Dataset | None:
    # Positions are data until the scenes are put together: coordinates that differ would be dropped.
    grid = dataset.drop_vars([name for name in dataset.variables if not dataset[name].dims]).reset_coords()
    if request.box is None:
        return grid
    longitude, latitude = (grid[name] for name in require_position(request, grid))
    inside = latitude.copy(data=request.box.contains(longitude.to_numpy(), latitude.to_numpy()))
    rows, columns = (numpy.flatnonzero(inside.any(name).to_numpy()) for name in (X, Y))
    if not len(rows):
        return None
    window = {Y: slice(int(rows[0]), int(rows[-1]) + 1), X: slice(int(columns[0]), int(columns[-1]) + 1)}
    return grid.isel(window)


def _zone(dataset: xarray.Dataset) -> str:
    """Return the name of the UTM zone: of the variable ``crs``, else of the attributes."""
    reference = dataset["crs"].attrs if "crs" in dataset.variables else {}
    number = dataset.attrs.get("utm_zone_num", "")
    return str(reference.get("projected_crs_name") or reference.get("crs_wkt") or f"UTM {number}")
