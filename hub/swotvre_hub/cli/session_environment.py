"""``swot-vre session-environment FOLDER``: the environment of sessions, where every user and every node can run it."""

from __future__ import annotations

import argparse
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TextIO

from swotvre_hub.bootstrap import CHECKOUT, BootstrapError, ensure_uv, find_python
from swotvre_hub.errors import SetupError
from swotvre_hub.front_end import SETTINGS, ensure_lab_extension, ensure_node
from swotvre_hub.provision import ensure_session_parts
from swotvre_hub.spawner.tutorials import INSTALLED, find_tutorials
from swotvre_hub.state import State, find_state

#: Parts of an interpreter that no session uses.
LEFT_OUT = ("__pycache__", "test", "idlelib", "turtledemo", "ensurepip", "*.a")
COMPLETE = ".complete"


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``session-environment``."""
    parser = nouns.add_parser("session-environment", help="make the environment of sessions on nodes, for batch.lab")
    parser.add_argument(
        "folder", type=Path, help="new folder, at the same path on nodes, for example /opt/swot-vre/lab"
    )
    parser.add_argument("--state", help="state folder (default: $SWOTVRE_STATE or .vre)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Make the environment; one that is complete stays as it is."""
    folder: Path = args.folder.absolute()
    state = find_state(args.state)
    if (folder / COMPLETE).exists():
        print(f"{folder} is complete already; an environment is never changed, make the next in a new folder", file=out)
        return 0
    if folder.exists() and any(folder.iterdir()):
        raise SetupError(
            f"{folder} is not empty; expected a new folder, or remove it if an earlier run left it half made"
        )
    ensure_session_parts(state, lambda step, _share: print(step, file=out, flush=True))
    make_environment(folder, state, out)
    print(f"{folder} is complete; set batch.lab: {folder}", file=out)
    return 0


def make_environment(folder: Path, state: State, out: TextIO) -> None:
    """Make the environment in ``folder``, which does not exist yet, from its lock.

    Raises:
        SetupError: with the end of what an installer said.
    """
    try:
        uv = ensure_uv(state.root)
        python = find_python(uv, state.root)
    except BootstrapError as error:
        raise SetupError(str(error)) from error
    folder.mkdir(parents=True, mode=0o755)
    if not everybody_can_reach(python.resolve()):
        print(f"copying the interpreter: other accounts cannot execute {python}", file=out, flush=True)
        python = copy_interpreter(python, folder / "python")
    print(f"installing {CHECKOUT / 'locks' / 'lab.txt'}", file=out, flush=True)
    environment = folder / "bin" / "python"
    _run([str(uv), "venv", "--quiet", "--allow-existing", "--python", str(python), str(folder)])
    build = ["--build-constraints", str(CHECKOUT / "locks" / "build.txt")]
    install = [str(uv), "pip", "install", "--quiet", "--python", str(environment), "--compile-bytecode", *build]
    _run([*install, "--require-hashes", "-r", str(CHECKOUT / "locks" / "lab.txt")])
    _run([*install, "--no-deps", str(CHECKOUT)])
    copy_front_end(state, folder)
    if tutorials := find_tutorials():
        shutil.copytree(tutorials, folder / INSTALLED)
    open_to_everybody(folder)
    (folder / COMPLETE).touch(mode=0o644)


def everybody_can_reach(path: Path) -> bool:
    """Return whether every account may enter all folders above ``path`` and read it."""
    for part in (path, *path.parents):
        mode = part.stat().st_mode
        needed = stat.S_IXOTH if part.is_dir() else stat.S_IROTH
        if not mode & needed:
            return False
    return True


def copy_interpreter(python: Path, target: Path) -> Path:
    """Copy the installation of ``python`` to ``target``; return the copy's interpreter."""
    answer = subprocess.run(
        [str(python), "-I", "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
    )
    base = Path(answer.stdout.strip())
    if not re.search(r"3\.\d+", base.name) and base == Path("/usr"):
        raise SetupError(f"the interpreter {python} cannot be executed by every account; install Python 3.12 for all")
    shutil.copytree(base, target, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    copy = target / "bin" / python.resolve().name
    find_own_library(copy, base / "lib")
    # Who runs a session may not write here: what is not compiled now would be compiled at every start.
    _run([str(copy), "-I", "-m", "compileall", "-q", "-j", "0", str(target / "lib")])
    return copy


def find_own_library(program: Path, before: Path) -> None:
    """Have a copied ``program`` look for its library beside itself, where it named the folder ``before``.

    As chrpath does: the new search path is written over the old, longer one. A program without that path needs nothing.
    """
    old, new = str(before).encode() + b"\0", b"$ORIGIN/../lib\0"
    content = program.read_bytes()
    if len(old) < len(new) or old not in content:
        return
    program.write_bytes(content.replace(old, new.ljust(len(old), b"\0")))


def copy_front_end(state: State, folder: Path) -> None:
    """Copy the built Lab extension and its settings from the installation."""
    ensure_lab_extension(state, ensure_node(state))
    source = state.environment("lab")
    extension = Path("share/jupyter/labextensions/swotvre-lab")
    shutil.copytree(source / extension, folder / extension, dirs_exist_ok=True)
    for name, place in SETTINGS.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(source / place / Path(name).name, folder / place)


def open_to_everybody(folder: Path) -> None:
    """Let every account read and run what is in ``folder``, and only its owner change it."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        readable = mode | stat.S_IRGRP | stat.S_IROTH
        if path.is_dir() or mode & stat.S_IXUSR:
            readable |= stat.S_IXGRP | stat.S_IXOTH
        path.chmod(readable & ~(stat.S_IWGRP | stat.S_IWOTH))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        tail = "\n  ".join(done.stdout.strip().splitlines()[-8:])
        raise SetupError(f"{Path(command[0]).name} {command[1]} failed (exit code {done.returncode}):\n  {tail}")
