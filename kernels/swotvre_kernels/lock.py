"""The lock of an environment: versions and hashes, no address; made by uv, checked here."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from swotvre_kernels.errors import LockError
from swotvre_kernels.interpreter import find_uv
from swotvre_kernels.models import BUILD_LOCK_FILE, DEFINITION_FILE, LOCK_FILE, EnvironmentDefinition

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)
_HASH = re.compile(r"^--hash=sha256:(?P<sha256>[0-9a-f]{64})\s*\\?$")


class Pin(NamedTuple):
    """One line of a lock: a distribution, its version, where it applies, and the hashes of its files."""

    name: str
    version: str
    marker: str | None
    sha256: tuple[str, ...]


def parse_lock(text: str) -> list[Pin]:
    """Return the pins of a lock.

    Raises:
        LockError: a line is neither a pin, nor a hash, nor a comment (an address, for example), or a pin has no hash.
    """
    pins: list[Pin] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if pin := _PIN.match(line):
            pins.append(Pin(canonicalize_name(pin["name"]), pin["version"], pin["marker"], ()))
        elif pins and (found := _HASH.match(line)):
            pins[-1] = pins[-1]._replace(sha256=(*pins[-1].sha256, found["sha256"]))
        else:
            raise LockError(f"line {number} of the lock: expected 'name==version' or '--hash=sha256:...', got {line!r}")
    for pin_ in pins:
        if not pin_.sha256:
            raise LockError(f"the lock has no hash for {pin_.name}=={pin_.version}")
    return pins


def read_lock(folder: Path) -> list[Pin]:
    """Return the pins of the lock in the folder of an environment.

    Raises:
        LockError: no lock, or one that cannot be used.
    """
    path = folder / LOCK_FILE
    try:
        return parse_lock(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(
            f"cannot read the lock {path}: {error}. Make it: swot-vre kernels lock {folder.name}"
        ) from error
    except LockError as error:
        raise LockError(f"{path}: {error}. Make it anew: swot-vre kernels lock {folder.name}") from error


def unsatisfied(requirements: tuple[str, ...], pins: list[Pin]) -> list[str]:
    """Return, in words, the requirements that ``pins`` do not satisfy on this machine."""
    versions = {pin.name: pin.version for pin in pins if pin.marker is None or Marker(pin.marker).evaluate()}
    faults = []
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            faults.append(f"{line!r} is not a requirement: {error}")
            continue
        if requirement.marker and not requirement.marker.evaluate():
            continue
        version = versions.get(canonicalize_name(requirement.name))
        if version is None:
            faults.append(f"{line!r} is asked for, but the lock does not hold it")
        elif not requirement.specifier.contains(version, prereleases=True):
            faults.append(f"{line!r} is asked for, but the lock holds {requirement.name} {version}")
    return faults


def check_lock(folder: Path, requirements: tuple[str, ...]) -> list[Pin]:
    """Return the pins of the lock in ``folder`` once they satisfy ``requirements``.

    Raises:
        LockError: a requirement is not satisfied; the message lists all such.
    """
    pins = read_lock(folder)
    faults = unsatisfied(requirements, pins)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise LockError(
            f"the lock {folder / LOCK_FILE} does not fit {DEFINITION_FILE} and the project:\n{listed}\n"
            f"Make it anew: swot-vre kernels lock {folder.name}"
        )
    return pins


def write_lock(
    folder: Path, definition: EnvironmentDefinition, requirements: tuple[str, ...], *, upgrade: bool = False
) -> list[Pin]:
    """Resolve ``requirements`` with uv and write the universal, hashed lock of ``folder``; return its pins.

    Beside it, the lock of what builds packages that come as source. Versions of the present lock are kept where they
    still fit, unless ``upgrade``.

    Raises:
        LockError: the requirements cannot be resolved, or the lock cannot be written.
    """
    if definition.build_requirements:
        _write_one(folder / BUILD_LOCK_FILE, definition, definition.build_requirements, upgrade)
        # What a package needs is asked of the package, which is built for it.
        options = ("--build-constraints", str((folder / BUILD_LOCK_FILE).absolute()))
        return _write_one(folder / LOCK_FILE, definition, requirements, upgrade, *options)
    (folder / BUILD_LOCK_FILE).unlink(missing_ok=True)
    return _write_one(folder / LOCK_FILE, definition, requirements, upgrade)


def _write_one(
    path: Path, definition: EnvironmentDefinition, requirements: tuple[str, ...], upgrade: bool, *options: str
) -> list[Pin]:
    with tempfile.TemporaryDirectory() as scratch:
        # Relative names, so that the comments of the lock name no folder of this machine.
        asked, lock = Path(scratch) / f"{definition.name}.in", Path(scratch) / path.name
        asked.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        if path.is_file() and not upgrade:
            lock.write_bytes(path.read_bytes())
        command = [find_uv(), "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
        command += ["--python-version", definition.python, "--no-emit-index-url", "--no-emit-find-links"]
        command += ["--custom-compile-command", f"swot-vre kernels lock {definition.name}", asked.name, "-o", lock.name]
        command += options
        answer = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise LockError(f"uv cannot resolve the requirements of {definition.name}:\n{answer.stderr.strip()}")
        text = lock.read_text(encoding="utf-8")
    pins = parse_lock(text)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LockError(f"cannot write the lock {path}: {error}") from error
    return pins
