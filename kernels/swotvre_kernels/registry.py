"""The kernels that lie in a prefix: list them, verify them again, remove them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from swotvre_kernels.definitions import read_kernels
from swotvre_kernels.drift import find_drift, in_words, unlike_lock
from swotvre_kernels.errors import ActiveKernelError, KernelError, UnknownKernelError, VerificationError
from swotvre_kernels.install import (
    DEFINITION_COPY,
    active_kernels,
    environment_python,
    unlink_lost,
    write_manifest,
)
from swotvre_kernels.kernelspec import KERNELS
from swotvre_kernels.models import Manifest
from swotvre_kernels.prefix import (
    LOG_FOLDER,
    MARKER_SUFFIX,
    Progress,
    is_worked_on,
    locked,
    make_prefix,
    marker_of,
    remove_environment,
)
from swotvre_kernels.verify import verify_environment


class KernelState(StrEnum):
    """What an installed kernel is good for."""

    ACTIVE = "active"  #: new sessions start it
    OLD = "old"  #: whole, for sessions that still run it
    BROKEN = "broken"  #: not whole
    BUILDING = "building"  #: a living process works on it


class InstalledKernel(NamedTuple):
    """One kernel in a prefix; ``manifest`` is None where it has none that can be read."""

    path: Path
    state: KernelState
    manifest: Manifest | None


def list_kernels(prefix: Path) -> list[InstalledKernel]:
    """Return the kernels in ``prefix``, whole or not, sorted by folder name."""
    prefix = prefix.absolute()
    marked = {path.name.removesuffix(MARKER_SUFFIX) for path in prefix.glob(f"*{MARKER_SUFFIX}")}
    built = {path.parent.name for path in prefix.glob("*/pyvenv.cfg")}
    return [_inspect(prefix / name) for name in sorted(marked | built)]


def find_kernel(name: str, prefix: Path) -> InstalledKernel:
    """Return the environment of the kernel ``name``: of its version, if ``name`` ends with one; else the active one.

    Without an active one it is the newest.

    Raises:
        UnknownKernelError: no such kernel; the message lists those that exist.
    """
    kernels = list_kernels(prefix)
    exact = [kernel for kernel in kernels if name in {kernel.path.name, *_versioned_names(kernel.manifest)}]
    named = [kernel for kernel in kernels if kernel.manifest and has_kernel(kernel.manifest, name)]
    active = [kernel for kernel in named if kernel.state is KernelState.ACTIVE]
    for candidates in (exact, active, named):
        if candidates:
            return candidates[-1]
    existing = ", ".join(kernel.path.name for kernel in kernels) or "none"
    raise UnknownKernelError(f"no kernel {name!r} in {prefix}; installed: {existing}")


def _versioned_names(manifest: Manifest | None) -> list[str]:
    return [f"{name}-{manifest.version}" for name in manifest.kernel_names] if manifest else []


def has_kernel(manifest: Manifest, name: str) -> bool:
    """Return whether ``name`` is the environment of ``manifest`` or a kernel that stands in it."""
    return name in {manifest.name, *manifest.kernel_names}


def verify_kernel(kernel: InstalledKernel, *, progress: Callable[[float], None] = lambda fraction: None) -> Manifest:
    """Verify an installed kernel by the definition that it was built from; return its manifest with the new time.

    Raises:
        VerificationError: it is not whole, not what was installed, or does not work; the message says what fails.
    """
    if kernel.manifest is None or kernel.state in {KernelState.BROKEN, KernelState.BUILDING}:
        raise VerificationError(f"{kernel.path.name} is {kernel.state}: {_why(kernel.path)}")
    folder = kernel.path / DEFINITION_COPY
    faults = [drift] if (drift := describe_drift(kernel, lambda part: progress(0.5 * part))) else []
    try:
        verify_environment(
            kernel.path,
            read_kernels(folder),
            log_folder=kernel.path.parent / LOG_FOLDER,
            progress=lambda part: progress(0.5 + 0.5 * part),
        )
    except KernelError as error:
        faults.append(str(error))
    if faults:
        raise VerificationError("\n".join(faults))
    manifest = kernel.manifest.model_copy(update={"verified_at": datetime.now(UTC).replace(microsecond=0)})
    write_manifest(kernel.path, manifest)
    return manifest


def describe_drift(kernel: InstalledKernel, done: Callable[[float], None] = lambda part: None) -> str:
    """Return, in words, where the files and packages of ``kernel`` are not those installed; empty when they are."""
    if kernel.manifest is None:
        return f"{kernel.path.name} is {kernel.state}: {_why(kernel.path)}"
    changes = find_drift(kernel.path, kernel.manifest, done=done)
    packages = unlike_lock(kernel.path, kernel.manifest)
    return in_words(kernel.path.name, changes, packages, kernel.manifest.name) if changes or packages else ""


def remove_kernel(name: str, prefix: Path, *, force: bool = False, progress: Progress = lambda s, f: None) -> Path:
    """Remove the kernel of folder ``name`` (or the only one of that name); return the folder.

    Raises:
        ActiveKernelError: it is the active one, and ``force`` is not given.
        UnknownKernelError: there is none.
        KernelBusyError: a build works in the prefix.
    """
    prefix = prefix.absolute()
    find_kernel(name, prefix)
    make_prefix(prefix)
    with locked(prefix, progress):
        kernel = find_kernel(name, prefix)
        if kernel.state is KernelState.ACTIVE and kernel.manifest:
            if not force:
                raise ActiveKernelError(
                    f"{kernel.path.name} is the active kernel: new sessions start it. Build another one first, or "
                    "remove it with --force"
                )
            for each in active_kernels(kernel.path, kernel.manifest):
                (prefix / KERNELS / each).unlink()
        remove_environment(kernel.path)
        unlink_lost(prefix)
    return kernel.path


def _inspect(path: Path) -> InstalledKernel:
    manifest = Manifest.read(path)
    if marker_of(path).exists():
        state = KernelState.BUILDING if is_worked_on(path) else KernelState.BROKEN
    elif manifest is None or not environment_python(path).exists():
        state = KernelState.BROKEN
    elif active_kernels(path, manifest):
        state = KernelState.ACTIVE
    else:
        state = KernelState.OLD
    return InstalledKernel(path, state, manifest)


def _why(path: Path) -> str:
    if marker_of(path).exists():
        return "its build was interrupted or is not done; the next build repairs it"
    if not environment_python(path).exists():
        return f"its Python {environment_python(path)} leads nowhere; build it again"
    return "it has no manifest that can be read; remove it and build it again"
