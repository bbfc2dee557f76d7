"""The settings that only a batch system needs: blocks ``batch``, ``scheduler``, ``queues`` and ``proxy``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

#: What qsub and sbatch take as a queue, a partition, a project or an account, and no shell or option parser minds.
SCHEDULER_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,59}$"

SchedulerName = Annotated[str, Field(pattern=SCHEDULER_NAME)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0, le=24 * 31, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"a regular expression that compiles ({error})") from error
    return value


#: A regular expression.
Pattern = Annotated[str, AfterValidator(_compiles)]
#: YAML has lists, and frozen models have tuples.
ListAsTuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
_HOST_NAME = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"


class Block(BaseModel):
    """One block of the settings file: frozen, and no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Batch(Block):
    """How the hub reaches the batch system, and nodes the hub."""

    commands: Annotated[str, Field(pattern=r"^/.*$")] = Field(
        description="Absolute folder of the scheduler's commands: qsub, qstat ... or sbatch, squeue ..."
    )
    hub_address: str = Field(
        description="Name or IP address of this machine as nodes reach it; needed unless the engine is local."
    )
    hub_port: Port = Field(description="TCP port of this machine that sessions on nodes report to.")
    ports: str = Field(description="TCP ports that sessions listen on at their nodes, ``FIRST-LAST``.")
    lab: Annotated[str, Field(pattern=r"^(|/.*)$")] = Field(
        description="Absolute folder of the session environment, at the same place on nodes and on this machine, "
        "executable by every user; needed unless the engine is local."
    )
    tls: bool = Field(description="Encrypt what hub, proxy and sessions say to each other, and check both sides.")

    @property
    def port_range(self) -> range:
        """The TCP ports that sessions may listen on."""
        first, _, last = self.ports.partition("-")
        return range(int(first), int(last) + 1)

    @field_validator("hub_address")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        if value and re.fullmatch(_HOST_NAME, value) is None:
            raise ValueError("empty, a host name or an IPv4 address, for example hub.cluster.example")
        return value

    @field_validator("ports")
    @classmethod
    def _is_a_range(cls, value: str) -> str:
        match = re.fullmatch(r"(\d{4,5})-(\d{4,5})", value)
        if match is None or not 1024 <= int(match[1]) <= int(match[2]) <= 65535:
            raise ValueError("two ports from 1024 to 65535, the lower first, for example 20000-29999")
        return value

    @property
    def lab_python(self) -> Path:
        """The interpreter of the session environment, on nodes and on this machine."""
        return Path(self.lab) / "bin" / "python"


class Scheduler(Block):
    """How often the scheduler is asked, and how long it is waited for."""

    query_seconds: Seconds = Field(description="Time between two questions for all sessions, while nothing happens.")
    starting_query_seconds: Seconds = Field(description="The same while a session starts.")
    capacity_seconds: Seconds = Field(
        description="What is known of free cores and memory is asked anew when it is older, and somebody looks."
    )
    command_timeout_seconds: Seconds = Field(description="A command that takes longer counts as unanswered.")
    waiting_hours: Hours = Field(description="A session that has waited for so long is cancelled.")
    log_days: Annotated[int, Field(ge=1, le=3650)] = Field(description="Logs of sessions are kept for so many days.")
    accounting: bool = Field(description="Slurm only: ``sacct`` answers, and knows how much an ended session used.")


class Queues(Block):
    """Which queues (partitions) and projects (accounts) a user may choose."""

    offer: Annotated[tuple[SchedulerName, ...], ListAsTuple] = Field(
        description="Queues on the launch page, the preselected one first; of these a user sees those that would take "
        "the session. Empty: the scheduler's default queue, and no choice."
    )
    projects: Literal["none", "groups"] = Field(
        description="``groups``: a session runs for one of the user's Unix groups that match project_pattern."
    )
    project_pattern: Pattern = Field(description="Regular expression that the whole name of a project must match.")

    def matching_projects(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return the projects among a user's Unix groups, in alphabetical order."""
        if self.projects == "none":
            return ()
        return tuple(
            sorted(
                name
                for name in groups
                if re.fullmatch(self.project_pattern, name) and re.fullmatch(SCHEDULER_NAME, name)
            )
        )


class ProxySettings(Block):
    """The proxy in front of hub and sessions."""

    external: bool = Field(
        description="The proxy runs on its own (``swot-vre proxy``) and outlives the hub: an upgrade cuts nobody."
    )
