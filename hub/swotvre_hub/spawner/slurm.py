"""Sessions as jobs of Slurm."""

from __future__ import annotations

from batchspawner import SlurmSpawner

from swotvre_hub.spawner.batch import BatchSessionMixin


class SlurmSessionSpawner(BatchSessionMixin, SlurmSpawner):
    """batchspawner's spawner for Slurm, with a life of jobs that survives hub, scheduler and names."""
