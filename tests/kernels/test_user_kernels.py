"""A user's own kernel, made as he makes it: by the interpreter of a kernel, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from swotvre_kernels.build import KernelBuild
from swotvre_kernels.prefix import set_folders_writable

PACKAGES = Path(__file__).resolve().parents[2] / "kernels"


class User(NamedTuple):
    """A user of the site whose kernels lie in ``prefix``."""

    home: Path
    prefix: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home), "JUPYTER_PATH": str(self.prefix / "share/jupyter")}

    def add(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command in a session's terminal."""
        python = self.prefix / "tiny-2026.11/bin/python"
        command = [python, "-m", "swotvre_kernels.user_kernels", *arguments]
        environment = {**self.environment, "PYTHONPATH": str(PACKAGES)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def run(self, kernel: str, code: str) -> str:
        """Start the kernel, run one cell, return what the user reads below it."""
        folders = [self.home / ".local/share/jupyter/kernels", self.prefix / "share/jupyter/kernels"]
        specs = KernelSpecManager(kernel_dirs=list(map(str, folders)), ensure_native_kernel=False)
        manager = KernelManager(kernel_name=kernel, kernel_spec_manager=specs)
        manager.start_kernel(env=self.environment, stderr=subprocess.DEVNULL)
        client: Any = manager.client()
        client.start_channels()
        read: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            read.append(content.get("text", "") + content.get("evalue", ""))

        try:
            client.wait_for_ready(timeout=60)
            client.execute_interactive(code, timeout=60, output_hook=keep)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
            client.context.destroy()
        return "".join(read).strip()


@pytest.fixture
def user(copied: Path, tmp_path: Path) -> User:
    (tmp_path / "home").mkdir()
    return User(tmp_path / "home", copied)


@pytest.fixture
def own_package(tmp_path: Path) -> Path:
    """A package that no index has, as a user's project has one."""
    folder = tmp_path / "own"
    (folder / "own_tools").mkdir(parents=True)
    (folder / "own_tools/__init__.py").write_text("ANSWER = 6 * 7\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "own-tools"\nversion = "1"\n[tool.setuptools]\npackages = ["own_tools"]\n'
    )
    wheels = tmp_path / "wheels"
    command = [Path(sys.executable).with_name("uv"), "build", "--wheel", "--out-dir", wheels, folder]
    subprocess.run(command, check=True, capture_output=True)
    return next(wheels.glob("*.whl"))


def test_kernel_of_a_user_has_his_packages_and_those_of_the_site(user: User, own_package: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"{own_package}\n")
    folder = tmp_path / "project" / "mine"
    done = user.add(
        "mine", "--on", "tiny", "--requirements", str(tmp_path / "requirements.txt"), "--folder", str(folder)
    )
    assert done.returncode == 0, done.stderr
    assert f"The kernel mine is ready, on tiny 2026.11: {folder}" in done.stdout
    seen = user.run(
        "mine",
        "import os, sys, ipykernel, own_tools\n"
        "print(own_tools.ANSWER, sys.prefix, ipykernel.__file__, os.environ['SWOTVRE_KERNEL'],\n"
        "      os.environ['SWOTVRE_KERNEL_VERSION'], os.environ['SWOTVRE_USER_KERNEL'], os.environ['TINY_VARIABLE'])",
    )
    site = user.prefix / "tiny-2026.11/lib/python3.12/site-packages"
    assert seen == f"42 {folder} {site}/ipykernel/__init__.py tiny 2026.11 mine seen by the kernel"


def test_upgrade_of_the_site_changes_nothing_and_a_pruned_version_is_told_in_the_notebook(
    user: User, versions: Path
) -> None:
    shutil.rmtree(user.prefix / "share")  # The links of a copy: those of both versions are below.
    user = user._replace(prefix=versions)
    kernels = versions / "share/jupyter/kernels"
    assert (kernels / "tiny-2026.11").exists(), "the old version is there under its name and version"
    done = user.add("mine", "--on", "tiny-2026.11")
    assert done.returncode == 0, done.stderr
    assert "on tiny 2026.11:" in done.stdout
    version = "import os; print(os.environ['SWOTVRE_KERNEL_VERSION'])"
    assert user.run("mine", version) == "2026.11", "the active one is 2026.11.1"

    set_folders_writable(versions / "tiny-2026.11", writable=True)
    shutil.rmtree(versions / "tiny-2026.11")
    told = user.run("mine", version)
    assert "The kernel 'mine' stands on tiny 2026.11, which is no longer on this site" in told
    assert "python -m swotvre_kernels.user_kernels mine --on tiny --folder" in told


def test_packages_that_are_gone_are_told_in_the_notebook(user: User) -> None:
    assert user.add("mine", "--on", "tiny").returncode == 0
    shutil.rmtree(user.home / ".local/share/swot-vre/mine")
    assert "The packages of the kernel 'mine' are gone" in user.run("mine", "1 + 1")


def test_nothing_is_overwritten_unasked(user: User, tmp_path: Path) -> None:
    assert user.add("mine", "--on", "tiny").returncode == 0
    again = user.add("mine", "--on", "tiny")
    assert again.returncode == 2
    assert "add --replace to make the kernel anew" in again.stderr
    assert user.add("mine", "--on", "tiny", "--replace").returncode == 0

    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "thesis.tex").write_text("years of work")
    refused = user.add("other", "--on", "tiny", "--folder", str(papers))
    assert refused.returncode == 2
    assert "holds no kernel; choose another one with --folder" in refused.stderr
    assert (papers / "thesis.tex").read_text() == "years of work"


def test_failed_installation_leaves_the_kernel_that_was_there(user: User) -> None:
    assert user.add("mine", "--on", "tiny").returncode == 0
    failed = user.add("mine", "--on", "tiny", "--replace", "--package", "/nowhere/own.whl")
    assert failed.returncode == 2
    assert "the packages cannot be installed" in failed.stderr
    assert user.run("mine", "print(6 * 7)") == "42"


def test_unknown_base_is_refused_with_those_that_exist(user: User) -> None:
    refused = user.add("mine", "--on", "tyni")
    assert refused.returncode == 2
    assert "no kernel 'tyni'" in refused.stderr
    assert "expected one of: tiny" in refused.stderr


def test_own_kernel_is_no_base_for_another(user: User, built_once: tuple[Path, KernelBuild]) -> None:
    assert user.add("mine", "--on", "tiny").returncode == 0
    environment = {**user.environment, "JUPYTER_PATH": str(user.home / ".local/share/jupyter")}
    python = built_once[0] / "tiny-2026.11/bin/python"
    command = [python, "-m", "swotvre_kernels.user_kernels", "two", "--on", "mine"]
    done = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(PACKAGES)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no kernel 'mine'" in done.stderr
