"""The kernelspec of an environment, and the switch to another one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from swotvre_kernels.errors import PrefixError
from swotvre_kernels.models import MANIFEST_FILE, EnvironmentDefinition, Manifest

KERNELS = Path("share") / "jupyter" / "kernels"
#: The definition that an environment was built from, inside it.
DEFINITION_COPY = Path("share") / "swot-vre" / "definition"


def environment_python(environment: Path) -> Path:
    """Return the interpreter of ``environment``."""
    return environment / "bin" / "python"


def kernelspec(
    environment: Path, definition: EnvironmentDefinition, *, version: str = "", identity: str = ""
) -> dict[str, Any]:
    """Return the content of ``kernel.json``.

    The interpreter is an absolute path: Jupyter replaces a bare ``python`` by the one of the server.
    """
    path = f"{environment / 'bin'}{os.pathsep}${{PATH}}"
    return {
        "argv": [str(environment_python(environment)), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": definition.title,
        "language": "python",
        "env": {"PATH": path, **own_variables(definition.name, version, identity), **definition.variables},
        "metadata": {"debugger": True, "swot_vre": {"version": version, "identity": identity}},
    }


def own_variables(name: str, version: str, identity: str) -> dict[str, str]:
    """Return the environment variables by which a running kernel knows what it is."""
    return {"SWOTVRE_KERNEL": name, "SWOTVRE_KERNEL_VERSION": version, "SWOTVRE_KERNEL_IDENTITY": identity}


def write_kernelspec(
    target: Path,
    environment: Path,
    folder: Path,
    definition: EnvironmentDefinition,
    *,
    version: str = "",
    identity: str = "",
) -> None:
    """Write the kernelspec of ``environment``, with the logos of ``folder``, as the folder ``target``."""
    target.mkdir(parents=True)
    for logo in definition.logos:
        shutil.copyfile(folder / logo, target / logo)
    content = kernelspec(environment, definition, version=version, identity=identity)
    (target / "kernel.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def active_environment(name: str, prefix: Path) -> Path | None:
    """Return the environment that new sessions start under ``name``, or None."""
    try:
        target = (prefix / KERNELS / name).readlink()
    except OSError:
        return None
    # .../<environment>/share/jupyter/kernels/<name>, written relative to the link.
    environment = Path(os.path.normpath(prefix / KERNELS / target)).parents[3]
    return environment if environment.parent == Path(os.path.normpath(prefix)) else None


def activate(environment: Path, name: str) -> None:
    """Let new sessions start ``environment`` under ``name``: one rename, so that Jupyter sees the old or the new.

    Raises:
        PrefixError: the kernelspec is no link of ours, or cannot be written.
    """
    prefix = environment.parent
    link = prefix / KERNELS / name
    fresh = prefix / f".{name}.switch"
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        # Relative, so that the link stays right when the prefix is seen under another mount point.
        fresh.symlink_to(Path("../../..") / environment.name / KERNELS / name)
        fresh.replace(link)
    except OSError as error:
        raise PrefixError(
            f"{environment.name} is built, but {link} cannot be switched to it: {error}; expected a link, or nothing"
        ) from error


def write_manifest(environment: Path, manifest: Manifest) -> None:
    """Write the manifest of ``environment`` in one step."""
    fresh = environment / f".{MANIFEST_FILE}"
    with fresh.open("w", encoding="utf-8") as sink:
        sink.write(manifest.model_dump_json(indent=1) + "\n")
        sink.flush()
        os.fsync(sink.fileno())
    fresh.replace(environment / MANIFEST_FILE)
