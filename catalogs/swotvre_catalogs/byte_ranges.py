"""Byte ranges of files: what a reader promises, and the reader of a folder.

`object_store.open_reader` gives the reader of a datalake. It may be used by many threads at once (reading holds no lock
of the interpreter), and it can be pickled: a Dask worker opens the same files with it.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy

from swotvre_catalogs.errors import MissingGranuleError, UnreadableGranuleError
from swotvre_catalogs.s3_access import AccessDeniedError

#: Files that a reader of a folder keeps open, and requests that a reader of S3 has under way.
MAX_OPEN_FILES = 256
IN_FLIGHT = 32


class ReplacedFileError(UnreadableGranuleError):
    """A file is not the one that was indexed; its index and cube have to be built again."""


@dataclass(frozen=True)
class FileIdentity:
    """What tells a file from its replacement; a part that is None (or an empty etag) is not compared."""

    size_bytes: int | None = None
    #: Time of the last change, nanoseconds since 1970; on S3 compared to the second, and only without an etag.
    modified_ns: int | None = None
    etag: str | None = None


class RangeRequest(NamedTuple):
    """One byte range."""

    #: Relative to the datalake's address.
    path: str
    offset: int
    size: int
    expect: FileIdentity | None = None


class RangeReader(Protocol):
    """Reads byte ranges of files below one address."""

    def read(
        self, path: str, offset: int, size: int, *, expect: FileIdentity | None = None, into: Any = None
    ) -> memoryview:
        """Read ``size`` bytes from ``offset``.

        Args:
            path: Relative to the address.
            offset: First byte.
            size: Number of bytes.
            expect: The identity that the file had when it was indexed.
            into: A writable buffer of at least ``size`` bytes to read into, such as a reused array of bytes.

        Returns:
            The bytes; a view of ``into`` where that is given.

        Raises:
            ReplacedFileError: If the file is not ``expect``, or ends before the range does.
            MissingGranuleError: If there is no such file.
            AccessDeniedError: If it may not be read.
            ExpiredCredentialsError: If the credentials of the store have expired and no new ones were found.
            UnreadableDatalakeError: If the store does not answer, after retries.
            UnreadableGranuleError: If the file system fails to read it.
        """

    def read_many(self, requests: Iterable[RangeRequest], *, in_flight: int = IN_FLIGHT) -> Iterator[memoryview]:
        """Read many ranges, given out in the order of the requests; the first failure is raised in its place.

        On S3 up to ``in_flight`` requests are under way at a time, and as many ranges are held in memory.
        """

    def close(self) -> None:
        """Give back open files and threads; the reader opens them again when it is used again."""


def as_buffer(size: int, into: Any) -> memoryview:
    """Return ``size`` writable bytes: the first ones of ``into``, or new ones.

    Raises:
        ValueError: If ``into`` is too small or read-only.
    """
    if into is None:
        return memoryview(numpy.empty(size, dtype=numpy.uint8))
    view = memoryview(into).cast("B")
    if len(view) < size or view.readonly:
        raise ValueError(f"into is {'read-only' if view.readonly else len(view)}; expected {size} writable bytes")
    return view[:size]


def quoted_etag(etag: str) -> str:
    """Return an etag in the quotes that HTTP wants; listings give it with and without."""
    return etag if etag.startswith(('"', "W/")) else f'"{etag}"'


def check_identity(url: str, found: FileIdentity, expect: FileIdentity | None) -> None:
    """Compare a file with the one that was indexed.

    Raises:
        ReplacedFileError: If it is another one.
    """
    if expect is None:
        return
    same = expect.size_bytes is None or expect.size_bytes == found.size_bytes
    if expect.etag and found.etag:
        same = same and quoted_etag(expect.etag) == quoted_etag(found.etag)
    elif expect.modified_ns is not None and found.modified_ns is not None:
        unit = 10**9 if found.etag else 1  # S3 tells whole seconds
        same = same and expect.modified_ns // unit == found.modified_ns // unit
    if not same:
        raise ReplacedFileError(replaced_file(url, expect, found))


def replaced_file(url: str, expect: FileIdentity | None, found: FileIdentity | None) -> str:
    """Say that a file is not the one that was indexed."""
    was = f"{expect.size_bytes} bytes" if expect is not None and expect.size_bytes is not None else "another file"
    now = f", and is now one of {found.size_bytes} bytes" if found is not None else ""
    if expect is not None and found is not None and expect.size_bytes == found.size_bytes:
        now = ", and is now one of the same size that was written at another time"
    return (
        f"{url} was replaced after it was indexed: it was {was}{now}; nothing was read from it; "
        "bring index and cube up to date (swot-vre catalog index PRODUCT, swot-vre catalog cube PRODUCT)"
    )


def too_short(url: str, offset: int, size: int, found_bytes: int | None) -> str:
    """Say that a file ends before a byte range does."""
    ends = f"ends at byte {found_bytes}" if found_bytes is not None else "ends before that"
    return f"{url}: expected {size} bytes from byte {offset}, but the file {ends}: it is truncated or was replaced"


class _OpenFile:
    __slots__ = ("descriptor", "stale", "users")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.users = 1
        self.stale = False


class LocalRangeReader:
    """Byte ranges of ordinary files, of which the last ones used stay open.

    Every read looks at the file's size and time after its bytes were read, so that a file written anew while it is
    open is noticed; one that was exchanged by renaming is opened again.
    """

    def __init__(self, root: str | os.PathLike[str], max_open_files: int = MAX_OPEN_FILES) -> None:
        self.root = Path(root)
        self._max_open_files = max_open_files
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def read(
        self, path: str, offset: int, size: int, *, expect: FileIdentity | None = None, into: Any = None
    ) -> memoryview:
        """Read one range (see `RangeReader.read`)."""
        target = as_buffer(size, into)
        for _ in range(2):  # some file systems count no links at all
            file = self._acquire(path)
            try:
                got = self._fill(file.descriptor, offset, target)
                found = os.fstat(file.descriptor)
                file.stale = file.stale or found.st_nlink == 0  # another file has this name now, or none
            except OSError as error:
                raise UnreadableGranuleError(f"{self.root / path} cannot be read: {error.strerror}") from error
            finally:
                self._release(path, file)
            if not file.stale:
                break
        identity = FileIdentity(found.st_size, found.st_mtime_ns)
        check_identity(str(self.root / path), identity, expect)
        if got < size:
            raise ReplacedFileError(too_short(str(self.root / path), offset, size, found.st_size))
        return target

    def read_many(self, requests: Iterable[RangeRequest], *, in_flight: int = IN_FLIGHT) -> Iterator[memoryview]:
        """Read many ranges one after the other (see `RangeReader.read_many`)."""
        for path, offset, size, expect in requests:
            yield self.read(path, offset, size, expect=expect)

    def close(self) -> None:
        """Close the files that no thread is reading."""
        with self._lock:
            self._evict(0)

    @staticmethod
    def _fill(descriptor: int, offset: int, target: memoryview) -> int:
        got = 0
        while got < len(target):
            count = os.preadv(descriptor, [target[got:]], offset + got)
            if count == 0:
                break
            got += count
        return got

    def _acquire(self, path: str) -> _OpenFile:
        with self._lock:
            if (file := self._files.get(path)) is not None:
                self._files.move_to_end(path)
                file.users += 1
                return file
        opened = _OpenFile(self._open(path))
        with self._lock:
            if path in self._files:  # another thread was faster; this one's is closed after its read
                return opened
            self._files[path] = opened
            self._evict(self._max_open_files)
        return opened

    def _open(self, path: str) -> int:
        full = self.root / path
        try:
            return os.open(full, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise MissingGranuleError(
                f"{full} is not there any more; build the index of its product again (swot-vre catalog index PRODUCT)"
            ) from None
        except PermissionError:
            raise AccessDeniedError(f"{full} may not be read: permission denied; ask its owner for access") from None
        except OSError as error:
            raise UnreadableGranuleError(f"{full} cannot be opened: {error.strerror}") from error

    def _release(self, path: str, file: _OpenFile) -> None:
        with self._lock:
            file.users -= 1
            if file.stale and self._files.get(path) is file:
                del self._files[path]
            if file.users == 0 and self._files.get(path) is not file:
                os.close(file.descriptor)

    def _evict(self, keep: int) -> None:
        # Called with the lock held. A file that is being read stays, so that its descriptor cannot become another's.
        idle = [path for path, file in self._files.items() if file.users == 0]
        for path in idle[: max(0, len(self._files) - keep)]:
            os.close(self._files.pop(path).descriptor)

    def __getstate__(self) -> tuple[Path, int]:
        return self.root, self._max_open_files

    def __setstate__(self, state: tuple[Path, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()

    def __repr__(self) -> str:
        return f"<LocalRangeReader {self.root}>"
