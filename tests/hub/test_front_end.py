"""Node: the machine's where there is one, else the one of its lock, which must bring an npm that works."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from swotvre_hub.front_end import ensure_node, ensure_proxy
from swotvre_hub.state import State


@pytest.fixture
def state(tmp_path: Path, installed_state: Path) -> State:
    root = tmp_path / ".vre"
    for name in ("env", "log", "run"):
        (root / name).mkdir(parents=True)
    (root / "bootstrap").symlink_to(installed_state / "bootstrap")
    return State(root)


@pytest.fixture
def path_without_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every program of PATH but Node and npm, and those of another kind of the same name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in {"node", "nodejs", "npm", "npx"} and not os.path.lexists(folder / program.name):
                (folder / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.usefixtures("path_without_node")
def test_a_machine_without_node_gets_one_that_installs_and_runs_the_proxy(state: State) -> None:
    node = ensure_node(state)
    assert node.program.is_relative_to(state.root)
    version = subprocess.run([*node.npm, "--version"], capture_output=True, text=True, check=False)
    assert version.returncode == 0, version.stderr
    ensure_proxy(state, node)
    done = subprocess.run([state.root / "node" / "proxy", "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()[0].isdigit()


@pytest.mark.skipif(shutil.which("node") is None or shutil.which("npm") is None, reason="this machine has no Node")
def test_the_machines_own_node_is_taken_when_it_is_new_enough(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ensure_node(state).program == Path(str(shutil.which("node")))
    old = tmp_path / "old"
    old.mkdir()
    for name, says in (("node", "v12.22.0"), ("npm", "6.14.0")):
        (old / name).write_text(f"#!/bin/sh\necho {says}\n", encoding="ascii")
        (old / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{old}{os.pathsep}{os.environ['PATH']}")
    assert ensure_node(state).program.is_relative_to(state.root)
