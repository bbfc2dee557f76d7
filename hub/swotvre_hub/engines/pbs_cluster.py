"""Nodes (``pbsnodes -a -F json``), what running jobs give back to them, and queues (``qstat -Q -f -F json``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from swotvre_hub.engines.base import Node, Queue, Release
from swotvre_hub.engines.pbs_jobs import parse_time
from swotvre_hub.engines.reading import object_of, parse_clock, parse_integer, parse_memory, text_of

#: Words of a node's ``state`` with which jobs start on it, now or when others end; any other word rules it out.
_USABLE = frozenset({"free", "job-busy", "job-exclusive", "job-sharing", "resv-exclusive", "busy"})
#: Those with which none starts now, whatever is not assigned.
_FULL = frozenset({"job-busy", "job-exclusive", "resv-exclusive", "busy"})

#: What a job has on one vnode, in ``exec_vnode``: ``n1:ncpus=2:mem=1048576kb``.
_PART = re.compile(r"[^()+]+")


def read_nodes(answer: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return the vnodes of ``pbsnodes``; one that cannot be read is left out.

    A host that PBS divides into vnodes (NUMA domains, GPUs) gives one `Node` for each: a chunk of a job is placed on
    them one by one, and what the first of them holds without cores of its own would be counted twice otherwise.
    """
    nodes = (_read_node(name, node) for name, node in object_of(answer.get("nodes")).items())
    return tuple(node for node in nodes if node is not None)


def _read_node(name: str, node: object) -> Node | None:
    words = text_of(node.get("state")).lower().replace(" ", "") if isinstance(node, dict) else ""
    if not isinstance(node, dict) or not words:
        return None
    states = frozenset(word for word in words.split(",") if word)
    has, assigned = object_of(node.get("resources_available")), object_of(node.get("resources_assigned"))
    cores = _amount(has.get("ncpus"))
    memory = parse_memory(has.get("mem")) or 0
    gpus = _amount(has.get("ngpus"))
    available = states <= _USABLE
    open_to_jobs = available and not states & _FULL
    return Node(
        name=name,
        available=available,
        cores=cores,
        free_cores=max(0, cores - _amount(assigned.get("ncpus"))) if open_to_jobs else 0,
        memory_bytes=memory,
        # A full node has memory left that counts again when its cores become free.
        free_memory_bytes=max(0, memory - (parse_memory(assigned.get("mem")) or 0)) if available else 0,
        gpus=gpus,
        free_gpus=max(0, gpus - _amount(assigned.get("ngpus"))) if available else 0,
        queues=_words(node.get("queue")) | _words(has.get("Qlist")),
        jobs=_read_jobs(node.get("jobs")),
    )


def _read_jobs(jobs: object) -> tuple[str, ...]:
    """Return the ids of the jobs of a node, each once: PBS repeats a job for each of its chunks and cores."""
    ids = (part.strip().partition("/")[0] for part in text_of(jobs).split(","))
    return tuple(dict.fromkeys(job_id for job_id in ids if job_id))


def read_releases(jobs: Mapping[str, Any]) -> tuple[Release, ...]:
    """Return what running ``jobs`` give back when their walltime ends, one `Release` for each vnode of each."""
    return tuple(release for job in jobs.values() if isinstance(job, dict) for release in _read_release(job))


def _read_release(job: Mapping[str, Any]) -> list[Release]:
    started = parse_time(job.get("stime"))
    walltime = parse_clock(object_of(job.get("Resource_List")).get("walltime"))
    if text_of(job.get("job_state")) != "R" or started is None or walltime is None:
        return []
    try:
        at = started + walltime
    except OverflowError:
        return []
    releases = []
    for part in _PART.findall(text_of(job.get("exec_vnode"))):
        node, *amounts = part.split(":")
        has = dict(amount.partition("=")[::2] for amount in amounts)
        cores, memory = _amount(has.get("ncpus")), parse_memory(has.get("mem")) or 0
        releases.append(Release(node, at, cores, memory, _amount(has.get("ngpus"))))
    return releases


def read_queues(answer: Mapping[str, Any]) -> dict[str, Queue]:
    """Return the queues of ``qstat -Q`` by name; one that cannot be read is left out.

    ``qstat -Q`` does not tell the default: only a queue that is the only one to take jobs is known to be it.
    """
    entries = {name: queue for name, queue in object_of(answer.get("Queue")).items() if isinstance(queue, dict)}
    queues = {name: _read_queue(name, queue) for name, queue in entries.items() if text_of(queue.get("enabled"))}
    takers = [name for name, queue in queues.items() if queue.enabled]
    if len(takers) == 1 and text_of(entries[takers[0]].get("queue_type")).lower().startswith("e"):
        queues[takers[0]] = replace(queues[takers[0]], is_default=True)
    return queues


def _read_queue(name: str, queue: Mapping[str, Any]) -> Queue:
    most = object_of(queue.get("resources_max"))
    return Queue(
        name=name,
        enabled=_is_true(queue.get("enabled")) and not _is_true(queue.get("from_route_only")),
        started=_is_true(queue.get("started")),
        max_walltime=parse_clock(most.get("walltime")),
        max_cores=_optional_amount(most.get("ncpus")),
        max_memory_bytes=parse_memory(most.get("mem")),
        max_gpus=_optional_amount(most.get("ngpus")),
        users=allowed_by(queue.get("acl_users")) if _is_true(queue.get("acl_user_enable")) else None,
        groups=allowed_by(queue.get("acl_groups")) if _is_true(queue.get("acl_group_enable")) else None,
    )


def allowed_by(entries: object) -> frozenset[str] | None:
    """Return the names that an access list of PBS lets in; None: everybody.

    An entry is ``[+|-]name[@host]``; the first that fits a name decides, and a mere ``+`` lets in whoever none fits.
    Entries that refuse a name on some hosts only do not refuse it.
    """
    allowed: set[str] = set()
    refused: set[str] = set()
    for entry in text_of(entries).split(","):
        sign = entry.strip()[:1]
        name, _, host = entry.strip().lstrip("+-").partition("@")
        if not name:
            if sign == "+":
                return None
        elif sign != "-" and name not in refused:
            allowed.add(name)
        elif sign == "-" and host in {"", "*"} and name not in allowed:
            refused.add(name)
    return frozenset(allowed)


def _is_true(value: object) -> bool:
    return text_of(value).lower() in {"true", "1", "t", "y"}


def _amount(value: object) -> int:
    return _optional_amount(value) or 0


def _optional_amount(value: object) -> int | None:
    amount = parse_integer(value)
    return amount if amount is not None and amount >= 0 else None


def _words(value: object) -> frozenset[str]:
    return frozenset(word.strip() for word in text_of(value).split(",") if word.strip())
