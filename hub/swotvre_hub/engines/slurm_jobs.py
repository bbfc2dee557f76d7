"""Jobs of Slurm: the states of ``squeue``, and how ``scontrol`` and ``sacct`` say that a job ended."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from swotvre_hub.engines.base import EndCause, JobEnd, JobState, JobStatus
from swotvre_hub.engines.reading import parse_clock, parse_integer, parse_memory
from swotvre_hub.engines.slurm_answers import JOB_ID, parse_time
from swotvre_hub.engines.slurm_words import Asked, explain_reason

SEPARATOR = "|"
#: Id, state, partition, cores, memory, start, end, host; GPUs and the reason are text of people, hence last.
STATUS_FORMAT = SEPARATOR.join(("%i", "%T", "%P", "%C", "%m", "%S", "%e", "%B", "%b", "%r"))
HISTORY_FIELDS = ("JobID", "State", "ExitCode", "MaxRSS", "TotalCPU", "Elapsed", "End", "UID", "User", "Reason")

#: What a state means; of a state that is the end of a job: its cause.
STATES: dict[str, JobState | EndCause] = {
    "PENDING": JobState.WAITING,
    "REQUEUED": JobState.WAITING,
    "REQUEUE_FED": JobState.WAITING,
    "REQUEUE_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    "CONFIGURING": JobState.STARTING,
    "POWER_UP_NODE": JobState.STARTING,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "SUSPENDED": JobState.SUSPENDED,
    "STOPPED": JobState.SUSPENDED,
    "COMPLETING": JobState.ENDING,
    "STAGE_OUT": JobState.ENDING,
    "UPDATE_DB": JobState.ENDING,
    "COMPLETED": EndCause.ENDED,
    "FAILED": EndCause.ENDED,
    "TIMEOUT": EndCause.WALLTIME,
    "DEADLINE": EndCause.WALLTIME,
    "OUT_OF_MEMORY": EndCause.MEMORY,
    "NODE_FAIL": EndCause.NODE,
    "CANCELLED": EndCause.CANCELLED,
    "PREEMPTED": EndCause.PREEMPTED,
    "BOOT_FAIL": EndCause.NOT_STARTED,
    "LAUNCH_FAILED": EndCause.NOT_STARTED,
    "RECONFIG_FAIL": EndCause.NOT_STARTED,
    # It went to another cluster of a federation.
    "REVOKED": EndCause.FORGOTTEN,
}
_HELD_BY_STATE = {
    "REQUEUE_HOLD": "held by Slurm after it failed, until it is released",
    "SPECIAL_EXIT": "held by Slurm after it failed, until it is released",
    "RESV_DEL_HOLD": "held by Slurm: its reservation was deleted",
}
#: Reasons of a FAILED job that never ran. ``JobLaunchFailure`` is none: it is also said of a script killed by a signal.
_NEVER_RAN = frozenset({"BadConstraints", "InvalidAccount", "InvalidQOS", "SystemFailure"})
_NO_HOST = frozenset({"", "n/a", "N/A", "(null)", "None"})
_GPUS = re.compile(r"(?:^|[:/,])gpu(?::[^:,|=()]+)?[:=](\d{1,6})", re.ASCII)
_CANCELLED_BY = re.compile(r"CANCELLED by (\d{1,10})", re.ASCII)
_EXIT_CODE = re.compile(r"(\d{1,3}):(\d{1,3})", re.ASCII)
#: What Slurm writes in the place of a signal: the memory was exceeded; the script could not be started on its node,
#: most often because the file of its output cannot be written.
_OOM_SIGNAL, _LAUNCH_SIGNAL = "125", "53"
_PAIR = re.compile(r"(?:^|\s)([A-Za-z/]+)=(\S*)")


def read_status(row: str) -> JobStatus | str | None:
    """Return the job of one row of `STATUS_FORMAT`.

    Its bare id when the rest cannot be read; None when not even that can.
    """
    fields = [field.strip() for field in row.split(SEPARATOR, STATUS_FORMAT.count(SEPARATOR))]
    if not JOB_ID.fullmatch(fields[0]):
        return None
    if len(fields) <= STATUS_FORMAT.count(SEPARATOR) or fields[1] not in STATES:
        return fields[0]
    job_id, word, partition, cores, memory, start, end, host, gpus, reason = fields
    meaning, started, ended = STATES[word], parse_time(start), parse_time(end)
    host = "" if host in _NO_HOST else host
    if isinstance(meaning, EndCause):
        over = _end(meaning, reason, started if host else None, ended, ran_on=host)
        started = started if host else None
        return JobStatus(job_id, JobState.ENDED, host=host, queue=partition, started=started, end=over)
    if not meaning.is_pending:
        return JobStatus(job_id, meaning, host=host, queue=partition, started=started)
    asked = Asked(parse_integer(cores), parse_memory(memory), count_gpus(gpus))
    waiting = explain_reason(reason, asked)
    state = JobState.HELD if meaning is JobState.HELD else waiting.state
    return JobStatus(
        job_id,
        state,
        reason=reason,
        explanation=_HELD_BY_STATE.get(word, waiting.explanation),
        hopeless=waiting.hopeless,
        queue=partition,
        estimated_start=started,
    )


def _end(cause: EndCause, reason: str, started: datetime | None, ended: datetime | None, *, ran_on: str) -> JobEnd:
    if cause is EndCause.ENDED and (reason.partition(",")[0] in _NEVER_RAN or not ran_on):
        cause = EndCause.NOT_STARTED
    ran = max(ended - started, timedelta()) if started and ended else None
    return JobEnd(cause, ran=ran, ended=ended, memory_exceeded=cause is EndCause.MEMORY)


def count_gpus(text: str) -> int:
    """Return how many GPUs ``gpu:2``, ``gpu:a100:2(S:0-1),shard:4`` or ``gres:gpu:2`` are."""
    return sum(int(number) for number in _GPUS.findall(text))


def read_history(stdout: str, job_id: str) -> JobEnd | None:
    """Return how a job ended, from ``scontrol show job -o`` or from ``sacct``; None: it does not say."""
    if f"JobId={job_id} " in stdout:
        row = next(row for row in stdout.splitlines() if f"JobId={job_id} " in row)
        return _read_scontrol(row)
    return _read_sacct(stdout, job_id)


def _read_scontrol(row: str) -> JobEnd | None:
    # The first of a key counts: paths of the owner come last, and may spell what they like.
    values = dict(reversed(_PAIR.findall(row)))
    cause = STATES.get(values.get("JobState", ""))
    if not isinstance(cause, EndCause):
        return None
    return JobEnd(
        _mend_cause(cause, values.get("Reason", ""), values.get("ExitCode", "")),
        exit_status=_exit_status(values.get("ExitCode", "")),
        ran=parse_clock(values.get("RunTime", "")),
        ended=parse_time(values.get("EndTime", "")),
        memory_exceeded=cause is EndCause.MEMORY,
    )


def _read_sacct(stdout: str, job_id: str) -> JobEnd | None:
    rows = [row.split(SEPARATOR, len(HISTORY_FIELDS) - 1) for row in stdout.splitlines()]
    named = [dict(zip(HISTORY_FIELDS, row, strict=True)) for row in rows if len(row) == len(HISTORY_FIELDS)]
    # The last row with this id is its newest run: ids are used again after a reset.
    whole = next((row for row in reversed(named) if row["JobID"] == job_id), None)
    if whole is None:
        return None
    steps = [row for row in named if row["JobID"] == job_id or row["JobID"].startswith(f"{job_id}.")]
    word, _, _ = whole["State"].partition(" ")
    cause = STATES.get(word)
    if not isinstance(cause, EndCause):
        return None
    sizes = [size for row in steps if (size := parse_memory(row["MaxRSS"])) is not None]
    return JobEnd(
        _mend_cause(cause, whole["Reason"], whole["ExitCode"]),
        exit_status=_exit_status(whole["ExitCode"]),
        cancelled_by=_name_canceller(whole),
        memory_bytes=max(sizes, default=None),
        cpu_time=parse_clock(whole["TotalCPU"]),
        ran=parse_clock(whole["Elapsed"]),
        ended=parse_time(whole["End"]),
        memory_exceeded=any(row["State"].startswith("OUT_OF_MEMORY") for row in steps),
    )


def _name_canceller(whole: dict[str, str]) -> str | None:
    """Return who cancelled: Slurm knows a uid; of the job's owner and of root the name is known too."""
    found = _CANCELLED_BY.match(whole["State"])
    if found is None:
        return None
    if found[1] == whole["UID"] and whole["User"]:
        return whole["User"]
    return "root" if found[1] == "0" else f"uid {found[1]}"


def _mend_cause(cause: EndCause, reason: str, exit_code: str) -> EndCause:
    """Return the cause; of a job that failed before its script ran, that it was not started."""
    never_ran = reason in _NEVER_RAN or (reason == "JobLaunchFailure" and exit_code == f"0:{_LAUNCH_SIGNAL}")
    return EndCause.NOT_STARTED if cause is EndCause.ENDED and never_ran else cause


def _exit_status(text: str) -> int | None:
    """Return the exit status of ``2:0``, or 128 plus the signal of ``0:9``."""
    found = _EXIT_CODE.fullmatch(text)
    if found is None or found[2] in {_OOM_SIGNAL, _LAUNCH_SIGNAL}:
        return None
    return 128 + int(found[2]) if int(found[2]) else int(found[1])
