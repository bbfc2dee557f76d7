from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest

from swotvre_kernels.build import KernelBuild, build_kernel
from swotvre_kernels.drift import LISTING, find_drift, unlike_lock
from swotvre_kernels.errors import VerificationError
from swotvre_kernels.install import DEFINITION_COPY, active_environment, environment_python
from swotvre_kernels.models import LOCK_FILE, MANIFEST_FILE, Manifest
from swotvre_kernels.registry import describe_drift, find_kernel, verify_kernel


@pytest.fixture
def kernel(copied: Path) -> Path:
    return copied / "tiny-2026.11"


@pytest.fixture
def site(kernel: Path) -> Path:
    return kernel / "lib/python3.12/site-packages"


def drift(kernel: Path, *, read_all: bool = True) -> list[str]:
    manifest = Manifest.read(kernel)
    assert manifest
    return [str(change) for change in find_drift(kernel, manifest, read_all=read_all)]


def package_of(site: Path, name: str) -> str:
    info = next(site.glob(f"{name}-*.dist-info"))
    return info.name.removesuffix(".dist-info").replace("-", " ")


def forget_digest(kernel: Path) -> None:
    """Make the kernel one that was built before there were digests."""
    path = kernel / MANIFEST_FILE
    content = json.loads(path.read_text())
    del content["installed_sha256"]
    path.write_text(json.dumps(content))
    (kernel / LISTING).unlink()


def test_kernel_as_built_has_no_drift(built_once: tuple[Path, KernelBuild]) -> None:
    build = built_once[1]
    assert drift(build.path) == []
    assert drift(build.path, read_all=False) == []
    assert unlike_lock(build.path, build.manifest) == []


@pytest.mark.parametrize("read_all", [True, False])
@pytest.mark.parametrize("before_digests", [False, True])
def test_changed_file_is_named_with_package_owner_and_time(
    kernel: Path, site: Path, read_all: bool, before_digests: bool
) -> None:
    if before_digests:
        forget_digest(kernel)
    path = site / "ipykernel/kernelapp.py"
    path.write_text(path.read_text() + "# edited\n")
    os.utime(path, (1_800_000_000, 1_800_000_000))
    assert drift(kernel, read_all=read_all) == [
        f"ipykernel/kernelapp.py of {package_of(site, 'ipykernel')} was changed "
        f"(by {pwd.getpwuid(os.getuid()).pw_name}, 2027-01-15 08:00 UTC)"
    ]


def test_change_that_keeps_size_and_time_is_found(kernel: Path, site: Path) -> None:
    path = site / "ipykernel/kernelapp.py"
    status = path.stat()
    path.write_bytes(b"#" + path.read_bytes()[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [line.split(" ")[0] for line in drift(kernel)] == ["ipykernel/kernelapp.py"]


def test_deleted_file_is_named(kernel: Path, site: Path) -> None:
    (site / "tornado/web.py").unlink()
    assert drift(kernel) == [f"tornado/web.py of {package_of(site, 'tornado')} is missing"]


@pytest.mark.parametrize("before_digests", [False, True])
def test_added_files_are_named(kernel: Path, site: Path, tmp_path: Path, before_digests: bool) -> None:
    if before_digests:
        forget_digest(kernel)
    (site / "start.pth").write_text("import os\n")
    (site / "linked").symlink_to(tmp_path)
    (site / "sourceless.pyc").write_bytes(b"")
    lines = drift(kernel)
    assert [line.split(" (by")[0] for line in lines] == [
        f"{name} of no package was added" for name in ("linked", "sourceless.pyc", "start.pth")
    ]


def test_edited_record_does_not_hide_a_change(kernel: Path, site: Path) -> None:
    path = site / "ipykernel/kernelapp.py"
    path.write_text("# nothing left\n")
    record = next(site.glob("ipykernel-*.dist-info")) / "RECORD"
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    fitting = f"ipykernel/kernelapp.py,sha256={digest},{path.stat().st_size}"
    text, count = re.subn(r"^ipykernel/kernelapp\.py,.*$", fitting, record.read_text(), flags=re.MULTILINE)
    assert count == 1
    record.write_text(text)
    assert [line.split(" ")[0] for line in drift(kernel)] == [
        f"{record.parent.name}/RECORD",
        "ipykernel/kernelapp.py",
    ]
    forget_digest(kernel)
    assert drift(kernel) == []


def test_edited_list_does_not_hide_a_change(kernel: Path, site: Path) -> None:
    path = site / "ipykernel/kernelapp.py"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text("# nothing left\n")
    text = (kernel / LISTING).read_text()
    (kernel / LISTING).write_text(text.replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))
    (line,) = drift(kernel)
    assert line.startswith(f"{LISTING} of no package was changed (by ")
    (kernel / LISTING).unlink()
    missing, changed = sorted(drift(kernel), reverse=True)
    assert missing == f"{LISTING} of no package is missing: it is the list of what was installed"
    assert changed.startswith("ipykernel/kernelapp.py of ")


def test_startup_files_outside_the_packages_count(kernel: Path) -> None:
    settings = kernel / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("packages = false", "packages = true"))
    (kernel / "bin/python").unlink()
    (kernel / "bin/python").symlink_to("/usr/bin/env")
    assert [line.split(" ")[0] for line in drift(kernel)] == ["bin/python", "pyvenv.cfg"]


def test_bytecode_and_second_verification_are_no_drift(kernel: Path, site: Path) -> None:
    (site / "ipykernel/__pycache__/kernelapp.cpython-312.pyc").unlink()
    (site / "ipykernel/__pycache__/numba.nbi").write_bytes(b"cache")
    subprocess.run([environment_python(kernel), "-c", "import ipykernel.kernelapp"], check=True)
    verify_kernel(find_kernel("tiny", kernel.parent))
    assert drift(kernel) == []


def test_package_of_another_version_is_told(kernel: Path, site: Path) -> None:
    info = next(site.glob("tornado-*.dist-info"))
    version = info.name.removeprefix("tornado-").removesuffix(".dist-info")
    info.rename(site / "tornado-0.1.dist-info")
    (site / "extra-1.0.dist-info").mkdir()
    manifest = Manifest.read(kernel)
    assert manifest
    assert unlike_lock(kernel, manifest) == [
        "extra 1.0 is installed, the lock does not hold it",
        f"tornado 0.1 is installed, the lock holds {version}",
    ]
    (kernel / DEFINITION_COPY / LOCK_FILE).unlink()
    assert "cannot be read" in unlike_lock(kernel, manifest)[0]


def test_long_report_counts_what_it_does_not_name(kernel: Path, site: Path) -> None:
    for number in range(30):
        (site / f"added_{number:02}.py").write_text("")
    lines = describe_drift(find_kernel("tiny", kernel.parent)).splitlines()
    assert lines[0] == "tiny-2026.11 is not what was installed:"
    assert lines[-3].startswith("  added_19.py of no package was added")
    assert lines[-2:] == [
        "  and 10 others",
        "Build it again: swot-vre kernels build tiny makes a new version beside it.",
    ]


def test_drifted_kernel_fails_verification_though_it_works(kernel: Path, site: Path) -> None:
    (site / "added.py").write_text("")
    with pytest.raises(VerificationError, match=r"added\.py of no package was added") as caught:
        verify_kernel(find_kernel("tiny", kernel.parent))
    assert "does not work" not in str(caught.value)


def test_build_makes_a_new_version_beside_a_drifted_one(copied: Path, kernel: Path, tiny_source: Path) -> None:
    assert build_kernel("tiny", copied, environments=tiny_source).reused
    (kernel / "lib/python3.12/site-packages/tornado/web.py").unlink()
    steps: list[str] = []
    build = build_kernel("tiny", copied, environments=tiny_source, progress=lambda step, _: steps.append(step))
    assert not build.reused
    assert active_environment("tiny", copied) == copied / "tiny-2026.11.1"
    assert any(step.startswith("tiny-2026.11 is not what was installed: tornado/web.py of") for step in steps)
    assert build_kernel("tiny", copied, environments=tiny_source).reused


def test_file_edited_in_a_kernel_does_not_come_back_from_the_cache(
    prefix: Path,
    environments: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_LINK_MODE", "hardlink")
    first = build_kernel("tiny", prefix, environments=environments)
    edited = first.path / "lib/python3.12/site-packages/tornado/web.py"
    with edited.open("a") as sink:
        sink.write("# edited\n")
    steps: list[str] = []
    second = build_kernel("tiny", prefix, environments=environments, progress=lambda step, _: steps.append(step))
    assert "Installing anew, past uv's cache: tornado" in steps
    assert second.path != first.path
    assert "# edited" not in (second.path / edited.relative_to(first.path)).read_text()
    assert drift(second.path) == []
