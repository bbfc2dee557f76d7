"""The least that a mean can take: read each chunk, inflate it, add it up; nothing else, one thread per core.

Where the chunks lie is known before (and not measured).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import imagecodecs
import numba
import numpy as np
import numpy.typing as npt
from files import file_paths
from trial import Answer, Job, evict

VARIABLE = "ssha_karin_2"
FILL, SCALE = 2**31 - 1, 1e-4

Chunk = tuple[Path, int, int]


@numba.njit(nogil=True, cache=True)
def _add_up(shuffled: npt.NDArray[np.uint8], count: int) -> tuple[int, int]:
    """Return sum and number of the int32 values of a shuffled chunk that are not fill."""
    total, valid = np.int64(0), np.int64(0)
    for index in range(count):
        value = np.int32(
            np.uint32(shuffled[index])
            | np.uint32(shuffled[count + index]) << 8
            | np.uint32(shuffled[2 * count + index]) << 16
            | np.uint32(shuffled[3 * count + index]) << 24
        )
        good = value != FILL
        total += np.int64(value) * good
        valid += good
    return total, valid


def _share(chunks: Sequence[Chunk], size_bytes: int) -> tuple[int, int]:
    inflated = np.empty(size_bytes, dtype=np.uint8)
    total = valid = 0
    for path, offset, stored_bytes in chunks:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            stored = os.pread(descriptor, stored_bytes, offset)
        finally:
            os.close(descriptor)
        imagecodecs.deflate_decode(stored, raw=False, out=inflated)
        chunk_total, chunk_valid = _add_up(inflated, size_bytes // 4)
        total, valid = total + chunk_total, valid + chunk_valid
    return total, valid


def mean_of_all(job: Job) -> Answer:
    """Return the mean; the measured part is what ``parts`` calls floor."""
    paths = file_paths(Path(job.lake), job.cycles, job.passes)
    chunks: list[Chunk] = []
    for path in paths:
        with h5py.File(path) as file:
            variable = file[VARIABLE].id
            if variable.get_num_chunks() != 1:
                raise ValueError(f"{path}: {VARIABLE} has {variable.get_num_chunks()} chunks; the floor knows one")
            info, size_bytes = variable.get_chunk_info(0), file[VARIABLE].nbytes
        chunks.append((path, info.byte_offset, info.size))
    _add_up(np.zeros(4, dtype=np.uint8), 1)
    workers = os.cpu_count() or 1
    evict(paths)
    begun, cpu_begun = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        shares = list(pool.map(lambda worker: _share(chunks[worker::workers], size_bytes), range(workers)))
    parts = {"floor": time.perf_counter() - begun, "cpu": time.process_time() - cpu_begun}
    total, valid = (sum(share[part] for share in shares) for part in (0, 1))
    return Answer(total * SCALE / valid, parts)
