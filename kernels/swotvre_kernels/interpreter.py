"""Find uv and the Python that an environment stands on."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from swotvre_kernels.errors import InterpreterError

_ASK = "import sys, json, platform; print(json.dumps([platform.python_version(), sys._base_executable]))"


class Interpreter(NamedTuple):
    """A Python that is no virtual environment: its full version and its real path."""

    version: str
    path: Path


def find_uv() -> str:
    """Return the path of uv: the one beside the running Python, else the one on PATH.

    Raises:
        InterpreterError: there is none.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if not found:
        raise InterpreterError(f"uv was found neither beside {sys.executable} nor on PATH; install it: pip install uv")
    return found


def find_interpreter(wanted: str, chosen: Path | None = None) -> Interpreter:
    """Return the interpreter of version ``wanted`` (``MAJOR.MINOR``): ``chosen``, the running one, or what uv finds.

    Raises:
        InterpreterError: no such Python; the message says how to get one.
    """
    if chosen is not None:
        found = _ask(chosen)
    elif platform.python_version().startswith(f"{wanted}."):
        # The running Python is known to work, and asking it costs no process.
        base = getattr(sys, "_base_executable", sys.executable)
        found = Interpreter(platform.python_version(), Path(base).resolve())
    else:
        found = _ask(_found_by_uv(wanted))
    if not found.version.startswith(f"{wanted}."):
        raise InterpreterError(f"expected Python {wanted}, but {chosen} is Python {found.version}")
    return found


def _found_by_uv(wanted: str) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        # A pyenv shim on PATH fails, and uv with it, unless the folder says which version is meant.
        (Path(folder) / ".python-version").write_text(f"{wanted}\n")
        answer = subprocess.run(
            [find_uv(), "python", "find", "--system", "--no-project", wanted],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[0]
        raise InterpreterError(
            f"no Python {wanted} was found on this machine ({reason}). Install one, for example with "
            f"'uv python install {wanted}', or name one with --python /path/to/python{wanted}"
        )
    return Path(answer.stdout.strip())


def _ask(python: Path) -> Interpreter:
    try:
        answer = subprocess.run([str(python), "-I", "-c", _ASK], capture_output=True, text=True, check=True, timeout=60)
        version, base = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InterpreterError(f"{python} does not answer as a Python interpreter: {error}") from error
    return Interpreter(str(version), Path(base).resolve())
