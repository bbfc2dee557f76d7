"""The place of what is derived from a datalake: granule indexes and cubes, in a folder or an S3 prefix."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from swotvre_catalogs.datalake import ADDRESS_VARIABLE, Datalake
from swotvre_catalogs.errors import PlaceError
from swotvre_catalogs.index.lock import local_lock, object_lock
from swotvre_catalogs.s3_access import S3Access
from swotvre_catalogs.s3_stores import is_s3

#: Environment variable that gives the place for the datalake of the environment.
PLACE_VARIABLE = "SWOTVRE_INDEX"

#: The place within a datalake.
FOLDER = ".swot-vre"


class Place:
    """A folder or an S3 prefix with ``index/<product>.parquet``, ``scan/<product>/`` and ``cube/<product>/``.

    Args:
        address: A folder, which need not exist yet, or a URL that fsspec knows.
        storage_options: Options of the fsspec file system, such as ``endpoint_url``.

    Raises:
        PlaceError: If the address cannot be used.
    """

    def __init__(self, address: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.address = address.rstrip("/") or "/"
        self.storage_options: Mapping[str, Any] = dict(storage_options or {})
        try:
            options = S3Access.resolve(self.storage_options).s3fs_options() if is_s3(self.address) else {}
            self._filesystem, root = url_to_fs(self.address, **(options or self.storage_options))
        except (ImportError, ValueError, TypeError) as error:
            raise PlaceError(
                f"the place {self.address!r} of indexes and cubes cannot be used: {error}; "
                "expected a folder or an address such as s3://bucket/prefix"
            ) from error
        self._root = root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Tell whether it is a folder of this machine."""
        return isinstance(self._filesystem, LocalFileSystem)

    @property
    def folder(self) -> Path:
        """The folder, for a place that is local."""
        return Path(self._root)

    def index_address(self, product_name: str) -> str:
        """Return the address of a product's granule index."""
        return self.url(index_path(product_name))

    def cube_address(self, product_name: str) -> str:
        """Return the address of a product's cube, an Icechunk repository."""
        return self.url(f"cube/{product_name}")

    def url(self, path: str) -> str:
        """Return the full address of a path below the place."""
        return f"{self.address}/{path}"

    def exists(self, path: str) -> bool:
        """Tell whether a file, or anything below a folder, is there."""
        if self.is_local:
            return (self.folder / path).exists()
        self._filesystem.invalidate_cache()
        with self._readable(path):
            return bool(self._filesystem.exists(f"{self._root}/{path}"))

    def version(self, path: str) -> str | None:
        """Return what changes when a file is written anew (ETag, or inode, size and time), None if it is not there."""
        if self.is_local:
            with suppress(FileNotFoundError):
                status = (self.folder / path).stat()
                return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
            return None
        self._filesystem.invalidate_cache()
        with self._readable(path), suppress(FileNotFoundError):
            info = self._filesystem.info(f"{self._root}/{path}")
            return str(info.get("ETag") or info.get("mtime") or info.get("created") or info.get("size"))
        return None

    def list(self, folder: str) -> list[str]:
        """Return the names of the files in a folder of the place, sorted; none if it is not there."""
        if self.is_local:
            with self._readable(folder), suppress(FileNotFoundError):
                return sorted(child.name for child in (self.folder / folder).iterdir() if child.is_file())
            return []
        self._filesystem.invalidate_cache()
        with self._readable(folder), suppress(FileNotFoundError):
            found = self._filesystem.ls(f"{self._root}/{folder}", detail=True)
            return sorted(Path(info["name"]).name for info in found if info["type"] == "file")
        return []

    def read_bytes(self, path: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: If it is not there.
            PlaceError: If it may not be read.
        """
        with self._readable(path):
            if self.is_local:
                return (self.folder / path).read_bytes()
            return bytes(self._filesystem.cat_file(f"{self._root}/{path}"))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a whole file so that a reader sees the old one or the new one, never a part.

        Raises:
            PlaceError: If it may not be written.
        """
        try:
            if self.is_local:
                _write_atomically(self.folder / path, data)
            else:
                self._filesystem.pipe_file(f"{self._root}/{path}", data)
        except OSError as error:
            raise PlaceError(_not_writable(self.url(path), error)) from error

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        with suppress(FileNotFoundError):
            if self.is_local:
                (self.folder / path).unlink()
            else:
                self._filesystem.rm_file(f"{self._root}/{path}")

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Return a context in which nobody else builds ``name``.

        Raises:
            BuildRunningError: On entering, if somebody does; it says who.
            PlaceError: On entering, if the place may not be written.
        """
        if self.is_local:
            return local_lock(self.folder / f"locks/{name}.lock", name)
        return object_lock(self._filesystem, f"{self._root}/locks/{name}.lock", name)

    def is_writable(self) -> bool:
        """Tell whether this process may write here; an object store is asked by writing and removing an object."""
        if self.is_local:
            above = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
            return above.is_dir() and os.access(above, os.W_OK | os.X_OK)
        try:
            self.write_bytes("locks/write-test", b"")
            self.remove("locks/write-test")
        except (PlaceError, OSError):
            return False
        return True

    def _readable(self, path: str) -> AbstractContextManager[None]:
        return _Readable(self.url(path))

    def __repr__(self) -> str:
        return f"<Place {self.address}>"


class _Readable(AbstractContextManager[None]):
    """Turns every failure to read but "not there" into words."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise PlaceError(f"{self._url} cannot be read: {error}; ask for access, or name another place") from error


def index_path(product_name: str) -> str:
    """Return the path of a product's granule index below the place."""
    return f"index/{product_name}.parquet"


def configured_place(
    datalake: Datalake, address: str | os.PathLike[str] | None = None, *, writing: bool = False
) -> Place:
    """Return where the indexes and cubes of a datalake lie.

    That is ``address``; else ``SWOTVRE_INDEX``, for the datalake of the environment; else ``.swot-vre`` in the
    datalake, if it exists or may be written; else a folder of the user's cache.

    Args:
        datalake: The datalake.
        address: A folder, or an address of an object store.
        writing: Whether something will be built: only then is an object store asked whether it may be written.
    """
    options: Mapping[str, Any] = datalake.storage_options
    chosen = os.fspath(address) if address is not None else _address_of_environment(datalake)
    if chosen:
        remote = "://" in chosen and not chosen.startswith("file://")
        chosen = chosen if remote else str(Path(chosen.removeprefix("file://")).expanduser().absolute())
        return Place(chosen, options if remote else {})
    inside = Place(f"{datalake.address}/{FOLDER}", options)
    if inside.is_local:
        usable = inside.folder.is_dir() or inside.is_writable()
    else:
        usable = inside.exists("index") or inside.exists("cube") or (writing and inside.is_writable())
    if usable:
        return inside
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    lake = hashlib.sha256(datalake.address.encode()).hexdigest()[:12]
    return Place(str(cache / "swot-vre" / "index" / lake))


def _address_of_environment(datalake: Datalake) -> str:
    # An index of the site's datalake says nothing of a folder of the user's own.
    of_environment = os.environ.get(ADDRESS_VARIABLE, "").rstrip("/")
    same = not of_environment or of_environment == datalake.address
    return os.environ.get(PLACE_VARIABLE, "") if same else ""


def _write_atomically(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _not_writable(url: str, error: OSError) -> str:
    return f"{url} cannot be written: {error}; name a place that can be with --index, or {PLACE_VARIABLE}"
