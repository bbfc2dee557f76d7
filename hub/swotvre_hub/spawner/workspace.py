"""A user's workspace: the folder that is the home of a session, made ready before each start."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from swotvre_hub.errors import VreError
from swotvre_hub.spawner.tutorials import find_tutorials, refresh_tutorials

log = logging.getLogger(__name__)

#: A session that cannot write this much cannot save a notebook.
NEEDED_BYTES = 2**20
FOLDERS = (".config/jupyter", ".local/share/jupyter/runtime", ".cache")


class WorkspaceError(VreError):
    """The folder of a user's files cannot be used."""


def prepare_workspace(folder: Path) -> None:
    """Make the workspace where it is missing, try to write into it, and refresh the tutorials in it if possible.

    Raises:
        WorkspaceError: when it cannot be used: not writable, no space left.
    """
    try:
        _ensure_private_folder(folder)
        for name in FOLDERS:
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * NEEDED_BYTES)
            probe.flush()
    except OSError as error:
        raise WorkspaceError(
            f"the folder of your files cannot be used: {error.strerror or error} ({error.filename or folder}). "
            f"Expected a folder that can be written to, with at least 1 MiB free. "
            f"Free some space, or tell who runs this site."
        ) from error
    if source := find_tutorials():
        try:
            refresh_tutorials(source, folder / "tutorials")
        except OSError as error:
            # The folder is the user's: what stands there instead may be meant, and a session works without tutorials.
            log.warning("The tutorials in %s are left as they are: %s", folder, error)


def _ensure_private_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
