"""The kernelspecs of an environment: what Jupyter reads, and the script that it starts.

The script finds the environment from where it lies itself, so that a prefix may be moved, or be seen under another
mount point.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from swotvre_kernels.definitions import KernelSource

KERNELS = Path("share") / "jupyter" / "kernels"
#: Kernelspecs whose names hold the version, inside an environment; as deep as :data:`KERNELS`.
VERSIONED = Path("share") / "swot-vre" / "kernelspecs"
START_SCRIPT = "start.sh"

#: Four folders above the script is the environment: KERNELS is that deep.
_START = """\
#!/bin/sh
# Starts the kernel of the environment that this file lies in, wherever that is.
environment=$(cd -P -- "$(dirname -- "$0")/../../../.." && pwd -P) || exit 1
if ! [ -x "$environment/bin/python" ]; then
    echo "The kernel in $environment does not start: its Python is not on this machine." >&2
    exit 1
fi
PATH="$environment/bin:$PATH"
export PATH
exec "$environment/bin/python" -m ipykernel_launcher -f "$1"
"""


def write_kernelspecs(environment: Path, kernel: KernelSource, *, version: str, identity: str) -> None:
    """Write the kernelspec of ``kernel`` into ``environment``, under its name and under its name and version."""
    name, title = kernel.definition.name, kernel.definition.title
    named = kernelspec(environment.name, kernel, version=version, identity=identity)
    _write(environment / KERNELS / name, kernel, named)
    _write(environment / VERSIONED / f"{name}-{version}", kernel, {**named, "display_name": f"{title} {version}"})


def kernelspec(folder: str, kernel: KernelSource, *, version: str, identity: str) -> dict[str, Any]:
    """Return the content of ``kernel.json`` in the environment of this ``folder`` name.

    The running kernel knows by its environment variables what it is.
    """
    name = kernel.definition.name
    own = {"SWOTVRE_KERNEL": name, "SWOTVRE_KERNEL_VERSION": version, "SWOTVRE_KERNEL_IDENTITY": identity}
    # By way of the prefix and by name: Jupyter sees the kernelspec through a link, which the next version replaces, and
    # a kernel that is restarted then is to be what it was.
    script = f"{{resource_dir}}/../../../../../{folder}/{KERNELS.as_posix()}/{name}/{START_SCRIPT}"
    return {
        "argv": ["/bin/sh", script, "{connection_file}"],
        "display_name": kernel.definition.title,
        "language": "python",
        "env": {**own, **kernel.definition.variables},
        "metadata": {"debugger": True, "swot_vre": {"kernel": name, "version": version, "identity": identity}},
    }


def _write(target: Path, kernel: KernelSource, content: dict[str, Any]) -> None:
    target.mkdir(parents=True)
    for logo in kernel.definition.logos:
        shutil.copyfile(kernel.folder / logo, target / logo)
    (target / "kernel.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (target / START_SCRIPT).write_text(_START, encoding="utf-8")
