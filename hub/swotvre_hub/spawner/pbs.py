"""Sessions as jobs of OpenPBS or PBS Professional."""

from __future__ import annotations

from batchspawner import PBSSpawner

from swotvre_hub.spawner.batch import BatchSessionMixin


class PbsSessionSpawner(BatchSessionMixin, PBSSpawner):
    """batchspawner's spawner for PBS, with a life of jobs that survives hub, scheduler and names."""
