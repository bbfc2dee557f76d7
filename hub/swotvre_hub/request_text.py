"""Form fields and addresses whose bytes are no text: refused in words."""

from __future__ import annotations

from functools import wraps
from typing import Any

from jupyterhub.handlers.pages import SpawnHandler
from tornado.web import HTTPError


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
