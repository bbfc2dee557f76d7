"""Look into many files, in this process or in several; one that brings its process down is named, not fatal."""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any, NamedTuple

from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import CatalogError
from swotvre_catalogs.index.inspection import Inspection, inspect_file
from swotvre_catalogs.index.records import FileRecord

#: Files that a worker looks into before it hands over what it found.
BATCH = 250

#: Fewer files than this are not worth the start of other processes.
_FEW = 400

_BLOCK_BYTES = 1 << 20

#: Codes of hash functions in a multihash (the multiformats table), each with the length of its digest.
_SHA256, _MD5 = "1220", "d50110"


class ListedFile(NamedTuple):
    """One file as the datalake lists it."""

    path: str
    size_bytes: int
    modified_ns: int
    etag: str
    #: Whether its name does not tell when it was measured.
    wants_times: bool


class Inspector:
    """Looks into the files of one datalake.

    Args:
        datalake: Where they lie.
        known: Footprints by fingerprint, from earlier builds.
        checksums: Whether every file is read as a whole for its SHA-256.
    """

    def __init__(self, datalake: Datalake, known: Mapping[int, bytes | None], *, checksums: bool) -> None:
        self._datalake = datalake
        self._known = dict(known)
        self._checksums = checksums

    def inspect(self, file: ListedFile) -> FileRecord:
        """Return what is known of one file; nothing about its content is an error."""
        checksum = ""
        try:
            found = inspect_file(self._source(file.path), self._known, wants_times=file.wants_times)
            if found.status == "ok" or self._checksums:
                checksum, mismatch = self._checksum(file)
                if mismatch and found.status == "ok":
                    found = replace(found, status="corrupt", reason=mismatch)
        except (OSError, CatalogError) as error:
            found = Inspection("unreadable", f"{error}")
        return FileRecord(
            file.path,
            file.size_bytes,
            file.modified_ns,
            file.etag,
            found.status,
            found.reason,
            found.geometry,
            found.fingerprint,
            found.begin,
            found.end,
            checksum,
        )

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


def inspect_all(inspector: Inspector, files: Sequence[ListedFile], jobs: int) -> Iterator[list[FileRecord]]:
    """Look into the files, some at a time; the order is not theirs."""
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    if jobs <= 1 or len(files) < _FEW:
        for batch in batches:
            yield [inspector.inspect(file) for file in batch]
        return
    # A file can bring down the library that reads it, and its process with it.
    failed: list[ListedFile] = []
    with _pool(inspector, min(jobs, len(batches))) as pool:
        waiting: dict[Future[list[FileRecord]], Sequence[ListedFile]] = {
            pool.submit(_inspect_batch, batch): batch for batch in batches
        }
        for done in as_completed(waiting):
            try:
                yield done.result()
            except BrokenProcessPool:
                failed.extend(waiting[done])
    yield from _inspect_singly(inspector, failed)


def _inspect_singly(inspector: Inspector, files: Sequence[ListedFile]) -> Iterator[list[FileRecord]]:
    """Look into files one by one in a process of their own, so that one that ends it is known."""
    waiting = deque(files)
    while waiting:
        with _pool(inspector, 1) as pool:
            while waiting:
                file = waiting.popleft()
                try:
                    yield pool.submit(_inspect_batch, [file]).result()
                except BrokenProcessPool:
                    reason = "reading it ends the process that reads it"
                    yield [FileRecord(*file[:4], "corrupt", reason, None, 0, None, None, "")]
                    break


def _pool(inspector: Inspector, jobs: int) -> ProcessPoolExecutor:
    # Not a fork of this process, which may have threads of a notebook, of S3 or of Dask.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, _start_worker, (inspector,))


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


def _inspect_batch(files: Sequence[ListedFile]) -> list[FileRecord]:
    return [_of_this_worker[0].inspect(file) for file in files]
