"""Which CPU cores a session gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def choose_cores(count: int, allowed: Iterable[int], in_use: Iterable[Sequence[int]]) -> list[int]:
    """Return ``count`` of the ``allowed`` cores: those that the fewest live sessions use, in ascending order.

    Args:
        count: how many; more than there are gives all.
        allowed: numbers of the cores that this account may use.
        in_use: the cores of each live session.
    """
    users = dict.fromkeys(sorted(allowed), 0)
    for cores in in_use:
        for core in cores:
            if core in users:
                users[core] += 1
    return sorted(sorted(users, key=lambda core: (users[core], core))[:count])
