"""Memory limits by cgroup."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swotvre_hub.cgroups import CgroupError, MemoryCgroups, candidates, end_cgroup, find_memory_cgroups

SUPERVISE_A_HOG = """
import sys
from swotvre_lab.order import SessionOrder
from swotvre_lab.supervisor import supervise
def serve():
    kept = []
    while True:
        kept.append(bytearray(8 * 2**20))
supervise(SessionOrder.from_json(sys.stdin.read()), serve)
"""


@pytest.fixture
def memory_cgroups() -> MemoryCgroups:
    try:
        return find_memory_cgroups()
    except CgroupError as error:
        pytest.skip(f"this account cannot limit memory here: {error}")


def test_a_session_that_uses_more_than_its_memory_is_killed_and_says_so(
    memory_cgroups: MemoryCgroups, tmp_path: Path
) -> None:
    cgroup = memory_cgroups.create(secrets.token_hex(6), 64 * 2**20)
    order = {
        "environment": {},
        "folder": str(tmp_path),
        "log": str(tmp_path / "log"),
        "cores": [],
        "cgroup": str(cgroup),
        "ends_at": time.time() + 60,
        "grace_seconds": 1,
        "end_record": str(tmp_path / "end.json"),
    }
    try:
        command = [sys.executable, "-c", SUPERVISE_A_HOG]
        subprocess.run(command, input=json.dumps(order).encode(), timeout=60, check=False)
    finally:
        end_cgroup(cgroup)
    end = json.loads((tmp_path / "end.json").read_text())
    assert (end["cause"], end["status"], end["memory_kills"]) == ("memory", -signal.SIGKILL, 1)
    assert not cgroup.exists()


def test_the_end_of_a_cgroup_ends_its_processes(memory_cgroups: MemoryCgroups) -> None:
    cgroup = memory_cgroups.create(secrets.token_hex(6), 64 * 2**20)
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        end_cgroup(cgroup)
        assert process.wait(10) == -signal.SIGKILL
        assert not cgroup.exists()
    finally:
        process.kill()
        process.wait()


def test_what_is_tried_is_removed(memory_cgroups: MemoryCgroups) -> None:
    memory_cgroups.try_out()
    assert list(memory_cgroups.parent.glob("swotvre-probe-*")) == []


def test_where_no_memory_controller_is_mounted_the_reason_is_told(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match="this account may write no memory cgroup below"):
        find_memory_cgroups("0::/\n", tmp_path)


def test_a_folder_that_is_no_cgroup_is_refused_by_trying(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    with pytest.raises(CgroupError, match="the memory controller is not enabled here"):
        find_memory_cgroups("0::/\n", tmp_path)


def test_the_nearest_writable_place_is_tried_first(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "user.slice" / "app.scope").mkdir(parents=True)
    found = [place.parent for place in candidates("0::/user.slice/app.scope\n", tmp_path)]
    assert found == [tmp_path / "user.slice" / "app.scope", tmp_path / "user.slice", tmp_path]


def test_version_1_is_recognised_by_its_memory_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "memory" / "job").mkdir(parents=True)
    found = list(candidates("4:memory:/job\n0::/\n", tmp_path))
    assert found == [MemoryCgroups(tmp_path / "memory" / "job", 1), MemoryCgroups(tmp_path / "memory", 1)]


def test_a_place_that_may_not_be_written_is_left_out(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "memory").mkdir(mode=0o500)
    assert list(candidates("4:memory:/\n", tmp_path)) == []
