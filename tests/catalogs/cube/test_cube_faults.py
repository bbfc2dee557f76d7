"""Files that are damaged, replaced or gone; builds that are killed or run twice; versions of yesterday."""

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import icechunk
import numpy
import pytest

from swotvre_catalogs import CatalogError, GranuleWarning, MissingGranuleError, open_catalog, open_folder
from swotvre_catalogs.byte_ranges import ReplacedFileError
from swotvre_catalogs.commands import main
from swotvre_catalogs.cube import MissingCubeError, build_cube, open_chunk_table, open_cube, select_swath
from swotvre_catalogs.cube.errors import CubeError, DamagedFileError
from swotvre_catalogs.cube.listing import list_files
from swotvre_catalogs.cube.parallel_indexing import index_files
from swotvre_catalogs.errors import BuildRunningError, PlaceError


def _path(root, cycle, number):
    return next(root.glob(f"swot/**/*_{cycle:03d}_{number:03d}_2*.nc"))


def _truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def test_a_truncated_file_is_left_out_and_named(entry, root, equal_to_files):
    damaged = _path(root, 2, 3)
    _truncate(damaged)
    report = build_cube(entry)
    assert [one.path.rsplit("/", 1)[-1] for one in report.left_out] == [damaged.name]
    with pytest.warns(GranuleWarning, match=damaged.name):
        cube = open_cube(entry)
    assert equal_to_files(cube, passed_over=(damaged.name,)) == 4


def test_a_damaged_file_is_not_read_again_until_it_is_replaced(entry, root, write, equal_to_files):
    _truncate(_path(root, 2, 3))
    build_cube(entry)
    assert not build_cube(entry).is_new
    write(2, 3)
    report = build_cube(entry)
    assert (report.added, report.left_out) == (1, ())
    assert equal_to_files(open_cube(entry)) == 5


def test_a_file_that_is_not_hdf5_is_left_out(entry, root):
    _path(root, 1, 7).write_bytes(b"<html>503 Service unavailable</html>" * 100)
    assert build_cube(entry).left_out[0].reason.startswith("it is neither netCDF nor a zipped shapefile: it begins")


def test_an_empty_file_is_said_to_be_empty(entry, root):
    _path(root, 1, 7).write_bytes(b"")
    assert build_cube(entry).left_out[0].reason == "it has only 0 bytes"


def test_a_lake_of_nothing_but_damage_is_refused(entry, root):
    for path in root.glob("swot/**/*.nc"):
        path.write_bytes(b"nothing")
    with pytest.raises(CubeError, match="none of the files of l2_lr_ssh_basic can be in a cube"):
        build_cube(entry)


def test_a_corrupt_chunk_is_an_error_that_names_the_file(entry, root):
    build_cube(entry)
    table = open_chunk_table(entry)
    row = int(table.row[1, 0])
    offset, size = (int(column[row, 0]) for column in table.chunks("ssha_karin_2"))
    path = _path(root, 2, 3)
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(offset + size // 2)
        file.write(b"\xff" * 20)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    cube = open_cube(entry)
    with pytest.raises(DamagedFileError, match=path.name):
        cube["ssha_karin_2"].mean().compute()
    others = select_swath(entry, params={"cycle_number": [1, 3]})
    assert others["ssha_karin_2"].notnull().any()


def test_a_file_replaced_after_the_build_is_an_error_until_the_next_build(entry, root, write, stock, equal_to_files):
    build_cube(entry)
    path = write(2, 3, no_data=True)
    os.utime(path, (time.time() + 10, time.time() + 10))
    cube = open_cube(entry)
    with pytest.raises(ReplacedFileError, match=path.name):
        cube["ssha_karin_2"].mean().compute()
    with pytest.raises(icechunk.IcechunkError, match="has changed"):
        stock(entry)["ssha_karin_2"].sel(cycle_number=2, pass_number=3).to_numpy()
    report = build_cube(entry)
    assert (report.added, report.removed) == (1, 1)
    assert equal_to_files(open_cube(entry)) == 5
    assert equal_to_files(stock(entry)) == 5


def test_a_replaced_file_is_named_also_where_a_variable_is_read_through_the_store(entry, write):
    write(3, 3, dtype=">i4")
    build_cube(entry)
    cube = open_cube(entry)["ssha_karin_2"]
    assert cube.notnull().any()
    path = write(2, 3, no_data=True)
    os.utime(path, (time.time() + 10, time.time() + 10))
    with pytest.raises(ReplacedFileError, match=f"{path.name} was replaced after it was indexed"):
        cube.mean().compute()


def test_a_removed_file_becomes_a_hole(entry, root, stock, equal_to_files):
    build_cube(entry)
    _path(root, 2, 3).unlink()
    _path(root, 3, 7).unlink()
    report = build_cube(entry)
    assert (report.files, report.removed, report.missing) == (3, 2, 1)
    for cube in (open_cube(entry), stock(entry)):
        assert equal_to_files(cube) == 3


def test_the_file_that_gave_the_positions_may_be_removed_or_surpassed(entry, root, write, stock, equal_to_files):
    write(1, 3, lines=slice(0, 80))
    write(2, 3, lines=slice(8, 80))
    write(3, 3, lines=slice(0, 70))
    build_cube(entry)
    assert equal_to_files(open_cube(entry).isel(num_lines=slice(0, 96))) == 5
    write(2, 3)
    _path(root, 1, 3).unlink()
    build_cube(entry)
    assert equal_to_files(open_cube(entry)) == 4
    assert equal_to_files(stock(entry)) == 4


def test_a_new_cycle_is_appended_and_the_old_ones_stay(entry, write, stock, equal_to_files):
    first = build_cube(entry)
    write(4, 3)
    write(4, 7)
    second = build_cube(entry)
    assert (second.added, second.removed, second.files) == (2, 0, 7)
    assert second.commit != first.commit
    assert equal_to_files(open_cube(entry)) == 7
    assert equal_to_files(stock(entry)) == 7


def test_a_pass_and_a_cycle_in_the_middle_find_their_place(entry, write, stock, equal_to_files):
    build_cube(entry)
    write(2, 7)
    assert build_cube(entry).missing == 0
    assert equal_to_files(stock(entry)) == 6
    assert equal_to_files(open_cube(entry)) == 6


def test_nothing_new_makes_no_commit(entry):
    first = build_cube(entry)
    second = build_cube(entry)
    assert (second.is_new, second.commit) == (False, first.commit)


def test_yesterday_can_be_pinned(entry, write):
    first = build_cube(entry)
    before = float(open_cube(entry)["ssha_karin_2"].mean())
    between = numpy.datetime64(time.time_ns(), "ns")
    time.sleep(0.05)
    write(4, 3)
    build_cube(entry)
    assert open_cube(entry).sizes["cycle_number"] == 4
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(entry.place.cube_address(entry.name)))
    repository.create_tag("paper", first.commit)
    for at in (first.commit, "paper", between):
        cube = open_cube(entry, at=at)
        assert (cube.attrs["commit"], cube.sizes["cycle_number"]) == (first.commit, 3)
        assert float(cube["ssha_karin_2"].mean()) == before
    assert open_chunk_table(entry, at="paper").commit == first.commit
    with pytest.raises(MissingCubeError, match="did not exist at 2020-12-31"):
        open_cube(entry, at="2020")
    with pytest.raises(MissingCubeError, match=r"neither a commit, a tag nor a time.*did you mean 'paper'"):
        open_cube(entry, at="papr")


def test_readers_are_undisturbed_by_a_build(entry, write):
    cube = open_cube(entry)
    lazy = cube["ssha_karin_2"].mean()
    write(4, 3)
    build_cube(entry)
    assert float(lazy) == float(open_cube(entry, at=cube.attrs["commit"])["ssha_karin_2"].mean())


def test_two_builds_at_once_are_refused(entry, reopen):
    with entry.place.lock("cube-l2_lr_ssh_basic"), pytest.raises(BuildRunningError, match=f"pid {os.getpid()}"):
        build_cube(reopen())
    assert build_cube(entry).files == 5


@pytest.mark.parametrize("built_before", [False, True], ids=["first", "later"])
def test_a_killed_build_is_taken_up_by_the_next(entry, root, write, stock, equal_to_files, built_before):
    if built_before:
        build_cube(entry)
        write(4, 3)
    # The program stops by itself when everything is written but the commit; then it is killed for good.
    program = (
        "import os, sys, icechunk\n"
        "from swotvre_catalogs import open_catalog\n"
        "commit = lambda *args, **more: (print('writing', flush=True), sys.stdin.read())\n"
        "icechunk.Session.commit = commit\n"
        f"open_catalog({str(root)!r})['l2_lr_ssh_basic'].build_cube()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as build:
        assert build.stdout.readline() == b"writing\n"
        if built_before:
            assert open_cube(entry).sizes["cycle_number"] == 3
        build.send_signal(signal.SIGKILL)
    report = build_cube(entry)
    assert report.files == (6 if built_before else 5)
    assert equal_to_files(open_cube(entry)) == report.files
    assert equal_to_files(stock(entry)) == report.files


def test_a_large_cube_is_not_built_without_being_asked(entry, monkeypatch):
    monkeypatch.setattr("swotvre_catalogs.cube.opening.BUILT_AT_ONCE", 4)
    with pytest.raises(MissingCubeError, match="5 files; build it once: swot-vre catalog cube l2_lr_ssh_basic"):
        open_cube(entry)


def test_a_product_without_lines_that_repeat_has_no_cube(entry):
    from swotvre_catalogs import open_catalog

    other = open_catalog(entry.datalake.address)["l2_lr_ssh_unsmoothed"]
    with pytest.raises(CubeError, match="native grid"):
        open_cube(other)


def test_an_empty_lake_has_no_cube(entry, root):
    for path in root.glob("swot/**/*.nc"):
        path.unlink()
    with pytest.raises(MissingGranuleError, match="no granule of l2_lr_ssh_basic"):
        build_cube(entry)


def test_every_fault_is_an_error_that_a_person_can_mend():
    assert issubclass(DamagedFileError, CatalogError)
    assert issubclass(MissingCubeError, CatalogError)


def test_processes_index_what_one_does(entry, root, monkeypatch):
    _truncate(_path(root, 2, 3))
    files = list_files(entry.datalake, entry.product)
    alone = index_files(entry.datalake, files)
    monkeypatch.setattr("swotvre_catalogs.cube.parallel_indexing.FILES_PER_PROCESS", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    told = []
    together = index_files(entry.datalake, files, progress=lambda done, every: told.append((done, every)))
    assert told == [(number, 5) for number in range(1, 6)]
    for one, other in zip(alone, together, strict=True):
        assert type(one) is type(other)
        if isinstance(one, DamagedFileError):
            assert str(one) == str(other)
            continue
        assert (one.path, one.modified_ns, one.layout, one.geometry) == (
            other.path,
            other.modified_ns,
            other.layout,
            other.geometry,
        )
        for name in one.layout.variables:
            assert one.offsets[name].tolist() == other.offsets[name].tolist()
            assert one.sizes[name].tolist() == other.sizes[name].tolist()


def test_a_datalake_that_is_reached_by_a_link_is_the_same(entry, root, tmp_path):
    report = entry.build_cube()
    (tmp_path / "link").symlink_to(root)
    linked = open_catalog(tmp_path / "link")["l2_lr_ssh_basic"]
    assert linked.datalake.address == str(root)
    assert linked.cube().attrs == entry.cube().attrs
    assert len(linked.index()) == report.files


@pytest.mark.parametrize("opened", [open_catalog, open_folder])
def test_a_cube_that_moved_with_its_datalake_is_refused_with_the_command_that_mends_it(
    root, tmp_path, equal_to_files, opened
):
    opened(root)["l2_lr_ssh_basic"].build_cube()
    entry = opened(shutil.copytree(root, tmp_path / "moved here"))["l2_lr_ssh_basic"]
    with pytest.raises(MissingCubeError, match="build it anew: ") as refused:
        entry.cube()
    command = shlex.split(str(refused.value).partition("build it anew: ")[2])
    assert command[:2] == ["swot-vre", "catalog"]
    said = io.StringIO()
    assert main(command[2:], said) == 0
    assert "5 files (5 added or replaced" in said.getvalue()
    assert equal_to_files(entry.cube()) == 5


@pytest.mark.parametrize("name", ["with space", "caf\u00e9", "50%20", "a#b?c", "deep er/and/er"])
def test_a_datalake_may_be_called_anything(root, tmp_path, equal_to_files, stock, name):
    entry = open_catalog(shutil.copytree(root, tmp_path / name))["l2_lr_ssh_basic"]
    entry.build_index()
    assert equal_to_files(entry.cube()) == 5
    assert equal_to_files(stock(entry)) == 5
    assert entry.count("ssha_karin_2") == entry.cube()["ssha_karin_2"].count()


def test_a_cube_of_a_few_files_follows_the_folder(entry, root, write, reopen, equal_to_files):
    assert equal_to_files(entry.cube()) == 5
    assert entry.mean("ssha_karin_2").attrs["files"] == 5
    write(4, 3)
    write(2, 3, no_data=True)
    _path(root, 1, 7).unlink()
    assert equal_to_files(reopen().cube()) == 5
    assert reopen().mean("ssha_karin_2", over="cycle_number").attrs["files"] == 5
    assert set(reopen().sel(pass_number=3)["cycle_number"].to_numpy()) == {1, 2, 3, 4}
    newest = entry.cube().attrs["commit"]
    assert reopen().cube().attrs["commit"] == newest


def test_a_cube_that_an_operator_built_waits_for_the_operator(entry, write, reopen):
    build_cube(entry)
    write(4, 3)
    assert reopen().cube().sizes["cycle_number"] == 3


def test_a_cube_that_cannot_follow_says_so(entry, write, reopen, monkeypatch):
    entry.cube()
    write(4, 3)

    def refuse(*_: object) -> None:
        raise PlaceError("the place cannot be written")

    monkeypatch.setattr("swotvre_catalogs.index.place.local_lock", refuse)
    with pytest.warns(GranuleWarning, match="were added, replaced or removed since its cube was built, but the place"):
        assert reopen().cube().sizes["cycle_number"] == 3


def test_a_cube_that_somebody_builds_is_waited_for(entry, monkeypatch):
    place, waits = entry.place, []
    lock = place.lock("cube-l2_lr_ssh_basic")
    lock.__enter__()

    def end_the_other_build(seconds: float) -> None:
        waits.append(seconds)
        lock.__exit__(None, None, None)

    monkeypatch.setattr("swotvre_catalogs.cube.opening.time.sleep", end_the_other_build)
    assert entry.cube().attrs["files"] == 5
    assert waits == [1.0]
