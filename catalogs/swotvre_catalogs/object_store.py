"""Byte ranges of the datalake's files, from a folder or from S3, safe against files that were replaced.

``open_reader(datalake)`` gives a `RangeReader`. It may be used by many threads at once (reading holds no lock of the
interpreter), and it can be pickled: a Dask worker opens the same files with it.

The stores of obstore and Icechunk for the same addresses are in `s3_stores`; their functions can be had from here.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.byte_ranges import (
    IN_FLIGHT,
    FileIdentity,
    LocalRangeReader,
    RangeReader,
    RangeRequest,
    ReplacedFileError,
    as_buffer,
    check_identity,
    quoted_etag,
    replaced_file,
    too_short,
)
from swotvre_catalogs.errors import (
    CatalogError,
    DatalakeError,
    MissingDatalakeError,
    MissingGranuleError,
    UnreadableDatalakeError,
)
from swotvre_catalogs.s3_access import AccessDeniedError, ExpiredCredentialsError, S3Access, s3_error_code
from swotvre_catalogs.s3_stores import (
    container_prefix,
    icechunk_container,
    icechunk_credentials,
    icechunk_storage,
    is_s3,
    obstore_store,
)

if TYPE_CHECKING:
    from swotvre_catalogs.datalake import Datalake

__all__ = [
    "AccessDeniedError",
    "ExpiredCredentialsError",
    "FileIdentity",
    "LocalRangeReader",
    "RangeReader",
    "RangeRequest",
    "ReplacedFileError",
    "S3RangeReader",
    "container_prefix",
    "icechunk_container",
    "icechunk_credentials",
    "icechunk_storage",
    "obstore_store",
    "open_reader",
]


def open_reader(datalake: Datalake) -> RangeReader:
    """Return the reader of a datalake's byte ranges.

    Raises:
        DatalakeError: If the datalake is neither a folder nor on S3.
    """
    if datalake.is_local:
        return LocalRangeReader(datalake.root)
    if is_s3(datalake.address):
        return S3RangeReader(datalake.address, datalake.storage_options)
    raise DatalakeError(f"byte ranges are read from folders and from s3://bucket/prefix, not from {datalake.address}")


class S3RangeReader:
    """Byte ranges of S3 objects by obstore: one request each, repeated with back-off where that can help.

    When the store refuses the credentials they are read again from where they came from, once per request; new ones
    are then used by all threads.
    """

    def __init__(self, address: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.address = address.rstrip("/")
        self._access = S3Access.resolve(storage_options)
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._store: Any = None
        self._worked = False
        self._pool: ThreadPoolExecutor | None = None
        self._pool_size = 0

    def read(
        self, path: str, offset: int, size: int, *, expect: FileIdentity | None = None, into: Any = None
    ) -> memoryview:
        """Read one range (see `RangeReader.read`)."""
        if size == 0:
            return as_buffer(0, into)
        store = self._current()
        try:
            data = self._get(store, path, offset, size, expect)
        except (AccessDeniedError, ExpiredCredentialsError):
            if not self._renew(store):
                raise
            data = self._get(self._current(), path, offset, size, expect)
        if into is None:
            return data
        target = as_buffer(size, into)
        target[:] = data
        return target

    def read_many(self, requests: Iterable[RangeRequest], *, in_flight: int = IN_FLIGHT) -> Iterator[memoryview]:
        """Read many ranges, several at a time (see `RangeReader.read_many`)."""
        pool = self._threads(in_flight)
        waiting: deque[Future[memoryview]] = deque()
        try:
            for path, offset, size, expect in requests:
                waiting.append(pool.submit(self.read, path, offset, size, expect=expect))
                if len(waiting) >= in_flight:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the threads of `read_many`."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
            self._pool, self._pool_size = None, 0

    def _get(self, store: Any, path: str, offset: int, size: int, expect: FileIdentity | None) -> memoryview:
        import obstore
        from obstore.exceptions import BaseError

        options: dict[str, Any] = {"range": (offset, offset + size)}
        if expect is not None and expect.etag:
            options["if_match"] = quoted_etag(expect.etag)
        try:
            answer = obstore.get(store, path, options=options)
            data = memoryview(answer.buffer())
        except (BaseError, OSError) as error:
            failure = self._in_words(path, offset, size, expect, error)
        else:
            self._worked = True
            meta = answer.meta
            url = f"{self.address}/{path}"
            found = FileIdentity(meta["size"], int(meta["last_modified"].timestamp()) * 10**9, meta["e_tag"])
            check_identity(url, found, expect)
            if len(data) < size:
                raise ReplacedFileError(too_short(url, offset, size, meta["size"]))
            return data
        raise failure  # outside the handler: the answer of the store may quote the request with its token

    def _in_words(
        self, path: str, offset: int, size: int, expect: FileIdentity | None, error: Exception
    ) -> CatalogError:
        url, text = f"{self.address}/{path}", str(error)
        found = re.search(r"status code: (\d{3})", text)
        status, code = int(found[1]) if found else None, s3_error_code(text)
        answer = " ".join(part for part in (str(status or ""), code) if part)
        if status == 404 or isinstance(error, FileNotFoundError):
            if code == "NoSuchBucket":
                return MissingDatalakeError(f"{url}: the store answered {answer}: the bucket does not exist")
            return MissingGranuleError(
                f"{url} is not there any more (the store answered {answer or 404}); "
                "build the index of its product again (swot-vre catalog index PRODUCT)"
            )
        if status == 412:
            return ReplacedFileError(replaced_file(url, expect, None))
        if status == 416:
            return ReplacedFileError(too_short(url, offset, size, None))
        refused = self._access.refusal(url, status, code, worked=self._worked)
        if status in (401, 403) or isinstance(refused, ExpiredCredentialsError) or code == "InvalidToken":
            return refused
        retried = re.search(r"after (\d+) retries", text)
        tries = f", {int(retried[1]) + 1} times" if retried else ""
        if status is not None:
            return UnreadableDatalakeError(f"{url}: the store answered {answer}{tries}; try again later")
        endpoint = self._access.endpoint_url or "the endpoint of Amazon"
        reason = "gave no answer in time" if "kind: Timeout" in text else "cannot be reached"
        if "BareRedirect" in text:
            reason = f"has this bucket in another region than {self._access.region}"
        return UnreadableDatalakeError(
            f"{url}: {endpoint} {reason}{tries}; check the address, the network and the region"
        )

    def _current(self) -> Any:
        with self._lock:
            if self._store is None:
                self._store = obstore_store(self.address, self._access)
            return self._store

    def _renew(self, refused: Any) -> bool:
        # Tell whether there are other credentials than those that were refused, and use them from now on.
        with self._lock:
            if self._store is not refused:
                return True
            before = self._access.last_keys
            if self._access.keys() == before:
                return False
            self._store = obstore_store(self.address, self._access)
            self._worked = False
            return True

    def _threads(self, count: int) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pool_size < count:
                if self._pool is not None:
                    self._pool.shutdown(wait=False)
                self._pool = ThreadPoolExecutor(count, thread_name_prefix="s3-ranges")
                self._pool_size = count
            return self._pool

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "_access": self._access}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __repr__(self) -> str:
        return f"<S3RangeReader {self.address}>"
