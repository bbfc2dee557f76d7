"""What this machine has: cores and memory that sessions may use."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

#: A machine sold with 8 GiB reports a little less: firmware and kernel keep some of it.
RESERVED_BY_FIRMWARE = 0.1


@dataclass(frozen=True)
class Machine:
    """Resources of one machine."""

    #: CPU cores that this process may run on.
    cores: int
    #: Memory in bytes.
    memory_bytes: int

    @property
    def memory_gib(self) -> float:
        """Memory in GiB."""
        return self.memory_bytes / 2**30

    def lacks(self, cores: int, memory_gib: int, gpus: int = 0, queue: str = "") -> str | None:
        """Return in words why these resources do not fit, or None when they do; a machine has no queues."""
        needed, there = [], []
        if gpus:
            needed.append(f"{gpus} GPU{'' if gpus == 1 else 's'}")
            there.append("none to share out")
        if cores > self.cores:
            needed.append(f"{cores} cores")
            there.append(f"{self.cores} core{'' if self.cores == 1 else 's'}")
        if memory_gib * (1 - RESERVED_BY_FIRMWARE) > self.memory_gib:
            needed.append(f"{memory_gib} GiB of memory")
            there.append(f"{self.memory_gib:.0f} GiB of memory")
        return f"needs {' and '.join(needed)}; this machine has {' and '.join(there)}" if needed else None


def measure_machine() -> Machine:
    """Return what this process may use of the machine that it runs on."""
    return Machine(cores=len(os.sched_getaffinity(0)), memory_bytes=psutil.virtual_memory().total)
