"""What the cluster has and what of it is free: for the launch page, and to refuse what no node can hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import Literal

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.batch_settings import Scheduler
from swotvre_hub.durations import describe_duration
from swotvre_hub.engines.base import Cluster, Engine, Node, Queue, Release, SchedulerUnavailableError
from swotvre_hub.settings import SessionSize


@dataclass(frozen=True)
class Availability:
    """What would happen to a session of some size if it was started now."""

    kind: Literal["now", "wait", "never", "unknown"]
    #: The same in words: ``Starts now``.
    words: str


UNKNOWN = Availability("unknown", "The scheduler does not say what is free")


@dataclass(frozen=True)
class ClusterState:
    """The cluster at one moment."""

    cluster: Cluster
    #: When jobs that run will have given back what they use, at the latest.
    releases: tuple[Release, ...] = ()

    def lacks(self, cores: int, memory_gib: int, gpus: int = 0, queue: str = "") -> str | None:
        """Return in words why no node can ever hold such a session, or None when one can, or nothing is known."""
        if reason := _queue_lacks(self.cluster.queues.get(queue), cores, memory_gib, gpus):
            return reason
        nodes = [node for node in self.cluster.nodes if serves(node, queue)]
        if not nodes or any(_holds(node, cores, memory_gib * 2**30, gpus) for node in nodes):
            return None
        largest = max(nodes, key=lambda node: (node.gpus if gpus else 0, node.cores, node.memory_bytes))
        what = describe_resources(cores, memory_gib, gpus)
        has = describe_resources(largest.cores, largest.memory_bytes // 2**30, largest.gpus if gpus else 0)
        return f"needs {what} on one node; the largest node{' of this queue' if queue else ''} has {has}"

    def availability(self, size: SessionSize, queue: str = "", now: datetime | None = None) -> Availability:
        """Return what would happen to a session of ``size`` in ``queue`` (empty: any) at this moment."""
        nodes = [node for node in self.cluster.nodes if serves(node, queue)]
        if not nodes:
            return UNKNOWN
        if reason := self.lacks(size.cores, size.memory_gib, size.gpus, queue):
            return Availability("never", f"Does not fit any node: it {reason}")
        queued = self.cluster.queues.get(queue)
        if queued is not None and not queued.started:
            return Availability("wait", f"Queue {queue} is stopped: a session waits until it is started")
        ready = [node for node in nodes if node.available]
        if any(_has_free(node, size) for node in ready):
            return Availability("now", "Starts now")
        when = self._free_at(ready, size)
        if when is None:
            return Availability("wait", f"Waits: {_what_is_free(ready, size)}")
        left = max(when - (now or datetime.now(UTC)), timedelta(minutes=1))
        return Availability("wait", f"About {describe_duration(left)}, at the latest: {_what_is_free(ready, size)}")

    def _free_at(self, nodes: Iterable[Node], size: SessionSize) -> datetime | None:
        """Return when a node will have enough, if its jobs run to their walltime and nobody else takes it."""
        times = [when for node in nodes if (when := _node_free_at(node, size, self.releases)) is not None]
        return min(times, default=None)


@dataclass
class ClusterView:
    """The last good answers on the cluster, with their age."""

    engine: Engine
    runner: CommandRunner
    settings: Scheduler
    log: Logger
    state: ClusterState = field(default_factory=lambda: ClusterState(Cluster()))
    _known_at: float | None = None
    _asked_at: float = float("-inf")
    _asking: asyncio.Task[None] | None = None

    @property
    def age_seconds(self) -> float | None:
        """Age of what is known; None: nothing is."""
        return None if self._known_at is None else time.monotonic() - self._known_at

    async def refresh(self, patience_seconds: float = 3.0) -> ClusterState:
        """Return the cluster as it is; an old answer when a new one takes longer than ``patience_seconds``."""
        if time.monotonic() - self._asked_at >= self.settings.capacity_seconds and (
            self._asking is None or self._asking.done()
        ):
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        if patience_seconds > 0 and self._asking is not None and not self._asking.done():
            await asyncio.wait([self._asking], timeout=patience_seconds)
        return self.state

    async def _ask(self) -> None:
        self._asked_at = asked_at = time.monotonic()
        try:
            nodes_result, queues_result = await asyncio.gather(
                self.runner.run(self.engine.nodes_command()), self.runner.run(self.engine.queues_command())
            )
            nodes = await asyncio.to_thread(self.engine.parse_nodes, nodes_result)
            cluster = Cluster(nodes, self.engine.parse_queues(queues_result))
        except SchedulerUnavailableError as error:
            self.log.warning("What is free on the cluster is not known: %s", error)
            return
        self.state = ClusterState(cluster, await self._ask_releases(nodes))
        self._known_at = asked_at

    async def _ask_releases(self, nodes: Sequence[Node]) -> tuple[Release, ...]:
        command = self.engine.releases_command(nodes)
        if command is None:
            return ()
        try:
            result = await self.runner.run(command)
            return await asyncio.to_thread(self.engine.parse_releases, result)
        except SchedulerUnavailableError as error:
            self.log.warning("When cores become free is not known: %s", error)
            return ()


def serves(node: Node, queue: str) -> bool:
    """Return whether jobs of ``queue`` (empty: any) may run on ``node``."""
    return not queue or not node.queues or queue in node.queues


def offered_queues(
    names: Sequence[str], queues: Mapping[str, Queue], user_name: str, groups: Collection[str]
) -> tuple[str, ...]:
    """Return those of ``names`` that take jobs of the user, in their order; all while nothing is known of queues."""
    if not queues:
        return tuple(names)
    return tuple(name for name in names if name in queues and queues[name].accepts(user_name, groups))


def describe_resources(cores: int, memory_gib: int, gpus: int = 0) -> str:
    """Return ``4 cores, 32 GiB`` or ``4 cores, 32 GiB, 1 GPU``."""
    parts = [f"{cores} core{'' if cores == 1 else 's'}", f"{memory_gib} GiB"]
    if gpus:
        parts.append(f"{gpus} GPU{'' if gpus == 1 else 's'}")
    return ", ".join(parts)


def describe_age(seconds: float | None) -> str:
    """Return how old an answer is, in words; empty when there is none."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s ago"
    return f"{describe_duration(timedelta(seconds=seconds))} ago"


def _queue_lacks(queue: Queue | None, cores: int, memory_gib: int, gpus: int) -> str | None:
    """Return in words what a queue does not allow, or None when it allows it, or is not known."""
    if queue is None:
        return None
    limits = (
        (cores, queue.max_cores, "core", 1),
        (memory_gib, queue.max_memory_bytes, "GiB", 2**30),
        (gpus, queue.max_gpus, "GPU", 1),
    )
    for wanted, most, unit, scale in limits:
        if most is not None and wanted * scale > most:
            plural = "" if unit == "GiB" or most // scale == 1 else "s"
            return f"needs {wanted} {unit}{'' if unit == 'GiB' or wanted == 1 else 's'}; " + (
                f"queue {queue.name} allows {most // scale} {unit}{plural}"
            )
    return None


def _holds(node: Node, cores: int, memory_bytes: int, gpus: int) -> bool:
    return node.cores >= cores and node.memory_bytes >= memory_bytes and node.gpus >= gpus


def _has_free(node: Node, size: SessionSize) -> bool:
    enough = node.free_cores >= size.cores and node.free_memory_bytes >= size.memory_bytes
    return enough and node.free_gpus >= size.gpus


def _node_free_at(node: Node, size: SessionSize, releases: Iterable[Release]) -> datetime | None:
    if not _holds(node, size.cores, size.memory_bytes, size.gpus):
        return None
    cores, memory, gpus = node.free_cores, node.free_memory_bytes, node.free_gpus
    for release in sorted((item for item in releases if item.node == node.name), key=lambda item: item.at):
        cores, memory, gpus = cores + release.cores, memory + release.memory_bytes, gpus + release.gpus
        if cores >= size.cores and memory >= size.memory_bytes and gpus >= size.gpus:
            return release.at
    return None


def _what_is_free(nodes: Sequence[Node], size: SessionSize) -> str:
    if not nodes:
        return "no node takes jobs at present"
    gpus = max(node.free_gpus for node in nodes)
    if size.gpus and gpus == 0:
        return "no GPU is free on any node"
    if gpus < size.gpus:
        return f"at most {gpus} GPU{' is' if gpus == 1 else 's are'} free on one node"
    if size.gpus and not any(node.free_gpus >= size.gpus and node.free_cores >= size.cores for node in nodes):
        return "free GPUs and free cores are not on the same node"
    nodes = [node for node in nodes if node.free_gpus >= size.gpus]
    cores = max(node.free_cores for node in nodes)
    if cores == 0:
        return "no core is free on any node"
    if cores < size.cores:
        return f"at most {cores} core{'' if cores == 1 else 's'} {'is' if cores == 1 else 'are'} free on one node"
    fitting = [node for node in nodes if node.free_cores >= size.cores]
    memory = max(node.free_memory_bytes for node in fitting) // 2**30
    return f"at most {memory} GiB are free beside them on one node"
