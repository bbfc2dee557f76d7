from __future__ import annotations

import argparse
import io
import json
import subprocess
from pathlib import Path

import pytest

from swotvre_hub.cli import kernels
from swotvre_kernels.build import KernelBuild
from swotvre_kernels.errors import ActiveKernelError, UnknownKernelError
from swotvre_kernels.install import active_environment
from swotvre_kernels.models import MANIFEST_FILE


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
    assert header.split() == ["NAME", "VERSION", "STATE", "PYTHON", "PACKAGES", "SIZE", "BUILT", "(UTC)", "KERNELS"]
    count = str(len(build.manifest.packages))
    assert line.split()[:5] == ["tiny", "2026.11", "active", build.manifest.python, count]
    assert line.split()[-1] == "tiny"


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
        "tiny-2026.11 works: its files are those installed, its imports and its smoke notebooks passed.\n",
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


def test_operator_adds_a_kernel_for_an_account(
    built_once: tuple[Path, KernelBuild], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    folder = tmp_path / "project"
    code, text = run("add-user", "mine", "--on", "tiny", "--folder", str(folder), "--prefix", str(built_once[0]))
    assert (code, text.splitlines()[0]) == (0, f"The kernel mine is ready, on tiny 2026.11: {folder}")
    spec = json.loads((tmp_path / "jupyter/kernels/mine/kernel.json").read_text())
    assert spec["env"]["SWOTVRE_KERNEL_VERSION"] == "2026.11"
    assert (folder / "bin/python").exists()


def test_unknown_kernel_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownKernelError, match=r"expected one of: .*swot-ocean"):
        run("build", "ocean", "--prefix", str(tmp_path))


def test_shipped_lock_passes_its_check() -> None:
    code, text = run("lock", "--check")
    assert code == 0
    assert text.startswith("The lock of swot-ocean fits: ")


def test_older_versions_are_shown_switched_to_and_removed(versions: Path) -> None:
    options = ("--prefix", str(versions))
    code, text = run("diff", "tiny-2026.11", "tiny-2026.11.1", *options)
    assert code == 0
    assert [line.split() for line in text.splitlines()] == [
        ["WHAT", "NAME", "CHANGE", "tiny-2026.11", "tiny-2026.11.1"],
        ["variable", "SECOND", "added", "-", "added"],
    ]
    code, text = run("rollback", "tiny", *options)
    assert (code, text.splitlines()[0]) == (
        0,
        "tiny-2026.11 is active instead of tiny-2026.11.1, which stays beside it.",
    )
    assert active_environment("tiny", versions) == versions / "tiny-2026.11"

    code, text = run("prune", "tiny", "--keep", "0", "--dry-run", *options)
    assert text.startswith("tiny-2026.11.1 would be removed.\n0.")
    assert (versions / "tiny-2026.11.1").is_dir()
    old = versions / "tiny-2026.11.1/bin/python"
    with subprocess.Popen([old, "-c", "input()"], stdin=subprocess.PIPE) as session:
        stays = f"tiny-2026.11.1 stays: processes of this machine use it ({session.pid}).\n"
        assert run("prune", "--keep", "0", *options) == (0, stays)
        session.communicate(b"\n")
    assert run("prune", "--keep", "0", *options)[1].startswith("tiny-2026.11.1 is removed.\n0.")
    assert run("prune", *options) == (0, "Nothing to remove.\n")


def test_wrong_number_of_versions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("prune", "--keep", "-1", "--prefix", str(tmp_path))
    with pytest.raises(SystemExit):
        run("prune", "--keep", "few", "--prefix", str(tmp_path))
    assert "expected a whole number, 0 or more, received 'few'" in capsys.readouterr().err
    assert run("diff", "a", "b", "c", "--prefix", str(tmp_path))[0] == 2


def test_drifted_kernel_fails_verification_and_older_ones_are_told(copied: Path) -> None:
    kernel = copied / "tiny-2026.11"
    added = kernel / "lib/python3.12/site-packages/added.py"
    added.write_text("")
    code, text = run("verify", "--prefix", str(copied))
    assert code == 1
    assert "added.py of no package was added (by " in text
    added.unlink()
    content = json.loads((kernel / MANIFEST_FILE).read_text())
    del content["installed_sha256"]
    (kernel / MANIFEST_FILE).write_text(json.dumps(content))
    code, text = run("verify", "tiny", "--prefix", str(copied))
    assert code == 0
    assert "It was built before swot-vre kept a digest of what is installed" in text


def test_licences_and_bill_of_materials_are_printed(built_once: tuple[Path, KernelBuild]) -> None:
    prefix, build = built_once
    code, text = run("list", "--licenses", "tiny", "--prefix", str(prefix))
    lines = text.splitlines()
    assert (code, lines[0].split()) == (0, ["PACKAGE", "VERSION", "LICENCE"])
    assert [line.split()[0] for line in lines[1:]] == sorted(build.manifest.packages)
    code, text = run("list", "tiny", "--format", "cyclonedx", "--prefix", str(prefix))
    assert code == 0
    assert len(json.loads(text)["components"]) == len(build.manifest.packages)
    assert len(run("list", "tiny", "--prefix", str(prefix))[1].splitlines()) == 2
    with pytest.raises(UnknownKernelError, match="no kernel 'swot-ocean'"):
        run("list", "--licenses", "--prefix", str(prefix))
