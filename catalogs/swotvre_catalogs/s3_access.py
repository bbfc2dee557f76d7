"""S3 access: endpoint, region and credentials from one place, given to s3fs, obstore and Icechunk alike.

What is asked first wins:

1. the storage options of the address, in the words of s3fs: ``endpoint_url``, ``key``, ``secret``, ``token``, ``anon``,
   ``profile``, ``requester_pays``, ``client_kwargs`` (``region_name``, ``endpoint_url``, ``verify``), ``config_kwargs``
   (``retries.max_attempts``, ``connect_timeout``, ``read_timeout``, ``s3.addressing_style``);
2. the project's credentials: ``SWOTVRE_PROJECT_CREDENTIALS`` names a file in the format of ``~/.aws/credentials``
   (its section ``default``, or its only one), which may also hold ``endpoint_url`` and ``region``;
3. the user's own, as every AWS tool finds them: ``AWS_ACCESS_KEY_ID`` ..., ``AWS_PROFILE``, ``~/.aws``, a role.

Credentials are read again whenever the store says that they have expired. No secret is ever part of a ``repr``, a
message or a log.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swotvre_catalogs.errors import DatalakeError, UnreadableDatalakeError

#: Environment variable that names the file with the credentials of the session's project.
PROJECT_VARIABLE = "SWOTVRE_PROJECT_CREDENTIALS"

#: S3 error codes of credentials that were right once.
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
#: S3 error codes of credentials that the store does not know; a store that forgets expired ones says the same.
UNKNOWN_CODES = frozenset({"InvalidAccessKeyId", "InvalidToken", "InvalidClientTokenId", "SignatureDoesNotMatch"})


class AccessDeniedError(UnreadableDatalakeError):
    """The store knows the caller, or needs no name, and forbids the access (HTTP 401 or 403)."""


class ExpiredCredentialsError(UnreadableDatalakeError):
    """The credentials were right once and are not any more."""


@dataclass(frozen=True)
class S3Keys:
    """One set of S3 credentials; secret and token are kept out of its ``repr``."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False, default=None)
    #: Where they were found, for messages.
    source: str = field(default="", compare=False)


@dataclass
class S3Access:
    """How one S3 address is reached.

    Pickled, it takes its last credentials along, so that a Dask worker without the caller's environment reads as well.
    """

    #: Storage options as given, in the words of s3fs; they may hold secrets.
    options: Mapping[str, Any] = field(repr=False)
    #: Address of the store; None is Amazon's.
    endpoint_url: str | None
    region: str
    #: Requests go to ``bucket.host`` instead of ``host/bucket``.
    virtual_hosted: bool
    #: Requests are not signed.
    anonymous: bool
    _keys: S3Keys | None = field(default=None, repr=False)

    @classmethod
    def resolve(cls, storage_options: Mapping[str, Any] | None = None) -> S3Access:
        """Find endpoint, region and addressing for these storage options.

        Raises:
            DatalakeError: If the file of the project, or the profile, is missing or unusable.
        """
        options = dict(storage_options or {})
        client = options.get("client_kwargs") or {}
        project = _project_settings() if not {"key", "profile", "anon"} & options.keys() else {}
        profile = _profile_settings(options.get("profile")) if "key" not in options else {}
        endpoint_url = (
            options.get("endpoint_url")
            or client.get("endpoint_url")
            or project.get("endpoint_url")
            or os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
            or profile.get("endpoint_url")
        )
        style = ((options.get("config_kwargs") or {}).get("s3") or {}).get("addressing_style")
        style = style or (profile.get("s3") or {}).get("addressing_style")
        return cls(
            options=options,
            endpoint_url=endpoint_url.rstrip("/") if endpoint_url else None,
            region=client.get("region_name")
            or project.get("region")
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
            or profile.get("region")
            or "us-east-1",
            virtual_hosted=style == "virtual",
            anonymous=bool(options.get("anon")),
        )

    def keys(self) -> S3Keys | None:
        """Read the credentials now; None where there are none, and requests then go out unsigned.

        Raises:
            DatalakeError: If the file of the project, or the profile, is missing or unusable.
        """
        if self.anonymous:
            return None
        self._keys = self._read_keys() or self._keys
        return self._keys

    @property
    def last_keys(self) -> S3Keys | None:
        """The credentials that were read last."""
        return self._keys

    def _read_keys(self) -> S3Keys | None:
        given = self.options
        if given.get("key") and given.get("secret"):
            return S3Keys(given["key"], given["secret"], given.get("token"), "the storage options")
        if not given.get("profile") and (project := _project_settings()):
            source = f"the file {os.environ[PROJECT_VARIABLE]} ({PROJECT_VARIABLE})"
            return S3Keys(
                project["aws_access_key_id"], project["aws_secret_access_key"], project.get("aws_session_token"), source
            )
        return _keys_of_the_user(given.get("profile"))

    def s3fs_options(self) -> dict[str, Any]:
        """Return the options of ``s3fs.S3FileSystem``, credentials included."""
        options = {name: value for name, value in self.options.items() if name != "profile"}
        keys = self.keys()
        if keys is None:
            options["anon"] = True
        else:
            options |= {"key": keys.access_key_id, "secret": keys.secret_access_key, "token": keys.session_token}
        client = dict(options.get("client_kwargs") or {})
        client.pop("endpoint_url", None)
        config = dict(options.get("config_kwargs") or {})
        if self.endpoint_url:
            options["endpoint_url"] = self.endpoint_url
            config["s3"] = {
                "addressing_style": "virtual" if self.virtual_hosted else "path",
                **(config.get("s3") or {}),
            }
        return options | {"client_kwargs": {"region_name": self.region, **client}, "config_kwargs": config}

    def redact(self, text: str) -> str:
        """Return ``text`` without the secrets that these options or the last credentials hold."""
        secrets = {str(self.options[name]) for name in ("secret", "token") if self.options.get(name)}
        if self._keys is not None:
            secrets |= {self._keys.secret_access_key, self._keys.session_token or ""}
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    @property
    def source(self) -> str:
        """Say where the last credentials were found."""
        return self._keys.source if self._keys is not None else "nowhere (the requests were not signed)"

    def refusal(self, url: str, status: int | None, code: str, *, worked: bool = False) -> UnreadableDatalakeError:
        """Return the error, in words, for a request that the store refused.

        Args:
            url: What was asked for.
            status: HTTP status, None if unknown.
            code: S3 error code; empty if the answer had none.
            worked: Whether the same credentials were accepted before.
        """
        answer = " ".join(part for part in (str(status or ""), code) if part) or "no"
        if code in EXPIRED_CODES or (worked and code in UNKNOWN_CODES):
            return ExpiredCredentialsError(
                f"the S3 credentials from {self.source} have expired: the store answered {answer} for {url}; "
                "get new ones, put them in the same place, and run this again: they are then read anew"
            )
        if code == "RequestTimeTooSkewed":
            return AccessDeniedError(f"{url}: the store answered {answer}: the clock of this machine is wrong")
        if code in UNKNOWN_CODES:
            return AccessDeniedError(
                f"{url}: the store answered {answer}: it does not accept the credentials from {self.source}; "
                f"check them, and that they belong to the endpoint {self.endpoint_url or 'of Amazon'}"
            )
        if self._keys is None:
            return AccessDeniedError(
                f"{url} may not be read: the store answered {answer}, and no credentials were found; "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or "
                f"{PROJECT_VARIABLE}, or pass storage options"
            )
        return AccessDeniedError(
            f"{url} may not be read: the store answered {answer} for the credentials from {self.source}; ask "
            "the owner of the bucket for the right to read and to list it (without it a missing object is 403 too)"
        )


def s3_error_code(text: str) -> str:
    """Return the S3 error code in the XML body of an answer; empty where there is none."""
    found = re.search(r"<Code>(\w{1,80})</Code>", text)
    return found[1] if found else ""


def _project_settings() -> dict[str, str]:
    path = os.environ.get(PROJECT_VARIABLE, "")
    if not path:
        return {}
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise DatalakeError(f"{PROJECT_VARIABLE} names {path}, which cannot be read: {reason}") from None
    except configparser.Error:  # its message quotes the line, which may be a secret
        raise DatalakeError(f"{path} ({PROJECT_VARIABLE}) is not in the format of ~/.aws/credentials") from None
    sections = parser.sections()
    name = "default" if "default" in sections else sections[0] if len(sections) == 1 else None
    if name is None:
        raise DatalakeError(
            f"{path} ({PROJECT_VARIABLE}) needs a section [default], or one section only; it has: {', '.join(sections)}"
        )
    settings = dict(parser[name])
    missing = [key for key in ("aws_access_key_id", "aws_secret_access_key") if not settings.get(key)]
    if missing:
        raise DatalakeError(f"[{name}] of {path} ({PROJECT_VARIABLE}) lacks {' and '.join(missing)}")
    return settings


def _profile_settings(profile: str | None) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return dict(Session(profile=profile).get_scoped_config())
    except BotoCoreError as error:
        raise DatalakeError(f"the AWS configuration cannot be used: {error}; check AWS_PROFILE and ~/.aws") from None


def _keys_of_the_user(profile: str | None) -> S3Keys | None:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        found = Session(profile=profile).get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else None
    except BotoCoreError as error:
        raise DatalakeError(f"the AWS credentials cannot be read: {error}; check AWS_PROFILE and ~/.aws") from None
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        return None
    named = {"env": "AWS_ACCESS_KEY_ID of the environment", "shared-credentials-file": "~/.aws/credentials"}
    return S3Keys(frozen.access_key, frozen.secret_key, frozen.token, named.get(found.method, f"AWS ({found.method})"))
