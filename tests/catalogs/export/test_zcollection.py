"""Collections that zcollection itself wrote are read as it reads them; without it, and without zarr 2."""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy
import pytest
import xarray

from swotvre_catalogs.export import ZcollectionError, open_zcollection

HERE = Path(__file__).parent
PYTHON = os.environ.get("SWOTVRE_ZCOLLECTION_PYTHON")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with zipfile.ZipFile(HERE / "zcollections.zip") as packed:
        packed.extractall(tmp_path)
    return tmp_path


def assert_as_zcollection_reads(folder: Path, name: str) -> xarray.Dataset:
    opened = open_zcollection(folder / name)
    with numpy.load(folder / f"{name}.npz") as expected:
        assert set(opened.variables) == set(expected)
        for variable, values in expected.items():
            numpy.testing.assert_array_equal(opened[variable].to_numpy(), values)
            assert opened[variable].dtype == values.dtype
    return opened


@pytest.mark.parametrize("name", ["by_day", "by_pass"])
def test_a_collection_is_what_zcollection_itself_reads(folder, name):
    opened = assert_as_zcollection_reads(folder, name)
    assert all(opened[variable].chunks for variable in ("ssha", "sigma0"))
    assert opened["ssha"].attrs["units"] == "m"
    assert opened.attrs["title"] == "written by zcollection"


@pytest.mark.skipif(PYTHON is None, reason="SWOTVRE_ZCOLLECTION_PYTHON names no interpreter with zcollection")
@pytest.mark.parametrize("name", ["by_day", "by_pass"])
def test_a_collection_written_now_is_what_zcollection_reads(tmp_path, name):
    subprocess.run([str(PYTHON), "-W", "ignore", str(HERE / "make_zcollection.py"), str(tmp_path)], check=True)
    assert_as_zcollection_reads(tmp_path, name)


def test_partitions_are_chosen_by_their_keys(folder):
    cycles = open_zcollection(folder / "by_pass", partitions={"cycle_number": [9, 10], "pass_number": 1})
    assert set(zip(cycles["cycle_number"].to_numpy(), cycles["pass_number"].to_numpy(), strict=True)) == {
        (9, 1),
        (10, 1),
    }
    february = open_zcollection(folder / "by_day", partitions={"month": 2}, variables=["time"])
    assert list(february.variables) == ["time"]
    assert february["time"].to_numpy()[0] == numpy.datetime64("2024-02-01")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variables": ["shsa"]}, "has no variable 'shsa'; did you mean 'ssha'"),
        ({"partitions": {"cycle": 1}}, "have no key 'cycle'; expected: year, month, day"),
        (
            {"partitions": {"year": 2023}},
            "no partition of .* for .*2023.*; it has 5, from year=2024/month=01/day=30",
        ),
    ],
)
def test_what_is_not_there_is_refused_in_words(folder, options, said):
    with pytest.raises(ZcollectionError, match=said):
        open_zcollection(folder / "by_day", **options)


def test_another_folder_is_not_taken_for_a_collection(tmp_path):
    with pytest.raises(ZcollectionError, match=r"is not a zcollection: it has no file \.zcollection"):
        open_zcollection(tmp_path)
    (tmp_path / ".zcollection").write_text("{}")
    with pytest.raises(ZcollectionError, match="is not the description of a zcollection"):
        open_zcollection(tmp_path)


def test_a_damaged_partition_is_named(folder):
    shutil.rmtree(folder / "by_day/year=2024/month=02/day=02/ssha")
    (folder / "by_day/year=2024/month=02/day=01/.zmetadata").unlink()
    with pytest.raises(ZcollectionError, match="month=02/day=01 is damaged or being written"):
        open_zcollection(folder / "by_day")


def test_partitions_with_another_fill_value_are_not_put_together(folder):
    partition = folder / "by_day/year=2024/month=02/day=01"
    metadata = json.loads((partition / ".zmetadata").read_text())
    metadata["metadata"]["ssha/.zarray"]["fill_value"] = 0
    (partition / ".zmetadata").write_text(json.dumps(metadata))
    with pytest.raises(ZcollectionError, match=r"'ssha' is int32 with fill value 0 in .*day=01.* cannot be put"):
        open_zcollection(folder / "by_day")
