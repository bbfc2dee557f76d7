"""The nodes and partitions of Slurm, as ``sinfo`` and ``scontrol`` print them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from swotvre_hub.engines.base import Node, Queue, Release
from swotvre_hub.engines.reading import parse_clock, parse_integer, parse_memory
from swotvre_hub.engines.slurm_answers import parse_time
from swotvre_hub.engines.slurm_jobs import count_gpus

#: Columns of ``sinfo -O`` with their widths: wide, as sinfo cuts what is longer.
COLUMNS = {
    "NodeList": 100,
    "StateLong": 40,
    "CPUsState": 50,
    "Memory": 20,
    "AllocMem": 20,
    "Gres": 300,
    "GresUsed": 300,
    "Partition": 100,
}
#: Columns of ``squeue -O`` for running jobs.
JOB_COLUMNS = {"NodeList": 200, "EndTime": 30, "tres-alloc": 200}
NODE_FORMAT = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
RELEASE_FORMAT = ",".join(f"{name}:{width}" for name, width in JOB_COLUMNS.items())
_MIB = 2**20
_LARGEST_MIB = 2**40
#: States in which jobs can be started, now or when running ones end; behind them, `_SUFFIXES` may stand.
_AVAILABLE = frozenset({"idle", "mixed", "allocated", "allocated+", "completing", "planned"})
#: Powered down until a job needs it, powering up, planned for a job.
_SUFFIXES = "~#-"
_PAIR = re.compile(r"(?:^|\s)([A-Za-z]+)=(\S*)")
#: ``n3``, ``n[1-2,07-09]``, ``n[1-2]-ib``: the parts of a list of nodes.
_HOSTS = re.compile(r"([^,\[\]]*)(?:\[([0-9,-]+)\])?([^,\[\]]*)(?:,|$)", re.ASCII)
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_MOST_HOSTS = 10_000
#: State of a partition -> whether it takes jobs, whether they are started.
_PARTITION_STATES = {"UP": (True, True), "DOWN": (True, False), "DRAIN": (False, True), "INACTIVE": (False, False)}


def read_nodes(rows: Sequence[str]) -> tuple[Node, ...]:
    """Return the nodes, from rows of one node and one partition each."""
    nodes: dict[str, Node] = {}
    queues: dict[str, set[str]] = {}
    for row in rows:
        fields = _columns(row, COLUMNS)
        node = _read_node(fields)
        if node is not None:
            nodes[node.name] = node
            queues.setdefault(node.name, set()).add(fields["Partition"].removesuffix("*"))
    return tuple(replace(node, queues=frozenset(queues[node.name] - {"", "(null)"})) for node in nodes.values())


def _columns(row: str, columns: Mapping[str, int]) -> dict[str, str]:
    fields, start = {}, 0
    for name, width in columns.items():
        fields[name] = row[start : start + width].strip()
        start += width
    return fields


def _read_node(fields: dict[str, str]) -> Node | None:
    counts = [parse_integer(part) for part in fields["CPUsState"].split("/")]
    memory, taken = parse_integer(fields["Memory"]), parse_integer(fields["AllocMem"])
    if len(counts) != 4 or not fields["NodeList"] or memory is None or not 0 <= memory < _LARGEST_MIB:
        return None
    idle, total = counts[1], counts[3]
    if idle is None or total is None or not 0 <= idle <= total:
        return None
    gpus, used = count_gpus(fields["Gres"]), count_gpus(fields["GresUsed"])
    return Node(
        name=fields["NodeList"],
        available=fields["StateLong"].lower().rstrip(_SUFFIXES) in _AVAILABLE,
        cores=total,
        free_cores=idle,
        memory_bytes=memory * _MIB,
        free_memory_bytes=max(memory - max(taken or 0, 0), 0) * _MIB,
        gpus=gpus,
        free_gpus=max(gpus - used, 0),
    )


def read_queues(rows: Sequence[str]) -> dict[str, Queue]:
    """Return the partitions by name, from rows of ``scontrol show partition -o``."""
    read = (_read_queue(dict(_PAIR.findall(row))) for row in rows)
    return {queue.name: queue for queue in read if queue is not None}


def _read_queue(values: dict[str, str]) -> Queue | None:
    name, state = values.get("PartitionName", ""), values.get("State", "")
    if not name or state not in _PARTITION_STATES:
        return None
    enabled, started = _PARTITION_STATES[state]
    memory = parse_integer(values.get("MaxMemPerNode", ""))
    return Queue(
        name=name,
        enabled=enabled,
        started=started,
        is_default=values.get("Default") == "YES",
        max_walltime=parse_clock(values["MaxTime"]) if ":" in values.get("MaxTime", "") else None,
        max_cores=parse_integer(values.get("MaxCPUsPerNode", "")) or None,
        max_memory_bytes=memory * _MIB if memory is not None and 0 < memory < _LARGEST_MIB else None,
        users=frozenset({"root"}) if values.get("RootOnly") == "YES" else None,
        groups=_read_names(values.get("AllowGroups", "ALL")),
        projects=_read_names(values.get("AllowAccounts", "ALL")),
    )


def _read_names(text: str) -> frozenset[str] | None:
    """Return the names of a list; None: ``ALL``."""
    return None if text.upper() in {"ALL", "", "(NULL)"} else frozenset(text.split(",")) - {""}


def read_releases(rows: Sequence[str]) -> tuple[Release, ...]:
    """Return what running jobs give back at the end of their walltime, from rows of `RELEASE_FORMAT`.

    Of a job of several nodes, each is taken to have the same share: Slurm does not list which has what.
    """
    return tuple(release for row in rows for release in _read_release(_columns(row, JOB_COLUMNS)))


def _read_release(fields: Mapping[str, str]) -> list[Release]:
    hosts, at = expand_hosts(fields["NodeList"]), parse_time(fields["EndTime"])
    if at is None or not hosts:
        return []
    has = dict(part.partition("=")[::2] for part in fields["tres-alloc"].split(","))
    cores, memory = parse_integer(has.get("cpu")), parse_memory(has.get("mem", ""))
    gpus = parse_integer(has.get("gres/gpu")) or 0
    if cores is None or cores < 0:
        return []
    share = len(hosts)
    return [Release(host, at, cores // share, (memory or 0) // share, max(gpus, 0) // share) for host in hosts]


def expand_hosts(text: str) -> list[str]:
    """Return the nodes of Slurm's list ``n[1-2,07],login``; empty: it cannot be read, as when it was cut."""
    hosts: list[str] = []
    position = 0
    while position < len(text):
        found = _HOSTS.match(text, position)
        if found is None or found.end() == position or len(hosts) > _MOST_HOSTS:
            return []
        prefix, ranges, suffix = found.groups()
        if ranges is None:
            hosts.append(prefix)
        else:
            numbers = list(_expand_ranges(ranges))
            hosts += [f"{prefix}{number}{suffix}" for number in numbers]
        position = found.end()
    return hosts if all(hosts) and len(hosts) <= _MOST_HOSTS else []


def _expand_ranges(text: str) -> Iterator[str]:
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            yield ""
            continue
        first, last = int(found[1]), int(found[2] or found[1])
        for number in range(first, min(last, first + _MOST_HOSTS) + 1):
            yield f"{number:0{len(found[1])}}"
