"""Write every file of the sample into an empty folder, the simulated ones in two processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from pathlib import Path

from swotvre_catalogs.sample.documents import render_readme
from swotvre_catalogs.sample.manifest import write_manifest
from swotvre_catalogs.sample.plan import MAP_DAYS, Granule, passes
from swotvre_catalogs.sample.real_files import REAL_FILES, RealFile


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# The numerical packages take seconds to import: only the workers need them, each when its first task comes.


def _write_real(real: RealFile, root: Path) -> list[str]:
    from swotvre_catalogs.sample.copies import write_real_file

    return [write_real_file(real, root)]


def _simulate(granules: Sequence[Granule], root: Path) -> list[str]:
    from swotvre_catalogs.sample.granule import write_pass

    return write_pass(granules, root)


def _map(day: date, root: Path) -> list[str]:
    from swotvre_catalogs.sample.maps import write_map

    return [write_map(day, root)]


def write_everything(root: Path, progress: Callable[[int, int, str], None], workers: int) -> None:
    """Write all files below ``root``, README.md and at last the manifest.

    Args:
        root: An empty folder.
        progress: Called with the number of files written, the number of all, and the name of the last one.
        workers: Processes that simulate.
    """
    plan = passes()
    total = len(REAL_FILES) + sum(map(len, plan)) + len(MAP_DAYS)
    written: list[str] = []
    simulated: list[str] = []
    # Not fork: the caller may run threads, and a child of a threaded process can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_end_with_parent) as pool:
        tasks = {pool.submit(_write_real, real, root): real.label for real in REAL_FILES}
        simulations = {
            pool.submit(_simulate, granules, root): ", ".join(granule.label for granule in granules)
            for granules in plan
        }
        simulations |= {pool.submit(_map, day, root): f"L4 map {day:%Y-%m-%d}" for day in MAP_DAYS}
        try:
            for future in as_completed(tasks | simulations):
                written += future.result()
                if future in simulations:
                    simulated += future.result()
                progress(len(written), total, (tasks | simulations)[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    (root / "README.md").write_text(render_readme(simulated), "utf-8")
    write_manifest(root, [*written, "README.md"], simulated)
