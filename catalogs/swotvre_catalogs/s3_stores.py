"""Stores of obstore and Icechunk for an address, a folder or ``s3://bucket/prefix``, with the access of `s3_access`.

- ``obstore_store(address, storage_options)``: the obstore store rooted at the address.
- ``icechunk_storage(address, storage_options)``: where an Icechunk repository lies.
- ``icechunk_container(address, storage_options)``: the virtual chunk container for files below the address.
- ``icechunk_credentials(address, storage_options)``: the credentials for that container, to open a repository with.

Credentials of Icechunk are read again every ten minutes, and so live on when the user or the project renews them.
"""

from __future__ import annotations

import datetime
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.errors import DatalakeError
from swotvre_catalogs.s3_access import S3Access, S3Keys

if TYPE_CHECKING:
    import icechunk
    from obstore.store import LocalStore, S3Store

#: How often Icechunk asks for the credentials again.
_RENEWAL = datetime.timedelta(minutes=10)
#: Retries of a request that failed with 5xx, 429, a time-out or a broken connection, and seconds without a byte.
_MAX_RETRIES = 6
_READ_TIMEOUT_S = 30
_CONNECT_TIMEOUT_S = 5


def is_s3(address: str) -> bool:
    """Tell whether an address is that of an S3 bucket."""
    return address.startswith(("s3://", "s3a://"))


def split_s3(address: str) -> tuple[str, str]:
    """Return bucket and prefix (without slashes at its ends) of ``s3://bucket/prefix``.

    Raises:
        DatalakeError: If the address has no bucket.
    """
    bucket, _, prefix = address.partition("://")[2].partition("/")
    if not is_s3(address) or not bucket:
        raise DatalakeError(f"{address!r} is not an S3 address; expected s3://bucket/prefix")
    return bucket, prefix.strip("/")


def obstore_store(address: str, storage_options: Mapping[str, Any] | S3Access | None = None) -> LocalStore | S3Store:
    """Return the obstore store rooted at an address.

    Requests that fail with 5xx, 429, a time-out or a broken connection are repeated with back-off by obstore itself;
    ``config_kwargs`` of the storage options sets how often (``retries.max_attempts``) and how long one may take.
    """
    from obstore.store import LocalStore, S3Store

    if not is_s3(address):
        return LocalStore(prefix=_folder(address))
    access = _access(storage_options)
    bucket, prefix = split_s3(address)
    keys = access.keys()
    given = access.options.get("config_kwargs") or {}
    client: dict[str, Any] = {
        "allow_http": (access.endpoint_url or "").startswith("http://"),
        "connect_timeout": f"{given.get('connect_timeout', _CONNECT_TIMEOUT_S) * 1000:.0f}ms",
        "read_timeout": f"{given.get('read_timeout', _READ_TIMEOUT_S) * 1000:.0f}ms",
        "timeout": "10m",
    }
    if certificate := _certificate(access.options):
        client["root_certificate"] = certificate
    retries = (given.get("retries") or {}).get("max_attempts", _MAX_RETRIES)
    config: dict[str, Any] = {
        "region": access.region,
        "virtual_hosted_style_request": access.virtual_hosted,
        "skip_signature": keys is None,
    }
    if access.options.get("requester_pays"):
        config["request_payer"] = True
    if access.endpoint_url:
        # Of its two names for this, obstore would let the environment's go before the shorter one.
        config["aws_endpoint_url_s3"] = _endpoint_of_bucket(access, bucket)
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options=client,
        retry_config={
            "max_retries": retries,
            "backoff": {
                "init_backoff": datetime.timedelta(milliseconds=100),
                "max_backoff": datetime.timedelta(seconds=10),
                "base": 2,
            },
            "retry_timeout": datetime.timedelta(minutes=3),
        },
        # A provider, as obstore would complete keys that are given one by one from the environment.
        credential_provider=None if keys is None else _ObstoreKeys(keys),
    )


def icechunk_storage(address: str, storage_options: Mapping[str, Any] | S3Access | None = None) -> icechunk.Storage:
    """Return where an Icechunk repository lies: ``Repository.open(icechunk_storage(...))``."""
    import icechunk

    if not is_s3(address):
        return icechunk.local_filesystem_storage(str(_folder(address)))
    access = _access(storage_options)
    bucket, prefix = split_s3(address)
    keys = access.keys()
    credentials: dict[str, Any] = {"anonymous": True} if keys is None else {"get_credentials": IcechunkKeys(access)}
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix or None,
        region=access.region,
        endpoint_url=access.endpoint_url,
        allow_http=(access.endpoint_url or "").startswith("http://"),
        force_path_style=not access.virtual_hosted,
        requester_pays=bool(access.options.get("requester_pays")),
        **credentials,
    )


def icechunk_container(
    address: str, storage_options: Mapping[str, Any] | S3Access | None = None
) -> icechunk.VirtualChunkContainer:
    """Return the virtual chunk container for files below an address; it holds the endpoint, but no credentials."""
    import icechunk

    prefix = container_prefix(address)
    if not is_s3(address):
        folder = prefix.removeprefix("file://").rstrip("/") or "/"
        return icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(folder))
    access = _access(storage_options)
    store = icechunk.s3_store(
        region=access.region,
        endpoint_url=access.endpoint_url,
        allow_http=(access.endpoint_url or "").startswith("http://"),
        anonymous=access.keys() is None,
        s3_compatible=access.endpoint_url is not None,
        force_path_style=not access.virtual_hosted,
        requester_pays=bool(access.options.get("requester_pays")),
    )
    return icechunk.VirtualChunkContainer(prefix, store)


def icechunk_credentials(address: str, storage_options: Mapping[str, Any] | S3Access | None = None) -> dict[str, Any]:
    """Return what ``Repository.open(authorize_virtual_chunk_access=...)`` takes for files below an address."""
    import icechunk

    given: Any
    if not is_s3(address):
        given = icechunk.Credentials.LocalFileSystemAccess()
    else:
        access = _access(storage_options)
        if access.keys() is None:
            given = icechunk.s3_anonymous_credentials()
        else:
            given = icechunk.s3_refreshable_credentials(IcechunkKeys(access))
    credentials: dict[str, Any] = icechunk.containers_credentials({container_prefix(address): given})
    return credentials


def container_prefix(address: str) -> str:
    """Return the URL prefix of the virtual chunk container of an address, with ``/`` at its end.

    It is that of the address, or of the nearest folder above it whose path needs no encoding: Icechunk compares the
    prefix with encoded locations where it writes, and with decoded ones where it reads.
    """
    scheme, _, path = location_prefix(address).partition("://")
    parts = path.removesuffix("/").split("/")
    plain = next((number for number, part in enumerate(parts) if "%" in part), len(parts))
    return f"{scheme}://{'/'.join(parts[:plain])}/"


def location_prefix(address: str) -> str:
    """Return what the URL of every chunk below an address begins with, encoded, with ``/`` at its end."""
    if is_s3(address):
        return "s3://" + quoted("/".join(part for part in split_s3(address) if part)) + "/"
    return f"file:///{quoted(str(_folder(address)).strip('/'))}/".replace(":////", ":///")


#: Characters that stay as they are in the URL of a chunk.
_PLAIN = "/:@!$&'()*+,;=~._-"


def quoted(path: str) -> str:
    """Return a path as Icechunk wants it in a URL: a space, a hash or a letter with an accent is encoded."""
    return urllib.parse.quote(path, safe=_PLAIN)


@dataclass(frozen=True)
class IcechunkKeys:
    """Gives Icechunk the credentials of the moment; Icechunk calls it, in a Dask worker as well."""

    access: S3Access

    def __call__(self) -> icechunk.S3StaticCredentials:
        """Read the credentials now.

        Raises:
            DatalakeError: If there are none any more.
        """
        import icechunk

        keys = self.access.keys()
        if keys is None:
            raise DatalakeError("the S3 credentials that were here are gone; set them again as they were")
        return icechunk.S3StaticCredentials(
            keys.access_key_id,
            keys.secret_access_key,
            keys.session_token,
            datetime.datetime.now(datetime.UTC) + _RENEWAL,
        )


@dataclass(frozen=True)
class _ObstoreKeys:
    keys: S3Keys

    def __call__(self) -> dict[str, Any]:
        return {
            "access_key_id": self.keys.access_key_id,
            "secret_access_key": self.keys.secret_access_key,
            "token": self.keys.session_token,
            "expires_at": None,
        }


def _access(storage_options: Mapping[str, Any] | S3Access | None) -> S3Access:
    return storage_options if isinstance(storage_options, S3Access) else S3Access.resolve(storage_options)


def _folder(address: str) -> Path:
    return Path(address.removeprefix("file://")).absolute()


def _endpoint_of_bucket(access: S3Access, bucket: str) -> str:
    endpoint = str(access.endpoint_url)
    return endpoint.replace("://", f"://{bucket}.", 1) if access.virtual_hosted else endpoint


def _certificate(options: Mapping[str, Any]) -> str | None:
    path = (options.get("client_kwargs") or {}).get("verify") or os.environ.get("AWS_CA_BUNDLE")
    if not isinstance(path, str) or not path:
        return None
    try:
        return Path(path).read_text()
    except OSError as error:
        raise DatalakeError(f"the certificates {path} (AWS_CA_BUNDLE) cannot be read: {error.strerror}") from error
