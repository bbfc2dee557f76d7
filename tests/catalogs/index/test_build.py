"""Building the granule index: whole, again, after faults, after a kill, by two at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import geopandas
import h5py
import numpy
import pyarrow.parquet
import pytest

from swotvre_catalogs import Entry, GranuleWarning, open_catalog
from swotvre_catalogs.errors import BuildRunningError, MissingIndexError, UnreadableIndexError
from swotvre_catalogs.index import build_index
from swotvre_catalogs.index.opening import FEW_FILES
from swotvre_catalogs.index.report import missing_passes

Write = Callable[..., Path]
Rewrite = Callable[[Path, bytes], None]
Reopen = Callable[[], Entry]


def test_index_is_stac_in_geoparquet(entry: Entry, tmp_path: Path) -> None:
    report = build_index(entry)
    assert (report.files, report.read, report.damaged, report.missing) == (12, 12, (), {})
    address = entry.place.index_address(entry.name)
    items = geopandas.read_parquet(address)
    assert items.crs == "OGC:CRS84"
    item = items.iloc[0]
    path = next(Path(tmp_path, "lake").rglob("*_001_001_*.nc"))
    assert (item["type"], item["stac_version"], item["collection"]) == ("Feature", "1.1.0", "l2_lr_ssh_basic")
    assert item["id"] == path.stem
    assert item["assets"]["data"]["href"] == str(path)
    assert item["assets"]["data"]["file:size"] == path.stat().st_size
    assert (item["cycle_number"], item["pass_number"], item["crid"]) == (1, 1, "PGC0_01")
    assert str(item["start_datetime"]) == "2024-01-02 00:00:00+00:00"
    assert item["bbox"]["ymin"] == pytest.approx(-60.22, abs=0.02)
    metadata = pyarrow.parquet.read_schema(address).metadata
    assert {b"geo", b"stac-geoparquet"} <= metadata.keys()


def test_footprint_holds_every_pixel_also_across_the_antimeridian(entry: Entry) -> None:
    build_index(entry)
    shapes = entry.index().footprints().set_index("pass_number").loc[13]
    shape = shapes.iloc[0].geometry  # from 130 E to 190 E
    assert shape.geom_type == "MultiPolygon"
    assert (shape.bounds[0], shape.bounds[2]) == (-180, 180)
    with h5py.File(f"{entry.datalake.root}/{shapes.iloc[0].path}") as file:
        lats, lons = (file[name][...].ravel() * 1e-6 for name in ("latitude", "longitude"))
    points = geopandas.points_from_xy(numpy.where(lons > 180, lons - 360, lons), lats)
    assert points.within(shape.buffer(0.02)).all()


def test_second_build_reads_only_what_is_new_or_was_replaced(
    entry: Entry, tmp_path: Path, write: Write, rewrite: Rewrite
) -> None:
    build_index(entry)
    assert build_index(entry).read == 0
    write(4, 1)
    replaced = next(Path(tmp_path, "lake").rglob("*_002_002_*.nc"))
    elsewhere = write(9, 2, start=200.0)
    rewrite(replaced, elsewhere.read_bytes())
    elsewhere.unlink()
    next(Path(tmp_path, "lake").rglob("*_003_014_*.nc")).unlink()
    report = build_index(entry)
    assert (report.files, report.read, report.gone) == (12, 2, 1)
    bounds = entry.index().footprints().query("cycle_number == 2 and pass_number == 2").geometry.iloc[0].bounds
    assert bounds[0] == pytest.approx(-160, abs=2)


def test_chosen_cycles_alone_are_looked_at(entry: Entry, write: Write) -> None:
    build_index(entry, cycles=[1, 2])
    assert set(entry.index().table["cycle_number"]) == {1, 2}
    write(2, 5)
    write(3, 5)
    assert build_index(entry, cycles=[3]).read == 5
    assert len(entry.index()) == 13


def test_damaged_files_are_named_and_stop_nothing(entry: Entry, tmp_path: Path, rewrite: Rewrite) -> None:
    paths = sorted(Path(tmp_path, "lake").rglob("*.nc"))
    whole = paths[0].read_bytes()
    rewrite(paths[0], whole[: len(whole) // 2])
    rewrite(paths[1], b"")
    rewrite(paths[2], b"<html>404 not found</html>")
    rewrite(paths[3], _with_broken_chunk(paths[3]))
    paths[4].unlink()
    paths[4].symlink_to(tmp_path / "nowhere")
    report = build_index(entry)
    found = {Path(path).name: status for path, status, _ in report.damaged}
    names = [path.name for path in paths]
    expected = dict(zip(names[:4], ("truncated", "truncated", "corrupt", "corrupt"), strict=True))
    assert found == expected
    assert not report.is_sound
    assert all(name in str(report) for name in expected)
    assert len(entry.index()) == 7
    damaged = entry.index().damaged.set_index("path")
    assert set(damaged["status"]) == {"truncated", "corrupt"}
    assert "neither netCDF" in " ".join(damaged["reason"])
    rewrite(paths[0], whole)
    assert build_index(entry).read == 1
    assert len(entry.index()) == 8


def _with_broken_chunk(path: Path) -> bytes:
    with h5py.File(path) as file:
        chunk = file["latitude"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    for at in range(chunk.byte_offset + 10, chunk.byte_offset + chunk.size - 10):
        content[at] ^= 0xFF
    content[chunk.byte_offset + chunk.size - 1] ^= 0xFF  # else the footprint of a file with the same positions is taken
    return bytes(content)


def test_damaged_newest_version_leaves_the_one_before(entry: Entry, write: Write, rewrite: Rewrite) -> None:
    newer = write(1, 1, crid="PGC0_02")
    rewrite(newer, b"")
    build_index(entry)
    assert entry.index().select(cycle_number=1, pass_number=1).granules()[0].crid == "PGC0_01"


def test_the_same_granule_and_version_twice_is_named_and_counts_once(entry: Entry, write: Write) -> None:
    second = write(1, 1, second=7)
    report = build_index(entry)
    assert [Path(path).name for path, _ in report.duplicates] == [second.name.replace("T000007", "T000000")]
    assert report.is_sound
    assert "duplicate: " in str(report)
    assert len(entry.index()) == 12
    second.unlink()
    assert build_index(entry).duplicates == ()
    assert len(entry.index()) == 12


def test_granules_that_other_cycles_have_are_said_to_be_missing(entry: Entry, tmp_path: Path) -> None:
    next(Path(tmp_path, "lake").rglob("*_002_013_*.nc")).unlink()
    report = build_index(entry)
    assert report.missing == {2: (13,)}
    assert "cycle 2: pass 13" in str(report)
    assert "although other cycles have it" in str(report)


def test_series_begins_and_ends_where_it_does_and_each_orbit_has_its_own_passes() -> None:
    assert missing_passes([(1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (2, 4), (4, 1), (4, 2)]) == {3: None}
    assert missing_passes([(1, 1), (1, 300), (500, 1), (500, 2), (501, 1), (501, 2)]) == {}
    assert missing_passes([]) == {}


def test_checksums_are_multihashes_and_tell_a_file_from_its_md5(entry: Entry, tmp_path: Path) -> None:
    paths = sorted(Path(tmp_path, "lake").rglob("*.nc"))
    for path in paths[:2]:
        digest = subprocess.run(["md5sum", path], capture_output=True, text=True, check=True).stdout
        Path(f"{path}.md5").write_text(digest)
    build_index(entry)
    taken = entry.index().table.set_index("path")["checksum"]
    digest = Path(f"{paths[0]}.md5").read_text()[:32]
    assert taken[str(paths[0].relative_to(tmp_path / "lake"))] == "d50110" + digest
    Path(f"{paths[1]}.md5").write_text("0" * 32 + "  other\n")
    report = build_index(entry, checksums=True)
    assert report.read == 12
    assert [(Path(path).name, status) for path, status, _ in report.damaged] == [(paths[1].name, "corrupt")]
    sha256 = subprocess.run(["sha256sum", paths[2]], capture_output=True, text=True, check=True).stdout[:64]
    checksums = entry.index().table.set_index("path")["checksum"]
    assert checksums[str(paths[2].relative_to(tmp_path / "lake"))] == "1220" + sha256
    assert build_index(entry, checksums=True).read == 0


BUILD = "import sys; from swotvre_catalogs.commands import main; sys.exit(main(sys.argv[1:]))"


def _start_build(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, "index", "l2_lr_ssh_basic", "--datalake", str(tmp_path / "lake"), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_build_goes_on_where_it_was(tmp_path: Path, write: Write, jobs: str, reopen: Reopen) -> None:
    for cycle in range(1, 7):
        first = write(cycle, 1)
        for number in range(2, 585):
            os.link(first, first.with_name(first.name.replace(f"_{cycle:03d}_001_", f"_{cycle:03d}_{number:03d}_")))
    parts = tmp_path / "lake/.swot-vre/index/.l2_lr_ssh_basic.parts"
    with _start_build(tmp_path, "--jobs", jobs) as build:
        deadline = time.monotonic() + 120
        while not list(parts.glob("*.parquet")) and build.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        build.send_signal(signal.SIGKILL)
    index = tmp_path / "lake/.swot-vre/index/l2_lr_ssh_basic.parquet"
    assert not index.exists()
    report = build_index(reopen())
    assert report.files == 6 * 584
    assert report.read < report.files
    assert index.exists()
    assert not list(parts.glob("*"))


def test_two_builds_at_once_are_one_build_and_one_refusal(entry: Entry, tmp_path: Path) -> None:
    with entry.place.lock("index-l2_lr_ssh_basic"):
        with _start_build(tmp_path) as second:
            _, complaint = second.communicate()
        assert second.returncode == 2
        assert f"pid {os.getpid()}" in complaint
        with pytest.raises(BuildRunningError):
            build_index(entry)
    assert build_index(entry).files == 12


def test_index_of_a_few_files_is_built_on_the_way_and_follows_the_folder(
    entry: Entry, tmp_path: Path, write: Write, reopen: Reopen
) -> None:
    assert len(entry.index()) == 12
    added = write(4, 1)
    assert len(entry.index()) == 13
    added.write_bytes(b"")
    with pytest.warns(GranuleWarning, match="_004_001_.*truncated"):
        assert len(entry.index()) == 12
    assert len(reopen().index()) == 12


def test_index_of_many_files_asks_for_the_command(tmp_path: Path, write: Write, reopen: Reopen) -> None:
    first = write(1, 1)
    for cycle in range(2, 6):
        folder = first.parent.with_name(f"cycle_{cycle:03d}")
        folder.mkdir()
        for number in range(1, FEW_FILES // 4 + 1):
            os.link(first, folder / first.name.replace("_001_001_", f"_{cycle:03d}_{number:03d}_"))
    with pytest.raises(MissingIndexError, match="swot-vre catalog index l2_lr_ssh_basic"):
        reopen().index()


def test_damaged_index_is_told_and_built_anew(entry: Entry, rewrite: Rewrite) -> None:
    build_index(entry)
    index = Path(entry.place.index_address(entry.name))
    rewrite(index, index.read_bytes()[:-50])
    with pytest.raises(UnreadableIndexError, match="swot-vre catalog index l2_lr_ssh_basic"):
        entry.index()
    report = build_index(entry)
    assert report.rebuilt
    assert len(entry.index()) == 12


def test_index_of_another_datalake_is_refused(entry: Entry, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "swot").mkdir(parents=True)
    build_index(open_catalog(tmp_path / "lake", index=tmp_path / "place")["l2_lr_ssh_basic"])
    with pytest.raises(UnreadableIndexError, match="is of the datalake"):
        open_catalog(other, index=tmp_path / "place")["l2_lr_ssh_basic"].index()


def test_moved_datalake_keeps_its_index(entry: Entry, tmp_path: Path) -> None:
    build_index(entry)
    (tmp_path / "lake").rename(tmp_path / "moved")
    assert len(open_catalog(tmp_path / "moved")["l2_lr_ssh_basic"].index()) == 12


def test_a_script_without_a_guard_builds_with_several_processes(tmp_path: Path, write: Write, reopen: Reopen) -> None:
    """Python would run such a script again in each worker; every file would count as one that ends its reader."""
    first = write(1, 1)
    for number in range(2, 585):
        os.link(first, first.with_name(first.name.replace("_001_001_", f"_001_{number:03d}_")))
    script = tmp_path / "build.py"
    script.write_text(
        "from swotvre_catalogs import open_catalog\n"
        "from swotvre_catalogs.index import build_index\n"
        f"report = build_index(open_catalog({str(tmp_path / 'lake')!r})['l2_lr_ssh_basic'], jobs=2)\n"
        "print(report.files, len(report.damaged))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "584 0\n"), done.stderr
