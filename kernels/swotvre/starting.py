"""A cluster in one line."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

from swotvre.errors import ClusterInterrupted, ClusterRefusedError
from swotvre.progress_line import ProgressLine, open_line
from swotvre.running_kernel import find_running_kernel, kernel_options

if TYPE_CHECKING:
    from swotvre.site_cluster import SiteCluster
    from swotvre.site_gateway import SiteGateway


def cluster(
    workers: int = 8,
    size: str | None = None,
    *,
    kernel: str | None = None,
    queue: str | None = None,
    project: str | None = None,
    walltime_hours: float | None = None,
    idle_minutes: float | None = None,
    adapt: tuple[int, int] | None = None,
    wait: bool | int = True,
    timeout: float | None = None,
) -> SiteCluster:
    """Start a Dask cluster beside this session, tell how far it is, and return it with its client ready.

    ``with swotvre.cluster(workers=8) as cluster: ...`` ends it at the end of the block; otherwise it ends with
    ``cluster.close()`` or with the kernel. What Dask computes from here on, it computes there.

    Args:
        workers: number of workers.
        size: size of each worker, named as the sizes of sessions; None: the site's default.
        kernel: kernel of the workers; None: the one that runs this code. They have to be the same.
        queue: queue (partition) of the batch system; None: the site's default.
        project: project (account) that the cluster is counted on.
        walltime_hours: longest time that the cluster runs.
        idle_minutes: the cluster ends when it computed nothing for so long.
        adapt: fewest and most workers, between which Dask chooses by what there is to compute; ``workers`` is not
            used then.
        wait: True: return when all workers compute (with ``adapt``: the fewest); a number: when so many do; False: when
            the scheduler runs, whose workers then come one by one.
        timeout: seconds after which a cluster that is not ready is given up and ended; None: wait as long as it takes.

    Raises:
        ClusterRefusedError: for what cannot be had here; nothing was started then.
        KernelMismatchError: for workers of another kernel.
        ClusterLostError: when the cluster failed, with the reason.
        ClusterTimeoutError: when it was not ready in time; it was ended.
        NoGatewayError, GatewayUnreachableError, NotLetInError: when there is no gateway to ask.
        ClusterInterrupted: after Ctrl-C; the cluster was ended.
    """
    first, enough = _check(workers, adapt, wait, timeout)
    chosen = {
        "size": size,
        "queue": queue,
        "project": project,
        "walltime_hours": _positive("walltime_hours", walltime_hours),
        "idle_minutes": _positive("idle_minutes", idle_minutes),
    }
    kernels = kernel_options(kernel, find_running_kernel())
    line = open_line()
    from swotvre.site_gateway import SiteGateway

    gateway = SiteGateway()
    try:
        offered = gateway.options()
        options = _only_offered({name: value for name, value in chosen.items() if value is not None}, offered)
        options |= {name: value for name, value in kernels.items() if name in offered}
        # A gateway that takes no number of workers is asked for them once the cluster runs.
        begin = {"workers": first} if adapt is None else {"minimum": adapt[0], "maximum": adapt[1]}
        if begin.keys() <= offered.keys():
            options |= begin
        return _start(gateway, options, line, first, enough, adapt, timeout)
    except ClusterInterrupted:
        raise
    except KeyboardInterrupt:
        raise ClusterInterrupted("interrupted; no cluster is left") from None
    finally:
        gateway.close()


def _start(
    gateway: SiteGateway,
    options: dict[str, Any],
    line: ProgressLine,
    first: int,
    enough: int,
    adapt: tuple[int, int] | None,
    timeout: float | None,
) -> SiteCluster:
    from swotvre.site_cluster import SiteCluster, Watch

    name = ""
    opened: SiteCluster | None = None
    try:
        line.show("cluster: asking for it")
        name = gateway.submit(options)
        watch = Watch(gateway, name, line, timeout)
        size = watch.wait_for_scheduler().size
        opened = SiteCluster.open(gateway, name, ends_with_kernel=True)
        opened.wanted = first
        said = ""
        if not options.keys() & {"workers", "maximum"}:
            said = gateway.scale(name, first) if adapt is None else gateway.adapt(name, *adapt)
        if said:
            raise ClusterRefusedError(said.partition(". ")[0] + "; ask for fewer")
        opened.wait_for_workers_of(watch, enough)
        line.finish(opened.describe(size), opened.dashboard_link or "")
    except BaseException as error:
        _give_up(gateway, name, opened, line, error)
        raise
    return opened


def _give_up(
    gateway: SiteGateway, name: str, opened: SiteCluster | None, line: ProgressLine, error: BaseException
) -> None:
    """End what was begun of a cluster; tell an interrupted user what became of it.

    Raises:
        ClusterInterrupted: in place of a plain interrupt.
    """
    interrupted = isinstance(error, KeyboardInterrupt)
    if interrupted:
        line.show("cluster: interrupted, ending it")
    ended = not name
    try:
        if name:
            ended = gateway.stop_patiently(name)
        if opened is not None:
            opened.close(shutdown=False)
    except KeyboardInterrupt:
        interrupted = True
    line.clear()  # the error says it
    if interrupted:
        left = f"the cluster {name} may still run: swotvre.clusters().stop_all() ends it"
        raise ClusterInterrupted(f"interrupted; {'no cluster is left' if ended else left}") from None


def _only_offered(chosen: dict[str, Any], offered: dict[str, Any]) -> dict[str, Any]:
    for name in chosen:
        if name not in offered:
            raise ClusterRefusedError(
                f"{name!r} cannot be chosen at this site; what can: {', '.join(sorted(offered)) or 'nothing'}"
            )
    return chosen


def _check(workers: int, adapt: tuple[int, int] | None, wait: bool | int, timeout: float | None) -> tuple[int, int]:
    """Return how many workers to ask for at first, and how many to wait for."""
    _positive("timeout", timeout)
    if adapt is None:
        most = first = _whole("workers", workers, least=1)
    else:
        if not isinstance(adapt, tuple | list) or len(adapt) != 2:
            raise ClusterRefusedError(f"adapt: the fewest and the most workers are expected, (0, 8); got {adapt!r}")
        first, most = _whole("adapt[0]", adapt[0], least=0), _whole("adapt[1]", adapt[1], least=1)
        if most < first:
            raise ClusterRefusedError(f"adapt: the most workers are fewer than the fewest: {adapt!r}")
    if isinstance(wait, bool):
        return first, first if wait else 0
    enough = _whole("wait", wait, least=0)
    if enough > most:
        raise ClusterRefusedError(f"wait={enough}: only {most} workers are asked for")
    return first, enough


def _whole(name: str, value: object, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ClusterRefusedError(f"{name}: a whole number from {least} on is expected; got {value!r}")
    return value


def _positive(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    with contextlib.suppress(TypeError):
        if value > 0 and math.isfinite(value):
            return value
    raise ClusterRefusedError(f"{name}: a number above 0 is expected; got {value!r}")
