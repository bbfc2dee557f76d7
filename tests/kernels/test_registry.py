from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from swotvre_kernels.build import KernelBuild, build_kernel
from swotvre_kernels.errors import ActiveKernelError, UnknownKernelError, VerificationError
from swotvre_kernels.registry import KernelState, find_kernel, list_kernels, remove_kernel, verify_kernel

Built = tuple[Path, KernelBuild]


def test_active_kernel_is_listed_and_found_by_its_name(built_once: Built) -> None:
    prefix, build = built_once
    assert [(kernel.path, kernel.state) for kernel in list_kernels(prefix)] == [(build.path, KernelState.ACTIVE)]
    assert find_kernel("tiny", prefix) == find_kernel("tiny-2026.11", prefix)


def test_prefix_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert list_kernels(tmp_path / "nowhere") == []


def test_active_kernel_is_removed_by_force_alone(prefix: Path, tiny_source: Path) -> None:
    build = build_kernel("tiny", prefix, environments=tiny_source)
    with pytest.raises(ActiveKernelError, match="--force"):
        remove_kernel("tiny-2026.11", prefix)
    assert build.path.is_dir()
    remove_kernel("tiny-2026.11", prefix, force=True)
    assert list_kernels(prefix) == []
    assert not (prefix / "share/jupyter/kernels/tiny").is_symlink()
    with pytest.raises(UnknownKernelError, match="installed: none"):
        remove_kernel("tiny-2026.11", prefix)


def test_old_kernel_is_removed_and_the_active_one_stays(
    prefix: Path, environments: Path, change: Callable[[str, str], None]
) -> None:
    build_kernel("tiny", prefix, environments=environments)
    change('"Tiny"', '"Tiny 2"')
    build_kernel("tiny", prefix, environments=environments)
    assert [kernel.state for kernel in list_kernels(prefix)] == [KernelState.OLD, KernelState.ACTIVE]
    remove_kernel("tiny-2026.11", prefix)
    assert [kernel.path.name for kernel in list_kernels(prefix)] == ["tiny-2026.11.1"]


def test_verification_finds_what_broke_since(prefix: Path, tiny_source: Path) -> None:
    build = build_kernel("tiny", prefix, environments=tiny_source)
    assert verify_kernel(find_kernel("tiny", prefix)).verified_at >= build.manifest.verified_at

    site = next(build.path.glob("lib/python3.12/site-packages"))
    site.chmod(0o755)
    (site / "ipykernel").rename(site / "moved_away")
    with pytest.raises(VerificationError) as caught:
        verify_kernel(find_kernel("tiny", prefix))
    assert "import ipykernel failed: ModuleNotFoundError" in str(caught.value)
    assert "the smoke notebook of tiny failed" in str(caught.value)


def test_kernel_without_its_python_is_broken(prefix: Path, tiny_source: Path) -> None:
    build = build_kernel("tiny", prefix, environments=tiny_source)
    (build.path / "bin/python").unlink()
    kernel = find_kernel("tiny-2026.11", prefix)
    assert kernel.state is KernelState.BROKEN
    with pytest.raises(VerificationError, match="leads nowhere"):
        verify_kernel(kernel)
    shutil.rmtree(build.path / "bin")
    remove_kernel("tiny-2026.11", prefix)
    assert list_kernels(prefix) == []
