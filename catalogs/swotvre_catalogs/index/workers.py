"""Look into many files, in this process or in several; one that brings its process down is named, not fatal."""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import ModuleType
from typing import IO, Any, NamedTuple

from swotvre_catalogs.cube.indexer import IndexedFile
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import CatalogError
from swotvre_catalogs.index.inspection import Inspection, inspect_file
from swotvre_catalogs.index.records import FileRecord
from swotvre_catalogs.index.scanning import ListedFile, Scanned, ScannedBounds, Scanner

#: Files that a worker looks into before it hands over what it found.
BATCH = 250

#: Fewer files than this are not worth the start of other processes.
_FEW = 400

#: Files that are known by their bytes are read by so many threads.
_THREADS = 8

_BLOCK_BYTES = 1 << 20

#: Codes of hash functions in a multihash (the multiformats table), each with the length of its digest.
_SHA256, _MD5 = "1220", "d50110"


class Inspected(NamedTuple):
    """What was found in some files."""

    records: list[FileRecord]
    #: What the cube wants to know of those that are whole.
    scans: list[IndexedFile]
    #: Bounds of the passes whose positions were read, by fingerprint.
    bounds: dict[int, ScannedBounds]


class Inspector:
    """Looks into the files of one product.

    Args:
        datalake: Where they lie.
        known: Footprints by fingerprint, from earlier builds.
        scanner: What looks into files that have a place in a cube.
        checksums: Whether every file is read as a whole for its SHA-256.
    """

    def __init__(
        self, datalake: Datalake, known: Mapping[int, bytes | None], scanner: Scanner | None, *, checksums: bool
    ) -> None:
        self._datalake = datalake
        self._known = dict(known)
        self._checksums = checksums
        self._scanner = scanner

    def inspect(self, files: Iterable[ListedFile]) -> Inspected:
        """Return what is known of files; nothing about their content is an error."""
        found = Inspected([], [], {})
        for file in files:
            found.records.append(self._inspect(file, found))
        return found

    def recognise(self, files: Sequence[ListedFile], like: ListedFile) -> tuple[Inspected, list[ListedFile]]:
        """Return what is known of local files, and those that have to be inspected.

        Args:
            files: The files.
            like: One that was found to be whole before; files of its structure need not be looked into by the library.
        """
        scanner, found = self._scanner, Inspected([], [], {})
        if scanner is None or self._checksums or not self._datalake.is_local or like.wants_times:
            return found, list(files)
        scanner.scan(self._source(like.path), like, self._known)

        def seen(file: ListedFile) -> Scanned | None:
            source = self._source(file.path)
            return None if file.wants_times or not isinstance(source, str) else scanner.recognise(source, file, known)

        known, rest = dict(self._known), []
        # The disk is what is waited for.
        with ThreadPoolExecutor(_THREADS) as pool:
            for file, scanned in zip(files, pool.map(seen, files), strict=True):
                if scanned is None or scanned.inspection is None:
                    rest.append(file)
                    continue
                found.scans.append(scanned.indexed)
                found.records.append(_record(file, scanned.inspection, self._checksum(file)[0]))
        return found, rest

    def _inspect(self, file: ListedFile, found: Inspected) -> FileRecord:
        checksum = ""
        try:
            inspection = self._look(file, found)
            if inspection.status == "ok" or self._checksums:
                checksum, mismatch = self._checksum(file)
                if mismatch and inspection.status == "ok":
                    inspection = replace(inspection, status="corrupt", reason=mismatch)
        except (OSError, CatalogError) as error:
            inspection = Inspection("unreadable", f"{error}")
        return _record(file, inspection, checksum)

    def _look(self, file: ListedFile, found: Inspected) -> Inspection:
        if self._scanner is not None and not file.wants_times:
            scanned = self._scanner.scan(self._source(file.path), file, self._known)
            if scanned is not None:
                found.scans.append(scanned.indexed)
                if scanned.bounds is not None:
                    found.bounds[scanned.indexed.geometry] = scanned.bounds
                if scanned.inspection is not None:
                    return scanned.inspection
        return inspect_file(self._source(file.path), self._known, wants_times=file.wants_times)

    def _source(self, path: str) -> str | IO[bytes]:
        return self._datalake.open(path)

    def _checksum(self, file: ListedFile) -> tuple[str, str]:
        """Return the multihash, and what is wrong if the file is not the one that its ``.md5`` file was made of."""
        expected = self._sidecar(file.path)
        if not self._checksums:
            return (_MD5 + expected if expected else ""), ""
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        source = self._source(file.path)
        with open(source, "rb") if isinstance(source, str) else source as content:  # noqa: PTH123
            while block := content.read(_BLOCK_BYTES):
                sha256.update(block)
                if expected:
                    md5.update(block)
        mismatch = expected and md5.hexdigest() != expected
        reason = f"its MD5 is {md5.hexdigest()}, its .md5 file says {expected}" if mismatch else ""
        return _SHA256 + sha256.hexdigest(), reason

    def _sidecar(self, path: str) -> str:
        # In an object store every look beside a file is a request: only where the files are read anyway.
        if not (self._datalake.is_local or self._checksums):
            return ""
        with suppress(OSError, CatalogError, UnicodeDecodeError):
            source = self._source(f"{path}.md5")
            with open(source, "rb") if isinstance(source, str) else source as content:  # noqa: PTH123
                digest = content.read(200).decode("ascii").split()[:1]
            if digest and len(digest[0]) == 32 and set(digest[0].lower()) <= set("0123456789abcdef"):
                return digest[0].lower()
        return ""


def _record(file: ListedFile, inspection: Inspection, checksum: str) -> FileRecord:
    return FileRecord(
        file.path,
        file.size_bytes,
        file.modified_ns,
        file.etag,
        inspection.status,
        inspection.reason,
        inspection.geometry,
        inspection.fingerprint,
        inspection.begin,
        inspection.end,
        checksum,
    )


def inspect_all(
    inspector: Inspector, files: Sequence[ListedFile], jobs: int, like: ListedFile | None = None
) -> Iterator[Inspected]:
    """Look into the files, some at a time; the order is not theirs.

    Args:
        inspector: What looks into them.
        files: The files.
        jobs: Number of processes.
        like: A file that was found to be whole before: those that are like it are known by their bytes.
    """
    if like is not None and files:
        found, files = inspector.recognise(files, like)
        yield found
    batches = list(_batches(files))
    if jobs <= 1 or len(files) < _FEW:
        for batch in batches:
            yield inspector.inspect(batch)
        return
    # A file can bring down the library that reads it, and its process with it.
    failed: list[ListedFile] = []
    with _pool(inspector, min(jobs, len(batches))) as pool:
        with _without_main():
            waiting: dict[Future[Inspected], Sequence[ListedFile]] = {
                pool.submit(_inspect_batch, batch): batch for batch in batches
            }
        for done in as_completed(list(waiting)):
            tried = waiting.pop(done)  # what it found is not kept as well
            try:
                yield done.result()
            except BrokenProcessPool:
                failed.extend(tried)
    yield from _inspect_singly(inspector, failed)


def _batches(files: Iterable[ListedFile]) -> Iterator[list[ListedFile]]:
    """Cut the files where a pass ends: the positions of its cycles are then read once, by one worker."""
    batch: list[ListedFile] = []
    for file in files:
        is_full = len(batch) >= BATCH and batch[-1].pass_number != file.pass_number
        if is_full or len(batch) >= 2 * BATCH:
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _inspect_singly(inspector: Inspector, files: Sequence[ListedFile]) -> Iterator[Inspected]:
    """Look into files one by one in a process of their own, so that one that ends it is known."""
    waiting = deque(files)
    while waiting:
        with _pool(inspector, 1) as pool:
            while waiting:
                file = waiting.popleft()
                try:
                    with _without_main():
                        found = pool.submit(_inspect_batch, [file])
                    yield found.result()
                except BrokenProcessPool:
                    reason = "reading it ends the process that reads it"
                    yield Inspected([FileRecord(*file[:4], "corrupt", reason, None, 0, None, None, "")], [], {})
                    break


def _pool(inspector: Inspector, jobs: int) -> ProcessPoolExecutor:
    # Not a fork of this process, which may have threads of a notebook, of S3 or of Dask.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, _start_worker, (inspector,))


@contextmanager
def _without_main() -> Iterator[None]:
    """Let the processes that begin here not import the user's script, which would run as a whole in each of them.

    A worker needs nothing of it; Python would ask for ``if __name__ == "__main__":`` in it.
    """
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) is None and getattr(main, "__spec__", None) is None:
        yield  # of a notebook nothing is imported, and its threads may need it meanwhile
        return
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


_of_this_worker: list[Inspector] = []


def _start_worker(inspector: Any) -> None:
    _of_this_worker[:] = [inspector]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A build that is killed must not leave its workers waiting for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _inspect_batch(files: Sequence[ListedFile]) -> Inspected:
    return _of_this_worker[0].inspect(files)
