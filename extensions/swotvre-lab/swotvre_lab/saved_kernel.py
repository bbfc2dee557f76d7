"""Every notebook that is saved says which kernel ran it: ``metadata.swot_vre`` with name, version and identity.

The kernelspec in a notebook names a kernel, not its version, and the site may have switched to another one since.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Key of the notebook's metadata, and of the kernelspec's.
KEY = "swot_vre"


def record_kernels(web_app: Any) -> None:
    """Record, from now on, the kernel of each notebook that this server saves.

    Args:
        web_app: the server's ``ServerWebApplication``.
    """
    settings: dict[str, Any] = web_app.settings
    kernels, sessions = settings["kernel_manager"], settings["session_manager"]

    def record(model: dict[str, Any], path: str, contents_manager: Any, **kwargs: Any) -> None:
        if model.get("type") != "notebook" or not isinstance(model.get("content"), dict):
            return
        metadata = model["content"].setdefault("metadata", {})
        spec = _kernelspec(kernels, sessions, path.strip("/"))
        # The browser's copy of the notebook does not know what was written at an earlier save.
        found = _earlier(contents_manager, path) if spec is None else spec.metadata.get(KEY)
        if found:
            metadata[KEY] = found
        elif spec is not None:
            metadata.pop(KEY, None)

    settings["contents_manager"].register_pre_save_hook(record)


def _kernelspec(kernels: Any, sessions: Any, path: str) -> Any:
    """Return the kernelspec that the notebook's kernel was started from, or None while it has none."""
    row = sessions.cursor.execute("SELECT kernel_id FROM session WHERE path=?", (path,)).fetchone()
    if row is None or row["kernel_id"] not in kernels:
        return None
    return kernels.get_kernel(row["kernel_id"]).kernel_spec


def _earlier(contents_manager: Any, path: str) -> Any:
    """Return what the file says that is about to be written over."""
    try:
        content = json.loads(Path(contents_manager._get_os_path(path)).read_bytes())
        return content["metadata"].get(KEY)
    except (AttributeError, LookupError, OSError, TypeError, ValueError):
        return None
