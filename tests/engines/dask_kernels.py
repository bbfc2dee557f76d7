"""Kernels that every account can run, with Dask and what it needs alone: copied from a built kernel in seconds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

from swotvre_kernels.install import KERNELS
from swotvre_kernels.models import MANIFEST_FILE

NAME = "swot-ocean"
#: The active version, an older one that is whole, one that is not, and one without Dask.
ACTIVE, OLDER, BROKEN, EMPTY = "2026.11", "2026.5", "2026.4", "2026.3"


def make_kernels(prefix: Path, source: Path, python: Path) -> Path:
    """Make kernels below ``prefix``; return it.

    Args:
        prefix: a folder that everybody can enter.
        source: interpreter of a built kernel.
        python: an interpreter that every account can run.
    """
    found = _packages(source, ("distributed", "dask-gateway", "bokeh", "ipykernel"))
    whole = prefix / f"{NAME}-{ACTIVE}"
    subprocess.run([str(python), "-m", "venv", "--without-pip", str(whole)], check=True)
    target = next((whole / "lib").glob("python3.*/site-packages"))
    for distribution in found.values():
        _copy(distribution, target)
    subprocess.run([str(whole / "bin" / "python"), "-m", "compileall", "-q", str(target)], check=False)
    versions = {name: distribution.version for name, distribution in found.items()}
    describe_kernel(whole, ACTIVE, versions)
    for version, packages in ((OLDER, versions), (EMPTY, {})):
        # Their programs are those of the active one, seen from another folder.
        other = prefix / f"{NAME}-{version}"
        other.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (other / name).symlink_to(whole / name)
        describe_kernel(other, version, packages)
    describe_kernel(prefix / f"{NAME}-{BROKEN}", BROKEN, versions)
    (prefix / f"{NAME}-{BROKEN}" / "pyvenv.cfg").touch()
    link_kernel(prefix)
    subprocess.run(["chmod", "-R", "a+rX", str(prefix)], check=True)
    return prefix


def _packages(source: Path, names: tuple[str, ...]) -> dict[str, Distribution]:
    """Return the distributions of ``names`` and all that they need, by their names."""
    site = next((source.parents[1] / "lib").glob("python3.*/site-packages"))
    there = {_plain(one.metadata["Name"]): one for one in distributions(path=[str(site)])}
    found: dict[str, Distribution] = {}
    wanted = list(names)
    while wanted:
        name = _plain(wanted.pop())
        if name in found or name not in there:
            continue
        found[name] = there[name]
        needs = [need for need in there[name].requires or () if "extra ==" not in need]
        wanted += [re.split(r"[\s<>=!~;\[(]", need, maxsplit=1)[0] for need in needs]
    return found


def _copy(distribution: Distribution, target: Path) -> None:
    for file in distribution.files or ():
        if ".." in file.parts or "tests" in file.parts or file.suffix == ".pyc":
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(distribution.locate_file(file), place)


def link_kernel(prefix: Path) -> None:
    """Make the active version the one that notebooks run."""
    (prefix / KERNELS).mkdir(parents=True)
    (prefix / KERNELS / NAME).symlink_to(Path("../../..") / f"{NAME}-{ACTIVE}" / KERNELS / NAME)


def describe_kernel(environment: Path, version: str, packages: dict[str, str]) -> None:
    """Write the kernelspec and the manifest of an environment."""
    spec = environment / KERNELS / NAME / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(environment / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": NAME, "env": {"OF_THE_KERNEL": version}}))
    now = datetime.now(UTC).isoformat()
    manifest = {
        "name": NAME,
        "version": version,
        "title": NAME,
        "identity": "0" * 64,
        "python": "3.12.1",
        "base_interpreter": "/usr/bin/python3",
        "built_at": now,
        "verified_at": now,
        "packages": packages,
        "size_bytes": 1,
        "seconds": {},
    }
    (environment / MANIFEST_FILE).write_text(json.dumps(manifest))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
