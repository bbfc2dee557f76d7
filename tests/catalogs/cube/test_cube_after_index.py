"""The granule index looks into every file; the cube takes from it what it saw, and nothing of a file that changed."""

import os

import h5py
import numpy
import pytest

from swotvre_catalogs import open_catalog
from swotvre_catalogs.cube import build_cube, open_chunk_table, open_cube
from swotvre_catalogs.errors import GranuleWarning
from swotvre_catalogs.index import build_index


def _paths(root):
    return sorted(root.glob("swot/**/*.nc"))


def _make_unreadable(path):
    """Give a file other bytes, so that its size and time stay the same."""
    status = path.stat()
    path.write_bytes(b"?" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _is_same_table(one, other):
    assert one.path == other.path
    assert [layout.signature for layout in one.layouts] == [layout.signature for layout in other.layouts]
    for name in ("size_bytes", "modified_ns", "first_line", "fingerprint", "begin", "end", "signature", "row"):
        numpy.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    numpy.testing.assert_array_equal(one.block_bounds, other.block_bounds)
    for name in one.variables:
        for positions, others in zip(one.chunks(name), other.chunks(name), strict=True):
            numpy.testing.assert_array_equal(positions, others)
    return True


@pytest.fixture
def expected(root, tmp_path):
    """The table of a cube that is built without an index."""
    alone = open_catalog(root, index=tmp_path / "elsewhere")["l2_lr_ssh_basic"]
    build_cube(alone)
    return open_chunk_table(alone)


def test_a_cube_opens_no_file_that_the_index_has_seen(entry, root, expected):
    build_index(entry)
    # One file says what is written about all of them.
    for path in _paths(root)[1:]:
        _make_unreadable(path)
    report = build_cube(entry)
    assert (report.files, report.left_out) == (5, ())
    assert _is_same_table(open_chunk_table(entry), expected)


def test_a_file_that_was_replaced_after_the_index_is_scanned_again(entry, write, equal_to_files):
    build_index(entry)
    write(2, 3, scale=1e-3, fill=-5)
    write(3, 7, lines=slice(10, 70))
    build_cube(entry)
    assert equal_to_files(open_cube(entry)) == 5


def test_files_that_came_after_the_index_are_scanned_with_the_cube(entry, write, equal_to_files):
    build_index(entry)
    write(2, 7)
    write(4, 3)
    report = build_cube(entry)
    assert (report.files, report.left_out) == (7, ())
    assert equal_to_files(open_cube(entry)) == 7


def test_a_cycle_that_is_added_is_known_by_its_bytes(entry, root, write, equal_to_files, tmp_path, monkeypatch):
    """Whatever differs from the files before is found all the same, and only that is given to the HDF5 library."""
    build_index(entry)
    for cycle, number in ((4, 3), (4, 7), (5, 3), (5, 7)):
        write(cycle, number)
    write(6, 3, scale=1e-3)
    write(2, 3, fill=-5)
    write(3, 7, lines=slice(10, 70))
    cut = write(6, 7)
    cut.write_bytes(cut.read_bytes()[:-2000])
    opened = []

    def asked(call):
        return lambda name, *given, **named: (
            opened.append(os.fsdecode(getattr(name, "name", name))) or call(name, *given, **named)
        )

    monkeypatch.setattr(h5py.h5f, "open", asked(h5py.h5f.open))
    report = build_index(entry)
    monkeypatch.undo()
    assert report.read == 8
    assert [(path.rsplit("/", 1)[-1], status) for path, status, _ in report.damaged] == [(cut.name, "truncated")]
    # One of the files before, the three odd ones, and the damaged one as often as it takes to say how.
    assert 4 < len(opened) <= 7
    anew = open_catalog(root, index=tmp_path / "anew")["l2_lr_ssh_basic"]
    build_index(anew)
    assert entry.index().identities() == anew.index().identities()
    assert entry.index().footprints().geometry.equals(anew.index().footprints().geometry)
    assert {build_cube(one).files for one in (entry, anew)} == {10}
    assert _is_same_table(open_chunk_table(entry), open_chunk_table(anew))
    with pytest.warns(GranuleWarning, match=cut.name):
        cube = open_cube(entry)
    cut.unlink()
    assert equal_to_files(cube) == 10


def test_an_index_that_grows_with_the_lake_serves_the_cube_that_does(entry, root, write, equal_to_files, tmp_path):
    build_index(entry)
    build_cube(entry)
    write(2, 7)
    write(4, 3, lines=slice(20, None))
    before = _paths(root)[0]
    before.unlink()
    build_index(entry)
    report = build_cube(entry)
    assert (report.files, report.added, report.removed, report.left_out) == (6, 2, 1, ())
    assert equal_to_files(open_cube(entry)) == 6
    alone = open_catalog(root, index=tmp_path / "elsewhere")["l2_lr_ssh_basic"]
    build_cube(alone)
    numpy.testing.assert_array_equal(open_chunk_table(entry).block_bounds, open_chunk_table(alone).block_bounds)


def test_what_the_index_saw_may_be_lost_or_damaged(entry, equal_to_files, expected):
    build_index(entry)
    folder = entry.place.folder / "scan/l2_lr_ssh_basic"
    assert sorted(path.name for path in folder.iterdir()) == [
        "bounds.arrow", "cycle_001.arrow", "cycle_002.arrow", "cycle_003.arrow",
    ]  # fmt: skip
    (folder / "cycle_001.arrow").unlink()
    (folder / "cycle_002.arrow").write_bytes(b"no Arrow")
    whole = (folder / "cycle_003.arrow").read_bytes()
    (folder / "cycle_003.arrow").write_bytes(whole[: len(whole) // 2])
    (folder / "bounds.arrow").write_bytes(b"")
    build_cube(entry)
    assert equal_to_files(open_cube(entry)) == 5
    assert _is_same_table(open_chunk_table(entry), expected)


def test_corrupt_positions_are_found_by_both(entry, root):
    damaged = _paths(root)[0]
    with h5py.File(damaged, "r") as file:
        info = file["latitude"].id.get_chunk_info(0)
    data = bytearray(damaged.read_bytes())
    data[info.byte_offset + 10 : info.byte_offset + 60] = b"\0" * 50
    damaged.write_bytes(data)
    assert [path for path, _, _ in build_index(entry).damaged] == [str(damaged.relative_to(root))]
    assert [one.path for one in build_cube(entry).left_out] == [str(damaged.relative_to(root))]
