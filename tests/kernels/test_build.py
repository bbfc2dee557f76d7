from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from swotvre_kernels.build import KernelBuild, build_kernel
from swotvre_kernels.drift import find_drift
from swotvre_kernels.errors import (
    InstallError,
    InterpreterError,
    LockError,
    NoSpaceError,
    PrefixError,
    UnknownKernelError,
    VerificationError,
)
from swotvre_kernels.install import active_environment
from swotvre_kernels.lock import write_lock
from swotvre_kernels.models import LOCK_FILE, read_definition

Built = tuple[Path, KernelBuild]
Change = Callable[[str, str], None]


def test_jupyter_starts_the_built_interpreter(built_once: Built) -> None:
    prefix, build = built_once
    specs = KernelSpecManager(kernel_dirs=[str(prefix / "share/jupyter/kernels")], ensure_native_kernel=False)
    spec = specs.get_kernel_spec("tiny")
    script = "{resource_dir}/../../../../../tiny-2026.11/share/jupyter/kernels/tiny/start.sh"
    assert spec.argv == ["/bin/sh", script, "{connection_file}"]
    assert (spec.display_name, spec.language) == ("Tiny", "python")
    assert spec.env["TINY_VARIABLE"] == "seen by the kernel"
    assert (spec.env["SWOTVRE_KERNEL"], spec.env["SWOTVRE_KERNEL_VERSION"]) == ("tiny", "2026.11")
    assert spec.env["SWOTVRE_KERNEL_IDENTITY"] == build.manifest.identity
    assert spec.metadata["swot_vre"] == {"kernel": "tiny", "version": "2026.11", "identity": build.manifest.identity}
    assert (Path(spec.resource_dir) / "logo-64x64.png").read_bytes() == b"a picture"
    answer = subprocess.run(
        [prefix / "tiny-2026.11/bin/python", "-c", "import ipykernel, sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
    )
    assert answer.stdout.strip() == str(prefix / "tiny-2026.11")


def test_build_is_compiled_closed_and_described(built_once: Built) -> None:
    prefix, build = built_once
    site = next(build.path.glob("lib/python3.12/site-packages"))
    assert not site.stat().st_mode & 0o222
    assert list((site / "ipykernel" / "__pycache__").glob("kernelapp.*.pyc"))
    assert build.manifest.packages["ipykernel"]
    assert build.manifest.size_bytes > 10**6
    assert set(build.manifest.seconds) == {"venv", "install and compile", "digest", "verify"}
    assert not list(prefix.glob("*.building"))
    assert "--require-hashes" in (prefix / "log" / "tiny-2026.11.log").read_text()


def test_second_build_starts_no_program(built_once: Built, tiny_source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix, build = built_once
    monkeypatch.setattr(subprocess, "Popen", None)
    again = build_kernel("tiny", prefix, environments=tiny_source)
    assert again.reused
    assert again.manifest == build.manifest


def test_changed_definition_is_built_beside_and_switched_to(prefix: Path, environments: Path, change: Change) -> None:
    steps: list[tuple[str, float]] = []
    first = build_kernel("tiny", prefix, environments=environments)
    change('"Tiny"', '"Tiny, better"')
    second = build_kernel("tiny", prefix, environments=environments, progress=lambda *step: steps.append(step))
    assert second.path == prefix / "tiny-2026.11.1"
    assert first.path.is_dir()
    assert active_environment("tiny", prefix) == second.path
    assert "Taking the bytecode of tiny-2026.11" in [step for step, _ in steps]
    compiled = next(second.path.glob("lib/python3.12/site-packages/ipykernel/__pycache__/kernelapp.*.pyc"))
    assert compiled.samefile(first.path / compiled.relative_to(second.path))
    assert all(0 <= fraction <= 1 for _, fraction in steps)
    assert steps[-1] == ("tiny-2026.11.1 is active", 1.0)

    change('"Tiny, better"', '"Tiny"')
    back = build_kernel("tiny", prefix, environments=environments)
    assert back.reused
    assert active_environment("tiny", prefix) == first.path


@pytest.fixture
def prefix_with_active(built_once: Built) -> Path:
    """The prefix of the run, which a failed build must leave as it is."""
    return built_once[0]


def listing(prefix: Path) -> set[str]:
    return {path.name for path in prefix.iterdir()}


def test_changed_hash_leaves_the_active_kernel(prefix_with_active: Path, environments: Path) -> None:
    lock = environments / "tiny" / LOCK_FILE
    lock.write_text("\n".join(
        f"    --hash=sha256:{'0' * 64}{' \\' if line.endswith('\\') else ''}" if "--hash" in line else line
        for line in lock.read_text().splitlines()
    ) + "\n")  # fmt: skip
    before = listing(prefix_with_active)
    with pytest.raises(InstallError, match=r"(?s)the lock cannot be installed: .*log/tiny-2026\.11\.1\.log") as caught:
        build_kernel("tiny", prefix_with_active, environments=environments)
    assert "hash" in str(caught.value).lower()
    assert active_environment("tiny", prefix_with_active) == prefix_with_active / "tiny-2026.11"
    assert listing(prefix_with_active) == before


def test_failing_smoke_notebook_leaves_the_active_kernel(
    prefix_with_active: Path, environments: Path, write_smoke: Callable[..., None]
) -> None:
    write_smoke("1 + 1", "raise ValueError('the sea is empty')")
    before = listing(prefix_with_active)
    with pytest.raises(VerificationError, match="ValueError: the sea is empty"):
        build_kernel("tiny", prefix_with_active, environments=environments)
    assert active_environment("tiny", prefix_with_active) == prefix_with_active / "tiny-2026.11"
    assert listing(prefix_with_active) == before
    kept = json.loads((prefix_with_active / "log" / "tiny-2026.11.1-tiny-smoke.ipynb").read_text())
    assert kept["cells"][1]["outputs"][0]["ename"] == "ValueError"


def test_each_failing_import_is_named(prefix: Path, environments: Path, change: Change) -> None:
    change('imports = ["ipykernel", "json"]', 'imports = ["ipykernel", "no_such_module", "antigravity_"]')
    with pytest.raises(VerificationError) as caught:
        build_kernel("tiny", prefix, environments=environments)
    assert "import no_such_module failed: ModuleNotFoundError" in str(caught.value)
    assert "import antigravity_ failed: ModuleNotFoundError" in str(caught.value)
    assert active_environment("tiny", prefix) is None


def test_kernel_that_dies_is_told(prefix: Path, environments: Path, write_smoke: Callable[..., None]) -> None:
    write_smoke("import os\nos._exit(3)")
    with pytest.raises(VerificationError, match="smoke notebook of tiny failed: DeadKernelError"):
        build_kernel("tiny", prefix, environments=environments)


def test_lock_that_lacks_a_requirement_starts_nothing(prefix: Path, environments: Path, change: Change) -> None:
    change('["ipykernel"]', '["ipykernel", "xarray"]')
    with pytest.raises(LockError, match="'xarray' is asked for"):
        build_kernel("tiny", prefix, environments=environments)
    assert not prefix.exists()


def test_too_small_disk_is_found_before(prefix: Path, environments: Path, change: Change) -> None:
    change("space_gib = 0.2", "space_gib = 1e9")
    with pytest.raises(NoSpaceError, match=r"needs 1000000000\.0 GiB free in .*, found "):
        build_kernel("tiny", prefix, environments=environments)
    assert active_environment("tiny", prefix) is None


def test_unusable_prefix_is_named(tmp_path: Path, tiny_source: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PrefixError, match="--prefix"):
        build_kernel("tiny", tmp_path / "file" / "kernels", environments=tiny_source)


def test_foreign_kernelspec_is_not_overwritten(prefix: Path, tiny_source: Path) -> None:
    foreign = prefix / "share/jupyter/kernels/tiny"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text("{}")
    with pytest.raises(PrefixError, match="cannot be switched"):
        build_kernel("tiny", prefix, environments=tiny_source)
    assert (foreign / "kernel.json").read_text() == "{}"


def test_wrong_interpreter_is_refused(prefix: Path, environments: Path, tmp_path: Path) -> None:
    with pytest.raises(InterpreterError, match="does not answer as a Python interpreter"):
        build_kernel("tiny", prefix, environments=environments, python=tmp_path / "python3.12")


def test_python_that_is_nowhere_is_told(prefix: Path, environments: Path, change: Change) -> None:
    change('python = "3.12"', 'python = "3.99"')
    with pytest.raises(InterpreterError, match=r"no Python 3\.99 was found .*--python"):
        build_kernel("tiny", prefix, environments=environments)


def test_unknown_kernel_is_refused(prefix: Path, tiny_source: Path) -> None:
    with pytest.raises(UnknownKernelError, match="unknown kernel 'big'; expected one of: tiny"):
        build_kernel("big", prefix, environments=tiny_source)


def test_package_that_comes_as_source_is_built_by_the_lock_without_what_is_not_its_own(
    prefix: Path, environments: Path, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, offered = tmp_path / "vre_as_source-1.0", tmp_path / "offered"
    for module in ("vre_as_source", "tests"):
        (source / module).mkdir(parents=True)
        (source / module / "__init__.py").write_text("import setuptools\n" if module == "tests" else "BUILT = True\n")
    (source / "setup.py").write_text(
        "import setuptools\nassert setuptools.__version__ == '80.9.0', setuptools.__version__\n"
        "setuptools.setup(name='vre_as_source', version='1.0', packages=['vre_as_source', 'tests'])\n"
    )
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: vre_as_source\nVersion: 1.0\n")
    offered.mkdir()
    with tarfile.open(offered / "vre_as_source-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    monkeypatch.setenv("UV_FIND_LINKS", str(offered))
    change('requirements = ["ipykernel"]', 'requirements = ["ipykernel", "vre_as_source"]')
    change(
        "space_gib = 0.2", 'space_gib = 0.2\nbuild_requirements = ["setuptools==80.9.0"]\nunwanted_modules = ["tests"]'
    )
    change('imports = ["ipykernel"', 'imports = ["vre_as_source", "ipykernel"')
    folder = environments / "tiny"
    definition = read_definition(folder)
    write_lock(folder, definition, definition.requirements)
    built = build_kernel("tiny", prefix, environments=environments)
    site = next((built.path / "lib").glob("python3.*/site-packages"))
    assert (site / "vre_as_source" / "__init__.py").is_file()
    assert not (site / "tests").exists()
    assert find_drift(built.path, built.manifest) == []
    assert build_kernel("tiny", prefix, environments=environments).reused
