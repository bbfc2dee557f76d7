"""The settings of a site: the schema of ``vre.yaml``, read once into frozen models.

``defaults.yaml`` beside this file holds every default; a top-level key of ``vre.yaml`` replaces the default block as a
whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from swotvre_hub.batch_settings import Batch, Block, ListAsTuple, Pattern, ProxySettings, Queues, Scheduler
from swotvre_hub.errors import SettingsError
from swotvre_hub.settings_problems import SettingsProblem, problems_of
from swotvre_hub.yaml_reading import read_yaml_mapping

SIZE_NAME = r"^[a-z][a-z0-9-]{0,30}$"

PositiveHours = Annotated[float, Field(gt=0, le=24 * 31, allow_inf_nan=False)]
PositiveMinutes = Annotated[float, Field(gt=0, le=7 * 24 * 60, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=SIZE_NAME)]


class Site(Block):
    """Who runs this installation."""

    name: Annotated[str, Field(min_length=1, max_length=60)] = Field(description="Name shown on every page.")
    support: str = Field(description="Address that users are told to write to; empty: none is shown.")


class Hub(Block):
    """Where the hub listens."""

    address: str = Field(description="IP address that the hub's public port is bound to.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(description="The hub's public TCP port.")
    base_url: Annotated[str, Field(pattern=r"^/([A-Za-z0-9._~-]+/)*$")] = Field(
        description="URL path under which everything is served; begins and ends with a slash."
    )

    @property
    def bind_origin(self) -> str:
        """``http://host:port`` that the hub's public port is bound to."""
        return f"http://{_in_url(self.address)}:{self.port}"

    @property
    def local_origin(self) -> str:
        """``http://host:port`` by which this machine reaches the hub's public port."""
        address = ip_address(self.address)
        loopback = "127.0.0.1" if address.version == 4 else "::1"
        return f"http://{_in_url(loopback if address.is_unspecified else self.address)}:{self.port}"

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            ip_address(value)
        except ValueError as error:
            raise ValueError("an IP address, for example 127.0.0.1 or 0.0.0.0") from error
        return value


class Auth(Block):
    """Who may log in."""

    login: Literal["shared-password", "pam"] = Field(
        description="``shared-password``: any name, with the password of this installation; the local engine only. "
        "``pam``: accounts of this machine. Another authenticator is set in jupyterhub_config.d."
    )
    user_name_pattern: Pattern = Field(
        description="Regular expression that a whole user name must match; a name becomes a folder and part of a URL."
    )
    admins: Annotated[tuple[str, ...], ListAsTuple] = Field(
        description="User names that may open the admin page with the admin password."
    )

    @model_validator(mode="after")
    def _admins_have_names(self) -> Self:
        for name in self.admins:
            if re.fullmatch(self.user_name_pattern, name) is None:
                raise ValueError(f"admins that match user_name_pattern {self.user_name_pattern!r}, not {name!r}")
        return self


class SessionSize(Block):
    """Resources of one interactive session."""

    title: Annotated[str, Field(min_length=1, max_length=30)] = Field(description="Name on the launch page.")
    cores: Annotated[int, Field(ge=1, le=4096)] = Field(description="CPU cores (PBS ``ncpus``).")
    memory_gib: Annotated[int, Field(ge=1, le=65536)] = Field(
        description="Memory in GiB (PBS ``mem``; one PBS gb is 2**30 bytes)."
    )
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(default=0, description="GPUs (PBS ``ngpus``, Slurm ``gres/gpu``).")
    max_walltime_hours: PositiveHours = Field(description="Longest duration that a user may ask for, in hours.")
    good_for: Annotated[str, Field(max_length=120)] = Field(description="What the size is good for, in a few words.")

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes."""
        return self.memory_gib * 2**30


class Sessions(Block):
    """What every session has in common."""

    default_size: Name = Field(description="Size that is preselected for a user's first session.")
    default_walltime_hours: PositiveHours = Field(description="Duration that is preselected, in hours.")
    walltime_choices_hours: Annotated[tuple[PositiveHours, ...], ListAsTuple] = Field(
        min_length=1, description="Durations offered on the launch page, in hours."
    )
    workspace: str = Field(
        description="Folder of a user's files; ``{username}`` is replaced. Empty: below the state folder."
    )
    start_timeout_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(
        description="A session that does not answer within this time has failed to start."
    )
    per_user: Annotated[int, Field(ge=1, le=100)] = Field(
        description="Most sessions that a user has at once, each with a size of its own."
    )
    fork_server: bool = Field(
        description="Local engine only: start sessions from a process that has imported JupyterLab already (fast), "
        "or each from scratch."
    )

    @field_validator("workspace")
    @classmethod
    def _is_one_per_user(cls, value: str) -> str:
        if value and (not value.startswith("/") or "{username}" not in value):
            raise ValueError("empty, or an absolute path that holds {username}")
        return value


class Idle(Block):
    """When a session that nobody and nothing uses is ended."""

    enabled: bool = Field(description="End idle sessions at all.")
    timeout_minutes: PositiveMinutes = Field(
        description="A session is ended when no kernel, terminal or user did anything for so long."
    )
    warning_minutes: PositiveMinutes = Field(description="The user is told so long before the end.")
    check_every_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(description="Time between two looks.")

    @model_validator(mode="after")
    def _warns_before_the_end(self) -> Self:
        if self.warning_minutes >= self.timeout_minutes:
            raise ValueError(
                f"warning_minutes below timeout_minutes ({self.timeout_minutes:g}), not {self.warning_minutes:g}"
            )
        return self


class Kernels(Block):
    """Which kernels sessions offer."""

    prefix: Annotated[str, Field(pattern=r"^(|/.*)$")] = Field(
        description="Absolute folder of the built kernels. Empty: ``kernels`` of the state folder."
    )
    install: Annotated[tuple[Name, ...], ListAsTuple] = Field(
        min_length=1, description="Kernels that ``swot-vre up`` builds, with those in the same environments."
    )
    default: Name = Field(description="Kernel of a new notebook, and of Dask clusters.")

    @model_validator(mode="after")
    def _default_is_installed(self) -> Self:
        if self.default not in self.install:
            raise ValueError(f"a default among install ({', '.join(self.install)}), not {self.default!r}")
        return self


class Datalake(Block):
    """Where the data lie."""

    url: Annotated[str, Field(pattern=r"^(|/.*|file:///.*|s3://[^/]+.*)$")] = Field(
        description="Absolute folder, or ``s3://bucket/prefix``. Empty: the sample datalake of the state folder."
    )
    storage_options: dict[str, Any] = Field(
        description="fsspec storage options, for S3 ``{endpoint_url: ..., anon: true}``; every session gets them."
    )
    # With a default, because a site's block of before this setting has no such key.
    index: Annotated[str, Field(pattern=r"^(/.*|file:///.*|s3://[^/]+.*)$")] | None = Field(
        default=None,
        description="Absolute folder, or ``s3://bucket/prefix``, of granule indexes and cubes. "
        "Null: ``.swot-vre`` in the datalake.",
    )


class Cap(Block):
    """Most that Dask clusters may take together."""

    cores: Annotated[int, Field(ge=1)] | None = Field(default=None, description="CPU cores. Null: no cap.")
    memory_gib: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Memory in GiB. Null: no cap.")


class Caps(Block):
    """What the Dask clusters of one user, and of one project, may take together."""

    user: Cap = Field(default=Cap(), description="Of one user, over all clusters.")
    project: Cap = Field(default=Cap(), description="Of one project, over all clusters of all users.")


class GatewaySettings(Block):
    """Dask Gateway: clusters for users."""

    enabled: bool = Field(description="Run Dask Gateway beside the hub.")
    idle_timeout_minutes: PositiveMinutes = Field(description="A cluster that computed nothing for so long is ended.")
    max_workers: Annotated[int, Field(ge=1, le=10000)] = Field(description="Most workers of one cluster.")
    default_size: Name = Field(description="Size of a worker unless the user chooses another.")
    # With defaults, because a site's block of before these settings has no such keys.
    caps: Caps = Field(
        default=Caps(),
        description="Most that all clusters of a `user`, or of a `project`, take: `cores`, `memory_gib`; null: no cap.",
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=8082,
        description="Batch engines only: TCP port of this machine where nodes and sessions reach the gateway.",
    )
    scheduler_cores: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Batch engines only: cores of the job of a cluster's scheduler."
    )
    scheduler_memory_gib: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=2, description="Batch engines only: memory of the job of a cluster's scheduler, in GiB."
    )
    start_timeout_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=120,
        description="A scheduler or worker that does not report within this time after it began to run has failed; "
        "the time in the scheduler's queue does not count.",
    )


class Settings(Block):
    """All settings of a site."""

    site: Site
    hub: Hub
    engine: Literal["local", "pbs", "slurm"] = Field(description="What runs the sessions.")
    auth: Auth
    sizes: dict[Name, SessionSize] = Field(min_length=1, description="Session sizes by name, in the order shown.")
    sessions: Sessions
    idle: Idle
    kernels: Kernels
    datalake: Datalake
    gateway: GatewaySettings
    batch: Batch
    scheduler: Scheduler
    queues: Queues
    proxy: ProxySettings

    @property
    def is_batch(self) -> bool:
        """Whether sessions are jobs of a batch system."""
        return self.engine != "local"

    @property
    def uses_tls(self) -> bool:
        """Whether hub, proxy and sessions encrypt what they say to each other."""
        return self.is_batch and self.batch.tls

    @property
    def own_ports(self) -> frozenset[int]:
        """The TCP ports of this machine that the site chose: no other part of the installation may take them."""
        if not self.is_batch:
            return frozenset({self.hub.port})
        return frozenset({self.hub.port, self.batch.hub_port, self.gateway.port})

    @property
    def has_gateway(self) -> bool:
        """Whether Dask Gateway runs."""
        return self.gateway.enabled

    @model_validator(mode="after")
    def _sizes_exist(self) -> Self:
        known = ", ".join(self.sizes)
        for key, name in (
            ("sessions.default_size", self.sessions.default_size),
            ("gateway.default_size", self.gateway.default_size),
        ):
            if name not in self.sizes:
                raise ValueError(f"{key} among the sizes ({known}), not {name!r}")
        size = self.sizes[self.sessions.default_size]
        if self.sessions.default_walltime_hours > size.max_walltime_hours:
            raise ValueError(
                f"sessions.default_walltime_hours of at most {size.max_walltime_hours:g}, the longest of size "
                f"{self.sessions.default_size!r}, not {self.sessions.default_walltime_hours:g}"
            )
        return self

    @model_validator(mode="after")
    def _batch_engine_is_complete(self) -> Self:
        if self.is_batch and not self.batch.hub_address:
            raise ValueError(f"batch.hub_address, by which nodes reach this machine, because engine is {self.engine!r}")
        if self.is_batch and not self.batch.lab:
            raise ValueError(
                f"batch.lab, which 'swot-vre session-environment FOLDER' makes, because engine is {self.engine!r}: "
                "nodes and users cannot reach the one in the state folder"
            )
        if self.is_batch and self.auth.login == "shared-password":
            raise ValueError(
                f"auth.login 'pam', because with engine {self.engine!r} a session runs as the account that logs in, "
                "not 'shared-password', which lets in anybody as anybody"
            )
        taken = {"hub.port": self.hub.port, "batch.hub_port": self.batch.hub_port}
        same = [key for key, port in taken.items() if port == self.gateway.port]
        if self.is_batch and self.has_gateway and same:
            raise ValueError(f"gateway.port of its own, not {self.gateway.port}, which is {same[0]}")
        if not self.is_batch and (gpus := [name for name, size in self.sizes.items() if size.gpus]):
            raise ValueError(f"sizes without gpus with engine 'local', which cannot share them out, not {gpus[0]!r}")
        return self


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def read_defaults() -> dict[str, Any]:
    """Return the content of ``defaults.yaml``, anew at each call."""
    resource = files("swotvre_hub") / "defaults.yaml"
    return read_yaml_mapping(resource.read_text(encoding="utf-8"), "defaults.yaml")


def load_settings(site_file: Path | None = None) -> Settings:
    """Return the settings: the defaults, with the top-level keys of ``site_file`` in their place.

    Args:
        site_file: ``vre.yaml`` of the site, or None for the defaults alone.

    Raises:
        SettingsError: with one paragraph per fault: file, key, received, expected.
    """
    settings, problems = examine_settings(site_file)
    if settings is None:
        raise SettingsError("\n\n".join(str(problem) for problem in problems))
    return settings


def examine_settings(site_file: Path | None) -> tuple[Settings | None, list[SettingsProblem]]:
    """Return the settings and no problem, or None and every problem of ``site_file``."""
    values = read_defaults()
    source = "defaults.yaml"
    if site_file is not None:
        source = str(site_file)
        try:
            text = site_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{site_file} cannot be read: {error}; expected a YAML file in UTF-8") from error
        values = merge_top_level(values, read_yaml_mapping(text, source))
    try:
        return Settings.model_validate(values), []
    except ValidationError as error:
        return None, problems_of(error, Settings, source)


def merge_top_level(defaults: Mapping[str, Any], site: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``defaults`` with every top-level key of ``site`` replaced as a whole."""
    return {**defaults, **site}
