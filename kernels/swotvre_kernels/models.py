"""What an ``environment.toml`` may say, and what a built environment says about itself."""

from __future__ import annotations

import difflib
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, StringConstraints, ValidationError, field_validator, model_validator

from swotvre_kernels.errors import DefinitionError

#: Describes an environment and the kernel of the same name.
DEFINITION_FILE = "environment.toml"
#: Describes a kernel that stands in the environment of another one.
GUEST_FILE = "kernel.toml"
LOCK_FILE = "requirements.lock"
#: The lock of what builds the packages that come as source.
BUILD_LOCK_FILE = "build.lock"
MANIFEST_FILE = "swot-vre-kernel.json"

#: A name that Jupyter accepts for a kernelspec and that cannot leave its folder.
KernelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class KernelDefinition(BaseModel, frozen=True, extra="forbid"):
    """One kernelspec: what people choose, and what it needs of the environment that it stands in."""

    #: Name of the kernelspec, for example ``swot-ocean``.
    name: KernelName
    #: What the launcher of JupyterLab shows.
    title: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    #: One sentence for people who choose a kernel.
    description: str
    #: Direct requirements (PEP 508); the lock of the environment is made from those of all its kernels.
    requirements: tuple[str, ...]
    #: Modules that a verified environment can import.
    imports: tuple[str, ...]
    #: Those of ``imports`` that most notebooks begin with; ``make bench`` measures how long they take.
    main_imports: tuple[str, ...] = ()
    #: Environment variables of the kernel.
    variables: dict[str, str] = Field(default_factory=dict)
    #: Logo files beside the definition, under the names that Jupyter knows.
    logos: tuple[FileName, ...] = ()
    #: Notebook beside the definition that a verified environment runs to its end.
    smoke_notebook: FileName | None = None

    @field_validator("requirements", "imports")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("expected at least one entry")
        return value

    @model_validator(mode="after")
    def _main_imports_are_imports(self) -> Self:
        if strange := set(self.main_imports) - set(self.imports):
            raise ValueError(f"main_imports names what imports does not: {', '.join(sorted(strange))}")
        return self


class GuestDefinition(KernelDefinition, frozen=True, extra="forbid"):
    """A kernel that stands in the environment of another one, as its ``kernel.toml`` describes it."""

    #: Name of the environment, for example ``swot-ocean``.
    environment: KernelName


class EnvironmentDefinition(KernelDefinition, frozen=True, extra="forbid"):
    """An environment, and the kernel of the same name, as its ``environment.toml`` describes them."""

    #: Release of the environment, ``YEAR.MONTH``.
    version: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d{1,2}$")]
    #: Python version of the environment, ``MAJOR.MINOR``.
    python: Annotated[str, StringConstraints(pattern=r"^3\.\d{1,2}$")]
    #: Free disk space that a build needs, in GiB.
    space_gib: Annotated[float, Field(gt=0)]
    #: Extra of the project whose requirements belong to the environment; without it the project is not installed.
    project_extra: str | None = None
    #: What builds those packages of the lock that come as source, for example ``setuptools``; locked beside it.
    build_requirements: tuple[str, ...] = ()
    #: Top-level modules that packages of the lock bring by mistake and that are not theirs, for example ``tests``.
    unwanted_modules: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()


class Manifest(BaseModel, frozen=True, extra="ignore"):
    """What a finished environment says about itself, kept in ``swot-vre-kernel.json``."""

    #: Name of the environment.
    name: KernelName
    #: Its kernelspecs; empty for an environment built before one could have several.
    kernels: tuple[KernelName, ...] = ()
    #: Version of this build: the definition's, or the definition's and a serial number (``2026.11.1``).
    version: str
    title: str
    #: SHA-256 of everything that went in: see :mod:`swotvre_kernels.identity`.
    identity: str
    #: Full Python version, ``3.12.1``.
    python: str
    #: Interpreter that the environment stands on, an absolute real path.
    base_interpreter: str
    built_at: datetime
    verified_at: datetime
    #: Installed distributions and their versions.
    packages: dict[str, str]
    #: Size on disk of the environment in bytes (files shared with uv's cache by hard links included).
    size_bytes: int
    #: Wall time of each phase of the build in seconds.
    seconds: dict[str, float]
    #: SHA-256 of the list of installed files (see :mod:`swotvre_kernels.drift`); None for a kernel built before.
    installed_sha256: str | None = None

    @property
    def kernel_names(self) -> tuple[str, ...]:
        """The names of its kernelspecs."""
        return self.kernels or (self.name,)

    @classmethod
    def read(cls, environment: Path) -> Self | None:
        """Return the manifest of the folder ``environment``, or None where there is none that can be read."""
        try:
            return cls.model_validate_json((environment / MANIFEST_FILE).read_bytes())
        except (OSError, ValidationError):
            return None


def read_definition(folder: Path) -> EnvironmentDefinition:
    """Read the ``environment.toml`` in ``folder``.

    Raises:
        DefinitionError: the file is missing or wrong, or a file that it names is missing.
    """
    return _read(folder / DEFINITION_FILE, EnvironmentDefinition)


def read_guest(folder: Path) -> GuestDefinition:
    """Read the ``kernel.toml`` in ``folder``.

    Raises:
        DefinitionError: the file is missing or wrong, or a file that it names is missing.
    """
    return _read(folder / GUEST_FILE, GuestDefinition)


def _read[Definition: KernelDefinition](path: Path, model: type[Definition]) -> Definition:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"cannot read the kernel definition {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{path} is not TOML: {error}") from error
    try:
        definition = model.model_validate(content)
    except ValidationError as error:
        raise DefinitionError(_in_words(path, list(model.model_fields), error)) from error
    for name in (*definition.logos, *filter(None, [definition.smoke_notebook])):
        if not (path.parent / name).is_file():
            raise DefinitionError(f"{path} names {name!r}, but {path.parent} holds no such file")
    return definition


def _in_words(path: Path, known: list[str], error: ValidationError) -> str:
    lines = [f"{path} cannot be used:"]
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
            lines.append(f"  unknown key {key!r}; {advice}")
        elif fault["type"] == "missing":
            lines.append(f"  the key {key!r} is missing")
        else:
            received = f" received {fault['input']!r};" if key else ""
            lines.append(f"  {key or 'the whole'}:{received} {fault['msg']}")
    return "\n".join(lines)
