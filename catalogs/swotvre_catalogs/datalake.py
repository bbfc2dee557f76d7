"""The datalake: a folder or an S3 prefix, listed and opened the same way.

On S3, endpoint and credentials come from the storage options or else from the environment (see `s3_access`), and are
read again when the store refuses them. Byte ranges of the files are read by ``object_store.open_reader(datalake)``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from swotvre_catalogs.errors import DatalakeError, MissingDatalakeError, MissingGranuleError, UnreadableDatalakeError
from swotvre_catalogs.s3_access import S3Access
from swotvre_catalogs.s3_stores import is_s3

#: Environment variables that give the address and the fsspec storage options (a JSON object).
ADDRESS_VARIABLE = "SWOTVRE_DATALAKE"
OPTIONS_VARIABLE = "SWOTVRE_DATALAKE_OPTIONS"

#: What a sample datalake lists of its files; a site's datalake has none.
MANIFEST = "MANIFEST.json"


class StoredFile(NamedTuple):
    """One file of the datalake."""

    #: Path relative to the datalake's address, with ``/``.
    path: str
    size_bytes: int
    #: The object's etag; empty for an ordinary file.
    etag: str = ""


class Datalake:
    """Read-only access to the files below one address.

    Args:
        address: A folder, or a URL that fsspec knows (``s3://bucket/prefix``).
        storage_options: Options of the fsspec file system, such as ``endpoint_url``, ``key`` and ``secret``.

    Raises:
        MissingDatalakeError: If nothing lies at the address.
        UnreadableDatalakeError: If it cannot be listed.
    """

    def __init__(self, address: str, storage_options: Mapping[str, Any] | None = None) -> None:
        # A folder has one address, by whatever links it is reached: indexes and cubes know it by that.
        self.address = (address if "://" in address else os.path.realpath(address)).rstrip("/") or "/"
        #: The options as given; they may hold secrets.
        self.storage_options: Mapping[str, Any] = dict(storage_options or {})
        #: Endpoint and credentials of an address on S3; None elsewhere.
        self.s3 = S3Access.resolve(self.storage_options) if is_s3(self.address) else None
        self._connect()
        self._check()

    #: Whether products are told by the names of files alone, wherever these lie.
    is_told_by_names = False

    def _connect(self) -> None:
        options = self.s3.s3fs_options() if self.s3 else self.storage_options
        try:
            self._filesystem, root = url_to_fs(self.address, **options)
        except (ImportError, ValueError, TypeError) as error:
            raise DatalakeError(
                f"the datalake address {self.address!r} cannot be used: {self._shown(error)}; "
                "expected a folder or an address such as s3://bucket/prefix"
            ) from None
        self._root = root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Tell whether the files are ordinary files of this machine."""
        return isinstance(self._filesystem, LocalFileSystem)

    @property
    def root(self) -> str:
        """The folder of a local datalake; bucket and prefix of one on S3."""
        return self._root or "/"

    def glob(self, pattern: str) -> list[StoredFile]:
        """List the files whose relative path matches ``pattern`` (``*`` within a path component), by path."""

        def listed() -> dict[str, Any]:
            self._filesystem.invalidate_cache()
            found: dict[str, Any] = self._filesystem.glob(f"{self._root}/{pattern}", detail=True)
            if not found:
                self._refuse_unreadable_folder(pattern)
            return found

        found = self._asked(listed, pattern)
        start = len(self._root) + 1
        files = [
            StoredFile(path[start:], info["size"], str(info.get("ETag") or ""))
            for path, info in found.items()
            if info["type"] == "file"
        ]
        return sorted(files)

    def url(self, path: str) -> str:
        """Return the full address of a relative path."""
        return f"{self.address}/{path}"

    def open(self, path: str) -> str | IO[bytes]:
        """Return what xarray and geopandas open: a file name for a folder, a file object for an object store.

        Raises:
            MissingGranuleError: If the object store has no such object (404).
            AccessDeniedError: If it may not be read (403).
            ExpiredCredentialsError: If the credentials have expired and no new ones were found.
        """
        full = f"{self._root}/{path}"
        if self.is_local:
            return full
        try:
            file: IO[bytes] = self._asked(lambda: self._filesystem.open(full, mode="rb"), path)
        except FileNotFoundError:
            raise MissingGranuleError(f"{self.url(path)} does not exist (404)") from None
        return file

    def _asked(self, request: Callable[[], Any], path: str) -> Any:
        # Make a request, once more if the store refused the credentials and there are others by now.
        try:
            return request()
        except PermissionError as error:
            refused = error
        if self.s3 is not None:
            before = self.s3.last_keys
            if self.s3.keys() != before:
                self._connect()
                try:
                    return request()
                except PermissionError as error:
                    refused = error
        raise self._refusal(path, refused)

    def _refusal(self, path: str, error: PermissionError) -> UnreadableDatalakeError:
        url = self.url(path) if path else self.address
        if self.s3 is None:
            return UnreadableDatalakeError(f"{url} may not be read: {error}; ask for access")
        answer = getattr(error.__cause__, "response", None) or {}
        code = str((answer.get("Error") or {}).get("Code") or "")
        status = (answer.get("ResponseMetadata") or {}).get("HTTPStatusCode")
        # A HEAD request has no body, so that its code is the status again.
        return self.s3.refusal(url, status, "" if code.isdigit() else code, worked=self._worked)

    def _shown(self, error: Exception) -> str:
        return self.s3.redact(str(error)) if self.s3 else str(error)

    @cached_property
    def simulated_paths(self) -> frozenset[str] | None:
        """The files that a sample datalake's manifest calls simulated; None where there is no manifest."""
        try:
            with self._filesystem.open(f"{self._root}/{MANIFEST}", mode="rb") as file:
                files = json.load(file)["files"]
            return frozenset(path for path, facts in files.items() if facts["simulated"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableDatalakeError(f"{self.url(MANIFEST)} is not the manifest of a sample: {error!r}") from error

    #: Whether the credentials were accepted once, so that they can have expired.
    _worked = False

    def _check(self) -> None:
        try:
            self._asked(lambda: self._filesystem.ls(self._root, detail=False), "")
        except FileNotFoundError:
            raise MissingDatalakeError(
                f"no datalake at {self.address!r}: the folder or bucket does not exist; "
                f"set {ADDRESS_VARIABLE} to a folder or s3://bucket/prefix, or make a sample with "
                "'python -m swotvre_catalogs.sample FOLDER'"
            ) from None
        except NotADirectoryError as error:
            raise MissingDatalakeError(f"the datalake {self.address!r} is a file; expected a folder") from error
        except DatalakeError:
            raise
        except Exception as error:  # an object store fails with classes of its own (no connection, no credentials)
            raise UnreadableDatalakeError(
                f"the datalake {self.address!r} does not answer: {self._shown(error)}; check the address and "
                f"{OPTIONS_VARIABLE}"
            ) from None
        if self.is_local and not Path(self._root).is_dir():
            raise MissingDatalakeError(f"the datalake {self.address!r} is a file; expected a folder")
        self._worked = True

    def _refuse_unreadable_folder(self, pattern: str) -> None:
        # A glob passes over a folder that may not be listed, and "no granule" would then be untrue.
        folder = self._root
        for part in pattern.split("/")[:-1]:
            if "*" in part:
                break
            folder = f"{folder}/{part}"
        try:
            self._filesystem.ls(folder, detail=False)
        except FileNotFoundError:
            return

    def __repr__(self) -> str:
        return f"<Datalake {self.address}>"


def configured_datalake(
    address: str | os.PathLike[str] | None = None, storage_options: Mapping[str, Any] | None = None
) -> Datalake:
    """Return the datalake of the arguments, or else of the environment.

    Raises:
        MissingDatalakeError: If neither gives an address.
        DatalakeError: If the storage options of the environment are not a JSON object.
    """
    chosen = os.fspath(address) if address is not None else os.environ.get(ADDRESS_VARIABLE, "")
    if address is not None and not chosen:
        raise MissingDatalakeError("the address of the datalake is empty; expected a folder or s3://bucket/prefix")
    if not chosen:
        raise MissingDatalakeError(
            f"no datalake address: {ADDRESS_VARIABLE} is not set; set it to a folder or s3://bucket/prefix, "
            "or call open_catalog(datalake=...)"
        )
    if storage_options is None:
        # The options of the environment belong to the address of the environment.
        storage_options = {} if address is not None else _options_of_environment()
    return Datalake(chosen, storage_options)


def _options_of_environment() -> dict[str, Any]:
    text = os.environ.get(OPTIONS_VARIABLE, "").strip() or "{}"
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatalakeError(f"{OPTIONS_VARIABLE} is not JSON ({error}); expected a JSON object") from None
    if not isinstance(options, dict):
        raise DatalakeError(f"{OPTIONS_VARIABLE} is a JSON {type(options).__name__}; expected an object")
    return options
