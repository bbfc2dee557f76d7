"""The datalake: a folder or an S3 prefix, listed and opened the same way."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from swotvre_catalogs.errors import DatalakeError, MissingDatalakeError, UnreadableDatalakeError

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
        self.address = address.rstrip("/") or "/"
        try:
            self._filesystem, root = url_to_fs(self.address, **dict(storage_options or {}))
        except (ImportError, ValueError, TypeError) as error:
            raise DatalakeError(
                f"the datalake address {self.address!r} cannot be used: {error}; "
                "expected a folder or an address such as s3://bucket/prefix"
            ) from error
        self._root = root.rstrip("/")
        self._check()

    @property
    def is_local(self) -> bool:
        """Tell whether the files are ordinary files of this machine."""
        return isinstance(self._filesystem, LocalFileSystem)

    def glob(self, pattern: str) -> list[StoredFile]:
        """List the files whose relative path matches ``pattern`` (``*`` within a path component), by path."""
        self._filesystem.invalidate_cache()
        try:
            found: dict[str, Any] = self._filesystem.glob(f"{self._root}/{pattern}", detail=True)
            if not found:
                self._refuse_unreadable_folder(pattern)
        except PermissionError as error:
            raise UnreadableDatalakeError(f"{self.url(pattern)} may not be read: {error}; ask for access") from error
        start = len(self._root) + 1
        files = [StoredFile(path[start:], info["size"]) for path, info in found.items() if info["type"] == "file"]
        return sorted(files)

    def url(self, path: str) -> str:
        """Return the full address of a relative path."""
        return f"{self.address}/{path}"

    def open(self, path: str) -> str | IO[bytes]:
        """Return what xarray and geopandas open: a file name for a folder, a file object for an object store."""
        full = f"{self._root}/{path}"
        return full if self.is_local else self._filesystem.open(full, mode="rb")

    @cached_property
    def simulated_paths(self) -> frozenset[str]:
        """The files that a sample datalake's manifest calls simulated; none where there is no manifest."""
        try:
            with self._filesystem.open(f"{self._root}/{MANIFEST}", mode="rb") as file:
                files = json.load(file)["files"]
            return frozenset(path for path, facts in files.items() if facts["simulated"])
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableDatalakeError(f"{self.url(MANIFEST)} is not the manifest of a sample: {error!r}") from error

    def _check(self) -> None:
        try:
            self._filesystem.ls(self._root, detail=False)
        except FileNotFoundError as error:
            raise MissingDatalakeError(
                f"no datalake at {self.address!r}: the folder or bucket does not exist; "
                f"set {ADDRESS_VARIABLE} to a folder or s3://bucket/prefix, or make a sample with "
                "'python -m swotvre_catalogs.sample FOLDER'"
            ) from error
        except NotADirectoryError as error:
            raise MissingDatalakeError(f"the datalake {self.address!r} is a file; expected a folder") from error
        except PermissionError as error:
            raise UnreadableDatalakeError(f"the datalake {self.address!r} may not be read: {error}") from error
        except Exception as error:  # an object store fails with classes of its own (no connection, no credentials)
            raise UnreadableDatalakeError(
                f"the datalake {self.address!r} does not answer: {error}; check the address and {OPTIONS_VARIABLE}"
            ) from error
        if self.is_local and not Path(self._root).is_dir():
            raise MissingDatalakeError(f"the datalake {self.address!r} is a file; expected a folder")

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
