"""What the PBS scheduler writes into the comment of a waiting job, in plain words.

The comments are those of OpenPBS 23.06 (``src/scheduler/job_info.cpp``, table ``fctt``). ``R`` is what the job asks,
``A`` what is free, ``T`` what there is: mostly of all nodes together, at times of the first node that was looked at,
which the comment does not tell. Hence a job that fits into no single node may be said to wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swotvre_hub.engines.reading import count, describe_memory, parse_integer, parse_memory, text_of

_NOT_NOW = "Not Running:"
_NEVER = "Can Never Run:"

#: Names of what is counted.
_COUNTED = {
    "ncpus": "core",
    "ngpus": "GPU",
    "nmics": "accelerator",
    "nodect": "node",
    "mpiprocs": "MPI process",
    "naccelerators": "accelerator",
}
#: Names of what is measured in bytes.
_MEASURED = {
    "mem": "memory",
    "vmem": "virtual memory",
    "pmem": "memory",
    "pvmem": "virtual memory",
    "hpmem": "huge-page memory",
}
#: Names of what limits are set on.
_LIMITED = {"ncpus": "cores", "ngpus": "GPUs", "mem": "memory", "vmem": "virtual memory", "nodect": "nodes"}

_SHORTAGE = re.compile(
    r"Insufficient amount of (?P<whose>queue |server |)resource: (?P<resource>\S+)\s+"
    r"\(R:\s*(?P<asked>.*?) A:\s*(?P<free>.*?) T:\s*(?P<total>.*?)\)"
)
_MISMATCH = re.compile(
    r"Insufficient amount of (?:queue |server |)resource: (?P<resource>\S+)\s+\((?P<asked>.*?) != (?P<found>.*)\)"
)
_PLACES = {"": "", "queue ": " in its queue", "server ": " in the whole cluster"}
_OWNERS = {"": "the nodes have", "queue ": "its queue has", "server ": "the whole cluster has"}


@dataclass(frozen=True)
class Waiting:
    """Why a job waits."""

    #: The scheduler's own words; empty: none.
    reason: str
    #: The same in plain words, without a full stop.
    explanation: str
    #: Whether it can never run as it is.
    hopeless: bool


def _limit(whose: str) -> Callable[[re.Match[str]], str]:
    """Return what writes that ``whose`` limit on running jobs or on a resource is reached."""

    def write(found: re.Match[str]) -> str:
        parts = found.groupdict()
        resource = parts.get("resource")
        what = f"of {_LIMITED.get(resource, resource)}" if resource else "of running jobs"
        where = f"queue {parts['queue']}" if parts.get("queue") else "the cluster"
        owner = f"{whose} {parts['who']}" if parts.get("who") else whose
        return f"waiting for another job to end: the limit {what} for {owner} in {where} is reached"

    return write


#: What the scheduler says, and what it means. The first that matches the whole comment counts.
_SENTENCES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # -- queues and times -------------------------------------------------------------------------------------------
    (r"Queue not started", "its queue is stopped: jobs wait until those who run the cluster start it again"),
    (r"Queue not an execution queue", "waiting to be passed on to a queue that runs jobs"),
    (r"Job not in queued state", "waiting to be considered"),
    (r"Internal Scheduling Error", "the scheduler met an error of its own; it will try again"),
    (r"Dedicated time conflict", "waiting for the end of the dedicated time of the cluster"),
    (
        r"Job would cross dedicated time boundary",
        "waiting for the end of a dedicated time, as it would not finish before; a shorter duration may start sooner",
    ),
    (r"Job will run in primetime only", "waiting for prime time: its queue runs jobs only then"),
    (r"Job will run in nonprimetime only", "waiting for non-prime time: its queue runs jobs only then"),
    (
        r"Job will cross into (?P<period>.+)",
        "waiting, as it would run into {period}; a shorter duration may start sooner",
    ),
    # -- other jobs -------------------------------------------------------------------------------------------------
    (
        r"Job would interfere with a top job",
        "waiting for jobs that come before it; a shorter duration may start sooner",
    ),
    (
        r"Job would interfere with a confirmed reservation(?:: (?P<name>.+))?",
        "waiting, as its nodes are reserved for others soon; a shorter duration may start sooner",
    ),
    (
        r"Job would conflict with reservation or top job",
        "waiting for jobs that come before it, or for a reservation; a shorter duration may start sooner",
    ),
    (r"Job would break strict sorted order", "waiting for its turn: jobs start strictly in order"),
    (r"Can't preempt enough work to run job", "waiting for running jobs to end: too few can be interrupted for it"),
    (r"Job has zero shares for fairshare", "its owner has no share of the cluster"),
    (r"Job is under job_sort_formula threshold value", "waiting for its priority to rise far enough"),
    (r"Number of concurrent running subjobs limit reached", "waiting for other jobs of its array to end"),
    # -- nodes ------------------------------------------------------------------------------------------------------
    (r"Not enough free nodes available", "waiting for a free node"),
    (r"Not enough of the right type of nodes are available", "waiting for a free node of the right kind"),
    (r"Nodes not available", "waiting for a free node"),
    (r"No available resources on nodes", "waiting for a node with enough free cores and memory"),
    (r"Too few free resources", "waiting for a node with enough free cores and memory"),
    (r"Not enough total nodes available", "there are not enough nodes"),
    (
        r"(?P<who>.+) is requesting an exclusive node and node is in use",
        "waiting for a node that nobody else uses: it asks for one of its own",
    ),
    (r"Node is in an ineligible state: (?P<state>.+)", "waiting for a node: one that it could have is {state}"),
    (r"Node is of an ineligible type: (?P<type>.+)", "waiting for a node of another type than {type}"),
    (r"Node has reached (?P<what>job|user|group) run limit", "waiting: a node runs as many jobs as it may"),
    (r"Node can't satisfy a multi-node job", "waiting for a node that takes part in jobs on several nodes"),
    (r"Node has no PBS license", "a node has no PBS licence; tell those who run the cluster"),
    (r"Max number of small cpusets has been reached", "waiting for other small jobs to end"),
    (r"Node not eligible for advance reservation", "waiting for a node that takes part in reservations"),
    (r"Node ineligible because job requested pack placement .*", "waiting for one node with room for all of it"),
    (r"Specified (?P<what>.+?) does not exist: (?P<name>.+)", "it asks for the {what} {name}, which does not exist"),
    (r"(?P<kind>.+) set (?P<name>.+) has too few free resources", "waiting for room in the group of nodes {name}"),
    (
        r"can't fit in the largest placement set, and can't span psets",
        "it asks for more than the largest group of nodes, or the largest node, has",
    ),
    (r"Cannot provision, .*", "its node cannot be made ready; tell those who run the cluster"),
    (r"Provision(?:ing|) .*conflict.*", "waiting for a node that can be made ready for it"),
    (r"Provisioning for job would interfere with backfill job", "waiting for a node that can be made ready for it"),
    (r"Invalid Job/Resv (?P<name>.+)", "the scheduler finds it invalid; tell those who run the cluster"),
    (r"PBS Error: (?P<error>.+)", "PBS could not start it and will try again ({error})"),
    # -- limits: jobs -----------------------------------------------------------------------------------------------
    (r"User has reached server running job limit", _limit("you")),
    (r"User has reached queue (?P<queue>\S+) running job limit", _limit("you")),
    (r"Group has reached server running limit", _limit("your group")),
    (r"Group has reached queue (?P<queue>\S+) running limit", _limit("your group")),
    (r"Project has reached server running limit", _limit("the project")),
    (r"Project has reached queue (?P<queue>\S+?)(?:'s)? running limit", _limit("the project")),
    (r"Queue (?P<queue>\S+) job limit has been reached", _limit("everybody")),
    (r"Server job limit has been reached", _limit("everybody")),
    (r"Queue (?P<queue>\S+) job limit reached for user (?P<who>\S+)", _limit("user")),
    (r"Queue (?P<queue>\S+) job limit reached for group (?P<who>\S+)", _limit("group")),
    (r"Queue (?P<queue>\S+) job limit reached for project (?P<who>\S+)", _limit("project")),
    (r"Server job limit reached for user (?P<who>\S+)", _limit("user")),
    (r"Server job limit reached for group (?P<who>\S+)", _limit("group")),
    (r"Server job limit reached for project (?P<who>\S+)", _limit("project")),
    # -- limits: resources ------------------------------------------------------------------------------------------
    (r"Queue (?P<queue>\S+) per-user limit reached on resource (?P<resource>\S+)", _limit("you")),
    (r"Queue (?P<queue>\S+) per-group limit reached on resource (?P<resource>\S+)", _limit("your group")),
    (r"Queue (?P<queue>\S+) per-project limit reached on resource (?P<resource>\S+)", _limit("the project")),
    (r"Server per-user limit reached on resource (?P<resource>\S+)", _limit("you")),
    (r"Server per-group limit reached on resource (?P<resource>\S+)", _limit("your group")),
    (r"Server per-project limit reached on resource (?P<resource>\S+)", _limit("the project")),
    *(
        (rf"would exceed {kind} (?P<who>\S+?)'s limit on resource (?P<resource>\S+) in {where}", _limit(kind))
        for kind in ("user", "group", "project")
        for where in ("complex", r"queue (?P<queue>\S+)")
    ),
    (r"would exceed overall limit on resource (?P<resource>\S+) in complex", _limit("everybody")),
    (r"would exceed overall limit on resource (?P<resource>\S+) in queue (?P<queue>\S+)", _limit("everybody")),
)
_TABLE = tuple((re.compile(pattern), sentence) for pattern, sentence in _SENTENCES)


def explain_comment(comment: str) -> Waiting:
    """Return why a queued job waits, from its ``comment``; an unknown comment explains itself."""
    reason = " ".join(comment.split())
    hopeless = reason.startswith(_NEVER)
    text = reason.removeprefix(_NEVER).removeprefix(_NOT_NOW).strip()
    if not text:
        return Waiting(reason, "it can never run" if hopeless else "waiting for its turn", hopeless)
    if shortage := _SHORTAGE.fullmatch(text):
        return Waiting(reason, _explain_shortage(shortage, hopeless=hopeless), hopeless)
    if mismatch := _MISMATCH.fullmatch(text):
        what = f"{mismatch['resource']} is {mismatch['asked']}"
        wanted = f"it can never run: there is no node whose {what}" if hopeless else f"waiting for a node whose {what}"
        return Waiting(reason, wanted, hopeless)
    words = text.rstrip(".")
    for pattern, sentence in _TABLE:
        if found := pattern.fullmatch(words):
            words = sentence.format(**found.groupdict()) if isinstance(sentence, str) else sentence(found)
            break
    return Waiting(reason, f"it can never run: {words}" if hopeless else words, hopeless)


def _explain_shortage(found: re.Match[str], *, hopeless: bool) -> str:
    """Return what is short: ``waiting for 16 free cores; 9 are free``."""
    resource, whose = found["resource"], found["whose"]
    asked, free, total = (_read_amount(resource, found[part]) for part in ("asked", "free", "total"))
    if hopeless:
        has = f"more than the {_write_amount(resource, total, found['total'])} that {_OWNERS[whose]}"
        if total == 0:
            has = f"which {'no node has' if not whose else f'{_OWNERS[whose]} none of'}"
        return f"it can never run: it asks for {_write_amount(resource, asked, found['asked'], what=True)}, {has}"
    if not whose and asked is not None and total is not None and asked > total:
        # The node that the scheduler looked at first is too small; others may be large enough.
        return f"waiting for a node with {_write_amount(resource, asked, found['asked'], what=True)}"
    wanted = _write_amount(resource, asked, found["asked"], what=True, free=True)
    if free is None:
        left = f"{found['free']} is free"
    elif free == 0:
        left = "none is free"
    else:
        left = f"{_write_amount(resource, free, found['free'])} {'is' if free == 1 else 'are'} free"
        if resource in _COUNTED:
            left = f"{free} {'is' if free == 1 else 'are'} free"
    return f"waiting for {wanted}{_PLACES[whose]}; {left}"


def _read_amount(resource: str, text: str) -> int | None:
    """Return the number of ``text``, in bytes for memory, at least 0; None: not a number."""
    amount = parse_memory(text) if resource in _MEASURED else parse_integer(text)
    if amount is None and text.startswith("-"):
        return 0
    return amount if amount is None else max(amount, 0)


def _write_amount(resource: str, amount: int | None, text: str, *, what: bool = False, free: bool = False) -> str:
    """Return an amount with its unit; ``what``: and what it is of; ``free``: which has to be free."""
    adjective = "free " if free else ""
    if resource in _COUNTED and amount is not None:
        return count(amount, f"{adjective}{_COUNTED[resource]}")
    if resource in _MEASURED and amount is not None:
        return f"{describe_memory(amount)} of {adjective}{_MEASURED[resource]}" if what else describe_memory(amount)
    return f"{text} of {adjective}{resource}" if what else text


#: Who holds a job, by the letter of ``Hold_Types``.
_HOLDERS = {"u": "its owner", "o": "an operator of the cluster", "s": "the scheduler or an administrator", "p": "PBS"}
_TOO_MANY_FAILURES = "too many failed attempts to run"


def explain_hold(job: Mapping[str, Any]) -> Waiting:
    """Return who or what holds a held job."""
    reason = " ".join(text_of(job.get("comment")).split())
    if _TOO_MANY_FAILURES in reason:
        return Waiting(reason, "held by PBS: it could not be started on any node, too many times", hopeless=True)
    if parse_integer(job.get("substate")) == 22:
        return Waiting(reason, "held until another job, which it depends on, is over", hopeless=False)
    holders = [holder for letter, holder in _HOLDERS.items() if letter in text_of(job.get("Hold_Types")).lower()]
    explanation = (
        f"held by {' and by '.join(holders)}, until it is released" if holders else "held until it is released"
    )
    return Waiting(reason, explanation, hopeless=False)
