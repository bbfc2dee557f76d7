"""A small datalake whose granules can be told apart: every file holds its own cycle, pass and name."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
import xarray

from swotvre_catalogs import Catalog, open_catalog

LINES, PIXELS = 60, 69


def _swath(cycle: int, number: int, lines: slice) -> xarray.Dataset:
    """A pass on a fixed grid, its height in metres cycle + pass / 1000 + line / 100,000."""
    along, across = numpy.meshgrid(numpy.arange(LINES), numpy.arange(PIXELS) - PIXELS // 2, indexing="ij")
    height = cycle + number / 1000 + along / 100_000
    swath = xarray.Dataset(
        {
            "ssh_karin_2": (("num_lines", "num_pixels"), height),
            "ssh_karin_2_qual": (("num_lines", "num_pixels"), numpy.full(along.shape, cycle, dtype="uint32")),
            "cross_track_distance": (("num_lines", "num_pixels"), across * 2000.0),
            "time": (("num_lines",), numpy.arange(LINES) * 0.3 + cycle * 1.8e6, {"units": "seconds since 2000-01-01"}),
        },
        coords={
            "latitude": (("num_lines", "num_pixels"), -45 + along * 0.018 - across * 0.003),
            "longitude": (("num_lines", "num_pixels"), 16 + number / 100 + along * 0.004 + across * 0.025),
        },
        attrs={"cycle_number": cycle, "pass_number": number},
    )
    return swath.isel(num_lines=lines)


def write_pass(
    root: Path, cycle: int, number: int, *, product: str = "Expert", crid: str = "PGC0_01", lines: slice = slice(None)
) -> Path:
    """Write one granule of L2_LR_SSH or, with a version as ``crid``, of L3_LR_SSH."""
    level = "l3" if crid.startswith("v") else "l2"
    granule = f"{cycle:03d}_{number:03d}_2024{cycle:02d}01T000000_2024{cycle:02d}01T005000_{crid}"
    name = f"SWOT_{level.upper()}_LR_SSH_{product}_{granule}.nc"
    path = root / f"swot/{level}_lr_ssh/{product.lower()}/cycle_{cycle:03d}/{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    swath = _swath(cycle, number, lines)
    swath.attrs["crid"] = crid
    packed = {"dtype": "int32", "scale_factor": 1e-5, "_FillValue": 2**31 - 1}
    if product == "Unsmoothed":
        for group, sign in (("left", -1), ("right", 1)):
            swath.assign(side=sign).to_netcdf(path, group=group, mode="a" if group == "right" else "w")
    else:
        swath.to_netcdf(path, encoding={"ssh_karin_2": packed})
    return path


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three cycles of pass 14 and 42, cycle 2 of pass 42 missing."""
    root = tmp_path / "datalake"
    for cycle in (1, 2, 3):
        for number in (14, 42):
            if (cycle, number) != (2, 42):
                write_pass(root, cycle, number)
    return root


@pytest.fixture
def add_pass(lake: Path) -> Callable[..., Path]:
    """Write one more granule to the small datalake."""
    return lambda cycle, number, **options: write_pass(lake, cycle, number, **options)


@pytest.fixture
def catalog(lake: Path) -> Catalog:
    return open_catalog(lake)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep indexes and cubes of folders that cannot be written out of the user's cache."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.delenv("SWOTVRE_INDEX", raising=False)
        yield


@pytest.fixture(scope="session")
def sample_datalake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample datalake of the tests' own: a copy of the installation's, else made by its program."""
    folder = tmp_path_factory.mktemp("sample") / "datalake"
    installed = Path(os.environ.get("SWOTVRE_TEST_STATE", "/nonexistent"), "datalake")
    if (installed / "MANIFEST.json").exists():
        shutil.copytree(installed, folder, ignore=shutil.ignore_patterns(".swot-vre"))
        return folder
    done = subprocess.run(
        [sys.executable, "-m", "swotvre_catalogs.sample", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder
