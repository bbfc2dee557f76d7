"""Several kernels in one environment, their older versions, and a prefix that is moved."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from swotvre_kernels.build import KernelBuild, build_kernel
from swotvre_kernels.definitions import ENVIRONMENTS, available_environments, find_environment, read_kernels
from swotvre_kernels.drift import LISTING
from swotvre_kernels.errors import DefinitionError, NoSpaceError, VerificationError
from swotvre_kernels.install import active_environment
from swotvre_kernels.lock import read_lock
from swotvre_kernels.models import GUEST_FILE
from swotvre_kernels.prune import prune_kernels
from swotvre_kernels.registry import find_kernel, verify_kernel
from swotvre_kernels.versions import rollback_kernel

Change = Callable[[str, str], None]

GUEST = """
name = "guest"
environment = "tiny"
title = "Guest"
description = "in the environment of tiny"
requirements = ["ipykernel"]
imports = ["traitlets"]
smoke_notebook = "smoke.ipynb"

[variables]
GUEST_VARIABLE = "of the guest"
"""
SMOKE = 'import os\nassert os.environ["GUEST_VARIABLE"] == "of the guest"\nassert "TINY_VARIABLE" not in os.environ'
SAYS = "import os; print(os.environ['SWOTVRE_KERNEL'], os.environ['SWOTVRE_KERNEL_VERSION'], end='')"


@pytest.fixture
def with_guest(environments: Path) -> Path:
    """Definitions of ``tiny`` and of a guest in its environment."""
    folder = environments / "guest"
    folder.mkdir()
    (folder / GUEST_FILE).write_text(GUEST)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SMOKE)])
    nbformat.write(notebook, folder / "smoke.ipynb")
    return environments


def offered(prefix: Path) -> list[str]:
    specs = KernelSpecManager(kernel_dirs=[str(prefix / "share/jupyter/kernels")], ensure_native_kernel=False)
    return sorted(specs.find_kernel_specs())


def start(prefix: Path, name: str) -> KernelManager:
    specs = KernelSpecManager(kernel_dirs=[str(prefix / "share/jupyter/kernels")], ensure_native_kernel=False)
    manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
    manager.start_kernel(stderr=subprocess.DEVNULL)
    return manager


def run(manager: KernelManager, code: str) -> str:
    """Run one cell and return what it prints."""
    client: Any = manager.client()
    client.start_channels()
    printed: list[str] = []
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive(
            code, timeout=60, output_hook=lambda message: printed.append(message["content"].get("text", ""))
        )
    finally:
        client.stop_channels()
        client.context.destroy()
    return "".join(printed)


def end(manager: KernelManager) -> None:
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def test_guest_shares_the_environment_and_old_versions_stay_selectable_until_pruned(
    with_guest: Path, prefix: Path, change: Change
) -> None:
    first = build_kernel("guest", prefix, environments=with_guest)
    assert first.path == prefix / "tiny-2026.11"
    assert first.manifest.kernel_names == ("tiny", "guest")
    assert offered(prefix) == ["guest", "tiny"], "one version: no entry with a version"
    assert active_environment("guest", prefix) == active_environment("tiny", prefix) == first.path
    running = start(prefix, "guest")
    try:
        assert run(running, SAYS) == "guest 2026.11"

        change('"Tiny"', '"Tiny 2"')
        second = build_kernel("tiny", prefix, environments=with_guest)
        assert second.path == prefix / "tiny-2026.11.1"
        assert offered(prefix) == ["guest", "guest-2026.11", "tiny", "tiny-2026.11"]
        assert find_kernel("guest-2026.11", prefix).path == first.path
        assert find_kernel("guest", prefix).path == second.path
        running.restart_kernel(now=True)
        assert run(running, SAYS) == "guest 2026.11", "a kernel that is restarted stays what it was"
    finally:
        end(running)
    for name, says in {"guest-2026.11": "guest 2026.11", "guest": "guest 2026.11.1"}.items():
        manager = start(prefix, name)
        try:
            assert run(manager, SAYS) == says
            assert manager.kernel_spec.display_name == ("Guest" if name == "guest" else "Guest 2026.11")
        finally:
            end(manager)

    assert rollback_kernel("guest", prefix).now.path == first.path
    assert active_environment("tiny", prefix) == first.path, "kernels of one environment are switched together"
    assert set(offered(prefix)) >= {"guest", "guest-2026.11.1", "tiny-2026.11.1"}
    rollback_kernel("guest", prefix, version="2026.11.1")
    prune_kernels(prefix, keep=1)
    assert "guest-2026.11" not in offered(prefix)
    assert set(offered(prefix)) >= {"guest", "tiny"}


def test_failing_smoke_notebook_of_a_guest_is_named(with_guest: Path, prefix: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 == 2, 'rivers run uphill'")])
    nbformat.write(notebook, with_guest / "guest" / "smoke.ipynb")
    with pytest.raises(VerificationError, match="the smoke notebook of guest failed: AssertionError: rivers run"):
        build_kernel("tiny", prefix, environments=with_guest)
    assert not (prefix / "share").exists()


def test_guest_of_an_unknown_environment_is_refused(with_guest: Path) -> None:
    path = with_guest / "guest" / GUEST_FILE
    path.write_text(path.read_text().replace('environment = "tiny"', 'environment = "tyni"'))
    with pytest.raises(DefinitionError, match="stands in the environment 'tyni'; expected one of: tiny"):
        find_environment("guest", with_guest)


def test_moved_prefix_verifies_and_its_kernels_start(built_once: tuple[Path, KernelBuild], tmp_path: Path) -> None:
    staged, target = tmp_path / "staged", tmp_path / "site" / "kernels"
    # The command of the documentation, where rsync is not installed; then the place of the build is gone.
    subprocess.run(["cp", "-a", built_once[0], staged], check=True)
    target.parent.mkdir()
    staged.rename(target)
    kernel = find_kernel("tiny", target)
    verify_kernel(kernel)
    manager = start(target, "tiny")
    try:
        assert run(manager, "import ipykernel, sys; print(sys.prefix, ipykernel.__file__, end='')") == (
            f"{target}/tiny-2026.11 {target}/tiny-2026.11/lib/python3.12/site-packages/ipykernel/__init__.py"
        )
    finally:
        end(manager)
    program = subprocess.run([target / "tiny-2026.11/bin/jupyter-kernelspec", "--version"], capture_output=True)
    assert program.returncode == 0, program.stderr


def test_two_builds_install_the_same_files(
    built_once: tuple[Path, KernelBuild], tiny_source: Path, tmp_path: Path
) -> None:
    again = build_kernel("tiny", tmp_path / "elsewhere" / "kernels", environments=tiny_source)
    assert digests(again.path) == digests(built_once[1].path)


def digests(environment: Path) -> dict[str, str]:
    """Return path and digest of each file; the times differ."""
    rows = [line.split(",") for line in (environment / LISTING).read_text().splitlines()[1:]]
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("name", available_environments())
def test_committed_definitions_fit_their_locks(name: str) -> None:
    kernels = read_kernels(ENVIRONMENTS / name)
    names = {pin.name for pin in read_lock(ENVIRONMENTS / name)}
    assert "ipykernel" in names
    for kernel in kernels:
        assert kernel.definition.smoke_notebook
        assert kernel.definition.logos
        assert kernel.definition.main_imports
        assert kernel.definition.variables["PYTHONNOUSERSITE"] == "1"


def test_zcollection_stays_in_the_world_of_zarr_2() -> None:
    versions = {pin.name: pin.version for pin in read_lock(ENVIRONMENTS / "swot-zcollection")}
    assert versions["zarr"].startswith("2.")
    assert tuple(map(int, versions["zcollection"].split(".")[:2])) >= (2026, 6), (
        "an older one knows nothing of its limits"
    )


def test_full_disk_leaves_the_active_kernel_and_is_repaired_by_the_next_build(
    tiny_source: Path, tmp_path: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 20 * 2**20))
    definitions = Path(shutil.copytree(tiny_source, tmp_path / "definitions"))
    path = definitions / "tiny" / "environment.toml"
    # It claims to need little, so that the disk fills up in the middle.
    path.write_text(path.read_text().replace("space_gib = 0.2", "space_gib = 0.001"))
    prefix = small_disk / "kernels"
    with pytest.raises(NoSpaceError, match=r"the disk of .* is full"):
        build_kernel("tiny", prefix, environments=definitions)
    assert not list(prefix.glob("tiny-*")), "what was begun is removed"
    ballast.unlink()
    build = build_kernel("tiny", prefix, environments=definitions)
    verify_kernel(find_kernel("tiny", prefix))
    assert active_environment("tiny", prefix) == build.path
