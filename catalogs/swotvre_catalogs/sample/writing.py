"""Write every file of the sample into an empty folder, the simulated ones in two processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from swotvre_catalogs.sample.copies import REAL_FILES, write_real_file
from swotvre_catalogs.sample.documents import render_readme
from swotvre_catalogs.sample.granule import write_pass
from swotvre_catalogs.sample.manifest import write_manifest
from swotvre_catalogs.sample.plan import passes


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def write_everything(root: Path, progress: Callable[[int, int, str], None], workers: int) -> None:
    """Write all files below ``root``, README.md and at last the manifest.

    Args:
        root: An empty folder.
        progress: Called with the number of files written, the number of all, and the name of the last one.
        workers: Processes that simulate.
    """
    plan = passes()
    total = len(REAL_FILES) + sum(map(len, plan))
    written: list[str] = []
    simulated: list[str] = []
    # Not fork: the caller may run threads, and a child of a threaded process can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_end_with_parent) as pool:
        futures = {pool.submit(write_pass, granules, root): granules for granules in plan}
        try:
            for real in REAL_FILES:
                written.append(write_real_file(real, root))
                progress(len(written), total, real.label)
            for future in as_completed(futures):
                simulated += future.result()
                progress(len(written) + len(simulated), total, ", ".join(g.label for g in futures[future]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    (root / "README.md").write_text(render_readme(simulated), "utf-8")
    write_manifest(root, [*written, *simulated, "README.md"], simulated)
