"""Byte ranges of ordinary files: the right bytes, from many threads, and never those of a replaced file."""

import os
import pickle
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest

from swotvre_catalogs import MissingGranuleError
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.object_store import (
    AccessDeniedError,
    FileIdentity,
    LocalRangeReader,
    RangeRequest,
    ReplacedFileError,
    open_reader,
)

FILES, SIZE = 20, 10_000


def content(number: int) -> bytes:
    return numpy.random.default_rng(number).bytes(SIZE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(FILES):
        (tmp_path / f"{number}.nc").write_bytes(content(number))
    return tmp_path


def identity(path: Path) -> FileIdentity:
    status = path.stat()
    return FileIdentity(status.st_size, status.st_mtime_ns)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_range_is_the_bytes_of_the_file(folder):
    reader = open_reader(Datalake(str(folder)))
    assert reader.read("3.nc", 100, 50) == content(3)[100:150]
    assert reader.read("3.nc", 0, 0) == b""


def test_a_range_is_read_into_a_reused_buffer(folder):
    reader = LocalRangeReader(folder)
    buffer = numpy.zeros(64, dtype=numpy.uint8)
    for number in range(FILES):
        view = reader.read(f"{number}.nc", 7, 50, into=buffer)
        assert bytes(view) == bytes(buffer[:50]) == content(number)[7:57]
    assert not buffer[50:].any()
    with pytest.raises(ValueError, match="expected 65 writable bytes"):
        reader.read("3.nc", 0, 65, into=buffer)


def test_many_ranges_come_in_the_order_asked(folder):
    reader = LocalRangeReader(folder)
    requests = [RangeRequest(f"{number}.nc", number, 10, identity(folder / f"{number}.nc")) for number in range(FILES)]
    assert [bytes(data) for data in reader.read_many(requests)] == [content(n)[n : n + 10] for n in range(FILES)]


def test_threads_read_the_right_bytes_with_a_bounded_number_of_open_files(folder):
    before = open_descriptors()
    reader = LocalRangeReader(folder, max_open_files=3)
    seen: list[int] = []

    def one(seed: int) -> bool:
        number, offset = numpy.random.default_rng(seed).integers([FILES, SIZE - 100]).tolist()
        data = bytes(reader.read(f"{number}.nc", offset, 100, expect=identity(folder / f"{number}.nc")))
        seen.append(open_descriptors())
        return data == content(number)[offset : offset + 100]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(2000)))
    assert max(seen) <= before + 3 + 2 * 8  # those kept, and those in use or listed by the threads
    assert open_descriptors() == before + 3
    reader.close()
    assert open_descriptors() == before


def test_a_pickled_reader_reads_the_same_files(folder):
    reader = LocalRangeReader(folder)
    reader.read("1.nc", 0, 1)
    assert pickle.loads(pickle.dumps(reader)).read("1.nc", 5, 5) == content(1)[5:10]  # noqa: S301


def test_a_file_replaced_by_another_of_its_size_is_refused(folder):
    expected = identity(folder / "1.nc")
    (folder / "1.nc").write_bytes(content(2))
    os.utime(folder / "1.nc", ns=(0, expected.modified_ns + 1))
    said = r"1\.nc was replaced after .* of the same size that was written at another time; .* catalog index PRODUCT"
    with pytest.raises(ReplacedFileError, match=said):
        LocalRangeReader(folder).read("1.nc", 0, 10, expect=expected)


@pytest.mark.parametrize("how", ["renamed", "rewritten"])
def test_a_file_replaced_while_it_is_open_is_refused(folder, how):
    reader = LocalRangeReader(folder)
    expected = identity(folder / "1.nc")
    assert reader.read("1.nc", 0, 10, expect=expected) == content(1)[:10]
    if how == "renamed":
        (folder / "new").write_bytes(content(2)[:-1])
        (folder / "new").rename(folder / "1.nc")
    else:
        (folder / "1.nc").write_bytes(content(2)[:-1])
    with pytest.raises(ReplacedFileError, match=f"it was {SIZE} bytes, and is now one of {SIZE - 1} bytes"):
        reader.read("1.nc", 0, 10, expect=expected)
    assert reader.read("1.nc", 0, 10, expect=identity(folder / "1.nc")) == content(2)[:10]


def test_a_truncated_file_is_refused_also_without_an_identity(folder):
    os.truncate(folder / "1.nc", 500)
    with pytest.raises(ReplacedFileError, match="expected 100 bytes from byte 450, but the file ends at byte 500"):
        LocalRangeReader(folder).read("1.nc", 450, 100)


def test_a_deleted_file_is_missing_though_it_was_open(folder):
    reader = LocalRangeReader(folder)
    reader.read("1.nc", 0, 10)
    (folder / "1.nc").unlink()
    with pytest.raises(MissingGranuleError, match=r"1\.nc is not there any more"):
        reader.read("1.nc", 0, 10)


@pytest.fixture
def unreadable_file() -> Iterator[Path]:
    # An ordinary user asks, even when root runs the tests.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "1.nc")
        path.write_bytes(b"x" * 100)
        path.chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield path
        finally:
            if root:
                os.seteuid(0)


def test_a_forbidden_file_is_told_apart_from_a_missing_one(unreadable_file):
    with pytest.raises(AccessDeniedError, match="may not be read: permission denied"):
        LocalRangeReader(unreadable_file.parent).read("1.nc", 0, 10)
