"""Where a copy is written: a folder or an S3 prefix. Every object appears whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from swotvre_catalogs.errors import CatalogError, PlaceError
from swotvre_catalogs.export.errors import ExportTargetError, NoSpaceError
from swotvre_catalogs.object_store import obstore_store
from swotvre_catalogs.s3_access import S3Access, s3_error_code
from swotvre_catalogs.s3_stores import is_s3, split_s3

#: errno of a full disk, a full quota, and a file beyond the limit of the process.
_FULL = {28, 122, 27}
_LOCK = ".export-lock"


class Target:
    """One folder or S3 prefix.

    Args:
        address: A folder, made where it does not exist, or ``s3://bucket/prefix``.
        storage_options: Options of an address on S3, as for `open_catalog`.
    """

    def __init__(self, address: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> None:
        self.address = os.fspath(address).rstrip("/")
        self._access = S3Access.resolve(storage_options) if is_s3(self.address) else None
        self._folder = None if self._access else Path(self.address.removeprefix("file://"))
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ExportTargetError(f"{self.address} cannot be made a folder: {error.strerror}") from error
        self.store = obstore_store(self.address, self._access)

    def write(self, key: str, content: bytes | Iterator[bytes]) -> None:
        """Write one object; until its last byte is there, the one of that name before it stays.

        Raises:
            NoSpaceError: If the disk or the quota is full.
            ExportTargetError: If it may not be written, or the store fails.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            obstore.put(self.store, key, content, use_multipart=not isinstance(content, bytes))
        except (BaseError, OSError) as error:
            failure = self._failure(key, str(error))
        else:
            return
        raise failure

    def read_json(self, key: str) -> dict[str, Any] | None:
        """Return a JSON object, or None where there is none.

        Raises:
            ExportTargetError: If it cannot be read.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            content: dict[str, Any] = json.loads(bytes(obstore.get(self.store, key).bytes()))
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            failure = self._failure(key, str(error))
        except ValueError:
            failure = ExportTargetError(f"{self.address}/{key} is not JSON; give another target")
        else:
            return content
        raise failure

    def is_empty(self) -> bool:
        """Tell whether nothing lies there but what an export that never began may have left."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            listed = obstore.list_with_delimiter(self.store)
        except (BaseError, OSError) as error:
            failure = self._failure("", str(error))
        else:
            return not listed["common_prefixes"] and all(entry["path"] == _LOCK for entry in listed["objects"])
        raise failure

    def remove_remains(self, folders: list[str]) -> None:
        """Remove what a killed export left in these folders, which no complete cycle uses."""
        import obstore

        for folder in folders:
            if self._folder is not None:
                # The store does not list its own unfinished files.
                for path in (self._folder / folder).rglob("*"):
                    if path.is_file():
                        path.unlink()
                continue
            for batch in obstore.list(self.store, prefix=folder):
                obstore.delete(self.store, [entry["path"] for entry in batch])

    def remove(self, key: str) -> None:
        """Remove one object, if it is there."""
        import obstore

        with suppress(FileNotFoundError):
            obstore.delete(self.store, key)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second export to the same target away; the lock of a process that was killed does not count.

        Raises:
            BuildRunningError: If another export holds it.
            ExportTargetError: If the target cannot be written.
        """
        from swotvre_catalogs.index.lock import local_lock, object_lock

        name = f"the copy in {self.address}"
        if self._access is not None:
            import s3fs

            filesystem = s3fs.S3FileSystem(**self._access.s3fs_options())
            held = object_lock(filesystem, f"{'/'.join(split_s3(self.address))}/{_LOCK}", name)
        else:
            held = local_lock(Path(str(self._folder)) / _LOCK, name)
        with ExitStack() as stack:
            try:
                stack.enter_context(held)
            except PlaceError as error:
                raise ExportTargetError(f"{self.address} cannot be written: {error.__cause__}") from None
            yield

    def _failure(self, key: str, text: str) -> CatalogError:
        url = f"{self.address}/{key}".rstrip("/")
        number = re.search(r"os error (\d+)\)", text)
        reason = text.split("\n\nDebug source", 1)[0]
        if number is not None:
            reason = os.strerror(int(number[1]))
            if int(number[1]) in _FULL:
                return NoSpaceError(
                    f"no space left for {url}: {reason}; the cycles written before it are complete and stay; "
                    "make room, or choose fewer variables, and run the same export again: it goes on from there"
                )
        if self._access is not None:
            status = re.search(r"status code: (\d{3})", text)
            code = s3_error_code(text)
            if (status and status[1] in ("401", "403")) or code.startswith("Expired"):
                return self._access.refusal(url, int(status[1]) if status else None, code)
            if status:
                reason = f"the store answered {status[1]} {code}".rstrip()
            return ExportTargetError(f"{url} cannot be written or read: {self._access.redact(reason)}")
        return ExportTargetError(f"{url} cannot be written or read: {reason}")
