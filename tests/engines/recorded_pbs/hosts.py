"""Names of the nodes in ``/etc/hosts``: all of them are this machine."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Sequence
from pathlib import Path

HOSTS = Path("/etc/hosts")
_MARK = "# swot-vre tests: recorded PBS in "
_OWN_LINE = re.compile(rf".*{re.escape(_MARK)}(.*)")


def add_names(names: Sequence[str], folder: Path) -> bool:
    """Have names mean this machine for as long as the cluster lasts; return whether that is possible."""
    line = f"127.0.0.1 {' '.join(names)} {_MARK}{folder}"
    return _rewrite(lambda lines: [*_of_others(lines, folder), line])


def remove_names(folder: Path) -> None:
    """Take the names of a cluster out again."""
    _rewrite(lambda lines: _of_others(lines, folder))


def _of_others(lines: list[str], folder: Path) -> list[str]:
    """Return the lines that are neither this cluster's nor of one whose folder is gone."""
    return [
        line
        for line in lines
        if not (own := _OWN_LINE.fullmatch(line)) or (own[1] != str(folder) and Path(own[1]).exists())
    ]


def _rewrite(change: Callable[[list[str]], list[str]]) -> bool:
    """Write in place, since the file may be mounted, and one cluster after the other."""
    try:
        with HOSTS.open("r+") as hosts:
            fcntl.flock(hosts, fcntl.LOCK_EX)
            lines = hosts.read().splitlines()
            changed = "".join(f"{line}\n" for line in change(lines))
            hosts.seek(0)
            hosts.write(changed)
            hosts.truncate()
    except OSError:
        return False
    return True
