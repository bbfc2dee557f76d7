from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swotvre_kernels.errors import UnknownKernelError
from swotvre_kernels.prune import freed_bytes, prune_kernels
from swotvre_kernels.registry import list_kernels
from swotvre_kernels.versions import rollback_kernel

LOAD = "import ctypes; ctypes.CDLL(input()); print('loaded', flush=True); input()"


def names(prefix: Path) -> list[str]:
    return [kernel.path.name for kernel in list_kernels(prefix)]


def test_versions_beyond_the_newest_are_removed(versions: Path) -> None:
    assert prune_kernels(versions).removed == []
    answer = prune_kernels(versions, "tiny", keep=1)
    assert answer.removed == [versions / "tiny-2026.11"]
    assert answer.freed_bytes > 10**6
    assert names(versions) == ["tiny-2026.11.1"]
    assert not list(versions.glob("*.building"))


def test_active_version_stays_however_old_it_is(versions: Path) -> None:
    rollback_kernel("tiny", versions)
    assert prune_kernels(versions, keep=0).removed == [versions / "tiny-2026.11.1"]
    assert prune_kernels(versions, keep=0).removed == []
    assert names(versions) == ["tiny-2026.11"]


def test_dry_run_removes_nothing(versions: Path) -> None:
    answer = prune_kernels(versions, keep=0, dry_run=True)
    assert answer.removed == [versions / "tiny-2026.11"]
    assert answer.freed_bytes == freed_bytes([versions / "tiny-2026.11"])
    assert names(versions) == ["tiny-2026.11", "tiny-2026.11.1"]
    assert prune_kernels(versions, keep=1).freed_bytes == answer.freed_bytes


def test_version_that_a_process_runs_from_stays(versions: Path) -> None:
    old = versions / "tiny-2026.11"
    with subprocess.Popen([old / "bin/python", "-c", "input()"], stdin=subprocess.PIPE) as session:
        answer = prune_kernels(versions, keep=0)
        assert (answer.removed, answer.used) == ([], {old: [session.pid]})
        assert names(versions) == ["tiny-2026.11", "tiny-2026.11.1"]
        session.communicate(b"\n")
    assert prune_kernels(versions, keep=0).removed == [old]


def test_version_whose_library_is_in_memory_stays(versions: Path) -> None:
    old = versions / "tiny-2026.11"
    library = next(old.glob("lib/python3.12/site-packages/tornado/*.so"))
    command = [sys.executable, "-c", LOAD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdin
        assert session.stdout
        session.stdin.write(f"{library}\n")
        session.stdin.flush()
        assert session.stdout.readline() == "loaded\n"
        assert prune_kernels(versions, keep=0).used == {old: [session.pid]}
        session.communicate("\n")
    assert old.is_dir()


def test_process_of_the_newer_version_does_not_keep_the_older(versions: Path) -> None:
    new = versions / "tiny-2026.11.1/bin/python"
    with subprocess.Popen([new, "-c", "input()"], stdin=subprocess.PIPE) as session:
        assert prune_kernels(versions, keep=0).removed == [versions / "tiny-2026.11"]
        session.communicate(b"\n")


def test_files_that_others_link_to_free_nothing(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "own").write_bytes(b"1" * 100_000)
    (one / "shared").write_bytes(b"2" * 500_000)
    os.link(one / "shared", other / "shared")
    assert 100_000 <= freed_bytes([one]) < 200_000
    assert freed_bytes([one, other]) >= 600_000


def test_unknown_kernel_is_told(versions: Path) -> None:
    with pytest.raises(UnknownKernelError, match="no kernel 'big'"):
        prune_kernels(versions, "big")
