"""What a test, and nobody else, may have the server do."""

from __future__ import annotations

import signal

from .batch import Batch
from .faults import Faults
from .job import Job


class Control:
    """The requests of `recorded_pbs_cluster`; each method is one."""

    def __init__(self, batch: Batch, faults: Faults) -> None:
        self._batch = batch
        self._faults = faults

    def live_jobs(self) -> list[str]:
        """Return the ids of all jobs that wait or run, fakes apart."""
        return [job.job_id for job in self._batch.jobs.values() if job.is_live and not job.is_fake]

    def states(self) -> dict[str, str]:
        """Return the state of every job."""
        return {job.job_id: job.state for job in self._batch.jobs.values()}

    def set_fault(self, name: str, commands: list[str], seconds: float) -> None:
        """Have a fault befall commands."""
        self._faults.active[name] = (commands, seconds)

    def clear_fault(self, name: str) -> None:
        """End a fault."""
        self._faults.active.pop(name, None)

    def asked(self) -> list[tuple[str, int, int]]:
        """Return how often each command was asked in each second."""
        return [(name, second, count) for (name, second), count in self._faults.asked.items()]

    def clock_offset(self, seconds: float) -> None:
        """Have the server's clock be wrong."""
        self._batch.clock_offset = seconds

    def forget(self, job_id: str) -> None:
        """Purge a job from the history."""
        self._batch.forget(self._job(job_id))

    def lose(self, job_id: str) -> None:
        """Kill a job without a word, and know it no more."""
        job = self._job(job_id)
        self._batch.signal_shepherd(job, signal.SIGUSR2)
        self._batch.forget(job)

    def kill(self, job_id: str) -> None:
        """Kill the processes of a job, as a crash would."""
        self._batch.signal_shepherd(self._job(job_id), signal.SIGUSR1)

    def delete(self, job_ids: list[str]) -> None:
        """Delete jobs as root."""
        for job_id in job_ids:
            job = self._job(job_id)
            if job.state in {"Q", "H", "R"}:
                self._batch.delete(job, f"root@{self._batch.site.server}")

    def node_down(self, name: str) -> None:
        """Lose a node."""
        self._batch.node_down(name)

    def node_up(self, name: str) -> None:
        """Have a node back."""
        self._batch.node_up(name)

    def fakes(self, count: int, state: str, owner: str) -> None:
        """Have so many jobs of somebody else."""
        self._batch.fill_with_fakes(count, state, owner)

    def _job(self, job_id: str) -> Job:
        return self._batch.jobs[int(job_id.partition(".")[0])]
