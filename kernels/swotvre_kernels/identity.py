"""The identity of a build: a digest of everything that decides what the kernel is."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from swotvre_kernels.interpreter import Interpreter
from swotvre_kernels.models import DEFINITION_FILE, LOCK_FILE, EnvironmentDefinition
from swotvre_kernels.project import Project


def build_identity(
    folder: Path, definition: EnvironmentDefinition, interpreter: Interpreter, project: Project | None
) -> str:
    """Return the SHA-256, in hexadecimal, of the definition's files, the lock, the interpreter and the project."""
    digest = hashlib.sha256()
    names = [DEFINITION_FILE, LOCK_FILE, *definition.logos, *filter(None, [definition.smoke_notebook])]
    for name in names:
        digest.update(name.encode() + b"\0" + hashlib.sha256((folder / name).read_bytes()).digest())
    for fact in (interpreter.version, str(interpreter.path), platform.machine(), project.digest if project else ""):
        digest.update(fact.encode() + b"\0")
    return digest.hexdigest()
