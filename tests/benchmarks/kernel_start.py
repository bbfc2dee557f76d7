"""How long a kernel takes to start, and its main packages to import, against plain ipykernel.

Every kernel of the state folder is started as a session starts it. The plain one is ipykernel of the development
environment, whose bytecode is compiled too. The kernels take turns; the fastest of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from swotvre_kernels.definitions import read_kernels
from swotvre_kernels.install import DEFINITION_COPY, active_environment
from swotvre_kernels.registry import list_kernels

PLAIN = "plain ipykernel"
START_SECONDS = 120


def measure(folders: list[Path], name: str, modules: tuple[str, ...]) -> tuple[float, float]:
    """Return the seconds until the kernel answers, and of one cell that imports ``modules``."""
    specs = KernelSpecManager(kernel_dirs=list(map(str, folders)), ensure_native_kernel=False)
    manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
    began = time.perf_counter()
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client: Any = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=START_SECONDS)
        started = time.perf_counter()
        code = "\n".join(f"import {module}" for module in modules) or "pass"
        answer = client.execute_interactive(code, timeout=START_SECONDS, output_hook=lambda message: None)
        done = time.perf_counter()
        if answer["content"]["status"] != "ok":
            raise SystemExit(f"{name}: {answer['content']['ename']}: {answer['content']['evalue']}")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    return started - began, done - started


def write_plain(folder: Path) -> None:
    """Write the kernelspec of ipykernel in the environment of this process."""
    spec = folder / "plain"
    spec.mkdir()
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": PLAIN, "language": "python"}))


def installed_kernels(prefix: Path) -> dict[str, tuple[str, ...]]:
    """Return the kernels that sessions are offered, each with its main imports."""
    found = {}
    for kernel in list_kernels(prefix):
        for source in read_kernels(kernel.path / DEFINITION_COPY) if kernel.manifest else ():
            if active_environment(source.definition.name, prefix) == kernel.path:
                found[source.definition.name] = source.definition.main_imports
    return found


def main() -> int:
    """Measure, and print one line for each kernel."""
    parser = argparse.ArgumentParser(description="Start of kernels and imports of their main packages.")
    parser.add_argument("--state", type=Path, default=Path(".vre"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    prefix = args.state.absolute() / "kernels"
    kernels = {"plain": (), **installed_kernels(prefix)}
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        write_plain(Path(name))
        folders = [Path(name), prefix / "share" / "jupyter" / "kernels"]
        for _ in range(args.rounds):
            for kernel, modules in kernels.items():
                found = measure(folders, kernel, modules)
                best[kernel] = min(found, best.get(kernel, found), key=sum)
    plain, _ = best.pop("plain")
    print(f"{'kernel':<18} {'start s':>8} {'ratio':>6} {'imports s':>10}  main imports")
    print(f"{PLAIN:<18} {plain:8.2f} {1:6.1f}")
    for kernel, (start, imports) in best.items():
        print(f"{kernel:<18} {start:8.2f} {start / plain:6.1f} {imports:10.2f}  {', '.join(kernels[kernel])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
