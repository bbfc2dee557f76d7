"""The identity of a build: a digest of everything that decides what the kernel is."""

from __future__ import annotations

import hashlib
import platform

from swotvre_kernels.definitions import KernelSource
from swotvre_kernels.interpreter import Interpreter
from swotvre_kernels.models import BUILD_LOCK_FILE, DEFINITION_FILE, GUEST_FILE, LOCK_FILE
from swotvre_kernels.project import Project

#: What the builder itself adds to an environment; raised when that changes, so that kernels are built anew.
BUILDER = "2"


def build_identity(kernels: tuple[KernelSource, ...], interpreter: Interpreter, project: Project | None) -> str:
    """Return the SHA-256, in hexadecimal, of the definitions' files, the lock, the interpreter and the project.

    Args:
        kernels: the kernels of the environment, the one that gives it its name and lock first.
        interpreter: what it stands on.
        project: the project that is installed into it, if any.
    """
    digest = hashlib.sha256()
    for number, kernel in enumerate(kernels):
        own = [GUEST_FILE] if number else [DEFINITION_FILE, LOCK_FILE]
        if not number and (kernel.folder / BUILD_LOCK_FILE).is_file():
            own.append(BUILD_LOCK_FILE)
        for name in [*own, *kernel.files]:
            digest.update(name.encode() + b"\0" + hashlib.sha256((kernel.folder / name).read_bytes()).digest())
    facts = (interpreter.version, str(interpreter.path), platform.machine(), project.digest if project else "", BUILDER)
    for fact in facts:
        digest.update(fact.encode() + b"\0")
    return digest.hexdigest()
