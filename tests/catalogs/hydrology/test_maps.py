"""Maps and rasters: cropped to the box across every seam, one behind the other in time, no number changed."""

from importlib.resources import as_file, files

import netCDF4
import numpy
import pytest
import xarray

from swotvre_catalogs import GridError, open_catalog
from swotvre_catalogs.hydrology import EmptySelectionError

DUACS = "duacs/dt_global_allsat_phy_l4_20190101_20190515.nc"
LAND = -2147483647


@pytest.fixture(scope="module")
def duacs(real_files):
    """The stored numbers of the real map: (longitude, latitude, height in metres or NaN)."""
    with netCDF4.Dataset(real_files / DUACS) as dataset:
        dataset.set_auto_maskandscale(False)
        stored = dataset["adt"][0]
        height = numpy.where(stored == LAND, numpy.nan, stored * float(dataset["adt"].scale_factor))
        return dataset["longitude"][:], dataset["latitude"][:], height


@pytest.mark.parametrize(
    ("box", "columns", "first"),
    [
        ((15, -45, 30, -33), slice(60, 120), 15.125),
        ((-10, -40, 10, -35), [*range(1400, 1440), *range(40)], -9.875),
        ((350, -40, 10, -35), [*range(1400, 1440), *range(40)], -9.875),
        ((170, -10, -170, 10), slice(680, 760), 170.125),
        ((170, -10, 190, 10), slice(680, 760), 170.125),
        ((-180, -5, 180, 5), [*range(720, 1440), *range(720)], -179.875),
    ],
)
def test_a_map_is_cropped_across_its_own_seam_and_the_antimeridian(real, duacs, box, columns, first):
    longitude, latitude, height = duacs
    found = real["duacs_l4"].sel(bbox=box).load()
    rows = (latitude >= box[1]) & (latitude <= box[3])
    assert numpy.array_equal(found.adt.values[0], height[rows][:, columns], equal_nan=True)
    assert float(found.longitude[0]) == first
    assert (numpy.diff(found.longitude) == 0.25).all()
    assert numpy.array_equal(found.longitude % 360, longitude[columns])


def test_a_map_without_a_box_is_as_it_lies(real, duacs):
    found = real["duacs_l4"].sel(time="2019-01")
    assert numpy.array_equal(found.longitude, duacs[0])
    assert numpy.array_equal(found.adt.values[0], duacs[2], equal_nan=True)


def test_the_mean_sea_surface_is_a_map_without_time(real):
    found = real["mean_sea_surface"].sel(bbox=(-5, 30, 5, 45)).load()
    assert dict(found.sizes) == {"latitude": 61, "longitude": 41}
    source = files("swotvre_catalogs.sample") / "inputs" / "mss.nc"
    with as_file(source) as path, netCDF4.Dataset(path) as dataset:
        dataset.set_auto_maskandscale(False)
        rows = numpy.flatnonzero((dataset["lat"][:] >= 30) & (dataset["lat"][:] <= 45))
        stored = dataset["mss"][:][rows][:, [*range(1420, 1440), *range(21)]]
    metres = numpy.where(stored == 2147483647, numpy.nan, stored)
    assert numpy.array_equal(found.mss, metres, equal_nan=True)
    assert 30 < float(found.mss.min()) < float(found.mss.max()) < 60


def test_a_box_between_the_points_of_the_grid_is_told(real):
    with pytest.raises(EmptySelectionError, match=r"its step is 0\.25 degrees"):
        real["duacs_l4"].sel(bbox=(10.2, -40.1, 10.3, -40.05))


def _map(lake, day, *, scale=1e-4, step=0.5, descending=False, folder="duacs"):
    longitude, latitude = numpy.arange(0, 360, step), numpy.arange(-60, 60.1, step)
    if descending:
        latitude = latitude[::-1]
    height = int(day[-2:]) + latitude[:, None] / 1000 + longitude[None, :] / 100_000
    path = lake / folder / f"dt_global_allsat_phy_l4_{day}_20250101.nc"
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as dataset:
        for name, values in (("latitude", latitude), ("longitude", longitude)):
            dataset.createDimension(name, values.size)
            dataset.createVariable(name, "f8", (name,))[:] = values
        dataset.createDimension("time", 1)
        time = dataset.createVariable("time", "f8", ("time",))
        time.units = f"days since {day[:4]}-{day[4:6]}-{day[6:]}"
        time[:] = 0
        sla = dataset.createVariable("sla", "i4", ("time", "latitude", "longitude"), fill_value=LAND)
        sla.scale_factor = scale
        sla[0] = height
    return path


@pytest.fixture
def maps(lake):
    folder = "swot/l4_karin/miost"
    for day, scale in (("20240103", 1e-4), ("20240101", 1e-4), ("20240102", 1e-5)):
        _map(lake, day, scale=scale, folder=folder)
    return open_catalog(lake)["l4_karin"]


def test_maps_follow_one_another_in_time_each_with_its_own_scale(maps):
    found = maps.sel(bbox=(-20, 10, 20, 12), time=("2024-01-01", "2024-01-02")).load()
    assert found.time.values.astype("datetime64[D]").astype(str).tolist() == ["2024-01-01", "2024-01-02"]
    expected = (
        numpy.array([1, 2])[:, None, None]
        + found.latitude.values[None, :, None] / 1000
        + (found.longitude.values % 360)[None, None, :] / 100_000
    )
    assert numpy.allclose(found.sla, expected, atol=6e-5)
    assert numpy.allclose(found.sla[1], expected[1], atol=6e-6)


def test_maps_of_another_method_are_another_product(lake, maps):
    _map(lake, "20240104", folder="swot/l4_karin/4dvarnet")
    entry = open_catalog(lake, index=lake.parent / "index")["l4_karin"]
    assert entry.sel(bbox=(0, 0, 1, 1)).sizes["time"] == 3
    assert entry.sel(bbox=(0, 0, 1, 1), method="4dvarnet").sizes["time"] == 1
    assert maps.sel(date=["2024-01-01", "2024-01-03"]).sizes["time"] == 2


def test_maps_on_two_grids_are_not_joined(lake, maps):
    _map(lake, "20240105", step=1.0, folder="swot/l4_karin/miost")
    entry = open_catalog(lake)["l4_karin"]
    with pytest.raises(GridError, match="do not lie on one grid"):
        entry.sel(bbox=(0, 0, 10, 10))


def test_latitudes_may_descend(lake):
    _map(lake, "20240101", descending=True, folder="swot/l4_karin/miost")
    found = open_catalog(lake)["l4_karin"].sel(bbox=(0, 10, 1, 12)).load()
    assert found.latitude.values.tolist() == [12, 11.5, 11, 10.5, 10]
    assert numpy.allclose(found.sla[0, :, 0], 1 + found.latitude / 1000, atol=6e-5)


def _raster(lake, scene, *, cycle=1, x0=0, zone="UTM34H", day=1):
    """A scene of 8 by 8 cells of 250 m whose height tells its place: cycle, then x and y in cells."""
    cells = numpy.arange(8)
    x, y = 300_000 + 250.0 * (x0 + cells), 6_200_000 + 250.0 * cells
    column, row = numpy.meshgrid(x0 + cells, cells)
    scene_dataset = xarray.Dataset(
        {
            "wse": (("y", "x"), cycle + column / 100 + row / 10_000),
            "longitude": (("y", "x"), 18 + column / 400),
            "latitude": (("y", "x"), -34 + row / 400),
            "crs": ((), 0, {"projected_crs_name": zone}),
        },
        coords={"x": x, "y": y},
    )
    span = f"2024{day:02d}01T0000{scene % 60:02d}_2024{day:02d}01T0001{scene % 60:02d}"
    name = f"SWOT_L2_HR_Raster_250m_{zone}_N_x_x_x_{cycle:03d}_014_{scene:03d}F_{span}_PIC0_01.nc"
    path = lake / "swot/l2_hr/raster" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    scene_dataset.to_netcdf(path)
    return path


def test_scenes_of_a_pass_become_one_map_and_passes_follow_in_time(lake):
    for cycle in (2, 1):
        _raster(lake, 10, cycle=cycle, day=cycle)
        _raster(lake, 11, cycle=cycle, day=cycle, x0=8)
    found = open_catalog(lake)["l2_hr_raster"].sel().load()
    assert dict(found.sizes) == {"time": 2, "y": 8, "x": 16}
    assert found.cycle_number.values.tolist() == [1, 2]
    column, row = numpy.meshgrid(numpy.arange(16), numpy.arange(8))
    for at, cycle in enumerate((1, 2)):
        assert numpy.allclose(found.wse[at], cycle + column / 100 + row / 10_000)
    assert found.longitude.dims == ("y", "x")
    assert found.longitude.notnull().all()


def test_a_box_crops_a_scene(lake):
    _raster(lake, 10)
    found = open_catalog(lake)["l2_hr_raster"].sel(bbox=(18.004, -33.9985, 18.011, -33.992)).load()
    assert dict(found.sizes) == {"time": 1, "y": 3, "x": 3}
    assert numpy.allclose(found.wse[0, 0], 1 + numpy.array([2, 3, 4]) / 100 + 1 / 10_000)


def test_scenes_of_two_zones_are_not_put_together(lake):
    _raster(lake, 10)
    _raster(lake, 11, zone="UTM35H")
    entry = open_catalog(lake)["l2_hr_raster"]
    with pytest.raises(GridError, match="several UTM zones: UTM34H \\(scene 10\\), UTM35H \\(scene 11\\)"):
        entry.sel()
    assert dict(entry.sel(scene_number=11).sizes) == {"time": 1, "y": 8, "x": 8}
