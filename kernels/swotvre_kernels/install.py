"""What new sessions start: links from the folder that Jupyter reads into the environments, and the switch of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from swotvre_kernels.errors import PrefixError
from swotvre_kernels.kernelspec import KERNELS, VERSIONED
from swotvre_kernels.models import MANIFEST_FILE, Manifest
from swotvre_kernels.prefix import marker_of

#: The definition that an environment was built from, inside it.
DEFINITION_COPY = Path("share") / "swot-vre" / "definition"


def environment_python(environment: Path) -> Path:
    """Return the interpreter of ``environment``."""
    return environment / "bin" / "python"


def active_environment(name: str, prefix: Path) -> Path | None:
    """Return the environment that new sessions start under the kernel ``name``, or None."""
    try:
        target = (prefix / KERNELS / name).readlink()
    except OSError:
        return None
    # .../<environment>/share/jupyter/kernels/<name>, written relative to the link.
    environment = Path(os.path.normpath(prefix / KERNELS / target)).parents[3]
    return environment if environment.parent == Path(os.path.normpath(prefix)) else None


def active_kernels(environment: Path, manifest: Manifest) -> list[str]:
    """Return the kernels of ``environment`` that new sessions start from it."""
    return [name for name in manifest.kernel_names if active_environment(name, environment.parent) == environment]


def activate(environment: Path, names: Iterable[str]) -> None:
    """Let new sessions start ``environment`` under ``names``: one rename each, so that Jupyter sees the old or the new.

    Raises:
        PrefixError: a kernelspec is no link of ours, or cannot be written.
    """
    for name in names:
        _link(environment.parent / KERNELS / name, environment, KERNELS / name)
    link_versions(environment.parent)


def link_versions(prefix: Path) -> None:
    """Offer each whole version that is not the active one under its name and version; drop links that lead nowhere.

    The caller holds the lock of the prefix. A link to what is active again stays: notebooks may name it.

    Raises:
        PrefixError: a link cannot be written.
    """
    for environment in sorted(path.parent for path in prefix.glob(f"*/{MANIFEST_FILE}")):
        manifest = Manifest.read(environment)
        if manifest is None or marker_of(environment).exists():
            continue
        active = active_kernels(environment, manifest)
        for name in manifest.kernel_names:
            versioned = VERSIONED / f"{name}-{manifest.version}"
            if name not in active and (environment / versioned).is_dir():
                _link(prefix / KERNELS / versioned.name, environment, versioned)
    unlink_lost(prefix)


def unlink_lost(prefix: Path) -> None:
    """Remove the links of kernels whose environment is gone."""
    for link in (prefix / KERNELS).glob("*"):
        if link.is_symlink() and not link.exists():
            link.unlink()


def write_manifest(environment: Path, manifest: Manifest) -> None:
    """Write the manifest of ``environment`` in one step."""
    fresh = environment / f".{MANIFEST_FILE}"
    with fresh.open("w", encoding="utf-8") as sink:
        sink.write(manifest.model_dump_json(indent=1) + "\n")
        sink.flush()
        os.fsync(sink.fileno())
    fresh.replace(environment / MANIFEST_FILE)


def _link(link: Path, environment: Path, inside: Path) -> None:
    # Relative, so that the link stays right when the prefix is moved, or seen under another mount point.
    target = Path("../../..") / environment.name / inside
    fresh = environment.parent / f".{link.name}.switch"
    try:
        if link.is_symlink() and link.readlink() == target:
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise PrefixError(
            f"{environment.name} is built, but {link} cannot be switched to it: {error}; expected a link, or nothing"
        ) from error
