from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from swotvre_kernels.build import build_kernel
from swotvre_kernels.drift import LISTING
from swotvre_kernels.errors import LockError, ProjectError
from swotvre_kernels.project import open_project
from swotvre_kernels.registry import describe_drift, find_kernel

METADATA = """Metadata-Version: 2.4
Name: swot-vre
Version: 7.0
Provides-Extra: kernel
Requires-Dist: jupyterhub; extra == 'hub'
Requires-Dist: {requirement}; extra == 'kernel'
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., Path]:
    def make(requirement: str = "ipykernel>=6", code: str = "ANSWER = 42\n", hub: str = "", clusters: str = "") -> Path:
        path = tmp_path / "swot_vre-7.0-py3-none-any.whl"
        info = "swot_vre-7.0.dist-info"
        files = {
            "swotvre_catalogs/__init__.py": code,
            "swotvre/__init__.py": clusters,
            "swotvre_hub/__init__.py": hub,
            f"{info}/METADATA": METADATA.format(requirement=requirement),
            f"{info}/WHEEL": WHEEL,
        }
        record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(path, "w") as wheel:
            for name, text in (files | {f"{info}/RECORD": record}).items():
                wheel.writestr(name, text)
        return path

    return make


def test_wheel_is_installed_into_the_kernel(
    prefix: Path, environments: Path, change: Callable[[str, str], None], make_wheel: Callable[..., Path]
) -> None:
    change("space_gib", 'project_extra = "kernel"\nspace_gib')
    change('"json"]', '"json", "swotvre_catalogs"]')
    build = build_kernel("tiny", prefix, environments=environments, project=make_wheel())
    assert build.manifest.packages["swot-vre"] == "7.0"
    assert not (build.path / "wheel").exists()
    assert describe_drift(find_kernel("tiny", prefix)) == ""

    again = build_kernel("tiny", prefix / "elsewhere", environments=environments, project=make_wheel())
    listings = [(each.path / LISTING).read_text().splitlines()[1:] for each in (build, again)]
    one, other = ([line.split(",")[:2] for line in lines] for lines in listings)
    assert one == other, "neither the time nor the place of a wheel is installed"


def test_extra_outside_the_lock_is_refused(
    prefix: Path, environments: Path, change: Callable[[str, str], None], make_wheel: Callable[..., Path]
) -> None:
    change("space_gib", 'project_extra = "kernel"\nspace_gib')
    with pytest.raises(LockError, match="'xarray>=2026' is asked for"):
        build_kernel("tiny", prefix, environments=environments, project=make_wheel("xarray>=2026"))


def test_kernel_code_alone_decides_the_digest(make_wheel: Callable[..., Path]) -> None:
    digest = open_project("kernel", make_wheel()).digest
    assert open_project("kernel", make_wheel(hub="import os\n")).digest == digest
    assert open_project("kernel", make_wheel(code="ANSWER = 43\n")).digest != digest
    assert open_project("kernel", make_wheel(clusters="import json\n")).digest != digest


def test_checkout_is_found_above_the_running_code() -> None:
    project = open_project("kernel")
    assert project.source == Path(__file__).parents[2]
    assert any(line.startswith("intake-xarray") for line in project.requirements)


@pytest.mark.parametrize("name", ["nowhere", "folder", "file.txt", "broken.whl"])
def test_what_is_no_project_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "broken.whl").write_text("text")
    with pytest.raises(ProjectError, match=name):
        open_project("kernel", tmp_path / name)
