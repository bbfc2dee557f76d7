"""The real files of the sample open with the tools of the field, and every file is accounted for."""

import hashlib
import json
from pathlib import Path

import geopandas
import h5netcdf
import numpy
import pytest
import xarray

from swotvre_catalogs.sample.real_files import REAL_FILES
from swotvre_catalogs.sample.specification import product_variables


@pytest.mark.parametrize("product", ["Basic", "WindWave", "Expert"])
def test_variables_are_stored_as_the_product_specifies(sample_datalake: Path, product: str) -> None:
    path = next(sample_datalake.glob(f"swot/l2_lr_ssh/{product.lower()}/cycle_001/*_014_*.nc"))
    with h5netcdf.File(path) as dataset:
        assert set(dataset.variables) == {variable.name for variable in product_variables(product)}
        for variable in product_variables(product):
            stored = dataset.variables[variable.name]
            assert stored.dtype == numpy.dtype(variable.dtype), variable.name
            assert stored.dimensions == variable.dimensions
            assert stored.attrs.get("scale_factor") == variable.scale_factor
            assert stored.attrs["_FillValue"] == numpy.array(variable.fill, dtype=variable.dtype)
            assert stored.compression == "gzip"
            assert stored.shuffle


def test_expert_holds_what_oceanographers_ask_for(sample_datalake: Path) -> None:
    with xarray.open_dataset(
        next(sample_datalake.glob("swot/l2_lr_ssh/expert/cycle_003/*_042_*.nc")), engine="h5netcdf"
    ) as swath:
        for name in (
            "ssh_karin_2", "ssha_karin_2", "ssha_karin_2_qual", "swh_karin", "sig0_karin_2", "wind_speed_karin", "dac",
            "mean_sea_surface_cnescls", "mean_dynamic_topography", "geoid", "height_cor_xover", "height_cor_xover_qual",
            "ocean_tide_fes", "solid_earth_tide", "pole_tide", "internal_tide_hret", "model_wet_tropo_cor",
            "rad_wet_tropo_cor", "cross_track_distance", "distance_to_coast", "rain_flag", "latitude_nadir", "time_tai",
        ):  # fmt: skip
            assert int(swath[name].notnull().sum()) > 400, name
            assert len(numpy.unique(swath[name])) > 1 or name == "height_cor_xover_qual", name


def test_duacs_land_is_masked_by_xarray(sample_datalake: Path) -> None:
    with xarray.open_dataset(next(sample_datalake.glob("duacs/*.nc")), engine="h5netcdf") as duacs:
        adt = duacs.adt.squeeze("time")
        assert numpy.isnan(float(adt.sel(latitude=-25, longitude=25, method="nearest")))
        assert float(adt.min()) > -3
        assert 0.2 < float(adt.isnull().mean()) < 0.6
        assert numpy.datetime64("2019-01-01") == duacs.time.values[0].astype("datetime64[D]")
        assert "_FillValue" in duacs.attrs["history"]


def test_tide_gauge_is_hourly_and_tidal(sample_datalake: Path) -> None:
    with xarray.open_dataset(sample_datalake / "insitu/tide_gauges/honolulu_2010.nc", engine="h5netcdf") as gauge:
        level = gauge.sea_level
        assert level.sizes == {"time": 8760}
        assert (numpy.diff(gauge.time.values) == numpy.timedelta64(1, "h")).all()
        assert str(gauge.time.values[0])[:13] == "2010-01-01T00"
        assert 0.9 < float(level.min()) < float(level.max()) < 2.1
        spectrum = abs(numpy.fft.rfft((level - level.mean()).values))
        assert 12.3 < 8760 / int(spectrum.argmax()) < 12.6, "M2 is the strongest line"
        assert "UTide" in gauge.attrs["credit"]


def test_drifters_and_pixel_cloud_open(sample_datalake: Path) -> None:
    with xarray.open_dataset(sample_datalake / "insitu/drifters/aoml_v2019.nc", engine="h5netcdf") as drifters:
        assert drifters.sizes["time"] == 17775
    cloud = next(sample_datalake.glob("swot/l2_hr/pixc/SWOT_L2_HR_PIXC_015_033_163R_*.nc"))
    with xarray.open_dataset(cloud, engine="h5netcdf", group="pixel_cloud") as points:
        assert points.sizes["points"] == 10001
        assert 4 < float(points.latitude.mean()) < 6


@pytest.mark.parametrize(("folder", "rows", "column"), [("riversp", 52, "reach_id"), ("lakesp", 723, "lake_id")])
def test_river_and_lake_tables_open(sample_datalake: Path, folder: str, rows: int, column: str) -> None:
    (archive,) = sample_datalake.glob(f"swot/l2_hr/{folder}/*.zip")
    table = geopandas.read_file(f"zip://{archive}")
    assert len(table) == rows
    assert column in table


def test_manifest_and_readme_account_for_every_file(sample_datalake: Path) -> None:
    manifest = json.loads((sample_datalake / "MANIFEST.json").read_text())
    everything = (path.relative_to(sample_datalake) for path in sample_datalake.rglob("*") if path.is_file())
    # What the catalogs derive from a datalake lies beside its files.
    found = {str(path) for path in everything if path.parts[0] != ".swot-vre"}
    assert found == {*manifest["files"], "MANIFEST.json"}
    readme = (sample_datalake / "README.md").read_text()
    for name, entry in manifest["files"].items():
        content = (sample_datalake / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"])
        assert name == "README.md" or f"`{name}`" in readme
    for real in REAL_FILES:
        assert not manifest["files"][real.path]["simulated"]
        assert real.licence in readme
    assert sum(entry["size"] for entry in manifest["files"].values()) < 75e6
