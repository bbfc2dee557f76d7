"""Run the smoke notebook of an environment in a process of its own: ``python -m swotvre_kernels.smoke``.

A process of its own because nbclient takes over the signals and the event loop of the one it runs in. It prints one
JSON line per cell that passed (``{"done": 0.25}``) and, when the notebook failed, ``{"fault": "..."}``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from swotvre_kernels.commands import clean_environment
from swotvre_kernels.kernelspec import KERNELS

#: Longest time of one cell, in seconds.
CELL_SECONDS = 300


def run_smoke(environment: Path, kernel: str, notebook_file: Path, executed: Path) -> str | None:
    """Run a smoke notebook with a kernel of ``environment``, as Jupyter starts it.

    Returns:
        What failed, in words, or None. The notebook with its outputs is then written to ``executed``.
    """
    notebook: Any = nbformat.read(notebook_file, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as scratch:
        client = _client(notebook, environment, kernel, Path(scratch))
        private = {"IPYTHONDIR": f"{scratch}/ipython", "JUPYTER_RUNTIME_DIR": f"{scratch}/runtime"}
        try:
            client.execute(env=clean_environment(private), cwd=scratch, cleanup_kc=True)
        except CellExecutionError as error:
            fault = f"{error.ename}: {error.evalue}"
        except Exception as error:  # a kernel that dies or hangs shows in many ways; each is a fault
            fault = f"{type(error).__name__}: {error}"
        else:
            return None
    nbformat.write(notebook, executed)  # type: ignore[no-untyped-call]
    return f"{fault} (with its outputs: {executed})"


def _client(notebook: Any, environment: Path, kernel: str, scratch: Path) -> NotebookClient:
    specs = KernelSpecManager(kernel_dirs=[str(environment / KERNELS)], ensure_native_kernel=False)
    manager = AsyncKernelManager(
        kernel_name=kernel, kernel_spec_manager=specs, connection_file=str(scratch / "connection.json")
    )
    client = NotebookClient(notebook, km=manager, timeout=CELL_SECONDS, startup_timeout=120)
    count = max(1, len(notebook.cells))
    client.on_cell_executed = lambda cell, cell_index, execute_reply: _say(done=(cell_index + 1) / count)
    return client


def _say(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    found = run_smoke(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    if found:
        _say(fault=found)
    sys.exit(1 if found else 0)
