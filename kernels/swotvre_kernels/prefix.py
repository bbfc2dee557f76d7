"""The folder that holds the built kernels: its lock, its markers, and how a tree in it is removed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swotvre_kernels.errors import KernelBusyError, NoSpaceError, PrefixError

GIB = 2**30
LOG_FOLDER = "log"
LOCK_NAME = ".lock"
MARKER_SUFFIX = ".building"
#: How long the last program of a killed build may need to end, in seconds.
ORPHAN_SECONDS = 60.0

Progress = Callable[[str, float], None]


def marker_of(environment: Path) -> Path:
    """Return the marker that stands beside ``environment`` while it is not whole."""
    return environment.with_name(environment.name + MARKER_SUFFIX)


def write_marker(environment: Path) -> None:
    """Say, before anything else, that ``environment`` is not whole and who works on it."""
    marker_of(environment).write_text(json.dumps({"pid": os.getpid(), "started": _started(os.getpid())}))


def is_worked_on(environment: Path) -> bool:
    """Tell whether the process that wrote the marker of ``environment`` is still alive."""
    return _is_alive(_read(marker_of(environment)))


def make_prefix(prefix: Path) -> None:
    """Make the folder of the kernels.

    Raises:
        PrefixError: it cannot be made or written.
    """
    try:
        (prefix / LOG_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PrefixError(
            f"cannot make the folder of the kernels {prefix}: {error}; choose one with --prefix"
        ) from error
    if not os.access(prefix, os.W_OK | os.X_OK):
        raise PrefixError(f"the folder of the kernels {prefix} is not writable; choose one with --prefix")


@contextmanager
def locked(prefix: Path, progress: Progress) -> Iterator[int]:
    """Hold the prefix for one build or removal; yield the descriptor that holds it.

    Programs that a build starts inherit the descriptor: when the build is killed, the prefix stays locked until the
    last of them has ended, so that nobody writes into a tree that is being repaired.

    Raises:
        KernelBusyError: another living process holds it.
        PrefixError: the lock file cannot be written.
    """
    try:
        descriptor = os.open(prefix / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise PrefixError(f"cannot lock the folder of the kernels {prefix}: {error}") from error
    try:
        _acquire(descriptor, prefix, progress)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "started": _started(os.getpid())}).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, prefix: Path, progress: Progress) -> None:
    deadline = time.monotonic() + ORPHAN_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _read(prefix / LOCK_NAME)
            if _is_alive(holder) or time.monotonic() > deadline:
                raise KernelBusyError(
                    f"another build works in {prefix} (process {holder.get('pid', 'unknown')}); wait until it has ended"
                ) from error
            progress("Waiting for the last program of an interrupted build", 0.0)
            time.sleep(0.5)


def remove_leftovers(prefix: Path, progress: Progress) -> list[str]:
    """Remove what interrupted builds and removals left; the caller holds the lock. Return the names removed."""
    removed = []
    for marker in sorted(prefix.glob(f"*{MARKER_SUFFIX}")):
        name = marker.name.removesuffix(MARKER_SUFFIX)
        progress(f"Removing what an interrupted build left: {name}", 0.0)
        remove_tree(prefix / name)
        marker.unlink(missing_ok=True)
        removed.append(name)
    return removed


def remove_environment(environment: Path) -> None:
    """Remove a tree so that, wherever this is interrupted, what is left counts as broken."""
    write_marker(environment)
    remove_tree(environment)
    marker_of(environment).unlink()


def remove_tree(path: Path) -> None:
    """Remove a folder with read-only folders in it."""
    if not path.is_dir():
        return
    set_folders_writable(path, writable=True)
    shutil.rmtree(path)


def set_folders_writable(path: Path, *, writable: bool) -> None:
    """Let, or forbid, the owner to add and remove files below ``path``.

    Only folders change: files may be hard links into uv's cache and would change there too.
    """
    for folder, _, _ in os.walk(path):
        mode = stat.S_IMODE(os.stat(folder).st_mode)  # noqa: PTH116 - os.walk gives strings, thousands of them
        os.chmod(folder, mode | 0o200 if writable else mode & ~0o222)  # noqa: PTH101


def require_space(prefix: Path, space_gib: float) -> None:
    """Check that the disk of ``prefix`` has ``space_gib`` GiB free.

    Raises:
        NoSpaceError: it has not.
    """
    free_gib = shutil.disk_usage(prefix).free / GIB
    if free_gib < space_gib:
        raise NoSpaceError(
            f"the kernel needs {space_gib:.1f} GiB free in {prefix}, found {free_gib:.1f} GiB; free some space (old "
            "kernels: swot-vre kernels prune) or choose another folder with --prefix"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_alive(process: dict[str, Any]) -> bool:
    """Tell whether the recorded process lives; its start time distinguishes it from a later one of the same number."""
    pid = process.get("pid")
    return isinstance(pid, int) and process.get("started") is not None and _started(pid) == process["started"]


def _started(pid: int) -> str | None:
    """Return when the process started, in clock ticks since boot, or None when there is no such process."""
    try:
        stat_line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field, the name in parentheses, may hold spaces.
    fields = stat_line.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
