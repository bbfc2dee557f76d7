"""Copies in sharded Zarr: what plain xarray reads from them, how they grow, and what cannot spoil them."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import xarray
import zarr

from swotvre_catalogs import MissingGranuleError
from swotvre_catalogs.errors import BuildRunningError
from swotvre_catalogs.export import ExportError, ExportTargetError, ExportVerificationError, export_dataset

PROGRAM = Path(__file__).with_name("cube_of_numbers.py")
_SPECIFICATION = importlib.util.spec_from_file_location("cube_of_numbers", PROGRAM)
assert _SPECIFICATION is not None
assert _SPECIFICATION.loader is not None
_MODULE = importlib.util.module_from_spec(_SPECIFICATION)
_SPECIFICATION.loader.exec_module(_MODULE)
cube = _MODULE.cube


def run_export(folder: Path, cycles: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(folder), str(cycles), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns)
    return found


def assert_copy_of(folder: Path, expected: xarray.Dataset, **options: Any) -> xarray.Dataset:
    opened = xarray.open_zarr(folder, **options)
    xarray.testing.assert_equal(opened.load(), expected.drop_vars("polarization"))
    for name, variable in opened.variables.items():
        assert variable.dtype == expected[name].dtype
    return opened


@pytest.mark.parametrize("consolidated", [True, False])
def test_plain_xarray_opens_a_copy_with_the_same_values(tmp_path, consolidated):
    report = export_dataset(cube(3), tmp_path / "copy", name="l2_lr_ssh_expert")
    opened = assert_copy_of(tmp_path / "copy", cube(3), consolidated=consolidated)
    assert opened["ssha_karin_2"].attrs == {"units": "m", "valid_max": 150_000}
    assert set(opened.coords) == {"cycle_number", "pass_number", "latitude", "longitude"}
    assert opened.attrs["title"] == "numbers"
    assert (report.written, report.kept, report.left_out) == ([1, 2, 3], [], ["polarization"])
    stored = sum(path.stat().st_size for path in (tmp_path / "copy").rglob("c/**/*") if path.is_file())
    assert 0 <= stored - report.stored_bytes < 200 * len(files(tmp_path / "copy"))  # the rest are indexes of shards


def test_a_dask_cube_is_copied_like_one_in_memory(tmp_path):
    chunked = cube(3).chunk(cycle_number=3, pass_number=2)
    chunked["ssha_karin_2_qual"] = chunked["ssha_karin_2_qual"].where(True).astype("uint32")  # no plain array below it
    export_dataset(chunked, tmp_path / "copy")
    assert_copy_of(tmp_path / "copy", cube(3))


def test_heights_stay_packed_with_a_shard_per_cycle_and_a_chunk_per_pass(tmp_path):
    export_dataset(cube(3), tmp_path / "copy")
    array = zarr.open_group(tmp_path / "copy", mode="r")["ssha_karin_2"]
    assert (array.dtype, array.shards, array.chunks) == (numpy.dtype("int32"), (1, 4, 50, 7), (1, 1, 50, 7))
    assert array[0, 0, 0, 1] == -29_999
    assert array[0, 1, 0, 0] == 2**31 - 1


def test_a_new_cycle_adds_objects_and_touches_no_shard(tmp_path):
    export_dataset(cube(4).isel(cycle_number=slice(0, 3)), tmp_path / "copy")
    before = files(tmp_path / "copy")
    reader = xarray.open_zarr(tmp_path / "copy")
    report = export_dataset(cube(4), tmp_path / "copy")
    assert (report.written, report.kept) == ([4], [1, 2, 3])
    after = files(tmp_path / "copy")
    assert {name for name in before if before[name] != after[name]} == {n for n in before if n.endswith("zarr.json")}
    assert {name for name in after if name not in before} == {
        "cycle_number/c/3",
        "is_land/c/3/0",
        "sig0/c/3/0/0/0",
        "ssha_karin_2/c/3/0/0/0",
        "ssha_karin_2_qual/c/3/0/0/0",
        "time/c/3/0/0",
    }
    assert_copy_of(tmp_path / "copy", cube(4))
    xarray.testing.assert_equal(reader.load(), cube(4).isel(cycle_number=slice(0, 3)).drop_vars("polarization"))
    assert str(export_dataset(cube(4), tmp_path / "copy")).endswith("holds all 4 cycles already")


@pytest.mark.parametrize("chunk", [1, 20, 60])
def test_a_killed_export_leaves_whole_cycles_and_goes_on(tmp_path, chunk):
    killed = run_export(tmp_path / "copy", 3, "--kill-at", str(chunk))
    assert killed.returncode == -signal.SIGKILL
    if (tmp_path / "copy/zarr.json").exists():
        opened = xarray.open_zarr(tmp_path / "copy").load()
        whole = cube(3).isel(cycle_number=slice(0, opened.sizes["cycle_number"])).drop_vars("polarization")
        xarray.testing.assert_equal(opened, whole)
    export_dataset(cube(3), tmp_path / "copy")
    assert_copy_of(tmp_path / "copy", cube(3), consolidated=False)
    assert not [name for name in files(tmp_path / "copy") if "#" in name or name.startswith(".")]


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path):
    export_dataset(cube(3).isel(cycle_number=[0]), tmp_path / "copy")
    # A limit on the size of a file fails as a full disk or quota does, in the middle of a write.
    full = run_export(tmp_path / "copy", 3, "--limit-bytes", "1000")
    assert full.returncode == 3
    assert "NoSpaceError: no space left for" in full.stderr
    assert "run the same export again: it goes on from there" in full.stderr
    assert_copy_of(tmp_path / "copy", cube(3).isel(cycle_number=[0]))
    export_dataset(cube(3), tmp_path / "copy")
    assert_copy_of(tmp_path / "copy", cube(3))


def test_a_folder_with_other_content_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    before = files(tmp_path)
    with pytest.raises(ExportTargetError, match="holds something else"):
        export_dataset(cube(2), tmp_path)
    assert files(tmp_path) == before


def test_another_zarr_group_is_not_touched(tmp_path):
    cube(1)[["sig0"]].to_zarr(tmp_path / "mine", zarr_format=3, consolidated=False)
    before = files(tmp_path)
    with pytest.raises(ExportTargetError, match="holds another Zarr group"):
        export_dataset(cube(2), tmp_path / "mine")
    assert files(tmp_path) == before


def _other_variables(dataset: xarray.Dataset) -> dict[str, Any]:
    return {"cube": dataset, "variables": ["sig0"]}


def _other_box(dataset: xarray.Dataset) -> dict[str, Any]:
    return {"cube": dataset, "bbox": (165, -60, 175, 60)}


def _fewer_passes(dataset: xarray.Dataset) -> dict[str, Any]:
    return {"cube": dataset.isel(pass_number=slice(0, 3))}


def _moved(dataset: xarray.Dataset) -> dict[str, Any]:
    return {"cube": dataset.assign_coords(latitude=dataset["latitude"] + 1)}


def _packed_otherwise(dataset: xarray.Dataset) -> dict[str, Any]:
    dataset["ssha_karin_2"].encoding["scale_factor"] = 1e-5
    return {"cube": dataset}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_variables, "is a copy with variables"),
        (_other_box, "is a copy with bbox None"),
        (_fewer_passes, "the cube has changed its passes, lines or packing"),
        (_moved, "latitude of the cube is not the one of the copy any more"),
        (_packed_otherwise, "ssha_karin_2 is packed otherwise there"),
    ],
)
def test_another_selection_or_cube_is_not_mixed_into_a_copy(tmp_path, change, said):
    export_dataset(cube(3).isel(cycle_number=[0, 1]), tmp_path / "copy")
    with pytest.raises(ExportTargetError, match=said):
        export_dataset(**change(cube(3)), to=tmp_path / "copy")
    assert_copy_of(tmp_path / "copy", cube(3).isel(cycle_number=[0, 1]))


def test_a_cycle_that_came_late_is_refused(tmp_path):
    export_dataset(cube(3).isel(cycle_number=[0, 2]), tmp_path / "copy")
    with pytest.raises(ExportTargetError, match=r"up to 3, and a copy grows at its end only: cycles \[2\]"):
        export_dataset(cube(3), tmp_path / "copy")


def test_a_box_keeps_the_passes_that_cross_it_and_their_lines(tmp_path):
    # Passes at 170, 180, 190 and 200 degrees east; lines 2 degrees apart.
    export_dataset(cube(2), tmp_path / "copy", bbox=(175, -11, -165, 11))
    opened = xarray.open_zarr(tmp_path / "copy").load()
    expected = cube(2).isel(pass_number=[1, 2])
    inside = (expected["latitude"] >= -11) & (expected["latitude"] <= 11)
    lines = inside.any("num_pixels")
    assert opened["pass_number"].to_numpy().tolist() == [27, 42]
    xarray.testing.assert_equal(opened["ssha_karin_2"], expected["ssha_karin_2"].where(lines))
    xarray.testing.assert_equal(opened["latitude"], expected["latitude"])


def test_a_box_that_no_pass_crosses_is_refused(tmp_path):
    with pytest.raises(MissingGranuleError, match="no pass of the cube crosses the box"):
        export_dataset(cube(2), tmp_path / "copy", bbox=(0, 0, 10, 10))


def test_cycles_are_chosen_by_number(tmp_path):
    export_dataset(cube(3), tmp_path / "copy", cycles=[2, 3, 99])
    assert_copy_of(tmp_path / "copy", cube(3).isel(cycle_number=[1, 2]))
    with pytest.raises(MissingGranuleError, match=r"has no cycle of \[99\]; it has \[1, 2, 3\]"):
        export_dataset(cube(3), tmp_path / "other", cycles=[99])


def test_chosen_variables_come_with_the_coordinates(tmp_path):
    export_dataset(cube(2), tmp_path / "copy", variables=["sig0"])
    opened = xarray.open_zarr(tmp_path / "copy")
    assert (list(opened.data_vars), set(opened.coords)) == (["sig0"], set(cube(1).coords))


def test_an_unknown_variable_is_refused_with_a_near_miss(tmp_path):
    with pytest.raises(ExportError, match="no variable 'ssha_karin2' to export; did you mean 'ssha_karin_2'"):
        export_dataset(cube(2), tmp_path / "copy", variables=["ssha_karin2"])


def test_a_dataset_without_cycles_is_refused(tmp_path):
    with pytest.raises(ExportError, match="only a cube can be exported by cycles"):
        export_dataset(cube(2).isel(cycle_number=0), tmp_path / "copy")


@pytest.mark.parametrize("value", [1.00005, 1e9])
def test_a_value_that_its_packing_does_not_give_back_is_refused(tmp_path, value):
    odd = cube(2)
    odd["ssha_karin_2"][1, 2, 3, 4] = value
    with pytest.raises(ExportError, match=r"ssha_karin_2 holds values that int32 with scale_factor 0\.0001"):
        export_dataset(odd, tmp_path / "copy")
    assert xarray.open_zarr(tmp_path / "copy").sizes["cycle_number"] == 1


def test_a_shard_that_the_disk_spoiled_is_found_before_its_cycle_is_shown(tmp_path):
    def spoil(done: int, total: int) -> None:
        shard = tmp_path / "copy/ssha_karin_2/c/1/0/0/0"
        if shard.exists():
            content = bytearray(shard.read_bytes())
            content[100] ^= 255
            shard.write_bytes(content)

    with pytest.raises(ExportVerificationError, match="ssha_karin_2/c/1/0/0/0 does not read back as it was written"):
        export_dataset(cube(2), tmp_path / "copy", progress=spoil)
    assert_copy_of(tmp_path / "copy", cube(2).isel(cycle_number=[0]))
    export_dataset(cube(2), tmp_path / "copy")
    assert_copy_of(tmp_path / "copy", cube(2))


def test_a_second_export_to_the_same_folder_is_kept_away(tmp_path):
    def second(done: int, total: int) -> None:
        if done == 1:
            with pytest.raises(BuildRunningError, match=r"the copy in .* is being built already"):
                export_dataset(cube(2), tmp_path / "copy")

    export_dataset(cube(2), tmp_path / "copy", progress=second)
    assert_copy_of(tmp_path / "copy", cube(2))


def test_progress_counts_every_chunk(tmp_path):
    seen: list[tuple[int, int]] = []
    export_dataset(cube(2), tmp_path / "copy", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, len(seen)) for number in range(1, len(seen) + 1)]


def test_a_target_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportTargetError, match="cannot be made a folder"):
        export_dataset(cube(1), tmp_path / "file")
