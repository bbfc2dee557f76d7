"""OpenPBS and PBS Professional, 18.2 or newer (``qstat -F json``, ``qsub -k d``), with job history enabled."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import islice, zip_longest
from pathlib import Path

from swotvre_hub.engines.base import (
    CancelRefusedError,
    CommandResult,
    EndCause,
    JobEnd,
    JobRequest,
    JobState,
    JobStatus,
    Node,
    Place,
    Queue,
    Release,
    SchedulerUnavailableError,
    SubmitRefusedError,
)
from swotvre_hub.engines.pbs_answers import (
    JOB_ID,
    checked_ids,
    ensure_answered,
    is_same_job,
    number,
    own_words,
    read_answer,
    read_ids,
    read_jobs,
)
from swotvre_hub.engines.pbs_cluster import read_nodes, read_queues, read_releases
from swotvre_hub.engines.pbs_jobs import read_job
from swotvre_hub.engines.pbs_refusals import TELL, describe_sudo_fault, explain_refusal

_GIB = 2**30
_WORD = re.compile(r"[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*")
_UNKNOWN_ID = re.compile(r"Unknown Job Id:?\s+(\S+)", re.IGNORECASE)
#: Statuses of ``qdel`` and ``qstat``: the job is finished, unknown, already being deleted, or exiting.
_FINISHED, _UNKNOWN, _BEING_DELETED, _EXITING = 35, 153, 237, 168
_NOTHING_TO_CANCEL = re.compile(
    r"Job has finished|Unknown Job Id|Delete already in progress|Request invalid for state of job", re.IGNORECASE
)
_NO_HISTORY = re.compile(r"not configured to maintain job history|job_history_enable", re.IGNORECASE)

#: Jobs that are asked for when they end: they fit on a command line and cost the server one request.
MOST_RELEASES = 200


class PbsEngine:
    """Commands and answers of OpenPBS and PBS Professional.

    Args:
        commands: Folder of ``qsub``, ``qstat`` and their like: ``$PBS_EXEC/bin``.
    """

    name = "pbs"
    title = "PBS"

    def __init__(self, commands: Path = Path("/opt/pbs/bin")) -> None:
        self._commands = commands

    # -- one job ------------------------------------------------------------------------------------------------------

    def submit_command(self, request: JobRequest) -> list[str]:
        """Return the command that submits a job; its script is read from standard input.

        The environment is never passed on (``-v``, ``-V``): PBS would mangle it, and show it to every user.

        Raises:
            ValueError: when a name, queue, project or log cannot be put on a command line of PBS.
        """
        for what, word in (("name", request.name), ("queue", request.queue), ("project", request.project)):
            if (word or what == "name") and not _WORD.fullmatch(word):
                raise ValueError(f"{what} {word!r} of a job; expected letters, digits and _.@+- alone, no dash first")
        # Not rerunnable: after the loss of its node, it would start a second time behind the hub's back.
        command = [self._program("qsub"), "-N", request.name, "-S", "/bin/bash", "-r", "n", "-m", "n"]
        command += ["-l", f"select={render_chunk(request)}", "-l", f"walltime={render_walltime(request.walltime)}"]
        # Written by the node itself (d), while the job runs: "localhost" is the node, whichever host submits.
        command += ["-j", "oe", "-k", "doe", "-o", f"localhost:{_checked_log(request.log)}"]
        if request.queue:
            command += ["-q", request.queue]
        if request.project:
            command += ["-P", request.project]
        return command

    def parse_submitted(self, result: CommandResult) -> str:
        """Return the id of the submitted job.

        Raises:
            SubmitRefusedError: when PBS or sudo refused it, in words with what to do.
            SchedulerUnavailableError: when the server did not answer, or without an id.
        """
        if fault := describe_sudo_fault(result, "start"):
            raise SubmitRefusedError(fault)
        ensure_answered(result)
        if result.exit_code:
            raise SubmitRefusedError(explain_refusal(result))
        lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
        if not lines or not JOB_ID.fullmatch(lines[-1]):
            raise SchedulerUnavailableError(f"qsub printed no job id: {own_words(result)}")
        return lines[-1]

    def cancel_command(self, job_id: str) -> list[str]:
        """Return the command that ends a job, whether it runs or waits."""
        return [self._program("qdel"), *checked_ids([job_id])]

    def force_cancel_command(self, job_id: str) -> list[str]:
        """Return the command that ends a job although its node is down: plain ``qdel`` refuses (exit 222)."""
        return [self._program("qdel"), "-W", "force", *checked_ids([job_id])]

    def parse_cancelled(self, result: CommandResult) -> None:
        """Return when nothing is left to cancel.

        Raises:
            CancelRefusedError: when PBS or sudo refuses.
            SchedulerUnavailableError: when the server did not answer.
        """
        if result.exit_code in {0, _FINISHED, _UNKNOWN, _BEING_DELETED, _EXITING}:
            return
        if fault := describe_sudo_fault(result, "stop"):
            raise CancelRefusedError(fault)
        ensure_answered(result)
        if _NOTHING_TO_CANCEL.search(result.stderr):
            return
        raise CancelRefusedError(
            f"PBS refused to end the session, which goes on: {own_words(result)}. Try again. {TELL} if it goes on."
        )

    # -- all jobs of the hub ------------------------------------------------------------------------------------------

    def status_command(self, job_ids: Sequence[str]) -> list[str]:
        """Return the one command that asks for all of ``job_ids``, ended ones included.

        Without ``-E``, which puts all of them into one request, OpenPBS 23.06 prints the first alone as JSON. With it,
        a job that PBS does not know is named only when it knows none of them: one that an answer leaves out while it
        shows others has to be asked for alone, to learn whether it is forgotten.
        """
        return [self._program("qstat"), "-E", "-x", "-f", "-F", "json", *checked_ids(job_ids)]

    def parse_status(self, result: CommandResult, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return the status of each of ``job_ids`` that the answer speaks of, as `Engine.parse_status` says.

        Raises:
            SchedulerUnavailableError: when the server did not answer, or with what cannot be read.
        """
        ensure_answered(result)
        if _NO_HISTORY.search(result.stderr):
            raise SchedulerUnavailableError(
                "PBS keeps no history of jobs, so that no state can be asked for: "
                "an administrator runs qmgr -c 'set server job_history_enable = True'"
            )
        unknown = _UNKNOWN_ID.findall(result.stderr)
        printed = read_jobs(result, silent_is_fine=bool(unknown) or not result.exit_code)
        if job_ids and not printed and not unknown:
            hint = (
                "the hub's account sees the jobs of others only when an administrator runs "
                "qmgr -c 'set server query_other_jobs = True'"
            )
            raise SchedulerUnavailableError(
                f"PBS shows none of the {len(job_ids)} jobs that were asked for: "
                f"{own_words(result) if result.stderr.strip() else hint}"
            )
        by_number: dict[str, list[str]] = {}
        for printed_id in printed:
            by_number.setdefault(number(printed_id), []).append(printed_id)
        statuses: dict[str, JobStatus] = {}
        for job_id in job_ids:
            same = [other for other in by_number.get(number(job_id), ()) if is_same_job(job_id, other)]
            if same:
                found = job_id if job_id in same else same[0]
                status = read_job(found, printed[found])
                if status is not None:
                    statuses[job_id] = status
            elif any(is_same_job(job_id, other) for other in unknown):
                statuses[job_id] = JobStatus(job_id, JobState.ENDED, end=JobEnd(EndCause.FORGOTTEN))
        return statuses

    def find_command(self, job_name: str) -> list[str]:
        """Return the command that looks for the live jobs called ``job_name``, whoever owns them."""
        if not _WORD.fullmatch(job_name):
            raise ValueError(f"name {job_name!r} of a job; expected letters, digits and _.@+- alone, no dash first")
        return [self._program("qselect"), "-N", job_name]

    def parse_found(self, result: CommandResult) -> list[str]:
        """Return the ids of the jobs that were found.

        Raises:
            SchedulerUnavailableError: when the server did not answer: a job may exist all the same.
        """
        return read_ids(result)

    def waiting_command(self) -> list[str]:
        """Return the command that lists the waiting jobs of everybody, in the order of their submission."""
        return [self._program("qselect"), "-s", "Q"]

    def parse_places(self, result: CommandResult, job_ids: Collection[str]) -> dict[str, Place]:
        """Return the places of those of ``job_ids`` that wait: how many jobs were submitted before and still wait.

        Raises:
            SchedulerUnavailableError: when the server did not answer.
        """
        waiting = read_ids(result)
        asked: dict[str, list[str]] = {}
        for job_id in job_ids:
            asked.setdefault(number(job_id), []).append(job_id)
        return {
            job_id: Place(place, len(waiting))
            for place, other in enumerate(waiting, 1)
            for job_id in asked.get(number(other), ())
            if is_same_job(job_id, other)
        }

    def history_command(self, job_id: str) -> list[str] | None:
        """Return None: ``qstat -x`` tells how jobs ended."""
        return None

    def parse_history(self, result: CommandResult, job_id: str) -> JobEnd | None:
        """Return None: there is no further command."""
        return None

    # -- the cluster --------------------------------------------------------------------------------------------------

    def nodes_command(self) -> list[str]:
        """Return the command that lists the nodes with what is free on each."""
        return [self._program("pbsnodes"), "-a", "-F", "json"]

    def parse_nodes(self, result: CommandResult) -> tuple[Node, ...]:
        """Return the vnodes, one `Node` each; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the server did not answer, or with what cannot be read.
        """
        return read_nodes(read_answer(result, "no node list|No nodes found"))

    def releases_command(self, nodes: Sequence[Node]) -> list[str] | None:
        """Return the command that asks for jobs of ``nodes``, or None when none of them can be asked for.

        At most `MOST_RELEASES` jobs are asked for, of each node in turn.
        """
        by_node = (node.jobs for node in nodes if node.available)
        in_turn = (job_id for turn in zip_longest(*by_node) for job_id in turn if job_id and JOB_ID.fullmatch(job_id))
        job_ids = list(islice(dict.fromkeys(in_turn), MOST_RELEASES))
        return [self._program("qstat"), "-E", "-f", "-F", "json", *job_ids] if job_ids else None

    def parse_releases(self, result: CommandResult) -> tuple[Release, ...]:
        """Return what running jobs will give back; jobs that have ended meanwhile are left out.

        Raises:
            SchedulerUnavailableError: when the server did not answer, or with what cannot be read.
        """
        ensure_answered(result)
        return read_releases(read_jobs(result, silent_is_fine=result.exit_code in {_FINISHED, _UNKNOWN}))

    def queues_command(self) -> list[str]:
        """Return the command that lists the queues with their limits."""
        return [self._program("qstat"), "-Q", "-f", "-F", "json"]

    def parse_queues(self, result: CommandResult) -> dict[str, Queue]:
        """Return the queues by name; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the server did not answer, or with what cannot be read.
        """
        return read_queues(read_answer(result, None))

    def _program(self, name: str) -> str:
        return str(self._commands / name)


def render_chunk(request: JobRequest) -> str:
    """Return the one chunk of the ``select`` statement: ``1:ncpus=4:mem=32gb:ngpus=1``."""
    if min(request.cores, request.memory_bytes) < 1 or request.gpus < 0:
        raise ValueError(f"a job of {request.cores} cores, {request.memory_bytes} bytes, {request.gpus} GPUs")
    gib, rest = divmod(request.memory_bytes, _GIB)
    memory = f"{math.ceil(request.memory_bytes / 1024)}kb" if rest else f"{gib}gb"
    gpus = f":ngpus={request.gpus}" if request.gpus else ""
    return f"1:ncpus={request.cores}:mem={memory}{gpus}"


def render_walltime(walltime: timedelta) -> str:
    """Return ``HH:MM:SS``, rounded up to a second; hours go beyond 24."""
    seconds = math.ceil(walltime.total_seconds())
    if seconds < 1:
        raise ValueError(f"a walltime of {walltime}; expected a second at least")
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _checked_log(path: str) -> str:
    if not path.startswith("/") or not path.isascii() or not path.isprintable():
        raise ValueError(f"log {path!r} of a job; expected an absolute path of printable ASCII characters")
    return path
