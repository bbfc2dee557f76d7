"""The site that is stood in for: its server, queues and nodes, and how it behaves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

#: Longer than the 17 characters that plain ``qstat`` has for a job id, and with dots.
SERVER_NAME = "vre-head-node-name.example"
#: What JSON answers say; ``--version`` says ``recorded``.
PBS_VERSION = "23.06.06"


@dataclass(frozen=True)
class Queue:
    """A queue, as ``qmgr`` would make it."""

    name: str
    enabled: bool = True
    started: bool = True
    max_walltime: str | None = None
    default_walltime: str | None = None
    #: Accounts that may use the queue; None for everybody.
    acl_users: tuple[str, ...] | None = None
    #: Jobs that one account may have waiting or running in the queue.
    max_queued: int | None = None


@dataclass(frozen=True)
class NodeSettings:
    """A node, and what it poses as."""

    name: str
    cores: int
    memory_kb: int


@dataclass(frozen=True)
class Site:
    """Everything that the daemon is told when it starts."""

    nodes: tuple[NodeSettings, ...]
    queues: tuple[Queue, ...]
    #: ``cgroup``: as with the hook ``pbs_cgroups``. ``mom``: as with ``$enforce mem``. Empty: not at all.
    memory_enforced_by: str = ""
    #: Seconds between SIGTERM and SIGKILL.
    kill_delay: float = 10.0
    #: Seconds for which a job is in state E.
    exiting: float = 0.2
    #: Seconds that a node is down before its jobs are given up; PBS' default is 310.
    node_fail_requeue: float = 310.0
    #: Seconds between two messages on what a job uses; PBS' default is 120.
    usage_interval: float = 10.0
    #: Scripts are not run, but announced to ``on_start``; such a job lasts until qdel or its walltime.
    virtual_jobs: bool = False
    #: Path of a datagram socket that is told of each job that starts.
    on_start: str = ""
    #: Where nothing but the daemon's own account exists: every job is its.
    single_account: str = ""
    server: str = field(default=SERVER_NAME)

    def queue(self, name: str) -> Queue | None:
        """Return the queue of this name."""
        return next((queue for queue in self.queues if queue.name == name), None)

    def save(self, path: Path) -> None:
        """Write the site where the daemon reads it."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Site:
        """Read what `save` has written."""
        text = json.loads(path.read_text())
        text["nodes"] = tuple(NodeSettings(**node) for node in text["nodes"])
        text["queues"] = tuple(
            Queue(**(queue | {"acl_users": queue["acl_users"] and tuple(queue["acl_users"])}))
            for queue in text["queues"]
        )
        return cls(**text)


def usual_queues() -> tuple[Queue, ...]:
    """Return the queues of the cluster under test."""
    return (
        Queue("workq", max_walltime="48:00:00", default_walltime="01:00:00"),
        Queue("short", max_walltime="00:30:00", default_walltime="00:30:00"),
        Queue("closed", enabled=False),
        Queue("stopped", started=False),
        Queue("restricted", acl_users=("nobody",)),
    )
