from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swotvre_kernels.build import build_kernel
from swotvre_kernels.errors import KernelBusyError
from swotvre_kernels.install import active_environment
from swotvre_kernels.prefix import locked
from swotvre_kernels.registry import KernelState, list_kernels

BUILD = """
import sys
from pathlib import Path
from swotvre_kernels.build import build_kernel
build_kernel("tiny", Path(sys.argv[1]), environments=Path(sys.argv[2]))
"""


def start_build(prefix: Path, environments: Path) -> subprocess.Popen[bytes]:
    """Start a build in a process of its own; return when it writes the environment."""
    child = subprocess.Popen([sys.executable, "-c", BUILD, str(prefix), str(environments)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (prefix / "tiny-2026.11" / "pyvenv.cfg").exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return child


def test_killed_build_is_repaired_by_the_next(prefix: Path, tiny_source: Path) -> None:
    child = start_build(prefix, tiny_source)
    assert [kernel.state for kernel in list_kernels(prefix)] == [KernelState.BUILDING]
    child.kill()
    child.communicate()
    assert [kernel.state for kernel in list_kernels(prefix)] == [KernelState.BROKEN]
    assert active_environment("tiny", prefix) is None

    steps: list[str] = []
    build = build_kernel("tiny", prefix, environments=tiny_source, progress=lambda step, _: steps.append(step))
    assert build.path == prefix / "tiny-2026.11"
    assert "Removing what an interrupted build left: tiny-2026.11" in steps
    assert [kernel.state for kernel in list_kernels(prefix)] == [KernelState.ACTIVE]


def test_interrupted_build_cleans_up(prefix: Path, tiny_source: Path) -> None:
    child = start_build(prefix, tiny_source)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate()
    assert b"KeyboardInterrupt" in errors
    assert list_kernels(prefix) == []
    assert not (prefix / "tiny-2026.11").exists()


def test_two_builds_at_once_are_refused(prefix: Path, tiny_source: Path) -> None:
    prefix.mkdir()
    with (
        locked(prefix, lambda step, fraction: None),
        pytest.raises(KernelBusyError, match=f"another build works in .* \\(process {os.getpid()}\\)"),
    ):
        build_kernel("tiny", prefix, environments=tiny_source)


def test_orphan_of_a_killed_build_is_waited_for(prefix: Path) -> None:
    prefix.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    (prefix / ".lock").write_text(json.dumps({"pid": dead.pid, "started": "1"}))
    steps: list[str] = []
    with (prefix / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # It inherits the descriptor, and with it the lock, as uv does from a build that is then killed.
        orphan = subprocess.Popen(["sleep", "3"], pass_fds=(held.fileno(),))
    with locked(prefix, lambda step, _: steps.append(step)):
        assert orphan.wait(timeout=10) == 0
    assert "Waiting for the last program of an interrupted build" in steps
