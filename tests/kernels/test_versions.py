from __future__ import annotations

import json
from pathlib import Path

import pytest

from swotvre_kernels.errors import KernelBusyError, RollbackError, UnknownKernelError
from swotvre_kernels.install import active_environment
from swotvre_kernels.models import MANIFEST_FILE
from swotvre_kernels.prefix import locked
from swotvre_kernels.registry import find_kernel
from swotvre_kernels.versions import compare_kernels, kernels_to_compare, rollback_kernel


def test_rollback_switches_to_the_version_before_and_forward_again(versions: Path) -> None:
    answer = rollback_kernel("tiny", versions)
    assert answer.before
    assert (answer.before.path.name, answer.now.path.name) == ("tiny-2026.11.1", "tiny-2026.11")
    assert active_environment("tiny", versions) == versions / "tiny-2026.11"
    assert (versions / "tiny-2026.11.1").is_dir()
    with pytest.raises(RollbackError, match=r"nothing was built before tiny-2026\.11.*newer ones: 2026\.11\.1"):
        rollback_kernel("tiny", versions)
    rollback_kernel("tiny", versions, version="2026.11.1")
    assert active_environment("tiny", versions) == versions / "tiny-2026.11.1"


@pytest.mark.parametrize(
    ("version", "error", "words"),
    [
        ("2025.1", UnknownKernelError, r"no version '2025\.1' of tiny; installed: 2026\.11, 2026\.11\.1"),
        ("tiny-2026.11.1", RollbackError, r"tiny-2026\.11\.1 is the active kernel already"),
    ],
)
def test_version_that_cannot_be_switched_to_is_told(
    versions: Path, version: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        rollback_kernel("tiny", versions, version=version)
    assert active_environment("tiny", versions) == versions / "tiny-2026.11.1"


def test_unknown_kernel_is_told(versions: Path) -> None:
    with pytest.raises(UnknownKernelError, match=r"no kernel 'big' in .*; installed: tiny"):
        rollback_kernel("big", versions)


def test_rollback_to_a_changed_version_is_refused(versions: Path) -> None:
    path = versions / "tiny-2026.11/lib/python3.12/site-packages/tornado/web.py"
    path.write_text("# edited\n")
    with pytest.raises(RollbackError, match=r"(?s)tornado/web\.py of tornado .* was changed.*active kernel stays"):
        rollback_kernel("tiny", versions)
    assert active_environment("tiny", versions) == versions / "tiny-2026.11.1"


def test_rollback_to_a_broken_version_is_refused(versions: Path) -> None:
    (versions / "tiny-2026.11/bin/python").unlink()
    with pytest.raises(RollbackError, match=r"tiny-2026\.11 is broken, the active kernel stays"):
        rollback_kernel("tiny", versions)
    assert active_environment("tiny", versions) == versions / "tiny-2026.11.1"


def test_rollback_without_an_active_version_needs_a_name(versions: Path) -> None:
    (versions / "share/jupyter/kernels/tiny").unlink()
    with pytest.raises(RollbackError, match=r"no version of tiny is active.*: 2026\.11, 2026\.11\.1"):
        rollback_kernel("tiny", versions)
    assert rollback_kernel("tiny", versions, version="2026.11").before is None
    assert active_environment("tiny", versions) == versions / "tiny-2026.11"


def test_rollback_waits_for_nobody_who_builds(versions: Path) -> None:
    with locked(versions, lambda step, fraction: None), pytest.raises(KernelBusyError):
        rollback_kernel("tiny", versions)


def test_differences_name_python_variables_and_packages(versions: Path) -> None:
    path = versions / "tiny-2026.11.1" / MANIFEST_FILE
    content = json.loads(path.read_text())
    python, tornado = content["python"], content["packages"]["tornado"]
    content["python"] = "3.12.99"
    content["packages"] |= {"tornado": "99.0", "xarray": "2026.9.0"}
    del content["packages"]["ipykernel"]
    path.write_text(json.dumps(content))
    before, after = kernels_to_compare([], versions, "tiny")
    assert (before.path.name, after.path.name) == ("tiny-2026.11", "tiny-2026.11.1")
    assert before.manifest
    found = [(each.kind, each.name, each.change, each.before, each.after) for each in compare_kernels(before, after)]
    assert found == [
        ("python", "python", "changed", python, "3.12.99"),
        ("variable", "SECOND", "added", "", "added"),
        ("package", "ipykernel", "removed", before.manifest.packages["ipykernel"], ""),
        ("package", "tornado", "changed", tornado, "99.0"),
        ("package", "xarray", "added", "", "2026.9.0"),
    ]


def test_kernel_does_not_differ_from_itself(versions: Path) -> None:
    kernel = find_kernel("tiny", versions)
    assert compare_kernels(kernel, kernel) == []


def test_first_version_has_nothing_to_be_compared_with(versions: Path) -> None:
    with pytest.raises(RollbackError, match="nothing was built before"):
        kernels_to_compare(["tiny-2026.11"], versions, "tiny")
