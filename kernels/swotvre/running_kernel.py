"""The kernel that runs this code: workers have to run the same."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from swotvre.errors import KernelMismatchError

#: Written into each environment by its build.
_MANIFEST = "swot-vre-kernel.json"


class RunningKernel(NamedTuple):
    """Name and version of a kernel of the site, ``swot-ocean`` and ``2026.11``."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def find_running_kernel(environ: Mapping[str, str] = os.environ, prefix: str = sys.prefix) -> RunningKernel | None:
    """Return the kernel that this process is: by the kernelspec, in a terminal by its environment; None: not known.

    Args:
        environ: holds ``SWOTVRE_KERNEL`` and ``SWOTVRE_KERNEL_VERSION`` in a notebook.
        prefix: folder of the Python environment.
    """
    name, version = environ.get("SWOTVRE_KERNEL", ""), environ.get("SWOTVRE_KERNEL_VERSION", "")
    if name and version:
        return RunningKernel(name, version)
    try:
        manifest = json.loads((Path(prefix) / _MANIFEST).read_bytes())
        return RunningKernel(str(manifest["name"]), str(manifest["version"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def kernel_options(asked: str | None, running: RunningKernel | None) -> dict[str, str]:
    """Return the options ``kernel`` and ``kernel_version`` of a cluster whose workers understand this notebook.

    Args:
        asked: name of the kernel that the user named, None for the running one.
        running: the kernel that runs this code, if known.

    Raises:
        KernelMismatchError: when the user asks for workers of another kernel than the running one.
    """
    if running is None:
        return {} if asked is None else {"kernel": asked}
    if asked is not None and asked != running.name:
        raise KernelMismatchError(
            f"workers of the kernel {asked!r} were asked for, and this notebook runs {running}: what a notebook sends "
            f"to its workers has to be read there by the same packages. Choose the kernel {asked!r} for the notebook, "
            "or leave out 'kernel'"
        )
    return {"kernel": running.name, "kernel_version": running.version}
