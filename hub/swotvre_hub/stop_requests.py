"""Who asks for the end of a session: JupyterHub does not pass it on to the spawner, and the user wants to read it."""

from __future__ import annotations

import asyncio
import time
from functools import wraps
from typing import Any

from jupyterhub.apihandlers.users import UserServerAPIHandler
from tornado.web import HTTPError

#: A start that is being interrupted has ended by then; JupyterHub itself waits for a second.
INTERRUPTION_SECONDS = 20.0


async def _once_it_may(stock: Any, handler: Any, user_name: str, server_name: str, spawner: Any) -> None:
    """Run JupyterHub's handler; again when the start that it interrupted took longer to end than it waits."""
    deadline = time.monotonic() + INTERRUPTION_SECONDS
    while True:
        try:
            await stock(handler, user_name, server_name)
        except RuntimeError:
            if spawner is None or time.monotonic() > deadline:
                raise
            if spawner.pending == "stop":
                handler.set_status(202)
                return
            await asyncio.sleep(0.2)
        else:
            return


def note_stop_requests() -> None:
    """Have a session remember who ends it through a page or the API."""
    stock = UserServerAPIHandler.delete
    if getattr(stock, "notes_stop_requests", False):
        return

    @wraps(stock)
    async def delete(self: Any, user_name: str, server_name: str = "") -> None:
        user = self.find_user(user_name)
        spawner = user.spawners.get(server_name or "") if user is not None else None
        if spawner is not None and spawner.active and hasattr(spawner, "stop_requested_by"):
            spawner.stop_requested_by = getattr(self.current_user, "name", "")
        try:
            await _once_it_may(stock, self, user_name, server_name, spawner)
        except HTTPError:
            # Refused: who asked may not do it.
            if spawner is not None and hasattr(spawner, "stop_requested_by"):
                spawner.stop_requested_by = ""
            raise

    delete.notes_stop_requests = True  # type: ignore[attr-defined]
    UserServerAPIHandler.delete = delete
