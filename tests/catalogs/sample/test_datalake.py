"""Writing the sample: the same twice, whole or not at all, and never over what is not ours."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swotvre_catalogs.sample import GENERATOR_VERSION, SampleError
from swotvre_catalogs.sample.datalake import replace_datalake, write_sample
from swotvre_catalogs.sample.granule import write_pass
from swotvre_catalogs.sample.manifest import is_complete
from swotvre_catalogs.sample.maps import write_map
from swotvre_catalogs.sample.plan import MAP_DAYS, passes
from swotvre_catalogs.sample.specification import product_variables


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "swotvre_catalogs.sample", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def finished(sample_datalake: Path, tmp_path: Path) -> Path:
    """A copy of the finished sample, free to be spoilt (its files are links to the one that all tests share)."""
    return Path(shutil.copytree(sample_datalake, tmp_path / "lake", copy_function=os.link))


def test_the_same_pass_is_written_with_the_same_bytes(sample_datalake: Path, tmp_path: Path) -> None:
    manifest = json.loads((sample_datalake / "MANIFEST.json").read_text())["files"]
    granules = next(granules for granules in passes() if (granules[0].cycle_number, granules[0].pass_number) == (1, 14))
    assert len(granules) == 8
    for path in [*write_pass(granules, tmp_path), write_map(MAP_DAYS[0], tmp_path)]:
        assert hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() == manifest[path]["sha256"], path


def test_complete_sample_is_kept_untouched(finished: Path) -> None:
    before = (finished / "MANIFEST.json").stat().st_mtime_ns
    done = _run(finished)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"kept {finished}\n"
    assert (finished / "MANIFEST.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["file gone", "file cut", "manifest gone", "manifest torn", "older version"])
def test_damaged_sample_is_not_taken_for_complete(finished: Path, damage: str) -> None:
    assert is_complete(finished)
    victim, manifest = next(finished.rglob("*Basic*.nc")), finished / "MANIFEST.json"
    text = manifest.read_text()
    (victim if damage.startswith("file") else manifest).unlink()
    if damage == "file cut":
        victim.write_bytes(b"half")
    elif damage == "manifest torn":
        manifest.write_text(text[: len(text) // 2])
    elif damage == "older version":
        manifest.write_text(text.replace(GENERATOR_VERSION, "2020.1.0"))
    assert not is_complete(finished)


def test_killed_run_leaves_no_datalake_and_the_next_one_repairs_it(tmp_path: Path, sample_datalake: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    command = [sys.executable, "-m", "swotvre_catalogs.sample", str(lake)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        workers = _children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert first.partition(" ")[0].endswith("/77")
    assert workers, "the simulation runs in processes of its own"
    deadline = time.monotonic() + 60
    while any(_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(worker) for worker in workers), "workers end with the program that started them"
    assert list(lake.iterdir()) == []
    assert [path.name[:14] for path in tmp_path.glob(".lake.*")] == [".lake.writing."]

    done = _run(lake)
    assert done.returncode == 0, done.stderr
    assert is_complete(lake)
    assert not list(tmp_path.glob(".lake.*"))
    assert (lake / "MANIFEST.json").read_bytes() == (sample_datalake / "MANIFEST.json").read_bytes()
    counts = [line.partition(" ")[0] for line in done.stdout.splitlines()[:-1]]
    assert counts[-1] == "77/77"
    assert done.stdout.splitlines()[-1] == f"wrote {lake}"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    done = _run(tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "not written by this program" in done.stderr
    assert "--force" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_manifest_of_another_program_is_no_licence_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.json").write_text('{"generator": "other", "version": "1"}')
    with pytest.raises(SampleError, match="not written by this program"):
        write_sample(tmp_path)


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "lake"
    target.write_text("no folder")
    with pytest.raises(SampleError, match="is a file; expected a folder"):
        write_sample(target)
    with pytest.raises(SampleError, match="cannot write the sample datalake"):
        write_sample(target / "below")
    assert target.read_text() == "no folder"


def test_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lake").symlink_to(tmp_path / "gone")
    with pytest.raises(SampleError, match="link to nothing"):
        write_sample(tmp_path / "lake")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    for target in (tmp_path / "lake", tmp_path):
        target.mkdir(exist_ok=True)
    (tmp_path / "lake").chmod(0o555)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(SampleError, match="read-only"):
            write_sample(tmp_path / "lake")
        with pytest.raises(SampleError, match="Permission denied"):
            write_sample(tmp_path / "other")
    finally:
        tmp_path.chmod(0o755)


def test_device_that_cannot_hold_the_sample_is_refused() -> None:
    with pytest.raises(SampleError, match="proc"):
        write_sample(Path("/proc/lake"))


def test_value_that_does_not_fit_its_type_is_an_error_and_not_a_wrapped_number() -> None:
    (height,) = [variable for variable in product_variables("Expert") if variable.name == "dac"]
    with pytest.raises(SampleError, match=r"dac: .* do not fit int16"):
        height.pack([5.0])
    assert height.pack([1.5, float("nan")]).tolist() == [15000, 32767]


def test_what_others_put_into_the_sample_survives_its_renewal(finished: Path, tmp_path: Path) -> None:
    theirs = finished / "swot" / "l2_lr_ssh" / "expert" / "cycle_007" / "theirs.nc"
    theirs.parent.mkdir()
    theirs.write_bytes(b"measured by somebody")
    index = finished / ".swot-vre/index/l2_lr_ssh_expert.parquet"
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_bytes(b"of the old files")
    next(finished.rglob("*Basic*.nc")).unlink()
    renewed = tmp_path / "renewed"
    shutil.copytree(finished, renewed, ignore=shutil.ignore_patterns("theirs.nc", ".swot-vre"), copy_function=os.link)
    replace_datalake(finished, renewed)
    assert theirs.read_bytes() == b"measured by somebody"
    assert not index.exists(), "an index of the old files would be wrong for the new ones"
    assert not renewed.exists()
