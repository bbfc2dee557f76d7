"""``swot-vre sudoers``: the rules by which a hub without root rights runs sessions as their users."""

from __future__ import annotations

import argparse
import re
from typing import TextIO

from swotvre_hub.errors import SettingsError
from swotvre_hub.settings import Settings
from swotvre_hub.state import find_state, load_installed_settings

#: Commands of each batch system that run as a user; all others run as the hub's own account.
AS_USER = {"pbs": ("qsub", "qdel"), "slurm": ("sbatch", "scancel")}
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_USERS = re.compile(r"%?[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``sudoers``."""
    parser = nouns.add_parser("sudoers", help="print the sudo rules that a hub without root rights needs")
    parser.add_argument("--account", default="vrehub", help="account that the hub runs as (default: vrehub)")
    parser.add_argument("--users", default="%users", help="user, or %%group of those who may have sessions")
    parser.add_argument("--state", help="state folder (default: $SWOTVRE_STATE or .vre)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Print the rules; ``visudo -cf`` accepts them as a file of ``/etc/sudoers.d``."""
    state = find_state(args.state)
    settings = load_installed_settings(state)
    if not settings.is_batch:
        raise SettingsError("engine: received 'local', which needs no sudo; expected 'pbs' or 'slurm' in vre.yaml")
    for value, pattern, what in ((args.account, _ACCOUNT, "--account"), (args.users, _USERS, "--users")):
        if pattern.fullmatch(value) is None:
            raise SettingsError(f"{what}: received {value!r}; expected an account, for --users also %group")
    print(render_rules(settings, args.account, args.users), file=out)
    return 0


def render_rules(settings: Settings, account: str, users: str) -> str:
    """Return the content of a file for ``/etc/sudoers.d``: three commands, as users, and nothing else."""
    folder, python = _escaped(settings.batch.commands), _escaped(str(settings.batch.lab_python))
    commands = [f"{folder}/{name}" for name in AS_USER[settings.engine]]
    commands.append(f"{python} -I -m swotvre_hub.session_files *")
    return "\n".join(
        [
            "# swot-vre: sessions and Dask clusters are started, ended and looked after as their user; never as root.",
            f"Defaults:{account} !requiretty, !use_pty, env_reset, !syslog_pid",
            f"{account} ALL=({users},!root) NOPASSWD: \\",
            ", \\\n".join(f"    {command}" for command in commands),
        ]
    )


def _escaped(path: str) -> str:
    """Return a path as sudoers reads it: what would end it, or stand for other files, after a backslash."""
    return re.sub(r"([\\,:=*?\[\]()!\"# \t])", r"\\\1", path)
