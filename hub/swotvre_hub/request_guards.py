"""Requests that JupyterHub answers with a server error although the user can mend them: refused in words."""

from __future__ import annotations

from functools import wraps
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.pages import SpawnHandler
from tornado.web import HTTPError


def guard_requests() -> None:
    """Put all guards of this module in place; a second call changes nothing."""
    refuse_undecodable_fields()
    refuse_second_starts()


def refuse_undecodable_fields() -> None:
    """Have the launch page answer 400 to fields that are not UTF-8.

    JupyterHub decodes them before any hook of a spawner runs, and answers 500 when it cannot.
    """
    stock = SpawnHandler.prepare
    if getattr(stock, "refuses_undecodable_fields", False):
        return

    @wraps(stock)
    async def prepare(self: Any) -> None:
        await stock(self)
        for name, values in self.request.arguments.items():
            for value in values:
                try:
                    value.decode("utf-8")
                except UnicodeDecodeError as error:
                    shown = ascii(value[:40])
                    raise HTTPError(400, f"received {shown} as {name!r}; expected text in UTF-8") from error

    prepare.refuses_undecodable_fields = True  # type: ignore[attr-defined]
    SpawnHandler.prepare = prepare


def refuse_second_starts() -> None:
    """Have a start that comes at the same moment as another one of the same session be answered 400.

    JupyterHub looks whether one is pending before it gives way to others, and takes the second for its own mistake:
    a `RuntimeError`, raised after it has asked the authenticator once more. A look of our own beforehand does not
    help, because that question gives way as well.
    """
    stock = BaseHandler.spawn_single_user
    if getattr(stock, "refuses_second_starts", False):
        return

    @wraps(stock)
    async def spawn_single_user(self: Any, user: Any, server_name: str = "", *args: Any, **options: Any) -> Any:
        try:
            return await stock(self, user, server_name, *args, **options)
        except RuntimeError as error:
            name = f"{user.name}:{server_name}" if server_name else user.name
            if not str(error).startswith(f"{name} pending "):
                raise
            raise HTTPError(400, str(error).replace(" pending ", " is pending ", 1)) from error

    spawn_single_user.refuses_second_starts = True  # type: ignore[attr-defined]
    BaseHandler.spawn_single_user = spawn_single_user
