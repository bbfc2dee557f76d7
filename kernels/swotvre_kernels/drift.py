"""Tell whether the files of a kernel are still those that were installed, and which are not.

A build lists every file of the environment with its digest in :data:`LISTING`; the manifest keeps the digest of that
list. A kernel built before has no list: its files are compared with the ``RECORD`` of each package.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import pwd
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from swotvre_kernels.errors import KernelError
from swotvre_kernels.install import DEFINITION_COPY
from swotvre_kernels.lock import read_lock
from swotvre_kernels.models import MANIFEST_FILE, Manifest, read_definition
from swotvre_kernels.project import DISTRIBUTION

#: The list of the installed files, inside the environment.
LISTING = Path("share") / "swot-vre" / "installed.csv"
#: How many files a report names; it counts the others.
NAMED_FILES = 20

#: Written by every build or verification, or by uv when it starts.
_OWN = {MANIFEST_FILE, f".{MANIFEST_FILE}", ".lock", str(LISTING)}
#: Written by uv into every environment, named by no package.
_OF_UV = {"_virtualenv.py", "_virtualenv.pth"}
#: Where a file that was added can change what a kernel runs.
_RUNS_FROM = ("lib/", "bin/")
_UNKNOWN_TIME = -1


class InstalledFile(NamedTuple):
    """One file of an environment.

    Attributes:
        digest: SHA-256 in hexadecimal; of a symbolic link ``-> target``; empty when it cannot be read.
        size_bytes: its size.
        time_ns: its modification time in nanoseconds since 1970; -1 where it is not known.
        package: name and version of the package that it belongs to; empty for none.
    """

    digest: str
    size_bytes: int
    time_ns: int
    package: str = ""


Files = dict[str, InstalledFile]


class FileChange(NamedTuple):
    """One difference: the path below the environment, its package, and what became of it, in words."""

    path: str
    package: str
    what: str

    def __str__(self) -> str:
        shown = self.path.partition("/site-packages/")[2] or self.path
        return f"{shown} of {self.package or 'no package'} {self.what}"


def digest_files(
    environment: Path,
    known: Mapping[str, InstalledFile] | None = None,
    done: Callable[[float], None] = lambda part: None,
) -> Files:
    """Return every file of ``environment`` but bytecode, by its path below it.

    Args:
        environment: folder of the environment.
        known: files whose digest is taken from here when size and modification time are the same.
        done: called with the fraction of the files that is read.
    """
    known = known or {}
    found: Files = {}
    unread: dict[str, os.stat_result] = {}
    for path, status in _walk(environment):
        file = known.get(path)
        if file and _is_unchanged(file, status):
            found[path] = file._replace(time_ns=status.st_mtime_ns)
        else:
            unread[path] = status
    records = read_records(environment) if unread else {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        digests = pool.map(lambda path: _digest(environment / path, unread[path]), unread)
        for number, (path, digest) in enumerate(zip(unread, digests, strict=True)):
            status = unread[path]
            package = records[path].package if path in records else ""
            found[path] = InstalledFile(digest, status.st_size, status.st_mtime_ns, package)
            if number % 500 == 0:
                done(number / len(unread))
    return found


def read_records(environment: Path) -> Files:
    """Return what the ``RECORD`` of each package says about its files; an empty digest where it gives none."""
    files: Files = {}
    for info in environment.glob("lib/python*/site-packages/*.dist-info"):
        package = " ".join(_name_and_version(info))
        try:
            with (info / "RECORD").open(encoding="utf-8", newline="") as source:
                rows = [row for row in csv.reader(source) if len(row) == 3]
        except (OSError, UnicodeDecodeError):
            continue
        site = info.parent.relative_to(environment).as_posix()
        for name, digest, size in rows:
            path = os.path.normpath(f"{site}/{name}")
            if "/__pycache__/" not in path:
                kind, _, value = digest.partition("=")
                checked = kind == "sha256"
                found = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex() if checked else ""
                files[path] = InstalledFile(found, int(size or 0) if checked else 0, _UNKNOWN_TIME, package)
    return files


def unlike_records(environment: Path, files: Files) -> dict[str, str]:
    """Return the files that are not what the ``RECORD`` of their package says, each with its package."""
    return {
        path: file.package
        for path, file in read_records(environment).items()
        if file.digest and (path not in files or files[path].digest != file.digest)
    }


def write_listing(environment: Path, files: Files) -> str:
    """Write the list of the installed files; return its SHA-256 for the manifest."""
    path = environment / LISTING
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as sink:
        rows = csv.writer(sink, lineterminator="\n")
        rows.writerow(["path", *InstalledFile._fields])
        rows.writerows([name, *file] for name, file in sorted(files.items()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_drift(
    environment: Path,
    manifest: Manifest,
    *,
    read_all: bool = True,
    done: Callable[[float], None] = lambda part: None,
) -> list[FileChange]:
    """Return what was changed, removed or added in ``environment`` since it was built, sorted by path.

    Args:
        environment: folder of the environment.
        manifest: its manifest.
        read_all: read every file; else only those whose size or modification time differs.
        done: called with the fraction done.
    """
    changes: list[FileChange] = []
    installed = None
    if manifest.installed_sha256 is not None:
        installed, as_written = _read_listing(environment, manifest.installed_sha256)
        if not as_written:
            path = str(LISTING)
            what = f"was changed{_by(environment / path)}" if (environment / path).exists() else "is missing"
            changes.append(FileChange(path, "", f"{what}: it is the list of what was installed"))
    expected, of_records = (read_records(environment), True) if installed is None else (installed, False)
    known = {} if read_all else expected
    found = digest_files(environment, known, done)
    for path, file in expected.items():
        if path not in found:
            changes.append(FileChange(path, file.package, "is missing"))
        elif file.digest and found[path].digest != file.digest:
            changes.append(FileChange(path, file.package, f"was changed{_by(environment / path)}"))
    for path in sorted(found.keys() - expected.keys()):
        site = "/site-packages/" in path
        counts = site and Path(path).name not in _OF_UV if of_records else path.startswith(_RUNS_FROM)
        if counts:
            changes.append(FileChange(path, found[path].package, f"was added{_by(environment / path)}"))
    return sorted(changes)


def unlike_lock(environment: Path, manifest: Manifest) -> list[str]:
    """Return, in words, where the installed packages are not those of the lock that the kernel was built from."""
    folder = environment / DEFINITION_COPY
    try:
        pins, definition = read_lock(folder), read_definition(folder)
    except KernelError:
        return [f"{DEFINITION_COPY}, the copy of its definition and lock, cannot be read"]
    python = {"python_full_version": manifest.python, "python_version": ".".join(manifest.python.split(".")[:2])}
    locked = {pin.name: pin.version for pin in pins if pin.marker is None or Marker(pin.marker).evaluate(python)}
    infos = sorted(environment.glob("lib/python*/site-packages/*.dist-info"))
    found = [(canonicalize_name(name), version) for name, version in map(_name_and_version, infos)]
    faults = []
    for name, version in found:
        if name in locked and not _is_same(version, locked[name]):
            faults.append(f"{name} {version} is installed, the lock holds {locked[name]}")
        elif name not in locked and not (definition.project_extra and name == DISTRIBUTION):
            faults.append(f"{name} {version} is installed, the lock does not hold it")
    names = {name for name, _ in found}
    faults += [
        f"{name} {version} of the lock is not installed" for name, version in locked.items() if name not in names
    ]
    return sorted(faults)


def in_words(name: str, changes: Iterable[FileChange], packages: list[str], definition: str) -> str:
    """Return the report about the drifted kernel of folder ``name``: what differs, and what to do."""
    lines = [*packages, *map(str, changes)]
    shown = [f"  {line}" for line in lines[:NAMED_FILES]]
    if len(lines) > NAMED_FILES:
        shown.append(f"  and {len(lines) - NAMED_FILES} others")
    advice = f"Build it again: swot-vre kernels build {definition} makes a new version beside it."
    return "\n".join([f"{name} is not what was installed:", *shown, advice])


def _walk(environment: Path) -> Iterator[tuple[str, os.stat_result]]:
    root = os.fspath(environment)
    for folder, folders, names in os.walk(root):
        # What Python and numba compile is theirs.
        folders[:] = [name for name in folders if name != "__pycache__"]
        links = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114 - thousands of strings
        for name in (*names, *links):
            path = f"{folder}/{name}".removeprefix(f"{root}/")
            if path not in _OWN:
                yield path, os.lstat(f"{folder}/{name}")


def _is_unchanged(file: InstalledFile, status: os.stat_result) -> bool:
    return file.size_bytes == status.st_size and file.time_ns in {status.st_mtime_ns, _UNKNOWN_TIME}


def _digest(path: Path, status: os.stat_result) -> str:
    try:
        if stat.S_ISLNK(status.st_mode):
            return f"-> {path.readlink()}"
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as source:
                return hashlib.file_digest(source, "sha256").hexdigest()
    except OSError:
        return ""
    return ""


def _read_listing(environment: Path, sha256: str) -> tuple[Files | None, bool]:
    """Return the list, None where there is none that can be read, and whether it is the one of the build."""
    try:
        content = (environment / LISTING).read_bytes()
        rows = csv.reader(content.decode().splitlines()[1:])
        files = {path: InstalledFile(digest, int(size), int(time), of) for path, digest, size, time, of in rows}
    except (OSError, ValueError):
        return None, False
    return files, hashlib.sha256(content).hexdigest() == sha256


def _by(path: Path) -> str:
    """Return who owns the file and when it was written, as far as the file system tells."""
    try:
        status = path.lstat()
    except OSError:
        return ""
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = f"user {status.st_uid}"
    return f" (by {owner}, {datetime.fromtimestamp(status.st_mtime, UTC):%Y-%m-%d %H:%M} UTC)"


def _name_and_version(info: Path) -> tuple[str, str]:
    name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
    return name, version


def _is_same(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other
