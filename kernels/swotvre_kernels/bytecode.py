"""Take the compiled bytecode of an environment with the same lock instead of compiling it again.

Compiling is the longest part of a build, and the same files of the same packages compile to the same bytecode.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from swotvre_kernels.install import DEFINITION_COPY, environment_python
from swotvre_kernels.interpreter import Interpreter
from swotvre_kernels.models import LOCK_FILE, Manifest
from swotvre_kernels.prefix import marker_of


def find_twin(name: str, lock: bytes, interpreter: Interpreter, prefix: Path) -> Path | None:
    """Return a whole environment of this lock and interpreter below ``prefix``, or None."""
    for path in sorted(prefix.glob(f"{name}-*"), reverse=True):
        manifest = Manifest.read(path)
        if manifest is None or marker_of(path).exists() or not environment_python(path).exists():
            continue
        stands_on = (manifest.python, manifest.base_interpreter)
        kept = path / DEFINITION_COPY / LOCK_FILE
        if stands_on == (interpreter.version, str(interpreter.path)) and kept.is_file() and kept.read_bytes() == lock:
            return path
    return None


def take_bytecode(twin: Path, environment: Path) -> tuple[int, int]:
    """Link the bytecode of ``twin`` into ``environment`` where the source file is the same.

    Returns:
        How many files of bytecode were taken, and how many were left because their source differs.
    """
    taken = left = 0
    for cache in (twin / "lib").rglob("__pycache__"):
        target = environment / cache.parent.relative_to(twin)
        sources = {path.stem: path for path in cache.parent.glob("*.py")}
        for compiled in cache.glob("*.pyc"):
            source = sources.get(compiled.name.split(".", 1)[0])
            if source is None or not (target / source.name).exists():
                continue
            if _same(source, target / source.name):
                _link(compiled, target / cache.name / compiled.name)
                taken += 1
            else:
                left += 1
    return taken, left


def _same(one: Path, other: Path) -> bool:
    # What Python itself compares: bytecode records time and size of its source.
    first, second = one.stat(), other.stat()
    return (int(first.st_mtime), first.st_size) == (int(second.st_mtime), second.st_size)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links, or too many of them.
        shutil.copy2(source, target)
