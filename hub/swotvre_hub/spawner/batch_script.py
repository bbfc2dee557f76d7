"""The script of a job: its environment, quoted for the shell, and the one program that it becomes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from swotvre_hub.errors import VreError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ScriptError(VreError):
    """An environment that no script can export."""


def render_session_script(session_id: str, python: Path, folder: str, environment: Mapping[str, str]) -> str:
    """Return the script of a session.

    Args:
        session_id: hexadecimal digits.
        python: interpreter of the session environment on the node.
        folder: the user's home on the node, absolute.
        environment: everything that the session is told; it travels in the body of the script, which only its owner
            can read, and nowhere else.

    Raises:
        ScriptError: when a name is no shell variable, or a value holds a NUL.
    """
    command = [str(python), "-I", "-m", "swotvre_lab.batch"]
    return _render(f"The session {session_id}", command, folder, environment)


def render_dask_script(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> str:
    """Return the script of a part of a Dask cluster.

    Args:
        command: what the script becomes.
        folder: the user's home on the node, absolute.
        environment: as of `render_session_script`.

    Raises:
        ScriptError: when a name is no shell variable, or a value holds a NUL.
    """
    return _render("A part of a Dask cluster", command, folder, environment)


def _render(what: str, command: Sequence[str], folder: str, environment: Mapping[str, str]) -> str:
    """Return the script; ``what`` is ours, all else is quoted."""
    for name, value in environment.items():
        if _VARIABLE.fullmatch(name) is None or "\0" in value or not _is_text(value):
            raise ScriptError(
                f"the environment of sessions holds {name!r}, which a shell cannot export; expected a name of letters, "
                "digits and underscores, and text without NUL: see c.Spawner.environment in jupyterhub_config.d"
            )
    exports = [(name, shlex.quote(value)) for name, value in sorted(environment.items())]
    return _template().render(what=what, command=shlex.join(command), folder=shlex.quote(folder), environment=exports)


def _is_text(value: str) -> bool:
    """Return whether a value can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _template() -> Template:
    text = (files("swotvre_hub") / "templates" / "job.sh").read_text(encoding="utf-8")
    # A shell script, not a page: what goes in is quoted for the shell above.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    return environment.from_string(text)
