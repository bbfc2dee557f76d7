"""A datalake of the real files of the sample, and one to which a test adds files of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import geopandas
import pytest

from swotvre_catalogs import Catalog, open_catalog
from swotvre_catalogs.sample.copies import write_real_file
from swotvre_catalogs.sample.real_files import REAL_FILES

REACHES = "SWOT_L2_HR_RiverSP_Reach_049_058_AU_20260419T185249_20260419T190852_PID0_01.zip"
LAKES = "SWOT_L2_HR_LakeSP_Prior_033_506_AU_20250605T225724_20250605T230824_PID0_01.zip"


@pytest.fixture(scope="session")
def real_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real files of the sample, as in the datalake; nothing is added to them."""
    root = tmp_path_factory.mktemp("real") / "datalake"
    for real in REAL_FILES:
        write_real_file(real, root)
    return root


@pytest.fixture
def lake(real_files: Path, tmp_path: Path) -> Path:
    """A copy of the real files that a test adds to."""
    return Path(shutil.copytree(real_files, tmp_path / "datalake"))


@pytest.fixture
def real(real_files: Path, tmp_path: Path) -> Catalog:
    """The catalog of the real files, its indexes elsewhere."""
    return open_catalog(real_files, index=tmp_path / "index")


@pytest.fixture
def add_features(lake: Path, tmp_path: Path) -> Callable[[str, geopandas.GeoDataFrame], Path]:
    """Write a table of features as a zipped shapefile of a product; return its path."""

    def write(name: str, table: geopandas.GeoDataFrame) -> Path:
        kind = "riversp" if "RiverSP" in name else "lakesp"
        folder = tmp_path / "shapes" / name
        folder.mkdir(parents=True)
        table.to_file(folder / f"{name}.shp")
        target = lake / "swot/l2_hr" / kind / f"{name}.zip"
        target.parent.mkdir(parents=True, exist_ok=True)
        with ZipFile(target, "w") as archive:
            for part in sorted(folder.iterdir()):
                archive.write(part, part.name)
        return target

    return write


@pytest.fixture(scope="session")
def reaches(real_files: Path) -> geopandas.GeoDataFrame:
    """The whole river file, read without the catalog, its fill values as they are stored."""
    return geopandas.read_file(real_files / "swot/l2_hr/riversp" / REACHES)


@pytest.fixture(scope="session")
def lakes(real_files: Path) -> geopandas.GeoDataFrame:
    """The whole lake file, read without the catalog."""
    return geopandas.read_file(real_files / "swot/l2_hr/lakesp" / LAKES)
