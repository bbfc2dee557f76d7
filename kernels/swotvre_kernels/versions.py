"""The versions of a kernel: go back to an older one, and tell what differs between two."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from swotvre_kernels.errors import KernelError, RollbackError, UnknownKernelError
from swotvre_kernels.install import DEFINITION_COPY, activate, environment_python
from swotvre_kernels.models import Manifest, read_definition
from swotvre_kernels.prefix import Progress, locked, make_prefix
from swotvre_kernels.registry import InstalledKernel, KernelState, describe_drift, find_kernel, has_kernel, list_kernels


class Rollback(NamedTuple):
    """The answer of :func:`rollback_kernel`: the kernel that was active, if any, and the one that is now."""

    before: InstalledKernel | None
    now: InstalledKernel


class KernelDifference(NamedTuple):
    """One thing that differs between two kernels; an empty value where the kernel lacks it.

    Attributes:
        kind: ``python``, ``package`` or ``variable``.
        name: name of the package or variable.
        before: version or value in the first kernel.
        after: version or value in the second.
    """

    kind: str
    name: str
    before: str
    after: str

    @property
    def change(self) -> str:
        """What became of it: ``added``, ``removed`` or ``changed``."""
        if not self.before:
            return "added"
        return "changed" if self.after else "removed"


def versions_of(name: str, prefix: Path) -> list[InstalledKernel]:
    """Return the installed versions of the kernel ``name`` that have a manifest, the oldest build first.

    Raises:
        UnknownKernelError: there is none; the message lists the kernels that exist.
    """
    kernels = list_kernels(prefix)
    dated = [(k.manifest.built_at, k.path.name, k) for k in kernels if k.manifest and has_kernel(k.manifest, name)]
    if not dated:
        existing = ", ".join(
            sorted({each for kernel in kernels if kernel.manifest for each in kernel.manifest.kernel_names})
        )
        raise UnknownKernelError(f"no kernel {name!r} in {prefix}; installed: {existing or 'none'}")
    return [kernel for *_, kernel in sorted(dated, key=lambda entry: entry[:2])]


def rollback_kernel(
    name: str, prefix: Path, *, version: str | None = None, progress: Progress = lambda step, fraction: None
) -> Rollback:
    """Let new sessions start ``version`` of the kernel ``name``, or the version built before the active one.

    All kernels of its environment are switched. Every file of that version is compared with what was installed before
    the switch.

    Raises:
        UnknownKernelError: no such kernel or version; the message lists those that exist.
        RollbackError: there is nothing to go back to, or what there is is broken.
        KernelBusyError: a build works in the prefix.
    """
    prefix = prefix.absolute()
    versions_of(name, prefix)
    make_prefix(prefix)
    with locked(prefix, progress):
        kernels = versions_of(name, prefix)
        active = next((kernel for kernel in kernels if kernel.state is KernelState.ACTIVE), None)
        target = _version_before(name, kernels, active) if version is None else _named(name, version, kernels)
        if target is active:
            raise RollbackError(f"{target.path.name} is the active kernel already; nothing was switched")
        _require_whole(target, progress)
        activate(target.path, _manifest(target).kernel_names)
    return Rollback(active, target)


def compare_kernels(before: InstalledKernel, after: InstalledKernel) -> list[KernelDifference]:
    """Return what differs between two kernels: Python, environment variables, packages.

    Raises:
        UnknownKernelError: one of them has no manifest that can be read.
    """
    one, other = _manifest(before), _manifest(after)
    found = [KernelDifference("python", "python", one.python, other.python)]
    found += _differences("variable", _variables(before), _variables(after))
    found += _differences("package", one.packages, other.packages)
    return [difference for difference in found if difference.before != difference.after]


def kernels_to_compare(names: list[str], prefix: Path, default: str) -> tuple[InstalledKernel, InstalledKernel]:
    """Return the two kernels named, or the version before the active one and the active one of the kernel named.

    Args:
        names: two kernels, one, or none.
        prefix: folder of the kernels.
        default: name of the kernel when none is given.

    Raises:
        UnknownKernelError: one of them does not exist.
        RollbackError: there is no version before.
    """
    if len(names) == 2:
        return find_kernel(names[0], prefix), find_kernel(names[1], prefix)
    after = find_kernel(names[0] if names else default, prefix)
    name = _manifest(after).name
    return _version_before(name, versions_of(name, prefix), after), after


def _version_before(name: str, kernels: list[InstalledKernel], active: InstalledKernel | None) -> InstalledKernel:
    if active is None:
        raise RollbackError(f"no version of {name} is active; say which one is meant: {_versions(kernels)}")
    older = kernels[: [kernel.path for kernel in kernels].index(active.path)]
    if not older:
        others = [kernel for kernel in kernels if kernel.path != active.path]
        newer = f"; there are newer ones: {_versions(others)}" if others else ""
        raise RollbackError(f"nothing was built before {active.path.name}: there is nothing to go back to{newer}")
    return older[-1]


def _named(name: str, version: str, kernels: list[InstalledKernel]) -> InstalledKernel:
    for kernel in kernels:
        if kernel.manifest and version in {kernel.path.name, kernel.manifest.version}:
            return kernel
    raise UnknownKernelError(f"no version {version!r} of {name}; installed: {_versions(kernels)}")


def _versions(kernels: list[InstalledKernel]) -> str:
    return ", ".join(kernel.manifest.version for kernel in kernels if kernel.manifest)


def _require_whole(kernel: InstalledKernel, progress: Progress) -> None:
    if kernel.state is not KernelState.OLD:
        raise RollbackError(
            f"{kernel.path.name} is {kernel.state}, the active kernel stays; swot-vre kernels verify "
            f"{kernel.path.name} says why"
        )
    fault = describe_drift(kernel, lambda part: progress(f"Checking the files of {kernel.path.name}", part))
    if not (kernel.path / DEFINITION_COPY).is_dir() or not environment_python(kernel.path).exists():
        fault = fault or f"{kernel.path.name} has no definition or no Python any more"
    if fault:
        raise RollbackError(f"{fault}\nThe active kernel stays as it is.")


def _manifest(kernel: InstalledKernel) -> Manifest:
    if kernel.manifest is None:
        raise UnknownKernelError(f"{kernel.path.name} is {kernel.state}: it has no manifest that can be read")
    return kernel.manifest


def _variables(kernel: InstalledKernel) -> dict[str, str]:
    try:
        return read_definition(kernel.path / DEFINITION_COPY).variables
    except KernelError as error:
        raise UnknownKernelError(f"the definition that {kernel.path.name} keeps cannot be read: {error}") from error


def _differences(kind: str, before: dict[str, str], after: dict[str, str]) -> list[KernelDifference]:
    return [
        KernelDifference(kind, name, before.get(name, ""), after.get(name, "")) for name in sorted({*before, *after})
    ]
