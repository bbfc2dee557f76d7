"""The environment definitions that exist: one folder each."""

from __future__ import annotations

import difflib
from pathlib import Path

from swotvre_kernels.errors import UnknownKernelError
from swotvre_kernels.models import DEFINITION_FILE

#: The definitions that come with the project.
ENVIRONMENTS = Path(__file__).parent / "environments"
DEFAULT_KERNEL = "swot-ocean"


def available_environments(environments: Path = ENVIRONMENTS) -> list[str]:
    """Return the names of the definitions in the folder ``environments``, sorted."""
    return sorted(path.parent.name for path in environments.glob(f"*/{DEFINITION_FILE}"))


def find_environment(name: str, environments: Path = ENVIRONMENTS) -> Path:
    """Return the folder of the definition ``name``.

    Raises:
        UnknownKernelError: no such definition; the message lists those that exist.
    """
    names = available_environments(environments)
    if name in names:
        return environments / name
    near = difflib.get_close_matches(name, names, n=1)
    suggestion = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownKernelError(f"unknown kernel {name!r}; expected one of: {', '.join(names) or 'none'}.{suggestion}")
