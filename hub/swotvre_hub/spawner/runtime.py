"""The runtime folder of a session: the sockets of its kernels, which no other account can reach."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "vre-"
#: Linux allows 107 bytes for the path of a socket; ``/kernel-<uuid>-ipc-<number>`` takes 52 of them.
LONGEST_FOLDER_BYTES = 55
#: Where the system's temporary folder has too long a name.
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - only its name is fixed: the folder in it is new, and ours


def make_runtime_folder(parent: Path | None = None) -> Path:
    """Make a folder that only this account can look into, below the system's temporary folder; return it.

    Args:
        parent: where, instead.

    Raises:
        OSError: when it cannot be made.
    """
    above = parent or Path(tempfile.gettempdir())
    if len(os.fsencode(above / f"{PREFIX}12345678")) > LONGEST_FOLDER_BYTES:
        above = SHORT_FOLDER
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))


def remove_runtime_folder(folder: Path) -> None:
    """Remove what ``make_runtime_folder`` made; nothing happens when it is gone."""
    if folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
