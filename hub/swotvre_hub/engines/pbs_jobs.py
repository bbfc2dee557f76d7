"""The jobs that ``qstat -x -f -F json`` prints, and how they ended."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from swotvre_hub.engines.base import EndCause, JobEnd, JobState, JobStatus
from swotvre_hub.engines.pbs_words import Waiting, explain_comment, explain_hold
from swotvre_hub.engines.reading import object_of, parse_clock, parse_integer, parse_memory, text_of

#: Letters of ``job_state``.
STATES = {
    "Q": JobState.WAITING,
    "T": JobState.WAITING,  # between two queues or servers
    "M": JobState.WAITING,  # moved to another server, where it waits or runs: certainly not ended
    "H": JobState.HELD,
    "W": JobState.HELD,
    "R": JobState.RUNNING,
    "B": JobState.RUNNING,  # an array, some jobs of which run
    "S": JobState.SUSPENDED,
    "U": JobState.SUSPENDED,  # its workstation is in use by somebody
    "E": JobState.ENDING,
    "F": JobState.ENDED,
    "X": JobState.ENDED,  # a job of an array
}
#: ``substate`` of a job in state R that was sent to its node. Without ``stime`` the node has not taken it yet: one that
#: cannot start it gives it back, to wait again.
_SENT = 41
#: ``substate`` of a running job whose node is being provisioned.
_PROVISIONING = 71
#: ``substate`` of a finished job that ``qdel`` ended.
_TERMINATED = 91
_SIGNALLED = 256
_SIGTERM = 15
_SIGKILL = 9

#: Causes of the negative statuses (``JOB_EXEC_*`` of ``src/include/job.h``).
_CAUSES = {
    -1: EndCause.NOT_STARTED,  # before its files were there
    -2: EndCause.NOT_STARTED,  # after
    -3: EndCause.NOT_STARTED,  # start failed, to be tried again
    -4: EndCause.NODE,  # the node's daemon started anew: the node was rebooted or crashed
    -5: EndCause.NODE,
    -6: EndCause.NODE,
    -7: EndCause.NOT_STARTED,  # restart from a checkpoint failed
    -10: EndCause.NOT_STARTED,  # no such account or group on the node
    -11: EndCause.CANCELLED,  # qrerun
    -12: EndCause.PREEMPTED,  # checkpointed and killed
    -13: EndCause.NOT_STARTED,  # password
    -14: EndCause.NODE,  # another node of the job was lost
    -15: EndCause.PREEMPTED,  # requeued, to restart from a checkpoint
    -16: EndCause.NOT_STARTED,  # a hook of the node
    -17: EndCause.NOT_STARTED,  # a hook of the node
    -18: EndCause.CANCELLED,  # a hook asked for a rerun
    -19: EndCause.CANCELLED,  # a hook asked for the end
    -20: EndCause.NODE,  # the first node of the job was lost
    -21: EndCause.NOT_STARTED,  # security of PBS' folders on the node
    -22: EndCause.NOT_STARTED,  # a hook of the node failed
    -23: EndCause.NOT_STARTED,  # Kerberos
    -24: EndCause.CANCELLED,  # more processor time than its cores give, at one moment
    -25: EndCause.CANCELLED,  # or on average
    -26: EndCause.MEMORY,  # vmem
    -27: EndCause.MEMORY,
    -28: EndCause.WALLTIME,  # cput, a limit of time as well
    -29: EndCause.WALLTIME,
    -30: EndCause.NOT_STARTED,  # its nodes did not find each other
}
_EXCEEDED = re.compile(r" and exceeded resource (\w+)")
_EXCEEDED_CAUSES = {
    "walltime": EndCause.WALLTIME,
    "cput": EndCause.WALLTIME,
    "mem": EndCause.MEMORY,
    "vmem": EndCause.MEMORY,
}
_TERMINATED_BY = re.compile(r" and terminated(?: by ([^\s@]+)\S*)?\s*$")
_OUT_OF_MEMORY = re.compile(r"mem\w* limit exceeded", re.IGNORECASE)
#: The account that the scheduler itself has with the server.
_SCHEDULER = "Scheduler"

#: ``ctime`` always writes English, whatever the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CTIME = re.compile(r"\w{3} (\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})", re.ASCII)


def read_job(job_id: str, job: object) -> JobStatus | None:
    """Return the status of one job of ``qstat``; None: it cannot be read."""
    if not isinstance(job, dict):
        return None
    state = STATES.get(text_of(job.get("job_state")))
    if state is None:
        return None
    if state is JobState.RUNNING:
        substate = parse_integer(job.get("substate"))
        if substate == _PROVISIONING or (substate == _SENT and parse_time(job.get("stime")) is None):
            state = JobState.STARTING
    queue = text_of(job.get("queue"))
    if state.is_pending:
        waiting = explain_waiting(job)
        return JobStatus(
            job_id=job_id,
            state=state,
            reason=waiting.reason,
            explanation=waiting.explanation,
            hopeless=waiting.hopeless,
            queue=queue,
            estimated_start=parse_time(object_of(job.get("estimated")).get("start_time")),
        )
    return JobStatus(
        job_id=job_id,
        state=state,
        host=first_host(job),
        queue=queue,
        started=parse_time(job.get("stime")),
        end=read_end(job) if state is JobState.ENDED else None,
    )


def explain_waiting(job: Mapping[str, Any]) -> Waiting:
    """Return why a job waits that has not begun."""
    comment = " ".join(text_of(job.get("comment")).split())
    match text_of(job.get("job_state")):
        case "H":
            return explain_hold(job)
        case "W":
            begin = parse_time(job.get("Execution_Time"))
            until = f"{begin:%Y-%m-%d %H:%M} UTC, as was asked for" if begin else "the time that was asked for"
            return Waiting(comment, f"waiting until {until}", hopeless=False)
        case "M":
            return Waiting(comment, "it was moved to another PBS server, which this hub does not ask", hopeless=False)
        case "T" if not comment:
            return Waiting(comment, "on its way to its queue", hopeless=False)
    return explain_comment(comment)


def first_host(job: Mapping[str, Any]) -> str:
    """Return the name of the node that the script runs on: ``n1`` of ``n1/0*2+n2/0*2``; empty: none."""
    return text_of(job.get("exec_host")).split("+", 1)[0].split("/", 1)[0]


def read_end(job: Mapping[str, Any]) -> JobEnd:
    """Return how a finished job ended, and what it used."""
    raw = parse_integer(job.get("Exit_status"))
    used = object_of(job.get("resources_used"))
    cancelled_by = find_canceller(text_of(job.get("comment")))
    out_of_memory = _is_out_of_memory(used.get("diag_messages"))
    cause = find_cause(job, raw, out_of_memory=out_of_memory)
    ends = (parse_time(job.get(name)) for name in ("obittime", "history_timestamp", "mtime"))
    return JobEnd(
        cause=cause,
        exit_status=plain_exit_status(raw),
        cancelled_by=cancelled_by if cause is EndCause.CANCELLED else None,
        memory_bytes=parse_memory(used.get("mem")),
        cpu_time=parse_clock(used.get("cput")),
        ran=parse_clock(used.get("walltime")),
        ended=next((end for end in ends if end), None),
        memory_exceeded=out_of_memory or cause is EndCause.MEMORY,
    )


def find_cause(job: Mapping[str, Any], raw: int | None, *, out_of_memory: bool) -> EndCause:
    """Return why a finished job ended; ``raw`` is its ``Exit_status``."""
    comment = text_of(job.get("comment"))
    substate = parse_integer(job.get("substate"))
    began = parse_time(job.get("stime")) is not None or bool(first_host(job))
    exceeded = _EXCEEDED.search(comment)
    if exceeded and exceeded[1] in _EXCEEDED_CAUSES:
        return _EXCEEDED_CAUSES[exceeded[1]]
    terminated = substate == _TERMINATED or bool(_TERMINATED_BY.search(comment))
    # A start that failed leaves its status behind when the job is queued again, and is then deleted.
    if raw in _CAUSES and not (terminated and _CAUSES[raw] is EndCause.NOT_STARTED):
        return _CAUSES[raw]
    if terminated:
        return EndCause.PREEMPTED if find_canceller(comment) == _SCHEDULER else EndCause.CANCELLED
    if raw is None:
        # It ran, and nobody was there to report its end: the server gave the node up.
        return EndCause.NODE if began else EndCause.NOT_STARTED
    if raw < 0:
        return EndCause.NODE if began else EndCause.NOT_STARTED
    if raw in {_SIGNALLED + _SIGKILL, 128 + _SIGKILL} and out_of_memory:
        return EndCause.MEMORY
    if raw in {_SIGNALLED + _SIGTERM, 128 + _SIGTERM}:
        return EndCause.WALLTIME if _used_its_walltime(job) else EndCause.CANCELLED
    return EndCause.ENDED


def find_canceller(comment: str) -> str | None:
    """Return who ended a job, without the host: ``alice`` of ``... and terminated by alice@host``; None: not said."""
    found = _TERMINATED_BY.search(comment)
    return found[1] if found else None


def plain_exit_status(raw: int | None) -> int | None:
    """Return the exit status of the program (143 for 271, signal 15); None: PBS gives a reason of its own, or none."""
    if raw is None or raw < 0:
        return None
    return 128 + raw - _SIGNALLED if _SIGNALLED < raw < _SIGNALLED + 128 else raw


def parse_time(value: object) -> datetime | None:
    """Return the UTC time of a ``ctime`` string in local time, or of seconds since 1970; None: neither."""
    seconds = parse_integer(value)
    found = _CTIME.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
        if found is None:
            return None
        day, hour, minute, second, year = (int(found[index]) for index in (2, 3, 4, 5, 6))
        local = datetime(year, _MONTHS.index(found[1]) + 1, day, hour, minute, second)
        return local.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _is_out_of_memory(diagnosis: object) -> bool:
    """Return whether the cgroup hook noted that something of the job was killed for its memory."""
    return bool(_OUT_OF_MEMORY.search(diagnosis if isinstance(diagnosis, str) else json.dumps(diagnosis)))


def _used_its_walltime(job: Mapping[str, Any]) -> bool:
    """Return whether it ran as long as it was given; older servers report the end of its walltime as a mere signal."""
    ran = parse_clock(object_of(job.get("resources_used")).get("walltime"))
    given = parse_clock(object_of(job.get("Resource_List")).get("walltime"))
    return ran is not None and given is not None and ran >= given
