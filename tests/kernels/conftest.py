"""A tiny kernel of the tests' own: ipykernel alone, locked by uv once per run, built for real."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nbformat
import pytest

from swotvre_kernels.build import KernelBuild, build_kernel
from swotvre_kernels.lock import write_lock
from swotvre_kernels.models import DEFINITION_FILE, read_definition
from swotvre_kernels.prefix import set_folders_writable

TINY = """
name = "tiny"
version = "2026.11"
title = "Tiny"
description = "ipykernel alone"
python = "3.12"
space_gib = 0.2
requirements = ["ipykernel"]
imports = ["ipykernel", "json"]
logos = ["logo-64x64.png"]
smoke_notebook = "smoke.ipynb"

[variables]
TINY_VARIABLE = "seen by the kernel"
"""
SMOKE = 'import os\nassert os.environ["TINY_VARIABLE"] == "seen by the kernel"\nassert "PYTHONPATH" not in os.environ'


def write_notebook(folder: Path, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, folder / "smoke.ipynb")


def copy_prefix(source: Path, target: Path) -> Path:
    """Copy kernels; what is a link into uv's cache becomes a file of its own."""
    # A program: shutil takes four times as long.
    subprocess.run(["cp", "-R", "-P", "--preserve=mode,timestamps", source, target], check=True)
    set_folders_writable(target, writable=True)
    return target


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of definitions with the kernel ``tiny``, locked."""
    folder = tmp_path_factory.mktemp("definitions") / "tiny"
    folder.mkdir()
    (folder / DEFINITION_FILE).write_text(TINY)
    (folder / "logo-64x64.png").write_bytes(b"a picture")
    write_notebook(folder, SMOKE, "21 * 2")
    definition = read_definition(folder)
    write_lock(folder, definition, definition.requirements)
    return folder.parent


@pytest.fixture(scope="session")
def built_once(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KernelBuild]:
    """A prefix with ``tiny`` built in it; for tests that only look."""
    prefix = tmp_path_factory.mktemp("built")
    return prefix, build_kernel("tiny", prefix, environments=tiny_source)


@pytest.fixture
def copied(built_once: tuple[Path, KernelBuild], tmp_path: Path) -> Path:
    """A prefix with a copy of ``tiny``: its files are no links into uv's cache, a test may write into them."""
    return copy_prefix(built_once[0], tmp_path / "copied")


@pytest.fixture(scope="session")
def built_twice(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix with two versions of ``tiny``, the second active; for :func:`versions`."""
    folder = tmp_path_factory.mktemp("twice")
    environments = Path(shutil.copytree(tiny_source, folder / "definitions"))
    build_kernel("tiny", folder / "kernels", environments=environments)
    path = environments / "tiny" / DEFINITION_FILE
    path.write_text(path.read_text() + 'SECOND = "added"\n')
    build_kernel("tiny", folder / "kernels", environments=environments)
    return folder / "kernels"


@pytest.fixture
def versions(built_twice: Path, tmp_path: Path) -> Path:
    """A copy of a prefix with ``tiny-2026.11`` and the active ``tiny-2026.11.1``."""
    return copy_prefix(built_twice, tmp_path / "versions")


@pytest.fixture
def environments(tiny_source: Path, tmp_path: Path) -> Path:
    """Definitions that the test may change."""
    return Path(shutil.copytree(tiny_source, tmp_path / "definitions"))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "kernels"


@pytest.fixture
def change(environments: Path) -> Callable[[str, str], None]:
    """Replace text in the definition of ``tiny``."""

    def replace(old: str, new: str) -> None:
        path = environments / "tiny" / DEFINITION_FILE
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return replace


@pytest.fixture
def write_smoke(environments: Path) -> Callable[..., None]:
    """Replace the smoke notebook of ``tiny`` by these cells."""
    return partial(write_notebook, environments / "tiny")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 150 MB, in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
