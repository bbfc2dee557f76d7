"""The definitions that exist: one folder per kernel; several kernels may stand in one environment."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple

from swotvre_kernels.errors import DefinitionError, UnknownKernelError
from swotvre_kernels.models import DEFINITION_FILE, GUEST_FILE, KernelDefinition, read_definition, read_guest

#: The definitions that come with the project.
ENVIRONMENTS = Path(__file__).parent / "environments"
DEFAULT_KERNEL = "swot-ocean"
#: Where an environment keeps the definitions of its guests, below its own.
GUESTS_FOLDER = "kernels"


class KernelSource(NamedTuple):
    """A kernel and the folder that holds its logos and its smoke notebook."""

    folder: Path
    definition: KernelDefinition

    @property
    def files(self) -> list[str]:
        """The names of the files that the definition names."""
        return [*self.definition.logos, *filter(None, [self.definition.smoke_notebook])]


def available_environments(environments: Path = ENVIRONMENTS) -> list[str]:
    """Return the names of the environments that the folder ``environments`` defines, sorted."""
    return sorted(path.parent.name for path in environments.glob(f"*/{DEFINITION_FILE}"))


def available_kernels(environments: Path = ENVIRONMENTS) -> list[str]:
    """Return the names of the kernels that the folder ``environments`` defines, sorted."""
    guests = [path.parent.name for path in environments.glob(f"*/{GUEST_FILE}")]
    return sorted([*available_environments(environments), *guests])


def find_environment(name: str, environments: Path = ENVIRONMENTS) -> Path:
    """Return the folder of the environment that the kernel ``name`` stands in.

    Raises:
        UnknownKernelError: no such definition; the message lists those that exist.
        DefinitionError: the definition cannot be used.
    """
    names = available_kernels(environments)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        suggestion = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownKernelError(f"unknown kernel {name!r}; expected one of: {', '.join(names) or 'none'}.{suggestion}")
    folder = environments / name
    if (folder / DEFINITION_FILE).is_file():
        return folder
    host = read_guest(folder).environment
    if host not in available_environments(environments):
        raise DefinitionError(
            f"{folder / GUEST_FILE} stands in the environment {host!r}; expected one of: "
            f"{', '.join(available_environments(environments)) or 'none'}"
        )
    return environments / host


def read_kernels(folder: Path) -> tuple[KernelSource, ...]:
    """Return the kernels of the environment that ``folder`` defines: its own first, then its guests by name.

    Guests are looked for beside ``folder``, as in the project, and in its folder ``kernels``, as in what is built.

    Raises:
        DefinitionError: one of the definitions cannot be used.
    """
    own = read_definition(folder)
    kernels = [KernelSource(folder, own)]
    for place in (folder.parent, folder / GUESTS_FOLDER):
        for path in sorted(place.glob(f"*/{GUEST_FILE}")):
            guest = read_guest(path.parent)
            if guest.name != path.parent.name:
                raise DefinitionError(f"{path} is of the kernel {guest.name!r}; expected its folder's name")
            if guest.environment == own.name:
                kernels.append(KernelSource(path.parent, guest))
    return tuple(kernels)


def requirements_of(kernels: tuple[KernelSource, ...]) -> tuple[str, ...]:
    """Return the direct requirements of all ``kernels``, each once."""
    return tuple(dict.fromkeys(line for kernel in kernels for line in kernel.definition.requirements))
