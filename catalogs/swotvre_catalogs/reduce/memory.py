"""The memory that a result may take: what the machine and the session have left."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from swotvre_catalogs.reduce.errors import ReductionError

_MEMINFO = Path("/proc/meminfo")
_STATM = Path("/proc/self/statm")


def available_bytes() -> int | None:
    """Return what is left of the machine's memory and of the session's (``MEM_LIMIT``); None if nothing tells."""
    left = []
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        left += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        pass
    try:
        # Other processes of the session take of it as well; a kernel is nearly always the largest.
        own = int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
        left.append(max(0, int(os.environ["MEM_LIMIT"]) - own))
    except (KeyError, OSError, ValueError, IndexError):
        pass
    return min(left, default=None)


def refuse_more_than_available(size_bytes: int, shape: tuple[int, ...]) -> None:
    """Refuse a result that does not fit: to be killed for its memory tells a user nothing.

    Raises:
        ReductionError: If it takes more than there is left.
    """
    left = available_bytes()
    if left is not None and size_bytes > left:
        sizes = " x ".join(map(str, shape))
        raise ReductionError(
            f"the result ({sizes}) takes {size_bytes / 1e9:.1f} GB, this session has {left / 1e9:.1f} GB left; reduce "
            "over more dimensions, or take a bbox, or fewer operations at once"
        )
