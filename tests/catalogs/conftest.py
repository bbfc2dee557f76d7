"""A small datalake whose granules can be told apart: every file holds its own cycle, pass and name."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
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
def _nothing_of_the_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache, indexes and S3 configuration out of the tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.delenv("SWOTVRE_INDEX", raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path_factory.mktemp("aws") / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def s3_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Storage options of one S3 server for all tests, moto's in a process of its own; a bucket has its test's name."""
    program = os.environ.get("SWOTVRE_MOTO_SERVER")
    if program is None:
        pytest.skip("SWOTVRE_MOTO_SERVER does not name a moto_server program")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = int(listening.getsockname()[1])
    # The server is of another environment than the tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS"))}
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        command = [program, "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(300):
                assert server.poll() is None, Path(log.name).read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.2)
            yield {"endpoint_url": f"http://127.0.0.1:{port}", "key": "reader", "secret": "not-a-secret"}
        finally:
            server.terminate()
            server.wait(20)


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
