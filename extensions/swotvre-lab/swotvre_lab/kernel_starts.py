"""Be told of every kernel that this server starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: The schema of the events with which Jupyter Server tells that a kernel was started.
KERNEL_ACTIONS = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"


def call_at_kernel_start(settings: dict[str, Any], watch: Callable[[str], None]) -> None:
    """Call ``watch`` with the id of each kernel that is started from now on.

    Args:
        settings: those of the server's ``ServerWebApplication``.
        watch: what wants to know.
    """
    kernels = settings["kernel_manager"]

    async def see(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        if data.get("action") == "start" and data.get("kernel_id") in kernels:
            watch(data["kernel_id"])

    settings["event_logger"].add_listener(schema_id=KERNEL_ACTIONS, listener=see)
