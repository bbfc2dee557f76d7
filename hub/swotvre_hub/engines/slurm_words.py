"""The reasons of Slurm why a job waits, in plain words.

The codes are those of Slurm 22.05 to 24 (``src/common/slurm_protocol_defs.c``, ``job_reason_string``); a few reasons
are sentences of slurmctld instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from swotvre_hub.engines.base import JobState
from swotvre_hub.engines.reading import count, describe_memory


@dataclass(frozen=True)
class Waiting:
    """Why a job waits."""

    state: JobState
    #: The same in plain words, without a full stop; empty: nothing to add.
    explanation: str
    #: Whether it can never run as it is.
    hopeless: bool = False


@dataclass(frozen=True)
class Asked:
    """What a job asks of its node; None or 0: not known."""

    cores: int | None = None
    memory_bytes: int | None = None
    gpus: int = 0


#: Reasons that last until somebody acts, or until a time.
_HELD = {
    "JobHeldUser": "held by its owner, until it is released",
    "JobHeldAdmin": "held by an administrator of the cluster, until it is released",
    "JobHoldMaxRequeue": "held by Slurm: it could not be started on any node, too many times",
    "RequeueExitHold": "held by Slurm after it failed, until it is released",
    "ReservationDeleted": "held by Slurm: its reservation was deleted",
    "BeginTime": "waiting for the time that it is to begin at",
    "Dependency": "held until another job, which it depends on, is over",
    "DependencyNeverSatisfied": "it can never run: the job that it depends on did not end as it should have",
}
_WAITING = {
    "Priority": "waiting for its turn: other jobs come first",
    "None": "waiting to be considered",
    "Cleaning": "waiting for its earlier run to be cleaned up",
    "Prolog": "its node is being made ready",
    "Licenses": "waiting for a licence that other jobs use",
    "PartitionDown": "its partition is stopped: jobs wait until those who run the cluster start it again",
    "PartitionInactive": "its partition is stopped: jobs wait until those who run the cluster start it again",
    "NodeDown": "waiting for a node that is down",
    # Both are also said of partitions whose nodes are down for a while.
    "PartitionNodeLimit": "waiting: its partition does not have, or does not allow a job, as many nodes at present",
    "PartitionConfig": "waiting: its partition cannot hold it as it is set up at present",
    "FrontEndDown": "waiting: the front-end node of the cluster is down",
    "ReqNodeNotAvail": "waiting for a node that is not available: it is down, reserved or taken out of use",
    "Reservation": "waiting for its reservation to begin",
    "SystemFailure": "waiting: Slurm or the file system failed when it was to be started",
    "JobLaunchFailure": "waiting: it could not be started on a node, and will be tried again",
    "RaisedSignal": "waiting to be started again after a signal ended it",
    "JobArrayTaskLimit": "waiting for other tasks of its array to end",
    "OutOfMemory": "waiting to be started again after it used too much memory",
    "BurstBufferResources": "waiting for space in the burst buffer",
    "BurstBufferStageIn": "waiting for its files to be copied to the burst buffer",
    "QOSUsageThreshold": "waiting: the use of its quality of service is beyond a threshold",
    "AssociationJobLimit": "waiting for another job to end: the limit of running jobs for its project is reached",
    "AssociationResourceLimit": "waiting for another job to end: a limit for its project is reached",
    "AssociationTimeLimit": "waiting: the computing time of its project is used up",
    "QOSJobLimit": "waiting for another job to end: the limit of running jobs for its quality of service is reached",
    "QOSResourceLimit": "waiting for another job to end: a limit for its quality of service is reached",
    "QOSTimeLimit": "waiting: the computing time of its quality of service is used up",
    "AccountingPolicy": "waiting: a limit of its project or quality of service is reached",
}
_HOPELESS = {
    "BadConstraints": "no node has what it asks for",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "InvalidAccount": "its project is not one that you may use",
    "InvalidQOS": "its quality of service is not one that you may use",
    "AccountNotAllowed": "its project may not use its partition",
    "QOSNotAllowed": "its quality of service may not be used in its partition",
    "MaxMemPerLimit": "it asks for more memory than its partition allows",
}
#: Sentences; None: Slurm could not make the job's environment, or start it, and holds the job.
_SENTENCES = (
    (
        re.compile(r"^Nodes required for job are DOWN, DRAINED", re.IGNORECASE),
        "waiting for nodes that are down, taken out of use, or reserved for other jobs",
    ),
    (
        re.compile(r"^\(?ReqNodeNotAvail, ?May be reserved", re.IGNORECASE),
        "waiting for a node that may be reserved for another job or for maintenance",
    ),
    (re.compile(r"user env retrieval failed|launch failed requeued held", re.IGNORECASE), None),
)
_OWNERS = {"Assoc": "its project", "QOS": "its quality of service"}
_LIMIT = re.compile(r"(?P<owner>Assoc|QOS)(?P<kind>Grp|Max|Min)(?P<rest>[A-Za-z]+)")
#: What is limited, by the beginning of the rest of a code.
_LIMITED = (
    ("SubmitJob", "waiting jobs"),
    ("Jobs", "running jobs"),
    ("Wall", "walltime"),
    ("Cpu", "cores"),
    ("CPU", "cores"),
    ("Mem", "memory"),
    ("Node", "nodes"),
    ("GRES", "GPUs"),
    ("License", "licences"),
    ("BB", "burst buffer"),
    ("Billing", "billing units"),
    ("Energy", "energy"),
)


def explain_reason(reason: str, asked: Asked) -> Waiting:
    """Return why a pending job waits, from the words of ``squeue``; a code that is not known is split into words."""
    code = reason.strip().removeprefix("(").removesuffix(")")
    short = code.partition(",")[0].strip()
    if short == "Resources":
        return Waiting(JobState.WAITING, f"waiting for {_describe(asked)}")
    if short in _HELD:
        return Waiting(JobState.HELD, _HELD[short], short == "DependencyNeverSatisfied")
    if short in _HOPELESS:
        return Waiting(JobState.WAITING, f"it can never run: {_HOPELESS[short]}", hopeless=True)
    for pattern, sentence in _SENTENCES:
        if pattern.search(code):
            if sentence is None:
                return Waiting(JobState.HELD, f"held by Slurm: {code}")
            return Waiting(JobState.WAITING, sentence)
    if short in _WAITING:
        return Waiting(JobState.WAITING, _WAITING[short])
    if limit := _LIMIT.fullmatch(short):
        return _explain_limit(limit)
    return Waiting(JobState.WAITING, f"waiting: {_split(code)}" if code else "waiting to be considered")


def _explain_limit(found: re.Match[str]) -> Waiting:
    owner, rest = _OWNERS[found["owner"]], found["rest"]
    what = next((word for start, word in _LIMITED if rest.startswith(start)), _split(rest))
    if found["kind"] == "Min":
        return Waiting(
            JobState.WAITING, f"it can never run: it asks for less {what} than {owner} requires", hopeless=True
        )
    if "PerJob" in rest or "PerNode" in rest:
        explanation = f"it can never run: it asks for more {what} than {owner} allows one job"
        return Waiting(JobState.WAITING, explanation, hopeless=True)
    if "Minutes" in rest or rest.startswith("Wall"):
        return Waiting(JobState.WAITING, f"waiting: the computing time of {owner} ({what}) is used up")
    whose = f"you in {owner}" if "PerUser" in rest else owner
    return Waiting(JobState.WAITING, f"waiting for another job to end: the limit of {what} for {whose} is reached")


def _describe(asked: Asked) -> str:
    """Return ``16 free cores and 32 GiB of free memory on one node``."""
    parts = [count(asked.cores, "free core")] if asked.cores else []
    if asked.memory_bytes:
        parts.append(f"{describe_memory(asked.memory_bytes)} of free memory")
    if asked.gpus:
        parts.append(count(asked.gpus, "free GPU"))
    if not parts:
        return "free cores and memory"
    return f"{', '.join(parts[:-1])} and {parts[-1]} on one node" if len(parts) > 1 else f"{parts[0]} on one node"


def _split(code: str) -> str:
    """Return ``QueueIsFull`` as ``queue is full``; a sentence as it is."""
    if " " in code.strip():
        return code.strip()
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", code)
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words) or code
