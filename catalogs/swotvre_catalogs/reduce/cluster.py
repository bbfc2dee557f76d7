"""Carry out a plan on a Dask cluster: blocks of tasks, whose files the workers read themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swotvre_catalogs.reduce.engine import carry_out
from swotvre_catalogs.reduce.errors import ReductionError
from swotvre_catalogs.reduce.plan import Plan, Task
from swotvre_catalogs.reduce.results import Results

#: What the answer of a block may weigh at most.
BLOCK_BYTES = 64 * 2**20
#: Blocks per thread of the cluster, so that none has to wait long for the last one.
BLOCKS_PER_THREAD = 4


def chosen_client(client: Any) -> Any:
    """Return the Dask client of an argument: itself, the active one for ``"auto"`` (None if there is none), or None.

    Raises:
        ReductionError: If it is neither.
    """
    if client is None:
        return None
    if client == "auto":
        from distributed import get_client  # here, because most reductions do without

        try:
            return get_client()
        except ValueError:
            return None
    if not all(hasattr(client, name) for name in ("submit", "scheduler_info")):
        raise ReductionError(f"client is {client!r:.200}; expected a distributed.Client, 'auto' or None")
    return client


def carry_out_on_cluster(client: Any, plan: Plan, results: Results) -> None:
    """Send the tasks of a plan to the workers in blocks, and put together what they find.

    Raises:
        DamagedFileError: And other errors, as of `carry_out`; blocks that wait are then given up.
    """
    from distributed import as_completed

    parts = [plan.part(block) for block in blocks(plan, _threads(client))]
    futures = [client.submit(carry_out_block, part, pure=False) for part in parts]
    try:
        for future in as_completed(futures):
            results.absorb(future.result())
            future.release()
    except BaseException:
        client.cancel(futures, force=True)
        raise


def carry_out_block(part: Plan) -> Results:
    """Carry out a part of a plan, on a worker: one thread, the worker's own."""
    results = Results(part)
    carry_out(part, results, threads=1)
    part.reader.close()
    return results


def blocks(plan: Plan, threads: int) -> list[Sequence[Task]]:
    """Return the tasks in blocks: several for each thread, none with a large answer."""
    piece = 8 * plan.lines * plan.columns * sum(output.is_large * len(output.hows) for output in plan.outputs)
    size = max(1, min(BLOCK_BYTES // max(piece, 1), len(plan.tasks) // (threads * BLOCKS_PER_THREAD)))
    return [plan.tasks[first : first + size] for first in range(0, len(plan.tasks), size)]


def _threads(client: Any) -> int:
    return max(1, int(sum(client.nthreads().values())))
