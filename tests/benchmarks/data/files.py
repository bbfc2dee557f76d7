"""Write the benchmark's datalake: ``python files.py FOLDER``. What is there already is kept.

Latitude, longitude and the mean sea surface are compressed once per pass; the heights, their flags and the times of
every file are its own, and the same for the same cycle and pass wherever and whenever they are written.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from granule import PassTemplate, compress, packed, relative_path, seconds_since_epoch
from ground_track import LINES, PASSES_PER_CYCLE, crop, lay_out_pass
from sea import look_at_sea, measure

CYCLES = 18
FILE_MB = 3.4

#: Told the number of files that are there, and of all.
Progress = Callable[[int, int], None]


class DiskFullError(Exception):
    """The files do not fit on the disk."""


def spread_passes(count: int) -> list[int]:
    """Return pass numbers spread over the cycle and the Earth; a smaller choice is the beginning of a larger one."""
    step = 361  # the golden section of a cycle, without a common divisor with it
    return [(number * step) % PASSES_PER_CYCLE + 1 for number in range(count)]


def file_paths(root: Path, cycles: Sequence[int], passes: Sequence[int]) -> list[Path]:
    """Return the files of these cycles and passes, by cycle, then pass.

    Raises:
        FileNotFoundError: one of them was not written.
    """
    by_cycle = {cycle: _present(root, cycle) for cycle in cycles}
    missing = [(cycle, number) for cycle in cycles for number in passes if number not in by_cycle[cycle]]
    if missing:
        raise FileNotFoundError(f"{len(missing)} files are not in {root}, the first: cycle and pass {missing[0]}")
    return [by_cycle[cycle][number] for cycle in cycles for number in sorted(passes)]


def _present(root: Path, cycle: int) -> dict[int, Path]:
    folder = root / f"swot/l2_lr_ssh/basic/cycle_{cycle:03d}"
    return {int(path.name.split("_")[6]): path for path in folder.glob("SWOT_*.nc")}


def write_files(
    root: Path, cycles: Sequence[int], passes: Sequence[int], *, lines: int = LINES, progress: Progress | None = None
) -> int:
    """Write the files that are missing, two passes at a time; return how many were.

    Raises:
        DiskFullError: there is no room for them; nothing is written.
    """
    present = {cycle: set(_present(root, cycle)) for cycle in cycles}
    wanted = {number: [cycle for cycle in cycles if number not in present[cycle]] for number in passes}
    wanted = {number: missing for number, missing in wanted.items() if missing}
    count = sum(map(len, wanted.values()))
    if not count:
        return 0
    root.mkdir(parents=True, exist_ok=True)
    needed_mb, free_mb = count * FILE_MB * lines / LINES * 1.02, shutil.disk_usage(root).free / 1e6
    if free_mb < needed_mb + 1000:
        raise DiskFullError(
            f"{root} has {free_mb / 1000:.1f} GB of free space; {count} files need {needed_mb / 1000:.1f} GB and 1 GB "
            "to spare: name another folder with --data, or fewer files with --files"
        )
    done, total = len(cycles) * len(passes) - count, len(cycles) * len(passes)
    for written in _write_passes(root, wanted, lines):
        done += written
        if progress:
            progress(done, total)
    return count


def _write_passes(root: Path, wanted: dict[int, list[int]], lines: int) -> Iterator[int]:
    if len(wanted) < 4:
        yield from (write_pass(root, number, cycles, lines) for number, cycles in wanted.items())
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=_end_with_parent) as pool:
        tasks = [pool.submit(write_pass, root, number, cycles, lines) for number, cycles in wanted.items()]
        try:
            yield from (task.result() for task in as_completed(tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """Let a worker end when its parent was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def write_pass(root: Path, number: int, cycles: Sequence[int], lines: int = LINES) -> int:
    """Write the files of one pass, all at once or not at all each; return how many."""
    swath = crop(lay_out_pass(number), lines)
    sea = look_at_sea(swath)
    template = PassTemplate(swath)
    shared = {
        "latitude": compress(packed(swath.latitude, 1e-6), quickly=False),
        "longitude": compress(packed(swath.longitude, 1e-6), quickly=False),
        "mean_sea_surface_cnescls": compress(sea.mean_sea_surface, quickly=False),
    }
    for cycle in cycles:
        height, quality = measure(sea, cycle, number)
        own = {
            "time": compress(seconds_since_epoch(cycle, swath)),
            "ssha_karin_2": compress(height),
            "ssha_karin_2_qual": compress(quality),
        }
        _write_whole(root / relative_path(cycle, swath), template.fill(cycle, shared | own))
    return len(cycles)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def main() -> int:
    """Write files and say how far it is; return 0, or 2 when they do not fit."""
    parser = argparse.ArgumentParser(description="Write realistic L2_LR_SSH Basic files (simulated).")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--passes", type=int, default=PASSES_PER_CYCLE, help="spread over the cycle")
    args = parser.parse_args()
    began = time.monotonic()

    def report(done: int, total: int) -> None:
        print(f"{done}/{total} files, {time.monotonic() - began:.0f} s", flush=True)

    try:
        cycles, passes = range(1, args.cycles + 1), spread_passes(args.passes)
        count = write_files(args.folder, cycles, passes, progress=report)
    except DiskFullError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    print(f"wrote {count} files in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
