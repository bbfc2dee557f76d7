"""Who asks for the end of a session: JupyterHub does not pass it on to the spawner, and the user wants to read it."""

from __future__ import annotations

from functools import wraps
from typing import Any

from jupyterhub.apihandlers.users import UserServerAPIHandler
from tornado.web import HTTPError


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
            await stock(self, user_name, server_name)
        except HTTPError:
            # Refused: who asked may not do it.
            if spawner is not None and hasattr(spawner, "stop_requested_by"):
                spawner.stop_requested_by = ""
            raise

    delete.notes_stop_requests = True  # type: ignore[attr-defined]
    UserServerAPIHandler.delete = delete
