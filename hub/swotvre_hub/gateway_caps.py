"""Caps: what the Dask clusters of one user, and of one project, may take together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from swotvre_hub.settings import Cap, Caps


@dataclass(frozen=True)
class ClusterUse:
    """What one cluster takes: a scheduler, and workers of one size."""

    name: str
    user_name: str
    #: Empty: none.
    project: str
    worker_cores: int
    worker_memory_gib: int
    scheduler_cores: int
    scheduler_memory_gib: int
    #: Workers that it has or waits for.
    workers: int

    @property
    def cores(self) -> int:
        """Cores of the whole cluster."""
        return self.scheduler_cores + self.workers * self.worker_cores

    @property
    def memory_gib(self) -> int:
        """Memory of the whole cluster, in GiB."""
        return self.scheduler_memory_gib + self.workers * self.worker_memory_gib


@dataclass(frozen=True)
class Verdict:
    """How many workers a cluster may have, and why no more."""

    #: -1: not even its scheduler fits.
    workers: int
    #: A sentence without its full stop; empty: what was asked for is granted.
    reason: str = ""


def judge(wanted: ClusterUse, others: Iterable[ClusterUse], caps: Caps) -> Verdict:
    """Return how many of the wanted workers fit below every cap.

    Args:
        wanted: the cluster with as many workers as are asked for.
        others: every other cluster.
        caps: of the site.
    """
    others = [one for one in others if one.name != wanted.name]
    verdict = Verdict(wanted.workers)
    for owner, cap, same in (
        (wanted.user_name, caps.user, [one for one in others if one.user_name == wanted.user_name]),
        (f"project {wanted.project}", caps.project, [one for one in others if one.project == wanted.project]),
    ):
        if cap is caps.project and not wanted.project:
            continue
        for unit in ("cores", "memory_gib"):
            verdict = min(verdict, _below(cap, unit, owner, wanted, same), key=lambda one: one.workers)
    return verdict


def _below(cap: Cap, unit: str, owner: str, wanted: ClusterUse, others: Iterable[ClusterUse]) -> Verdict:
    most: int | None = getattr(cap, unit)
    asked: int = getattr(wanted, unit)
    used = sum(getattr(one, unit) for one in others)
    if most is None or used + asked <= most:
        return Verdict(wanted.workers)
    free = max(most - used, 0)
    alone: int = getattr(replace(wanted, workers=0), unit)
    per_worker = (getattr(replace(wanted, workers=1), unit) - alone) or 1
    fitting = max((free - alone) // per_worker, -1)
    name = {"cores": ("core", "cores"), "memory_gib": ("GiB of memory", "GiB of memory")}[unit]
    what = f"{wanted.workers} worker{'' if wanted.workers == 1 else 's'}"
    uses, rests = ("is" if number == 1 else "are" for number in (used, free))
    reason = (
        f"a cluster with {what} asks for {_count(asked, name)}; the Dask clusters of {owner} may have "
        f"{_count(most, name)} in all, of which {used} {uses} used by other clusters and {free} {rests} free"
    )
    advice = f": at most {fitting} worker{'' if fitting == 1 else 's'} of this size" if fitting > 0 else ""
    return Verdict(fitting, reason + advice)


def _count(number: int, name: tuple[str, str]) -> str:
    return f"{number} {name[number != 1]}"
