"""Damaged, replaced and missing files: an error that names them, never a wrong number."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy
import pytest

from swotvre_catalogs import MissingGranuleError
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.errors import GranuleWarning
from swotvre_catalogs.object_store import ReplacedFileError
from swotvre_catalogs.reduce import kernels, reduce
from swotvre_catalogs.reduce.errors import ReductionError
from swotvre_catalogs.reduce.memory import available_bytes

from .conftest import FILL, SmallLake, Stored, heights
from .test_reductions import assert_same


@pytest.fixture
def lake_of_three(small_lake: SmallLake) -> SmallLake:
    for cycle in (1, 2, 3):
        for number in (1, 2):
            flag = Stored(numpy.zeros((96, 69), "u1"), None, fill=255)
            small_lake.write(cycle, number, {"ssha_karin_2": Stored(heights(cycle)), "ssha_karin_2_qual": flag})
    small_lake.entry().build_cube()
    return small_lake


def corrupt(path, variable: str, offset: int = 1000) -> None:
    """Change one byte within a chunk; size and time of the file stay."""
    with h5py.File(path) as file:
        chunk = file[variable].id.get_chunk_info(0)
    status = path.stat()
    with path.open("r+b") as file:
        place = chunk.byte_offset + min(offset, chunk.size - 2)
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x10]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("offset", [0, 1, 1000, 10**9], ids=["header", "second byte", "middle", "checksum"])
def test_corrupt_chunk_is_an_error_that_names_file_and_variable(lake_of_three, offset):
    path, _ = lake_of_three.files[2, 1]
    corrupt(path, "ssha_karin_2", offset)
    entry = lake_of_three.entry()

    for call in (
        lambda: entry.mean("ssha_karin_2", over=[None, "cycle_number"]),
        lambda: reduce(entry, ("std", "max"), "ssha_karin_2", over="pass_number"),
        lambda: entry.series("ssha_karin_2", (5, -50, 25, -40)),
        lambda: entry.grid("ssha_karin_2", 1.0),
    ):
        with pytest.raises(DamagedFileError, match=path.name) as raised:
            call()
        assert "ssha_karin_2" in str(raised.value)


def test_corrupt_quality_flag_or_position_is_an_error_as_well(lake_of_three):
    entry = lake_of_three.entry()
    corrupt(lake_of_three.files[1, 2][0], "ssha_karin_2_qual", 10)
    with pytest.raises(DamagedFileError, match="ssha_karin_2_qual"):
        entry.mean("ssha_karin_2", quality="good")
    for number in (1, 2, 3):
        corrupt(lake_of_three.files[number, 1][0], "latitude")
    with pytest.raises(DamagedFileError, match="latitude"):
        entry.mean("ssha_karin_2", bbox=(5, -50, 15, -40))


def test_damaged_file_is_left_out_where_that_is_asked_for(lake_of_three):
    path, _ = lake_of_three.files[2, 1]
    corrupt(path, "ssha_karin_2")
    entry = lake_of_three.entry()

    with pytest.warns(GranuleWarning, match=path.name):
        found = entry.mean("ssha_karin_2", over="cycle_number", skip_damaged=True)

    del lake_of_three.files[2, 1]
    assert_same(found, lake_of_three.by_xarray("ssha_karin_2").mean("cycle_number"))
    assert found.attrs["files"] == 5


def test_file_of_several_chunks_is_left_out_as_a_whole(small_lake):
    for cycle in (1, 2):
        small_lake.write(
            cycle, 1, {"height": Stored(heights(cycle), options={"chunks": (16, 69), "compression": "gzip"})}
        )
    entry = small_lake.entry()
    entry.build_cube()
    path, _ = small_lake.files[2, 1]
    with h5py.File(path) as file:
        last = file["height"].id.get_chunk_info(5)
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(last.byte_offset + 100)
        file.write(b"\0" * 50)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.warns(GranuleWarning, match=path.name):
        found = entry.count("height", over="cycle_number", skip_damaged=True)

    numpy.testing.assert_array_equal(found[0], heights(1) != FILL)


def test_replaced_file_is_an_error_that_names_it(lake_of_three):
    entry = lake_of_three.entry()
    path, _ = lake_of_three.files[3, 2]
    lake_of_three.write(3, 2, {"ssha_karin_2": Stored(heights(99)), "ssha_karin_2_qual": Stored(heights(98))})
    with pytest.raises(ReplacedFileError, match=path.name):
        entry.mean("ssha_karin_2")
    with pytest.raises(ReplacedFileError, match=path.name):
        entry.mean("ssha_karin_2", skip_damaged=True)


def test_truncated_file_is_an_error_that_names_it(lake_of_three):
    entry = lake_of_three.entry()
    path, _ = lake_of_three.files[1, 1]
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ReplacedFileError, match=path.name):
        entry.mean("ssha_karin_2", over="cycle_number")


def test_deleted_file_is_an_error_that_names_it(lake_of_three):
    entry = lake_of_three.entry()
    path, _ = lake_of_three.files[1, 2]
    path.unlink()
    with pytest.raises(MissingGranuleError, match=path.name):
        entry.mean("ssha_karin_2")


def test_no_file_stays_open(lake_of_three, tmp_path):
    entry = lake_of_three.entry()
    entry.mean("ssha_karin_2")
    corrupt(lake_of_three.files[2, 2][0], "ssha_karin_2")
    with pytest.raises(DamagedFileError):
        entry.mean("ssha_karin_2")
    open_files = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    assert not {name for name in open_files if name.endswith(".nc") and str(tmp_path) in name}


def test_interrupt_ends_the_threads(tmp_path, lake_of_three):
    for cycle in range(4, 120):
        path, _ = lake_of_three.files[1, 1]
        name = path.name.replace("_001_001_", f"_{cycle:03d}_001_")
        target = lake_of_three.root / f"swot/l2_lr_ssh/expert/cycle_{cycle:03d}/{name}"
        target.parent.mkdir()
        shutil.copy(path, target)
    lake_of_three.entry().build_cube()
    program = (
        "import os, signal, sys, threading, time\n"
        "from swotvre_catalogs import open_catalog\n"
        f"entry = open_catalog({str(lake_of_three.root)!r}, index={str(tmp_path / 'index')!r})['l2_lr_ssh_expert']\n"
        "entry.mean('ssha_karin_2', over='num_lines')\n"
        "def readers():\n"
        "    return [one for one in threading.enumerate() if one.name.startswith('reduce') and one.is_alive()]\n"
        "def interrupt():\n"
        "    while not readers(): time.sleep(0.0005)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "try:\n"
        "    threading.Thread(target=interrupt, daemon=True).start()\n"
        "    while True:\n"
        "        entry.mean('ssha_karin_2', over='num_lines')\n"
        "except KeyboardInterrupt:\n"
        "    threads = readers()\n"
        "    for one in threads: one.join(20)\n"
        "    print('interrupted', [one.name for one in threads if one.is_alive()], flush=True)\n"
        # Python 3.12 ends as if nobody had caught an interrupt that came within exec() of a text.
        "    sys.exit()\n"
    )
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "interrupted []\n", done.stderr
    assert done.returncode == 0, done.stderr


def test_file_that_the_cube_left_out_is_told(lake_of_three):
    path, _ = lake_of_three.files.pop((3, 2))
    os.truncate(path, path.stat().st_size // 2)
    entry = lake_of_three.entry()
    entry.build_cube()
    with pytest.warns(GranuleWarning, match=path.name):
        found = entry.mean("ssha_karin_2")
    assert_same(found, lake_of_three.by_xarray("ssha_karin_2").mean())
    assert found.attrs["files"] == 5


def test_more_files_than_the_sums_can_hold_are_refused(lake_of_three, monkeypatch):
    entry = lake_of_three.entry()
    expected = entry.mean("ssha_karin_2")
    monkeypatch.setattr(kernels, "MOST_FILES", 2)
    with pytest.raises(ReductionError, match="3 files of one pass are more than 2"):
        entry.mean("ssha_karin_2")
    monkeypatch.setattr(kernels, "MOST_FILES", 3)
    assert entry.mean("ssha_karin_2") == expected


def test_result_that_does_not_fit_is_refused_before_it_is_made(full_lake, monkeypatch):
    entry = full_lake.entry()
    monkeypatch.setenv("MEM_LIMIT", str(1))
    with pytest.raises(ReductionError, match=r"the result \(4 x 3 x .*GB, this session has 0.0 GB left"):
        entry.mean("ssha_karin_2", over=())
    monkeypatch.setenv("MEM_LIMIT", str(2**60))
    assert entry.mean("ssha_karin_2", over=()).notnull().any()
    monkeypatch.setenv("MEM_LIMIT", "")
    assert available_bytes() > 0
