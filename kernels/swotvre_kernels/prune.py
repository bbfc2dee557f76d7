"""Remove old versions of kernels that nothing uses any more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from swotvre_kernels.install import unlink_lost
from swotvre_kernels.prefix import Progress, locked, make_prefix, remove_environment
from swotvre_kernels.registry import KernelState, list_kernels
from swotvre_kernels.versions import versions_of

#: How many versions of a kernel are kept unless somebody says otherwise.
KEPT_VERSIONS = 2

_WHOLE = {KernelState.ACTIVE, KernelState.OLD}


class Pruning(NamedTuple):
    """What :func:`prune_kernels` removed, or would remove.

    Attributes:
        removed: folders of the kernels.
        used: old kernels that stay because processes of this machine run from them, with the process numbers.
        freed_bytes: disk space; files that another folder links to free nothing.
    """

    removed: list[Path]
    used: dict[Path, list[int]]
    freed_bytes: int


def prune_kernels(
    prefix: Path,
    name: str | None = None,
    *,
    keep: int = KEPT_VERSIONS,
    dry_run: bool = False,
    progress: Progress = lambda step, fraction: None,
) -> Pruning:
    """Remove the versions of ``name`` (default: of every kernel) beyond the newest ``keep``.

    The active version stays, and so does one that a process of this machine runs from.

    Args:
        prefix: folder of the kernels.
        name: name of the kernel.
        keep: how many of the newest versions stay, the active one counted if it is among them.
        dry_run: only say what would go.
        progress: called with what is being done and the fraction done.

    Raises:
        UnknownKernelError: there is no kernel of that name.
        KernelBusyError: a build works in the prefix.
    """
    prefix = prefix.absolute()
    if dry_run:
        removable, used = _removable(prefix, name, keep)
        return Pruning(removable, used, freed_bytes(removable))
    _removable(prefix, name, keep)
    make_prefix(prefix)
    with locked(prefix, progress):
        removable, used = _removable(prefix, name, keep)
        freed = freed_bytes(removable)
        for number, path in enumerate(removable):
            progress(f"Removing {path.name}", number / len(removable))
            remove_environment(path)
        unlink_lost(prefix)
    return Pruning(removable, used, freed)


def using_processes(environments: Sequence[Path]) -> dict[Path, list[int]]:
    """Return, for those of ``environments`` that are used, the processes of this machine that run from them.

    A process runs from an environment when its program, its arguments or a library in its memory lie in it. What
    libraries the processes of other users have in memory is for root alone to see; their arguments are for all.
    """
    marks = {path: {f"{path}/".encode(), f"{path.resolve()}/".encode()} for path in environments}
    used: dict[Path, list[int]] = {}
    for process in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
        if process == os.getpid():
            continue
        seen = _seen_of(process)
        for path, names in marks.items():
            if any(name in seen for name in names):
                used.setdefault(path, []).append(process)
    return used


def freed_bytes(environments: Sequence[Path]) -> int:
    """Return the disk space that removing ``environments`` together gives back."""
    links: dict[tuple[int, int], int] = {}
    freed = 0
    for environment in environments:
        for folder, folders, names in os.walk(environment):
            for name in (*folders, *names):
                status = os.lstat(f"{folder}/{name}")
                file = (status.st_dev, status.st_ino)
                links[file] = links.get(file, 0) + 1
                # The links of a folder are its subfolders, not other places that keep it.
                if links[file] == status.st_nlink or name in folders:
                    freed += status.st_blocks * 512
    return freed


def _removable(prefix: Path, name: str | None, keep: int) -> tuple[list[Path], dict[Path, list[int]]]:
    names = {kernel.manifest.name for kernel in list_kernels(prefix) if kernel.manifest} if name is None else {name}
    beyond = []
    for each in sorted(names):
        versions = [kernel for kernel in versions_of(each, prefix) if kernel.state in _WHOLE]
        old = versions[: max(0, len(versions) - keep)]
        beyond += [kernel.path for kernel in old if kernel.state is KernelState.OLD]
    used = using_processes(beyond)
    return [path for path in beyond if path not in used], used


def _seen_of(process: int) -> bytes:
    """Return the names of the program, the arguments and the libraries of a process, as far as we may read them."""
    folder = Path(f"/proc/{process}")
    seen = b""
    for name in ("cmdline", "maps"):
        with contextlib.suppress(OSError):
            seen += (folder / name).read_bytes() + b"\n"
    with contextlib.suppress(OSError):
        seen += os.fsencode((folder / "exe").readlink())
    return seen
