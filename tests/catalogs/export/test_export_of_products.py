"""The export of a product's cube, from Python and by its command."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import xarray

from swotvre_catalogs import MissingGranuleError, open_catalog
from swotvre_catalogs.export import export_zarr


@pytest.fixture
def entry(lake, tmp_path):
    chosen = open_catalog(lake, index=tmp_path / "place")["l2_lr_ssh_expert"]
    chosen.build_cube()
    return chosen


def command(lake: Path, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "swotvre_catalogs",
            "export",
            *arguments,
            "--datalake",
            str(lake),
            "--index",
            str(place),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "SWOTVRE_DATALAKE"},
    )


def test_a_copy_has_every_value_of_the_cube(entry, tmp_path):
    export_zarr(entry, tmp_path / "copy")
    copied, cube = xarray.open_zarr(tmp_path / "copy"), entry.cube()
    assert set(copied.variables) == set(cube.variables)
    for name, variable in cube.variables.items():
        numpy.testing.assert_array_equal(copied[name].to_numpy(), variable.to_numpy())
    assert numpy.isnan(copied["ssh_karin_2"].sel(cycle_number=2, pass_number=42)).all()  # the missing granule


def test_a_cycle_that_came_to_the_datalake_is_added(entry, lake, add_pass, tmp_path):
    export_zarr(entry, tmp_path / "copy", variables=["ssh_karin_2"])
    for number in (14, 42):
        add_pass(4, number)
    entry.build_cube()
    report = export_zarr(entry, tmp_path / "copy", variables=["ssh_karin_2"])
    assert (report.written, report.kept) == ([4], [1, 2, 3])
    heights = xarray.open_zarr(tmp_path / "copy")["ssh_karin_2"]
    assert heights[:, 0, 0, 0].to_numpy() == pytest.approx([1.014, 2.014, 3.014, 4.014], abs=1e-5)


def test_a_period_chooses_whole_cycles(entry, tmp_path):
    # The cycles of this datalake are a day in January, February and March of 2024.
    report = export_zarr(entry, tmp_path / "copy", time=("2024-02", "2024-03"))
    assert report.written == [2, 3]
    with pytest.raises(MissingGranuleError, match="2019"):
        export_zarr(entry, tmp_path / "other", time="2019")


def test_the_command_makes_a_copy_and_reports_its_size(entry, lake, tmp_path):
    copy = tmp_path / "copy"
    done = command(lake, tmp_path / "place", entry.name, "--to", str(copy), "--variables", "ssh_karin_2,time")
    assert done.returncode == 0, done.stderr
    assert "3 cycles written to" in done.stdout
    assert "read back and compared" in done.stdout
    assert set(xarray.open_zarr(copy).data_vars) == {"ssh_karin_2", "time"}
    box = command(lake, tmp_path / "place", entry.name, "--to", str(copy), "--bbox=-20,0,-10,10")
    assert box.returncode == 2
    assert box.stderr.startswith("swot-vre catalog: no pass of the cube crosses the box (-20.0, 0.0, -10.0, 10.0)")
