"""Index many files at once: local ones in processes, those of an object store with their bytes fetched in parallel."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from swotvre_catalogs.byte_ranges import FileIdentity, RangeRequest
from swotvre_catalogs.cube.errors import CubeError, DamagedFileError
from swotvre_catalogs.cube.indexer import IndexedFile, Indexer
from swotvre_catalogs.cube.listing import ListedFile
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import CatalogError

#: A process more does not pay for fewer files than this.
FILES_PER_PROCESS = 150

#: Files per message between the processes.
_BATCH = 64

#: What is fetched of an object at once; metadata of netCDF files lie at their beginning.
_BLOCK_BYTES = 1 << 18

Progress = Callable[[int, int], None]


def index_files(
    datalake: Datalake,
    files: Sequence[ListedFile],
    undeclared_fill_value: int | None = None,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> list[IndexedFile | DamagedFileError]:
    """Index files in their order; a file that cannot be read gives the error instead.

    Args:
        datalake: Where the files lie.
        files: The files.
        undeclared_fill_value: Fill value of integer variables whose file does not declare one.
        progress: Called with the number of files done and the number of all.
        jobs: Number of processes for local files; the cores by default.
    """
    indexed: list[IndexedFile | DamagedFileError] = []
    processes = min(jobs or len(os.sched_getaffinity(0)), len(files) // FILES_PER_PROCESS)
    if not datalake.is_local:
        stream = _from_store(datalake, files, undeclared_fill_value)
    elif processes > 1:
        stream = _in_processes(datalake.root, files, undeclared_fill_value, processes)
    else:
        stream = _one_by_one(datalake.root, files, undeclared_fill_value)
    for one in stream:
        indexed.append(one)
        if progress:
            progress(len(indexed), len(files))
    return indexed


def _one_by_one(
    root: str, files: Sequence[ListedFile], undeclared_fill_value: int | None
) -> Iterator[IndexedFile | DamagedFileError]:
    indexer = Indexer(undeclared_fill_value)
    for file in files:
        yield _index(indexer, f"{root}/{file.path}", file.path)


def _index(indexer: Indexer, source: Any, path: str, **identity: Any) -> IndexedFile | DamagedFileError:
    try:
        return indexer.index(source, path=path, **identity)
    except DamagedFileError as error:
        return error
    except (OSError, CatalogError) as error:
        return DamagedFileError(path, str(error))


def _in_processes(
    root: str, files: Sequence[ListedFile], undeclared_fill_value: int | None, count: int
) -> Iterator[IndexedFile | DamagedFileError]:
    # Programs of their own rather than multiprocessing: a fork of a process with threads may hang, and a spawn runs
    # the user's script once more.
    command = [sys.executable, "-m", "swotvre_catalogs.cube.parallel_indexing"]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for worker in workers:
            _send(worker, (root, undeclared_fill_value))
        batches = [[file.path for file in files[start : start + _BATCH]] for start in range(0, len(files), _BATCH)]
        # Two batches are under way for each worker, so that none waits for us.
        for number, batch in enumerate(batches[: 2 * count]):
            _send(workers[number % count], batch)
        for number in range(len(batches)):
            worker = workers[number % count]
            yield from _receive(worker)
            if number + 2 * count < len(batches):
                _send(worker, batches[number + 2 * count])
    finally:
        for worker in workers:
            for pipe in (worker.stdin, worker.stdout):
                if pipe:
                    pipe.close()
            worker.wait()


def _send(worker: subprocess.Popen[bytes], message: Any) -> None:
    if worker.stdin is not None:
        pickle.dump(message, worker.stdin, protocol=pickle.HIGHEST_PROTOCOL)
        worker.stdin.flush()


def _receive(worker: subprocess.Popen[bytes]) -> list[IndexedFile | DamagedFileError]:
    try:
        received: list[IndexedFile | DamagedFileError] = pickle.load(worker.stdout)  # type: ignore[arg-type]  # noqa: S301
    except (EOFError, pickle.UnpicklingError) as error:
        raise CubeError(f"a process that indexed files ended with {worker.wait()}; build the cube again") from error
    return received


def _serve() -> None:
    """Index the batches of paths that come from standard input until it ends."""
    root, undeclared_fill_value = pickle.load(sys.stdin.buffer)  # noqa: S301  from the process that started us
    indexer = Indexer(undeclared_fill_value)
    while True:
        try:
            batch = pickle.load(sys.stdin.buffer)  # noqa: S301
            done = [_index(indexer, f"{root}/{path}", path) for path in batch]
            pickle.dump(done, sys.stdout.buffer, protocol=pickle.HIGHEST_PROTOCOL)
            sys.stdout.buffer.flush()
        except (EOFError, BrokenPipeError):  # all is done, or the builder is gone
            os._exit(0)


def _from_store(
    datalake: Datalake, files: Sequence[ListedFile], undeclared_fill_value: int | None
) -> Iterator[IndexedFile | DamagedFileError]:
    from swotvre_catalogs.object_store import open_reader

    indexer, reader = Indexer(undeclared_fill_value), open_reader(datalake)
    identities = [FileIdentity(file.size_bytes, None, file.etag) for file in files]
    requests = [
        RangeRequest(file.path, 0, min(_BLOCK_BYTES, file.size_bytes), identity)
        for file, identity in zip(files, identities, strict=True)
    ]
    heads = reader.read_many(requests)
    for file, identity in zip(files, identities, strict=True):
        # The library reads on from Python: one file after the other, but most need no more than what was fetched.
        source = io.BufferedReader(_StoredObject(reader, file, identity, next(heads)), 1)
        yield _index(indexer, source, file.path, size_bytes=file.size_bytes, etag=file.etag)


class _StoredObject(io.RawIOBase):
    """An object of a store as a file; blocks that were fetched are kept."""

    def __init__(self, reader: Any, file: ListedFile, identity: FileIdentity, head: Any) -> None:
        self._reader, self._file, self._identity = reader, file, identity
        self._blocks = {0: head}
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size_bytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        number, start = divmod(self._position, _BLOCK_BYTES)
        size = min(_BLOCK_BYTES, self._file.size_bytes - number * _BLOCK_BYTES)
        if start >= size:
            return 0
        if number not in self._blocks:
            self._blocks[number] = self._reader.read(
                self._file.path, number * _BLOCK_BYTES, size, expect=self._identity
            )
        part = self._blocks[number][start : start + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)


if __name__ == "__main__":
    _serve()
