"""The first program of ``make up``: half-made folders are made anew, and what is missing is named in one sentence."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = sys.executable
UV = Path(sys.executable).parent / "uv"


@pytest.fixture
def small_checkout(tmp_path: Path, checkout: Path) -> Path:
    """Return a checkout that has the bootstrap program and a lock of nothing, and a state folder with uv."""
    folder = tmp_path / "checkout"
    (folder / "hub" / "swotvre_hub").mkdir(parents=True)
    shutil.copy(checkout / "hub" / "swotvre_hub" / "bootstrap.py", folder / "hub" / "swotvre_hub")
    (folder / "locks").mkdir()
    for name in ("bootstrap", "build"):
        shutil.copy(checkout / "locks" / f"{name}.txt", folder / "locks")
    (folder / "locks" / "empty.txt").write_text("", encoding="ascii")
    (folder / "pyproject.toml").write_text("", encoding="ascii")
    shutil.copy(checkout / ".python-version", folder)
    return folder


def _bootstrap(
    checkout: Path, *arguments: str, python: str = PYTHON, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}", **variables}
    environment.pop("SWOTVRE_STATE", None)
    program = checkout / "hub" / "swotvre_hub" / "bootstrap.py"
    return subprocess.run(
        [python, str(program), *arguments], env=environment, cwd=checkout, capture_output=True, text=True, check=False
    )


def _with_uv(checkout: Path, installed: Path) -> Path:
    """Give ``checkout`` a state folder whose uv is the one that is installed already."""
    state = checkout / ".vre"
    state.mkdir()
    (state / "bootstrap").symlink_to(installed / "bootstrap")
    return state


def test_an_environment_is_made_once_and_found_the_second_time(small_checkout: Path, installed_state: Path) -> None:
    state = _with_uv(small_checkout, installed_state)
    first = _bootstrap(small_checkout, "empty")
    assert first.returncode == 0, first.stderr
    assert "making the environment 'empty'" in first.stdout
    made = (state / "env" / "empty" / "bin" / "python").lstat().st_mtime_ns
    second = _bootstrap(small_checkout, "empty")
    assert (second.returncode, second.stdout) == (0, "")
    assert (state / "env" / "empty" / "bin" / "python").lstat().st_mtime_ns == made
    assert state.stat().st_mode & 0o077 == 0, "other users of the machine may not look in"


def test_a_half_made_environment_is_made_anew(small_checkout: Path, installed_state: Path) -> None:
    state = _with_uv(small_checkout, installed_state)
    half = state / "env" / "empty"
    half.mkdir(parents=True)
    (half / "bin").mkdir()
    (half / "bin" / "python").write_text("broken", encoding="ascii")
    assert _bootstrap(small_checkout, "empty").returncode == 0
    version = subprocess.run([half / "bin" / "python", "-V"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("Python 3.12")


def test_a_changed_lock_makes_the_environment_anew(small_checkout: Path, installed_state: Path) -> None:
    state = _with_uv(small_checkout, installed_state)
    assert _bootstrap(small_checkout, "empty").returncode == 0
    before = (state / "env" / "empty" / ".complete").read_text(encoding="ascii")
    (small_checkout / "locks" / "empty.txt").write_text("# changed\n", encoding="ascii")
    assert _bootstrap(small_checkout, "empty").returncode == 0
    assert (state / "env" / "empty" / ".complete").read_text(encoding="ascii") != before


def test_a_lock_that_cannot_be_installed_is_named_with_the_reason(small_checkout: Path, installed_state: Path) -> None:
    _with_uv(small_checkout, installed_state)
    lock = small_checkout / "locks" / "empty.txt"
    lock.write_text("six==1.17.0 --hash=sha256:" + "0" * 64 + "\n", encoding="ascii")
    done = _bootstrap(small_checkout, "empty")
    assert done.returncode == 2
    assert "could not be made from locks/empty.txt" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (small_checkout / ".vre" / "env" / "empty" / ".complete").exists()


def test_no_python_is_one_sentence_that_says_what_to_do(
    small_checkout: Path, installed_state: Path, tmp_path: Path
) -> None:
    _with_uv(small_checkout, installed_state)
    python = Path("/usr/bin/python3")
    if not python.exists() or shutil.which("python3.12", path="/usr/bin:/bin:/usr/local/bin"):
        pytest.skip("needs a machine whose system Python is another than 3.12")
    if list(Path("/opt").glob("python*/bin/python3.12")):
        pytest.skip("a Python 3.12 stands in a place that is searched without PATH")
    done = _bootstrap(
        small_checkout,
        "empty",
        python=str(python),
        PATH="/usr/bin:/bin",
        HOME=str(tmp_path),
        UV_PYTHON_DOWNLOADS="never",
        UV_PYTHON_INSTALL_DIR=str(tmp_path / "none"),
    )
    assert done.returncode == 2
    assert "Python 3.12 is needed" in done.stderr
    assert "UV_PYTHON_INSTALL_MIRROR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(small_checkout: Path) -> None:
    small_checkout.chmod(0o500)
    try:
        done = _bootstrap(small_checkout, "empty")
    finally:
        small_checkout.chmod(0o700)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_file_in_the_place_of_the_folder_is_named(small_checkout: Path) -> None:
    (small_checkout / ".vre").write_text("in the way", encoding="ascii")
    done = _bootstrap(small_checkout, "empty")
    assert done.returncode == 2
    assert ".vre cannot be written" in done.stderr


def test_two_runs_at_once_make_the_environment_once(small_checkout: Path, installed_state: Path) -> None:
    _with_uv(small_checkout, installed_state)
    program = [PYTHON, str(small_checkout / "hub" / "swotvre_hub" / "bootstrap.py"), "empty"]
    runs = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=small_checkout) for _ in range(2)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert (small_checkout / ".vre" / "env" / "empty" / ".complete").exists()
    assert any("waiting" in text for text in said) or sum("making" in text for text in said) == 1


def test_a_folder_that_is_no_state_folder_is_never_removed(small_checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work", encoding="ascii")
    refused = _bootstrap(small_checkout, "--remove", "--state", str(home))
    assert refused.returncode == 2
    assert "nothing was removed" in refused.stderr
    assert (home / "thesis.tex").exists()


def test_the_state_folder_is_removed_unless_its_hub_runs(small_checkout: Path, installed_state: Path) -> None:
    state = _with_uv(small_checkout, installed_state)
    assert _bootstrap(small_checkout, "empty").returncode == 0
    holder = subprocess.Popen(
        [
            *(PYTHON, "-c"),
            "import fcntl, signal, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
            "f.write('4711 http://127.0.0.1:8000/'); f.flush(); print('held', flush=True); signal.pause()",
            str(state / "run" / "up.lock"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused = _bootstrap(small_checkout, "--remove")
        assert refused.returncode == 2
        assert "is running (4711 http://127.0.0.1:8000/)" in refused.stderr
        assert state.exists()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert _bootstrap(small_checkout, "--remove").returncode == 0
    assert not state.exists()
    assert (installed_state / "bootstrap").exists(), "what a link points to is not removed"
