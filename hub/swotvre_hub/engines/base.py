"""What every batch system gives: commands as argument lists, and pure parsers of what they print.

An engine runs nothing. Whoever runs its commands hands the ``CommandResult`` back; a result that says that the
scheduler did not answer raises `SchedulerUnavailableError`: the state of every job is then *unknown*, never *ended*.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from swotvre_hub.errors import VreError


class BatchError(VreError):
    """A batch system did not do what it was asked."""


class SchedulerUnavailableError(BatchError):
    """The scheduler did not answer, or with what cannot be read: nothing is known, and nothing has ended."""


class SubmitRefusedError(BatchError):
    """The scheduler refused a job; the message says in words why, and what to do."""


class CancelRefusedError(BatchError):
    """The scheduler refused to end a job, which goes on; the message says why."""


class JobState(Enum):
    """What a job does, the same words for every scheduler."""

    #: It waits for resources.
    WAITING = "waiting"
    #: It waits until somebody releases it, or for a time that was asked for.
    HELD = "held"
    #: Its node is being made ready.
    STARTING = "starting"
    RUNNING = "running"
    #: It has its node, but gets no time on it.
    SUSPENDED = "suspended"
    #: It has stopped computing; its output is being copied, its node cleaned.
    ENDING = "ending"
    #: It is over; ``JobStatus.end`` says how.
    ENDED = "ended"

    @property
    def is_pending(self) -> bool:
        """Whether the job has not begun."""
        return self in {JobState.WAITING, JobState.HELD}


class EndCause(Enum):
    """Why a job ended."""

    #: Its program ended by itself, whatever its exit status.
    ENDED = "ended"
    WALLTIME = "walltime"
    #: The scheduler or the kernel of the node killed it for using more memory than it had asked for.
    MEMORY = "memory"
    #: Its node failed, was rebooted or lost.
    NODE = "node"
    #: Somebody cancelled it; ``JobEnd.cancelled_by`` says who, where the scheduler does.
    CANCELLED = "cancelled"
    #: Another job of higher priority took its place.
    PREEMPTED = "preempted"
    #: It never ran, or could not be started on its node.
    NOT_STARTED = "not started"
    #: The scheduler does not know the job any more, nor how it ended.
    FORGOTTEN = "forgotten"


@dataclass(frozen=True)
class JobEnd:
    """How a job ended, and what it used; None: the scheduler does not say."""

    cause: EndCause
    #: Exit status of its program; of a signal: 128 plus its number.
    exit_status: int | None = None
    #: Account that cancelled it.
    cancelled_by: str | None = None
    #: Largest memory that it used at once, in bytes.
    memory_bytes: int | None = None
    #: Processor time that it used.
    cpu_time: timedelta | None = None
    #: How long it ran.
    ran: timedelta | None = None
    #: UTC.
    ended: datetime | None = None
    #: Whether something in it was killed for its memory, also when the job itself went on.
    memory_exceeded: bool = False


@dataclass(frozen=True)
class JobStatus:
    """One job, as the scheduler sees it."""

    #: As the scheduler prints it, whole.
    job_id: str
    state: JobState
    #: The scheduler's own words on why the job waits; empty: none.
    reason: str = ""
    #: The same in plain words, a sentence without its full stop: ``waiting for 16 free cores; 9 are free``.
    explanation: str = ""
    #: Whether it can never run as it is, so that waiting is of no use.
    hopeless: bool = False
    #: Name or address of the node that its script runs on; empty: none yet.
    host: str = ""
    #: Queue or partition; empty: not said.
    queue: str = ""
    #: When the scheduler expects to start it, UTC; None: it does not say.
    estimated_start: datetime | None = None
    #: When it started, UTC.
    started: datetime | None = None
    #: Only of a job in state ``ENDED``.
    end: JobEnd | None = None


@dataclass(frozen=True)
class Node:
    """One node of the cluster."""

    name: str
    #: Whether jobs can be started on it at all: not offline, not down, not drained.
    available: bool
    cores: int
    #: Cores that no job has.
    free_cores: int
    memory_bytes: int
    free_memory_bytes: int
    gpus: int = 0
    free_gpus: int = 0
    #: Queues or partitions that it serves; empty: every one.
    queues: frozenset[str] = frozenset()
    #: Ids of the jobs that run on it, where the scheduler lists them with the node.
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Release:
    """What a running job gives back at the end of its walltime."""

    node: str
    #: UTC.
    at: datetime
    cores: int
    memory_bytes: int
    gpus: int = 0


@dataclass(frozen=True)
class Queue:
    """One queue (PBS) or partition (Slurm)."""

    name: str
    #: Whether it takes jobs.
    enabled: bool
    #: Whether its jobs are started.
    started: bool
    is_default: bool = False
    max_walltime: timedelta | None = None
    max_cores: int | None = None
    max_memory_bytes: int | None = None
    max_gpus: int | None = None
    #: Accounts that may use it; None: everybody.
    users: frozenset[str] | None = None
    #: Unix groups whose members may use it; None: everybody.
    groups: frozenset[str] | None = None
    #: Projects (PBS: project; Slurm: account) that may use it; None: every one.
    projects: frozenset[str] | None = None

    def accepts(self, user_name: str, groups: Collection[str]) -> bool:
        """Return whether ``user_name``, a member of the Unix ``groups``, may submit to it."""
        by_user = self.users is None or user_name in self.users
        by_group = self.groups is None or not self.groups.isdisjoint(groups)
        return self.enabled and by_user and by_group


@dataclass(frozen=True)
class Place:
    """Where a job stands among those that wait."""

    #: 1 is next.
    number: int
    #: How many wait.
    of: int


@dataclass(frozen=True)
class JobRequest:
    """A job to submit: everything but its script."""

    #: Letters, digits and dashes, begins with a letter, at most 60 characters: unique, so that it can be searched for.
    name: str
    cores: int
    memory_bytes: int
    walltime: timedelta
    #: File on the node's side that takes standard output and error, absolute, written while the job runs.
    log: str
    gpus: int = 0
    #: Queue (PBS) or partition (Slurm); empty: the scheduler's default.
    queue: str = ""
    #: Project (PBS ``-P``) or account (Slurm ``--account``); empty: the scheduler's default.
    project: str = ""


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and how it ended."""

    arguments: Sequence[str]
    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Cluster:
    """The nodes and queues of the cluster at one moment."""

    nodes: tuple[Node, ...] = ()
    queues: Mapping[str, Queue] = field(default_factory=dict)


class Engine(Protocol):
    """One batch system. Commands begin with the absolute path of their program; the script of a job goes to stdin."""

    #: ``pbs`` or ``slurm``.
    name: str
    #: As people call it.
    title: str

    # -- one job: these run as its owner ----------------------------------------------------------------------------

    def submit_command(self, request: JobRequest) -> list[str]:
        """Return the command that submits a job; its script is read from standard input."""

    def parse_submitted(self, result: CommandResult) -> str:
        """Return the id of the submitted job.

        Raises:
            SubmitRefusedError: when the scheduler refused it, in words with what to do.
            SchedulerUnavailableError: when the scheduler did not answer.
        """

    def cancel_command(self, job_id: str) -> list[str]:
        """Return the command that ends a job, whether it runs or waits."""

    def force_cancel_command(self, job_id: str) -> list[str] | None:
        """Return the command that ends a job whose node is down, or None when `cancel_command` does that too."""

    def parse_cancelled(self, result: CommandResult) -> None:
        """Return when the job is being ended, is over, or is unknown: in each case nothing is left to cancel.

        Raises:
            CancelRefusedError: when the scheduler refuses.
            SchedulerUnavailableError: when the scheduler did not answer.
        """

    # -- all jobs of the hub in one question: these run as the hub's account -------------------------------------------

    def status_command(self, job_ids: Sequence[str]) -> list[str]:
        """Return the one command that asks for all of ``job_ids``, ended ones included."""

    def parse_status(self, result: CommandResult, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return the status of each of ``job_ids`` that the answer speaks of.

        A job that the scheduler says it does not know is ``ENDED`` with cause ``FORGOTTEN``. An entry that cannot be
        read (a field of another type, a state that does not exist) is left out, which means unknown; the others count.

        Raises:
            SchedulerUnavailableError: when the scheduler did not answer, or with what cannot be read.
        """

    def find_command(self, job_name: str) -> list[str]:
        """Return the command that looks for the live jobs called ``job_name``, whoever owns them."""

    def parse_found(self, result: CommandResult) -> list[str]:
        """Return the ids of the jobs that were found.

        Raises:
            SchedulerUnavailableError: when the scheduler did not answer.
        """

    def waiting_command(self) -> list[str]:
        """Return the command that lists the waiting jobs of everybody, next first, with little per job."""

    def parse_places(self, result: CommandResult, job_ids: Collection[str]) -> dict[str, Place]:
        """Return the places of those of ``job_ids`` that wait, among the waiting.

        Raises:
            SchedulerUnavailableError: when the scheduler did not answer.
        """

    # -- the end of jobs that the status does not tell enough of -------------------------------------------------------

    def history_command(self, job_id: str) -> list[str] | None:
        """Return a further command that knows how an ended job ended, or None when there is none."""

    def parse_history(self, result: CommandResult, job_id: str) -> JobEnd | None:
        """Return how the job ended, or None when the answer does not say (also when it failed)."""

    # -- the cluster ---------------------------------------------------------------------------------------------------

    def nodes_command(self) -> list[str]:
        """Return the command that lists the nodes with what is free on each."""

    def parse_nodes(self, result: CommandResult) -> tuple[Node, ...]:
        """Return the nodes; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the scheduler did not answer.
        """

    def releases_command(self, nodes: Sequence[Node]) -> list[str] | None:
        """Return the command that tells when running jobs end at the latest, or None when there is nothing to ask.

        It costs little however many jobs there are: a part of them is enough.
        """

    def parse_releases(self, result: CommandResult) -> tuple[Release, ...]:
        """Return what running jobs will give back; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the scheduler did not answer.
        """

    def queues_command(self) -> list[str]:
        """Return the command that lists the queues with their limits."""

    def parse_queues(self, result: CommandResult) -> dict[str, Queue]:
        """Return the queues by name; an entry that cannot be read is left out.

        Raises:
            SchedulerUnavailableError: when the scheduler did not answer.
        """
