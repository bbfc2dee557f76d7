"""Slurm, 20.11 or newer; ``sacct`` where the site keeps accounts."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import timedelta
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
from swotvre_hub.engines.pbs_answers import own_words
from swotvre_hub.engines.pbs_refusals import TELL, describe_sudo_fault
from swotvre_hub.engines.slurm_answers import JOB_ID, UNKNOWN_JOB, checked_ids, ensure_answered, read_rows
from swotvre_hub.engines.slurm_jobs import (
    HISTORY_FIELDS,
    SEPARATOR,
    STATUS_FORMAT,
    read_history,
    read_status,
)
from swotvre_hub.engines.slurm_nodes import NODE_FORMAT, RELEASE_FORMAT, read_nodes, read_queues, read_releases
from swotvre_hub.engines.slurm_refusals import explain_refusal
from swotvre_hub.engines.slurm_words import Asked, explain_reason

_MIB = 2**20
_WORD = re.compile(r"[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*", re.ASCII)
_SUBMITTED = re.compile(r"(\d{1,19})(?:;\S+)?", re.ASCII)
_NOTHING_TO_CANCEL = re.compile(
    r"Invalid job id|already complet(?:ing|ed)|Job/step already|job .*(?:is finished|not found)", re.IGNORECASE
)


class SlurmEngine:
    """Commands and answers of Slurm.

    Args:
        commands: Folder of ``sbatch``, ``squeue`` and their like.
        accounting: Whether ``sacct`` answers. Without it, nobody knows how much a job used or who cancelled it, and
            nothing at all after slurmctld has forgotten the job (``MinJobAge``).
    """

    name = "slurm"
    title = "Slurm"

    def __init__(self, commands: Path = Path("/usr/bin"), *, accounting: bool = False) -> None:
        self._commands = commands
        self._accounting = accounting

    # -- one job ------------------------------------------------------------------------------------------------------

    def submit_command(self, request: JobRequest) -> list[str]:
        """Return the command that submits a job; its script is read from standard input.

        The job gets the environment that ``sbatch`` runs in, which is therefore to hold little more than ``HOME``,
        ``USER`` and ``PATH``: what else ``--export`` can say has the node run the owner's login shell for it, for up to
        minutes, and hold the job when that fails.

        Raises:
            ValueError: when a name, queue, project or log cannot be put on a command line of Slurm.
        """
        for what, word in (("queue", request.queue), ("project", request.project)):
            if word:
                _checked_word(what, word)
        if min(request.cores, request.memory_bytes) < 1 or request.gpus < 0:
            raise ValueError(f"a job of {request.cores} cores, {request.memory_bytes} bytes, {request.gpus} GPUs")
        command = [
            self._program("sbatch"),
            "--parsable",
            f"--job-name={_checked_word('name', request.name)}",
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={request.cores}",
            f"--mem={math.ceil(request.memory_bytes / _MIB)}M",
            f"--time={render_walltime(request.walltime)}",
            f"--output={_escape_log(request.log)}",
            "--open-mode=append",
            # After the loss of its node, it would start a second time behind the hub's back.
            "--no-requeue",
            "--export=ALL",
        ]
        command += [f"--gres=gpu:{request.gpus}"] if request.gpus else []
        command += [f"--partition={request.queue}"] if request.queue else []
        command += [f"--account={request.project}"] if request.project else []
        return command

    def parse_submitted(self, result: CommandResult) -> str:
        """Return the id of the submitted job.

        Raises:
            SubmitRefusedError: when Slurm or sudo refused it, in words with what to do.
            SchedulerUnavailableError: when the controller did not answer, or without an id.
        """
        if fault := describe_sudo_fault(result, "start"):
            raise SubmitRefusedError(fault)
        ensure_answered(result)
        if result.exit_code:
            raise SubmitRefusedError(explain_refusal(result))
        lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
        found = _SUBMITTED.fullmatch(lines[-1]) if lines else None
        if found is None:
            raise SchedulerUnavailableError(f"sbatch printed no job id: {own_words(result)}")
        return found[1]

    def cancel_command(self, job_id: str) -> list[str]:
        """Return the command that ends a job, whether it runs or waits."""
        return [self._program("scancel"), *checked_ids([job_id])]

    def force_cancel_command(self, job_id: str) -> None:
        """Return None: ``scancel`` ends a job whose node is down as well."""

    def parse_cancelled(self, result: CommandResult) -> None:
        """Return when nothing is left to cancel.

        Raises:
            CancelRefusedError: when Slurm or sudo refuses.
            SchedulerUnavailableError: when the controller did not answer.
        """
        if result.exit_code == 0:
            return
        if fault := describe_sudo_fault(result, "stop"):
            raise CancelRefusedError(fault)
        ensure_answered(result)
        if _NOTHING_TO_CANCEL.search(result.stderr):
            return
        raise CancelRefusedError(
            f"Slurm refused to end the session, which goes on: {own_words(result)}. Try again. {TELL} if it goes on."
        )

    # -- all jobs of the hub ------------------------------------------------------------------------------------------

    def status_command(self, job_ids: Sequence[str]) -> list[str]:
        """Return the one command that asks for all of ``job_ids``, ended ones included."""
        jobs = ",".join(checked_ids(job_ids))
        return [*self._squeue(), "--states=all", f"--jobs={jobs}", f"--format={STATUS_FORMAT}"]

    def parse_status(self, result: CommandResult, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return the status of each of ``job_ids`` that the answer speaks of, as `Engine.parse_status` says.

        Slurm passes over the jobs that it does not know. One that is missing in an answer that can be read to its end
        is unknown to Slurm; when a row cannot be read, nothing is said of the missing.

        Raises:
            SchedulerUnavailableError: when the controller did not answer, or with what cannot be read.
        """
        if result.exit_code and UNKNOWN_JOB.search(result.stderr) and len(job_ids) == 1 and not result.stdout.strip():
            return {job_ids[0]: _forgotten(job_ids[0])}
        rows = [read_status(row) for row in read_rows(result)]
        if rows and all(row is None for row in rows):
            raise SchedulerUnavailableError(f"Slurm's list of jobs cannot be read: {own_words(result)}")
        read = {row.job_id: row for row in rows if isinstance(row, JobStatus)}
        spoken_of = {row for row in rows if isinstance(row, str)}
        missing = [] if None in rows else [one for one in job_ids if one not in read and one not in spoken_of]
        statuses = {job_id: read[job_id] for job_id in job_ids if job_id in read and job_id not in spoken_of}
        return statuses | {job_id: _forgotten(job_id) for job_id in missing}

    def find_command(self, job_name: str) -> list[str]:
        """Return the command that looks for the live jobs called ``job_name``, whoever owns them."""
        return [*self._squeue(), f"--name={_checked_word('name', job_name)}", "--format=%i"]

    def parse_found(self, result: CommandResult) -> list[str]:
        """Return the ids of the jobs that were found.

        Raises:
            SchedulerUnavailableError: when the controller did not answer: a job may exist all the same.
        """
        return [word for row in read_rows(result) if JOB_ID.fullmatch(word := row.strip())]

    def waiting_command(self) -> list[str]:
        """Return the command that lists the waiting jobs of everybody, in the order that Slurm considers them in."""
        fields = SEPARATOR.join(("%i", "%P", "%r"))
        return [*self._squeue(), "--states=PENDING", "--sort=-p,i", f"--format={fields}"]

    def parse_places(self, result: CommandResult, job_ids: Collection[str]) -> dict[str, Place]:
        """Return the places of those of ``job_ids`` that wait, among those that wait for the same partition.

        Held jobs do not count.

        Raises:
            SchedulerUnavailableError: when the controller did not answer.
        """
        before: dict[str, int] = {}
        found: dict[str, tuple[str, int]] = {}
        for row in read_rows(result):
            job_id, _, rest = row.strip().partition(SEPARATOR)
            partitions, _, reason = rest.partition(SEPARATOR)
            if explain_reason(reason, Asked()).state is not JobState.WAITING:
                continue
            for partition in partitions.split(","):
                before[partition] = before.get(partition, 0) + 1
            if job_id in job_ids:
                first = partitions.split(",")[0]
                found[job_id] = (first, before[first])
        return {job_id: Place(number, before[partition]) for job_id, (partition, number) in found.items()}

    def history_command(self, job_id: str) -> list[str] | None:
        """Return the command that knows how a job ended: ``sacct``, or ``scontrol`` while slurmctld remembers."""
        checked_ids([job_id])
        if self._accounting:
            options = ["--parsable2", "--noheader", "--noconvert", f"--jobs={job_id}"]
            return [self._program("sacct"), *options, f"--format={','.join(HISTORY_FIELDS)}"]
        return [self._program("scontrol"), "--oneliner", "show", "job", job_id]

    def parse_history(self, result: CommandResult, job_id: str) -> JobEnd | None:
        """Return how the job ended, or None when the answer does not say.

        ``JobEnd.cancelled_by`` is the name of the job's owner, ``root``, or ``uid 1001`` of anybody else: Slurm says
        no more.
        """
        return None if result.exit_code else read_history(result.stdout, job_id)

    # -- the cluster --------------------------------------------------------------------------------------------------

    def nodes_command(self) -> list[str]:
        """Return the command that lists the nodes with what is free on each, a row for each of their partitions."""
        return [self._program("sinfo"), "--noheader", "--all", "--Node", f"--Format={NODE_FORMAT}"]

    def parse_nodes(self, result: CommandResult) -> tuple[Node, ...]:
        """Return the nodes; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the controller did not answer.
        """
        return read_nodes(read_rows(result))

    def releases_command(self, nodes: Sequence[Node]) -> list[str] | None:
        """Return the command that lists when the running jobs end; None when every core of ``nodes`` is free."""
        if all(node.free_cores == node.cores for node in nodes if node.available):
            return None
        return [*self._squeue(), "--states=RUNNING", f"--Format={RELEASE_FORMAT}"]

    def parse_releases(self, result: CommandResult) -> tuple[Release, ...]:
        """Return what running jobs will give back; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the controller did not answer.
        """
        return read_releases(read_rows(result))

    def queues_command(self) -> list[str]:
        """Return the command that lists the partitions with their limits."""
        return [self._program("scontrol"), "--all", "--oneliner", "show", "partition"]

    def parse_queues(self, result: CommandResult) -> dict[str, Queue]:
        """Return the partitions by name; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the controller did not answer.
        """
        return read_queues(read_rows(result))

    def _program(self, name: str) -> str:
        return str(self._commands / name)

    def _squeue(self) -> list[str]:
        # Partitions that are hidden from the hub's account are not from those who use them.
        return [self._program("squeue"), "--noheader", "--all"]


def render_walltime(walltime: timedelta) -> str:
    """Return ``D-HH:MM:00``, rounded up to a minute, as Slurm itself does."""
    minutes = math.ceil(walltime / timedelta(minutes=1))
    if minutes < 1:
        raise ValueError(f"a walltime of {walltime}; expected a minute at least")
    return f"{minutes // 1440}-{minutes // 60 % 24:02}:{minutes % 60:02}:00"


def _forgotten(job_id: str) -> JobStatus:
    return JobStatus(job_id, JobState.ENDED, end=JobEnd(EndCause.FORGOTTEN))


def _checked_word(what: str, word: str) -> str:
    if not _WORD.fullmatch(word):
        raise ValueError(f"{what} {word!r} of a job; expected letters, digits and _.@+- alone, no dash first")
    return word


def _escape_log(path: str) -> str:
    """Return the path of a log such that Slurm replaces nothing in it; a backslash would have it leave ``%%`` as is."""
    if not path.startswith("/") or not path.isprintable() or "\\" in path:
        raise ValueError(f"log {path!r} of a job; expected an absolute path of printable characters, no backslash")
    return path.replace("%", "%%")
