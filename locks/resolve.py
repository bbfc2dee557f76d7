"""Resolve every requirement lock of this folder anew: ``make locks``.

A lock records versions and hashes for every platform, and no download address.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
#: Lock -> what is locked, as arguments of ``uv pip compile``.
LOCKS = {
    "bootstrap": ["bootstrap.in"],
    "build": ["build.in"],
    "node": ["node.in"],
    "hub": ["--extra", "hub", "../pyproject.toml"],
    "lab": ["--extra", "lab", "../pyproject.toml"],
    "dev": [
        *("--extra", "hub", "--extra", "lab"),
        *(f"--group=../pyproject.toml:{group}" for group in ("test", "lint", "docs")),
        "../pyproject.toml",
    ],
    "kernel-test": ["kernel-test.in"],
}


def main() -> int:
    """Write every lock; return the first exit code that is not 0."""
    environment = {**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make locks"}
    for name, source in LOCKS.items():
        # uv stands beside the interpreter of the environment that runs this.
        command = [str(Path(sys.executable).parent / "uv"), "pip", "compile", "--quiet", "--python-version", "3.12"]
        command += ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
        command += ["--output-file", f"{name}.txt", *sys.argv[1:], *source]
        code = subprocess.run(command, cwd=FOLDER, env=environment, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
