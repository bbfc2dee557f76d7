"""Kernels that end unexpectedly: a real server notes them, and whether they were killed for memory."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from swotvre_hub.cgroups import CgroupError, end_cgroup, find_memory_cgroups
from swotvre_lab import kernel_deaths
from swotvre_lab.kernel_deaths import MemoryKills

#: Room for a server and two kernels.
MEMORY_MIB = 700


def deaths(server) -> list[tuple[str, bool]]:
    return [(death["name"], death["memory"]) for death in server.session()["kernel_deaths"]]


def test_killed_kernels_are_noted_by_notebook_each_time_and_ended_ones_are_not(server, connect_kernel):
    rings, ended, unnamed = (
        connect_kernel(server, "studies/rings.ipynb"),
        connect_kernel(server),
        connect_kernel(server),
    )
    assert deaths(server) == []
    server.request("POST", f"{rings.path}/restart").raise_for_status()
    server.request("DELETE", ended.path).raise_for_status()
    for kernel in (rings, unnamed, rings):
        count = len(deaths(server))
        os.kill(kernel.pid(), signal.SIGKILL)
        server.wait_for("the death is noted", lambda count=count: len(deaths(server)) > count)
        server.wait_for("the kernel runs again", lambda kernel=kernel: kernel.state() != "restarting")
    assert deaths(server) == [("studies/rings.ipynb", False), ("test", False), ("studies/rings.ipynb", False)]
    last = datetime.fromisoformat(server.session()["kernel_deaths"][-1]["time"])
    assert timedelta(0) <= datetime.now(UTC) - last < timedelta(seconds=60)
    for kernel in (rings, unnamed):
        server.request("DELETE", kernel.path).raise_for_status()


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """Return a memory cgroup that is full soon."""
    try:
        folder = find_memory_cgroups().create(f"test-deaths-{os.getpid()}", MEMORY_MIB * 2**20)
    except CgroupError as error:
        pytest.skip(f"memory cgroups cannot be tested: {error}")
    yield folder
    end_cgroup(folder)


def test_a_kernel_that_uses_the_memory_up_is_told_and_is_in_the_end_record(
    start_server, connect_kernel, cgroup, tmp_path
):
    server = start_server({}, cgroup)
    hungry, other = connect_kernel(server, "hungry.ipynb"), connect_kernel(server, "other.ipynb")
    other.execute("1")
    alive = other.pid()
    hungry.execute(f"held = b'x' * ({2 * MEMORY_MIB} * 2**20)", wait=False)
    server.wait_for("the death is noted", lambda: deaths(server) != [])
    assert deaths(server) == [("hungry.ipynb", True)]
    os.kill(alive, signal.SIGKILL)
    server.wait_for("another death is noted", lambda: len(deaths(server)) > 1)
    assert deaths(server) == [("hungry.ipynb", True), ("other.ipynb", False)]
    server.request("POST", "api/shutdown").raise_for_status()
    end = tmp_path / "end.json"
    server.wait_for("the session has ended", end.exists)
    record = json.loads(end.read_text())
    assert (record["cause"], record["killed_kernels"]) == ("ended", ["hungry.ipynb"])
    assert record["memory_kills"] >= 1


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """Return the folder of a cgroup in which three processes were killed already."""
    (tmp_path / "memory.events").write_text("oom 9\noom_kill 3\n")
    return tmp_path


def test_each_kill_for_memory_explains_one_death(counted):
    kills = MemoryKills(str(counted))
    assert not kills.explain_death(), "what was killed before is not of this server"
    (counted / "memory.events").write_text("oom 12\noom_kill 5\n")
    assert [kills.explain_death() for _ in range(3)] == [True, True, False]


def test_a_kill_long_ago_explains_no_death(counted, monkeypatch):
    monkeypatch.setattr(kernel_deaths, "RECENT_SECONDS", 0.01)
    kills = MemoryKills(str(counted))
    (counted / "memory.events").write_text("oom 12\noom_kill 4\n")
    kills.look()
    time.sleep(0.05)
    assert not kills.explain_death()
