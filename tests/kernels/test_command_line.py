from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest

from swotvre_hub.cli import kernels
from swotvre_kernels.build import KernelBuild
from swotvre_kernels.errors import ActiveKernelError, UnknownKernelError


def run(*argv: str) -> tuple[int, str]:
    """Run ``swot-vre kernels`` with these words; return its exit code and what it printed."""
    parser = argparse.ArgumentParser()
    kernels.add_parser(parser.add_subparsers(required=True))
    out = io.StringIO()
    args = parser.parse_args(["kernels", *argv])
    return args.run(args, out), out.getvalue()


def test_list_shows_each_kernel_on_a_line(built_once: tuple[Path, KernelBuild]) -> None:
    prefix, build = built_once
    code, text = run("list", "--prefix", str(prefix))
    header, line = text.splitlines()
    assert code == 0
    assert header.split() == ["NAME", "VERSION", "STATE", "PYTHON", "PACKAGES", "SIZE", "BUILT", "(UTC)"]
    count = str(len(build.manifest.packages))
    assert line.split()[:5] == ["tiny", "2026.11", "active", build.manifest.python, count]


def test_prefix_comes_from_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWOTVRE_STATE", str(tmp_path / "from-variable"))
    assert str(tmp_path / "from-variable" / "kernels") in run("list")[1]
    assert str(tmp_path / "option" / "kernels") in run("list", "--state", str(tmp_path / "option"))[1]
    monkeypatch.delenv("SWOTVRE_STATE")
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / ".vre" / "kernels") in run("list")[1]


def test_verify_says_what_it_found(built_once: tuple[Path, KernelBuild], tmp_path: Path) -> None:
    assert run("verify", "--prefix", str(built_once[0])) == (
        0,
        "tiny-2026.11 works: its imports and its smoke notebook passed.\n",
    )
    code, text = run("verify", "--prefix", str(tmp_path))
    assert code == 1
    assert "No active kernel" in text


def test_broken_kernel_fails_verification_in_words(tmp_path: Path) -> None:
    (tmp_path / "tiny-2026.11").mkdir()
    (tmp_path / "tiny-2026.11" / "pyvenv.cfg").write_text("")
    code, text = run("verify", "tiny-2026.11", "--prefix", str(tmp_path))
    assert code == 1
    assert "tiny-2026.11 is broken" in text
    assert "broken" in run("list", "--prefix", str(tmp_path))[1]
    assert run("remove", "tiny-2026.11", "--prefix", str(tmp_path)) == (0, "tiny-2026.11 is removed.\n")


def test_active_kernel_is_not_removed(built_once: tuple[Path, KernelBuild]) -> None:
    with pytest.raises(ActiveKernelError):
        run("remove", "tiny-2026.11", "--prefix", str(built_once[0]))


def test_unknown_kernel_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownKernelError, match="expected one of: swot-ocean"):
        run("build", "ocean", "--prefix", str(tmp_path))


def test_shipped_lock_passes_its_check() -> None:
    code, text = run("lock", "--check")
    assert code == 0
    assert text.startswith("The lock of swot-ocean fits: ")
