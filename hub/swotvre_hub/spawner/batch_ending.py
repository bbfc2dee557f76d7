"""How a batch session ended, in words: what the scheduler says, and what the session itself wrote down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from swotvre_hub.cluster_view import describe_resources
from swotvre_hub.durations import describe_duration
from swotvre_hub.engines.base import EndCause, JobEnd
from swotvre_hub.settings import SessionSize
from swotvre_hub.spawner.ending import SessionEnd, describe_memory_kills, describe_status

#: Exit statuses of the session's own program and of its script, in words.
OWN_STATUSES = {
    70: "the home folder could not be entered on its node",
    71: "the hub had given it up",
    72: "it could not reach the hub from its node",
    126: "the session environment cannot be executed on its node",
    127: "the session environment is not there on its node",
}
FORGOTTEN = "the scheduler does not know it any more, nor why it ended"
#: 128 plus the largest signal of Linux.
LAST_SIGNAL = 192


@dataclass(frozen=True)
class BatchEnd:
    """Everything that is known of the end of one session."""

    size: SessionSize
    #: Node that it ran on; empty: none.
    host: str
    job: JobEnd
    #: What the session wrote down itself; None: it could not.
    own: SessionEnd | None = None
    #: Why it was stopped through the hub, when it was.
    stop_reason: str | None = None
    #: Account that it ran as.
    user_name: str = ""
    #: What ran in the job.
    program: str = "JupyterLab"

    def describe(self) -> str:
        """Return the end in words for the user, with what the session had and used."""
        size = self.size
        session = f"Your last session ({size.title}: {describe_resources(size.cores, size.memory_gib, size.gpus)})"
        ended = self.job.ended or (self.own.ended if self.own else None)
        when = f" at {ended:%Y-%m-%d %H:%M} UTC" if ended else ""
        where = f" on {self.host}" if self.host else ""
        return f"{session} ended{when}{where}: {self.reason()}.{self._kills()}{self._used()}"

    def reason(self) -> str:
        """Return why it ended, without a full stop."""
        memory = f"it used more than its {self.size.memory_gib} GiB of memory; choose a larger size"
        if self.job.cause is EndCause.MEMORY and self._went_on():
            # Slurm says so of every job in which something was killed, also of one that went on for hours.
            return f"it was stopped: {self.stop_reason}" if self.stop_reason else self._by_itself(memory)
        if self.stop_reason and self.job.cause in {EndCause.CANCELLED, EndCause.ENDED, EndCause.FORGOTTEN}:
            return f"it was stopped: {self.stop_reason}"
        return {
            EndCause.WALLTIME: "its duration was over",
            EndCause.MEMORY: memory,
            EndCause.NODE: "its node failed or was restarted; it was not your doing, start it again",
            EndCause.CANCELLED: self._cancelled(),
            EndCause.PREEMPTED: "a job of higher priority took its place; start it again",
            EndCause.NOT_STARTED: "the scheduler could not start it on a node",
            EndCause.FORGOTTEN: None if self._says_itself() else FORGOTTEN,
        }.get(self.job.cause) or self._by_itself(memory)

    def _says_itself(self) -> bool:
        """Whether the session wrote down how it ended."""
        return self.own is not None and self.own.cause != "lost"

    def _went_on(self) -> bool:
        """Whether the session itself outlived what was killed in it for its memory."""
        return self.own is not None and self.own.cause in {"ended", "stopped"} and self.own.status != -9

    def _cancelled(self) -> str:
        by = (self.job.cancelled_by or "").partition("@")[0]
        if not by:
            return "it was cancelled through the scheduler, by whom it does not say"
        return f"{'you' if by == self.user_name else by} cancelled it through the scheduler"

    def _by_itself(self, memory: str) -> str:
        if self.own is not None and self.own.cause == "memory":
            return memory
        if self.own is not None and self.own.cause == "ended":
            return describe_status(self.own.status, self.program)
        if self.own is not None and self.own.cause == "walltime":
            return "its duration was over"
        if self.own is not None and self.own.cause == "stopped":
            return "it was told to end on its node"
        status = self.job.exit_status
        if status is None:
            return "it ended, and the scheduler does not say how"
        # A shell tells the signal that ended its program as 128 and its number.
        status_of_program = 128 - status if 128 < status <= LAST_SIGNAL else status
        return OWN_STATUSES.get(status) or describe_status(status_of_program, self.program)

    def _kills(self) -> str:
        if self.job.cause is EndCause.MEMORY and not self._went_on():
            return ""
        if self.own is not None and self.own.memory_kills and self.own.cause != "memory":
            return describe_memory_kills(self.own, self.size.memory_gib)
        if self.job.memory_exceeded:
            return f" In it, a process had been killed for using more than {self.size.memory_gib} GiB of memory."
        return ""

    def _used(self) -> str:
        parts = []
        if self.job.ran and self.job.ran >= timedelta(seconds=30):
            parts.append(f"ran for {describe_duration(self.job.ran)}")
        if self.job.memory_bytes:
            used = self.job.memory_bytes / 2**30
            parts.append(f"used at most {used:.1f} of its {self.size.memory_gib} GiB of memory")
        if self.job.cpu_time and self.job.cpu_time >= timedelta(seconds=30):
            parts.append(f"computed for {describe_duration(self.job.cpu_time)} of processor time")
        return f" It {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}." if parts else ""
