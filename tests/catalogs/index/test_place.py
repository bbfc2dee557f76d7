"""Where indexes and cubes lie, and that only one builds at a time."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import BuildRunningError, PlaceError
from swotvre_catalogs.index.lock import SILENCE_SECONDS
from swotvre_catalogs.index.place import Place, configured_place

HOLD = """
import sys
from swotvre_catalogs.index.place import Place
with Place(sys.argv[1]).lock("index-basic"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    folder.mkdir()
    return folder


@contextlib.contextmanager
def _holder(place: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_place_is_in_the_datalake_unless_told_otherwise(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datalake = Datalake(str(lake))
    assert configured_place(datalake).address == f"{lake}/.swot-vre"
    monkeypatch.setenv("SWOTVRE_INDEX", str(tmp_path / "site"))
    assert configured_place(datalake).address == str(tmp_path / "site")
    assert configured_place(datalake, tmp_path / "mine").address == str(tmp_path / "mine")
    assert configured_place(datalake).index_address("basic") == f"{tmp_path}/site/index/basic.parquet"
    assert configured_place(datalake).cube_address("basic") == f"{tmp_path}/site/cube/basic"


def test_index_of_the_environment_is_not_that_of_another_datalake(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWOTVRE_DATALAKE", str(tmp_path))
    monkeypatch.setenv("SWOTVRE_INDEX", str(tmp_path / "site"))
    assert configured_place(Datalake(str(lake))).address == f"{lake}/.swot-vre"
    assert configured_place(Datalake(str(tmp_path))).address == str(tmp_path / "site")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_datalake_that_cannot_be_written_has_its_place_in_the_cache(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lake.chmod(0o555)
    assert configured_place(Datalake(str(lake))).address.startswith(f"{tmp_path}/cache/swot-vre/index/")


def test_object_store_without_a_place_is_not_written_to_by_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    store.pipe("/store/one/file.nc", b"")
    store.pipe("/store/two/file.nc", b"")
    one, two = (Datalake(f"memory://store/{name}") for name in ("one", "two"))
    assert configured_place(one).address.startswith(f"{tmp_path}/cache/swot-vre/index/")
    assert configured_place(one).address != configured_place(two).address
    assert store.find("/store/one") == ["/store/one/file.nc"]
    assert configured_place(one, writing=True).address == "memory://store/one/.swot-vre"
    store.pipe("/store/one/.swot-vre/index/basic.parquet", b"")
    assert configured_place(one).address == "memory://store/one/.swot-vre"
    store.rm("/store", recursive=True)


def test_file_is_replaced_as_a_whole_and_its_version_changes(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "place"))
    assert place.version("index/a") is None
    place.write_bytes("index/a", b"one")
    first = place.version("index/a")
    place.write_bytes("index/a", b"two")
    assert place.read_bytes("index/a") == b"two"
    assert place.version("index/a") != first
    assert place.list("index") == ["a"]
    place.remove("index/a")
    place.remove("index/a")
    assert place.list("index") == []
    assert not place.exists("index/a")


def test_place_that_cannot_be_written_says_so_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaceError, match="--index"):
        Place(str(tmp_path / "file" / "below")).write_bytes("index/a", b"")


def test_second_builder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with _holder(tmp_path) as holder:
        with pytest.raises(BuildRunningError) as caught, Place(str(tmp_path)).lock("index-basic"):
            pass
        told = str(caught.value)
        assert f"pid {holder.pid}" in told
        assert socket.gethostname() in told
        with Place(str(tmp_path)).lock("index-expert"):
            pass


def test_second_builder_of_the_same_process_is_refused(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    refused = pytest.raises(BuildRunningError, match=f"pid {os.getpid()}")
    with place.lock("index-basic"), refused, place.lock("index-basic"):
        pass
    with place.lock("index-basic"):
        pass


def test_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    with _holder(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (tmp_path / "locks/index-basic.lock").read_text()
        with Place(str(tmp_path)).lock("index-basic"):
            pass
    assert not (tmp_path / "locks/index-basic.lock").exists()


def test_lock_of_another_host_counts_as_long_as_it_shows_life(tmp_path: Path) -> None:
    lock = tmp_path / "locks/index-basic.lock"
    lock.parent.mkdir()
    lock.write_text('{"host": "node17", "pid": 4711, "since": "2024-01-01T00:00:00+00:00"}')
    place = Place(str(tmp_path))
    with pytest.raises(BuildRunningError, match=r"host node17, pid 4711, since 2024"), place.lock("index-basic"):
        pass
    silent = lock.stat().st_mtime - SILENCE_SECONDS - 1
    os.utime(lock, (silent, silent))
    with place.lock("index-basic"):
        pass
