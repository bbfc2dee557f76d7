"""Write the sample datalake as a whole: all of it or nothing, and not twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from swotvre_catalogs.sample.errors import SampleError
from swotvre_catalogs.sample.manifest import MANIFEST, is_complete, read_manifest
from swotvre_catalogs.sample.writing import write_everything

#: Called with the number of files written, the number of all, and the name of the last one.
Progress = Callable[[int, int, str], None]

README = "README.md"
#: What the catalogs derive from the files of a datalake.
DERIVED = ".swot-vre"
#: Room that the sample needs while it is written.
_NEEDED_MB = 120


def write_sample(destination: Path, *, force: bool = False, progress: Progress | None = None, workers: int = 2) -> bool:
    """Write the sample datalake to a folder; return False when it was already there, complete.

    The files are written beside ``destination`` and moved there when the last one is finished, so that a folder
    with a manifest is always whole. What an interrupted run left behind is removed.

    Args:
        destination: The folder; its parent is made when it is missing.
        force: Replace a folder that this program did not write.
        progress: Told of each finished product.
        workers: Processes that simulate.

    Raises:
        SampleError: the folder is not ours and not empty, is not a folder, or cannot be written.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 - a symbolic link stays what the caller meant
    if is_complete(destination):
        return False
    _refuse_foreign(destination, force)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _refuse_full_disk(destination.parent)
        with _staging(destination) as staging:
            write_everything(staging, progress or (lambda *_: None), workers)
            replace_datalake(destination, staging)
    except (OSError, RuntimeError) as error:  # netCDF4 reports a failed write as RuntimeError
        reason = getattr(error, "strerror", None) or str(error)
        raise SampleError(
            f"cannot write the sample datalake to {destination}: {reason}; "
            f"it needs a writable folder with {_NEEDED_MB} MB of space"
        ) from error
    return True


def _refuse_foreign(destination: Path, force: bool) -> None:
    if destination.is_symlink() and not destination.exists():
        raise SampleError(f"{destination} is a link to nothing; remove it or name another folder")
    if destination.exists() and not destination.is_dir():
        raise SampleError(f"{destination} is a file; expected a folder, or a name that is free")
    if not destination.exists():
        return
    if not os.access(destination, os.W_OK | os.X_OK):
        raise SampleError(f"{destination} is read-only; make it writable or name another folder")
    try:
        occupied = any(destination.iterdir())
    except OSError as error:
        raise SampleError(f"cannot look into {destination}: {error.strerror}") from error
    if occupied and read_manifest(destination) is None and not force:
        raise SampleError(
            f"{destination} is not empty and was not written by this program (no {MANIFEST}); "
            "name another folder, or use --force to replace everything in it"
        )


def _refuse_full_disk(folder: Path) -> None:
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < _NEEDED_MB:
        raise SampleError(f"{folder} has {free_mb} MB of free space; the sample datalake needs {_NEEDED_MB} MB")


@contextlib.contextmanager
def _staging(destination: Path) -> Iterator[Path]:
    """Yield an empty folder beside the destination; remove it, and those of runs that were killed, at the end."""
    prefix = f".{destination.name}.writing."
    for leftover in destination.parent.glob(f"{prefix}*"):
        if not _is_running(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}.", dir=destination.parent))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _is_running(leftover: Path) -> bool:
    """Tell whether the process that a staging folder is named after still lives on this machine."""
    try:
        os.kill(int(leftover.name.split(".writing.")[1].split(".")[0]), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True


def replace_datalake(destination: Path, staging: Path) -> None:
    """Put the finished folder in place; what was there goes only when the new one stands."""
    staging.chmod(0o755)
    if not destination.exists():
        staging.rename(destination)
        return
    target = destination.resolve()
    _keep_files_of_others(target, staging)
    old = staging.with_name(f"{staging.name}.old")
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _keep_files_of_others(old: Path, new: Path) -> None:
    """Link into ``new`` the files of ``old`` that its manifest does not name: somebody put them there.

    Indexes and cubes of the old files are left behind: they are made anew from the new ones.
    """
    manifest = read_manifest(old)
    if manifest is None:
        return  # all of it was given up with --force
    ours = {*manifest["files"], MANIFEST, README}
    for path in old.rglob("*"):
        name = path.relative_to(old).as_posix()
        copy = new / name
        derived = name.split("/")[0] == DERIVED
        if path.is_file() and name not in ours and not derived and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
