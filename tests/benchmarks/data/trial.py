"""Measure one work in a process of its own, its files evicted from the page cache before."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

GIGABYTE = 1e9
#: Larger results are not kept for comparisons.
MOST_KEPT_GB = 0.6


class TrialError(Exception):
    """A work failed; the message is the end of what its process said."""


@dataclass(frozen=True)
class Job:
    """What a work works on; goes to its process as JSON."""

    #: Folder or S3 address of the datalake, and the options of its file system.
    lake: str
    storage_options: Mapping[str, Any]
    cycles: tuple[int, ...]
    passes: tuple[int, ...]
    #: West, south, east, north.
    box: tuple[float, float, float, float]
    #: Folder or S3 address of the index and the cube; None: where the catalog puts them.
    place: str | None = None

    @property
    def files(self) -> int:
        """How many files the job is about."""
        return len(self.cycles) * len(self.passes)

    @property
    def copy(self) -> Path:
        """Folder of a copy in Zarr, beside index and cube."""
        if self.place is None:
            raise ValueError("a lake without a place of its own has no copy")
        return Path(self.place).with_name("zarr")


@dataclass(frozen=True)
class Answer:
    """What a work found out."""

    #: The numbers, for the comparison with other methods.
    values: Any
    #: Seconds of parts of the work, by name, where it tells them.
    parts: dict[str, float] = field(default_factory=dict)
    #: Files that were read, when not all: the time is then put to all of them, and the table says so.
    files_read: int | None = None


@dataclass(frozen=True)
class Measurement:
    """One work, measured."""

    work: str
    job: Job
    seconds: float
    #: Of all threads and ended child processes: what a busy machine changes least.
    cpu_seconds: float
    #: Highest resident memory of the process (libraries included), and the size of its result.
    peak_gb: float
    result_gb: float
    load_average: float
    parts: dict[str, float]
    files_read: int | None
    #: Where the numbers are, as a NumPy file, unless they are very many.
    values: Path

    @property
    def memory_gb(self) -> float:
        """Peak memory without the result."""
        return max(self.peak_gb - self.result_gb, 0.0)

    @property
    def extrapolated_seconds(self) -> float:
        """The time for all files of the job."""
        return self.seconds * (self.job.files / self.files_read if self.files_read else 1.0)


def evict(paths: Iterable[Path]) -> None:
    """Drop files from the page cache, so that they are read from the disk again."""
    os.sync()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def run(
    work: str, job: Job, folder: Path, cold: Iterable[Path] = (), python: str | Path = sys.executable
) -> Measurement:
    """Measure a work, named ``module.function``, in a new process of ``python``; ``cold`` files are evicted before.

    Raises:
        TrialError: the work failed or ran out of memory.
    """
    evict(cold)
    folder.mkdir(parents=True, exist_ok=True)
    values = folder / f"{work}-{job.files}.npy"
    load = os.getloadavg()[0]
    done = subprocess.run(
        [str(python), "-B", str(Path(__file__)), work, json.dumps(asdict(job)), str(values)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise TrialError(f"{work} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Measurement(work=work, job=job, load_average=load, values=values, **told)


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _work(name: str) -> Callable[[Job], Answer]:
    module_name, _, function = name.partition(".")
    module = import_module(module_name)
    work: Callable[[Job], Answer] = getattr(module, function)
    return work


def _import_what_xarray_imports_late() -> None:
    """Let xarray import Dask, and the array libraries that it looks for in what it is given (1 to 2 s)."""
    import dask.array
    import xarray

    for name in ("pint", "sparse", "cupy"):
        with suppress(ImportError):
            import_module(name)

    numbers = xarray.DataArray(dask.array.arange(4), dims="x").to_dataset(name="numbers")
    numbers["numbers"].mean().compute()
    xarray.decode_cf(numbers)


def main() -> None:
    """Run one work and print what it took as the last line; the imports of its module are not counted."""
    name, text, target = sys.argv[1:]
    content = json.loads(text)
    job = Job(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})
    work = _work(name)
    _import_what_xarray_imports_late()
    # What the imports left behind is theirs: the collector would look through it in the middle of the work.
    gc.collect()
    gc.freeze()
    begun, cpu_begun = time.perf_counter(), sum(os.times()[:4])
    answer = work(job)
    seconds, cpu_seconds = time.perf_counter() - begun, sum(os.times()[:4]) - cpu_begun
    peak = _peak_bytes()
    values = np.asarray(answer.values)
    told = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_gb": peak / GIGABYTE,
        "result_gb": values.nbytes / GIGABYTE,
        "parts": answer.parts,
        "files_read": answer.files_read,
    }
    if values.nbytes <= MOST_KEPT_GB * GIGABYTE:
        np.save(target, values)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    # The works import this module too: one class Job, not two.
    sys.modules["trial"] = sys.modules["__main__"]
    main()
