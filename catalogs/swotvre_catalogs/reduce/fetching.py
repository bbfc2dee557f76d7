"""The bytes of many files in the order of their use, fetched ahead of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

from swotvre_catalogs.object_store import FileIdentity, LocalRangeReader, RangeReader, RangeRequest
from swotvre_catalogs.reduce.decoding import Scratch

#: Requests to an object store under way at a time.
IN_FLIGHT = 32

#: Local files of which the kernel of the operating system reads ahead, per thread.
FILES_AHEAD = 6


class FileRequest(NamedTuple):
    """The byte ranges wanted of one file."""

    path: str
    identity: FileIdentity
    #: Position and size of each range.
    ranges: tuple[tuple[int, int], ...]
    #: Given back with the bytes.
    tag: Any


def fetch(
    reader: RangeReader, requests: Iterable[FileRequest], scratch: Scratch
) -> Generator[tuple[FileRequest, list[Any]]]:
    """Give out the bytes of each range of each file, in the order of the requests.

    The bytes are valid until the next file is asked for.

    Raises:
        ReplacedFileError: If a file is not the one that was indexed; other errors as of the reader.
    """
    if isinstance(reader, LocalRangeReader):
        return _fetch_local(reader, requests, scratch)
    return _fetch_many(reader, requests)


def _fetch_many(reader: RangeReader, requests: Iterable[FileRequest]) -> Generator[tuple[FileRequest, list[Any]]]:
    waiting: deque[FileRequest] = deque()

    def ranges() -> Iterator[RangeRequest]:
        for request in requests:
            waiting.append(request)
            for offset, size in request.ranges:
                yield RangeRequest(request.path, offset, size, request.identity)

    answers = reader.read_many(ranges(), in_flight=IN_FLIGHT)
    for first in answers:
        while not waiting[0].ranges:
            yield waiting.popleft(), []
        request = waiting.popleft()
        yield request, [first, *(next(answers) for _ in request.ranges[1:])]
    for request in waiting:
        yield request, []


def _fetch_local(
    reader: LocalRangeReader, requests: Iterable[FileRequest], scratch: Scratch
) -> Generator[tuple[FileRequest, list[Any]]]:
    ahead: deque[tuple[FileRequest, int]] = deque()
    try:
        for request in requests:
            ahead.append((request, _open_ahead(reader, request.path, request.ranges)))
            if len(ahead) > FILES_AHEAD:
                yield _read(reader, *ahead.popleft(), scratch)
        while ahead:
            yield _read(reader, *ahead.popleft(), scratch)
    finally:
        for _, descriptor in ahead:
            if descriptor >= 0:
                os.close(descriptor)


def read_ahead(reader: LocalRangeReader, path: str, ranges: Iterable[tuple[int, int]]) -> None:
    """Let the kernel of the operating system read ranges of a file that are wanted soon; does not wait for them."""
    descriptor = _open_ahead(reader, path, ranges)
    if descriptor >= 0:
        os.close(descriptor)


def _open_ahead(reader: LocalRangeReader, path: str, ranges: Iterable[tuple[int, int]]) -> int:
    # Nothing fails here: what is wrong with a file is said when it is its turn.
    if not ranges:
        return -1
    try:
        descriptor = os.open(f"{reader.root}/{path}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    if hasattr(os, "posix_fadvise"):
        for offset, size in ranges:
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)
    return descriptor


def _read(
    reader: LocalRangeReader, request: FileRequest, descriptor: int, scratch: Scratch
) -> tuple[FileRequest, list[Any]]:
    buffers = [memoryview(scratch.get(f"bytes {n}", size)) for n, (_, size) in enumerate(request.ranges)]
    whole = descriptor >= 0
    if whole:
        try:
            for (offset, _), buffer in zip(request.ranges, buffers, strict=True):
                whole = whole and os.preadv(descriptor, [buffer], offset) == len(buffer)
            # After the bytes were read: a file that is written anew meanwhile is noticed.
            found = os.fstat(descriptor)
            expected = (request.identity.size_bytes, request.identity.modified_ns)
            whole = whole and (found.st_size, found.st_mtime_ns) == expected
        except OSError:
            whole = False
        finally:
            os.close(descriptor)
    if not whole:
        # The reader tries once more, and says in words what is wrong.
        for (offset, size), buffer in zip(request.ranges, buffers, strict=True):
            reader.read(request.path, offset, size, expect=request.identity, into=buffer)
    return request, buffers
