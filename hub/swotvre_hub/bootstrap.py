"""Make the environments of a checkout from their locks: ``python3 hub/swotvre_hub/bootstrap.py hub [dev ...]``.

This file runs before anything is installed: on any Python 3.9 with the standard library alone, and imports nothing of
the project. The installed hub uses the same functions for the environments that it makes later.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PYTHON_VERSION = "3.12"
#: What the first ``make up`` writes, with room for the package cache.
NEEDED_GIB = 6
#: Lies in every state folder: nothing else is ever removed as one.
MARK = ".swot-vre-state"
#: What the machine trusts, also where an institute's proxy signs what passes it.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
CHECKOUT = Path(__file__).resolve().parents[2]
#: Environments that hold the project itself, editable.
WITH_PROJECT = ("hub", "lab", "dev")
#: Where interpreters stand that are on nobody's PATH.
OTHER_PLACES = (
    "~/.pyenv/versions/3.12*/bin",
    "/usr/local/bin",
    "/opt/python*/bin",
    "~/.local/bin",
)


class BootstrapError(Exception):
    """Something is missing; the message says what was needed, what was found and what to do."""


def ensure_uv(state: Path) -> Path:
    """Return ``uv`` of the state folder, installed from its lock into an environment of its own."""
    if CERTIFICATES.exists():
        os.environ.setdefault("UV_SYSTEM_CERTS", "true")
        os.environ.setdefault("NODE_EXTRA_CA_CERTS", str(CERTIFICATES))
    folder = state / "bootstrap"
    uv = folder / "bin" / "uv"
    lock = CHECKOUT / "locks" / "bootstrap.txt"
    mark = _digest(lock.read_bytes())
    if _is_complete(folder, mark) and uv.exists():
        return uv
    _remove_tree(folder)
    try:
        import ensurepip  # noqa: F401  (Debian splits it off into python3-venv)
        import venv  # noqa: F401
    except ImportError as error:
        raise BootstrapError(
            f"Python's venv module is needed, and {sys.executable} lacks {error.name}; "
            "install it, on Debian with: apt install python3-venv"
        ) from error
    _run([sys.executable, "-m", "venv", str(folder)], "a virtual environment for uv could not be made")
    _run(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)],
        "uv could not be installed with pip; the package index must be reachable for the first 'make up'",
    )
    _complete(folder, mark)
    return uv


def find_python(uv: Path, state: Path) -> Path:
    """Return a Python of ``PYTHON_VERSION``: one that is here, else one that uv can fetch.

    Raises:
        BootstrapError: when neither can be had.
    """
    found = subprocess.run(
        [str(uv), "python", "find", PYTHON_VERSION], cwd=str(CHECKOUT), capture_output=True, text=True, check=False
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    for pattern in OTHER_PLACES:
        pattern = os.path.expanduser(pattern)
        for folder in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            candidate = folder / f"python{PYTHON_VERSION}"
            if os.access(str(candidate), os.X_OK) and _version(candidate) == PYTHON_VERSION:
                return candidate
    environment = {**os.environ, "UV_PYTHON_INSTALL_DIR": str(state / "python")}
    subprocess.run([str(uv), "python", "install", "--quiet", "--no-bin", PYTHON_VERSION], env=environment, check=False)
    installed = sorted((state / "python").glob(f"cpython-{PYTHON_VERSION}*/bin/python{PYTHON_VERSION}"))
    if installed:
        return installed[-1]
    raise BootstrapError(
        f"Python {PYTHON_VERSION} is needed; neither PATH nor the usual places hold one (this is Python "
        f"{sys.version_info[0]}.{sys.version_info[1]}), and uv could not download it. Install Python {PYTHON_VERSION} "
        f"so that 'python{PYTHON_VERSION}' is on PATH, or set UV_PYTHON_INSTALL_MIRROR to a mirror that is reachable"
    )


def ensure_environment(name: str, state: Path, uv: Path, log: Path | None = None) -> Path:
    """Return the environment ``name``, made from ``locks/NAME.txt`` unless it is there and made from the same lock.

    What an interrupted start left half made has no completion mark, and is made anew.
    """
    folder = state / "env" / name
    lock = CHECKOUT / "locks" / (name + ".txt")
    # The tables of the tools do not change what is installed.
    project = (CHECKOUT / "pyproject.toml").read_bytes().split(b"\n[tool.")[0]
    mark = _digest(lock.read_bytes(), project, PYTHON_VERSION.encode())
    python = folder / "bin" / "python"
    if _is_complete(folder, mark) and python.exists():
        return folder
    if folder.exists():
        refuse_while_running(state)
    _remove_tree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    why = f"the environment {name!r} could not be made from {lock.relative_to(CHECKOUT)}"
    base = find_python(uv, state)
    _run([str(uv), "venv", "--quiet", "--python", str(base), str(folder)], why, log)
    install = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    build = ["--build-constraints", str(CHECKOUT / "locks" / "build.txt")]
    _run([*install, *build, "--require-hashes", "--compile-bytecode", "-r", str(lock)], why, log)
    if name in WITH_PROJECT:
        _run([*install, "--no-deps", *build, "--editable", str(CHECKOUT)], why, log)
    _complete(folder, mark)
    return folder


def ensure_state(state: Path) -> None:
    """Make the state folder, for its owner alone.

    Raises:
        BootstrapError: when it cannot be made, or there is no room for what goes into it.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
        for name in ("env", "log", "run"):
            (state / name).mkdir(mode=0o700, exist_ok=True)
        (state / MARK).touch()
    except OSError as error:
        raise BootstrapError(
            f"the folder {state} cannot be written ({error.strerror}); run this as its owner"
        ) from error
    free = shutil.disk_usage(str(state)).free / 2**30
    if free < NEEDED_GIB and not (state / "env" / "lab").exists():
        raise BootstrapError(
            f"{NEEDED_GIB} GiB of free space are needed below {state}, and {free:.1f} GiB are there; make room, "
            "or put the checkout on another disk"
        )


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the lock of the state folder, so that two runs do not make the same environment at once."""
    with (state / "run" / "setup.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("another run sets up this folder; waiting for it", flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def remove_state(state: Path) -> None:
    """Remove the state folder, unless something of it is running, or it is another folder than this program made."""
    if not state.exists():
        return
    if not (state / MARK).exists() and any(state.iterdir()):
        raise BootstrapError(f"{state} was not made by swot-vre (it holds no {MARK}); nothing was removed")
    refuse_while_running(state)
    _remove_tree(state)


def refuse_while_running(state: Path) -> None:
    """Refuse to go on while another process runs the hub of ``state``, or what a killed one left behind.

    Raises:
        BootstrapError: with what runs.
    """
    lock = state / "run" / "up.lock"
    if lock.exists():
        with lock.open("r+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = stream.read().strip()
                if holder.split(" ")[0] == str(os.getpid()):
                    return
                raise BootstrapError(f"the hub of {state} is running ({holder}); stop it first: make down") from error
    mark = ("SWOTVRE_STATE=" + str(state)).encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            variables = environment.read_bytes().split(b"\0")
            roles = [variable for variable in variables if variable.startswith(b"SWOTVRE_ROLE=")]
            # A proxy that runs on its own uses no environment, and outlives upgrades on purpose.
            if mark in variables and roles and roles != [b"SWOTVRE_ROLE=proxy"]:
                raise BootstrapError(
                    f"process {environment.parent.name} of {state} is still running; stop it first: make down"
                )


def _version(python: Path) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _is_complete(folder: Path, mark: str) -> bool:
    try:
        return (folder / ".complete").read_text() == mark
    except OSError:
        return False


def _complete(folder: Path, mark: str) -> None:
    partial = folder / ".complete.partial"
    partial.write_text(mark)
    partial.rename(folder / ".complete")


def _remove_tree(folder: Path) -> None:
    """Remove ``folder``; what was made read-only on purpose is made writable first."""
    if not folder.exists():
        return
    for parent, _, _ in os.walk(str(folder)):
        with contextlib.suppress(OSError):
            os.chmod(parent, stat.S_IRWXU)
    shutil.rmtree(str(folder))


def _run(command: list[str], why: str, log: Path | None = None) -> None:
    """Run ``command``; what it says goes into ``log``, or into the message when it fails."""
    # An index or a cache of the user's own may be set up for uv and pip: their variables pass through.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if log is not None:
        with log.open("a") as stream:
            stream.write(done.stdout)
    if done.returncode:
        tail = "\n  ".join(done.stdout.strip().splitlines()[-8:])
        raise BootstrapError(f"{why} (exit code {done.returncode}); the last lines were:\n  {tail}")


def main(arguments: list[str]) -> int:
    """Make the environments that ``arguments`` name; print a line for each that had to be made."""
    parser = argparse.ArgumentParser(description="Make the environments of this checkout from their locks.")
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT", help="hub, lab, dev, ...")
    parser.add_argument("--state", default=os.environ.get("SWOTVRE_STATE") or str(CHECKOUT / ".vre"))
    parser.add_argument("--remove", action="store_true", help="remove the state folder and everything in it")
    args = parser.parse_args(arguments)
    state = Path(args.state).absolute()
    try:
        if args.remove:
            remove_state(state)
            return 0
        ensure_state(state)
        with only_one(state):
            started = time.monotonic()
            uv = ensure_uv(state)
            for name in args.environments:
                if not (state / "env" / name / ".complete").exists():
                    print(f"making the environment {name!r} from its lock ...", flush=True)
                ensure_environment(name, state, uv)
            if time.monotonic() - started > 1:
                print(f"environments ready after {time.monotonic() - started:.0f} s", flush=True)
    except BootstrapError as error:
        print(f"swot-vre: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nswot-vre: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
