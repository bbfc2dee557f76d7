"""The Unix groups of an account."""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress


def groups_of(user_name: str) -> frozenset[str]:
    """Return the names of all groups that ``user_name`` is a member of; none when there is no such account."""
    try:
        account = pwd.getpwnam(user_name)
    except (KeyError, ValueError):
        return frozenset()
    names = set()
    for number in os.getgrouplist(user_name, account.pw_gid):
        with suppress(KeyError):  # a directory may know members of a group, but not its name
            names.add(grp.getgrgid(number).gr_name)
    return frozenset(names)
