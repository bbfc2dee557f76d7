"""How a cluster of jobs is, in the words of the batch system: why it waits, where it runs, when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask_gateway_server.backends.db_base import JobStatus

from swotvre_hub.engines.base import JobState
from swotvre_hub.gateway_jobs import is_pending
from swotvre_hub.gateway_state import ClusterState, WorkersState, format_time, most_common_words, one_line, option
from swotvre_hub.reflector import Seen

if TYPE_CHECKING:
    from swotvre_hub.gateway_batch import BatchGatewayBackend


def describe_batch_cluster(cluster: Any, backend: BatchGatewayBackend) -> ClusterState:
    """Return what the user is told of a cluster."""
    state, config = cluster.state, cluster.config
    job = backend.jobs.get(state.get("job"))
    seen = backend.jobs.look(job)
    free = free_cores(backend)
    return ClusterState(
        name=cluster.name,
        status=cluster.model_status.name,
        message=one_line(state.get("failure") or _start_in_words(cluster, seen, free)),
        size=option(config, "size", ""),
        kernel=option(config, "kernel", ""),
        kernel_version=option(config, "kernel_version", ""),
        workers=count_workers(cluster, backend, free),
        job_id=state.get("job_id") or (job.job_id if job else None) or None,
        node=state.get("node") or (seen.status.host if seen.status else None) or None,
        started_at=format_time(state.get("started_at")),
        ends_at=format_time(state.get("ends_at")),
    )


def _start_in_words(cluster: Any, seen: Seen, free: int | None) -> str:
    if cluster.status >= JobStatus.RUNNING:
        return ""
    if seen.trouble is not None:
        return "the batch system does not answer at present; the cluster is kept, and asked for again"
    if seen.status is None:
        return "the scheduler of the cluster is being handed over to the batch system"
    if seen.status.state.is_pending:
        return f"the scheduler of the cluster waits: {why_it_waits(seen, free)}"
    return f"the scheduler of the cluster comes up on {seen.status.host or 'its node'}"


def count_workers(cluster: Any, backend: BatchGatewayBackend, free: int | None) -> WorkersState:
    """Return the workers of a cluster, counted, and why there are fewer than wanted."""
    workers = cluster.active_workers()
    running = sum(worker.status == JobStatus.RUNNING for worker in workers)
    seen = [
        backend.jobs.look(backend.jobs.get(worker.state.get("job")))
        for worker in workers
        if worker.status < JobStatus.RUNNING
    ]
    waiting = [one for one in seen if is_pending(one)]
    wanted = max(cluster.count, option(cluster.config, "workers", 0) if cluster.status < JobStatus.RUNNING else 0)
    wanted = max(wanted, len(workers)) if cluster.is_active() else 0
    words = backend._capped.get(cluster.name) or ""
    if not words and waiting:
        words = most_common_words(why_it_waits(one, free) for one in waiting)
    if not words and running < wanted:
        words = backend.worker_words.get(cluster.name, "") or ("workers come up" if seen else "")
    return WorkersState(wanted, running, len(waiting), len(seen) - len(waiting), one_line(words))


def why_it_waits(seen: Seen, free: int | None = None) -> str:
    """Return why a job waits, in words without a full stop.

    Args:
        seen: what the batch system says of it.
        free: cores that are free on all nodes together, where that is known.
    """
    if seen.trouble is not None:
        return "the batch system does not answer at present"
    status = seen.status
    if status is None:
        return "waiting to be considered"
    words = status.explanation or ("held back" if status.state is JobState.HELD else "waiting for its turn")
    if (
        free is not None
        and "core" in words
        and "free" in words
        and " are free" not in words
        and " is free" not in words
    ):
        words += f"; {free} {'is' if free == 1 else 'are'} free"
    if seen.place is not None and seen.place.of > 1:
        words += f"; place {seen.place.number} of {seen.place.of} that wait"
    return words


def free_cores(backend: BatchGatewayBackend) -> int | None:
    """Return how many cores are free on all nodes together; None: that is not known."""
    nodes = [node for node in backend.jobs.runtime.view.state.cluster.nodes if node.available]
    return sum(node.free_cores for node in nodes) if nodes else None
