"""The hub's pages: which templates and logo JupyterHub takes, and what the templates may ask."""

from __future__ import annotations

import re
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup
from traitlets.config import Config

from swotvre_hub.session_view import view_session
from swotvre_hub.settings import Settings
from swotvre_hub.state import State

#: For the login page of an installation with one shared password.
SHARED_PASSWORD_HINT = "Choose any user name. The password was printed in the terminal when the hub started."  # noqa: S105 - says where


def configure_pages(c: Config, settings: Settings, state: State, login_hint: str = SHARED_PASSWORD_HINT) -> None:
    """Assign templates, their variables and the logo.

    Style sheet and scripts go into the pages: JupyterHub serves static files from its own folder only.

    Args:
        c: JupyterHub's configuration.
        settings: the site's settings.
        state: the state folder; pages keep nothing in it.
        login_hint: what the login page says on how to log in; empty: nothing.
    """
    package = Path(str(files("swotvre_hub")))
    c.JupyterHub.template_paths = [str(package / "templates")]
    c.JupyterHub.logo_file = str(package / "static" / "logo.svg")
    c.JupyterHub.template_vars = {
        "site_name": settings.site.name,
        "support": settings.site.support,
        "support_link": link_support(settings.site.support),
        "login_hint": login_hint,
        "stylesheet": _own(package / "static" / "pages.css"),
        "scripts": {name: _own(package / "static" / f"{name}.js") for name in ("home", "login", "pending")},
        # JupyterHub calls a callable with the user of the page; the template gets what it returns.
        "plain_message": lambda _user: plain_message,
        "view_session": partial(_view_for, settings),
    }


def plain_message(message: object) -> str:
    """Return what an error says without what JupyterHub puts before it: ``400 SpawnException(reason=...): text``."""
    return re.sub(r"^\d{3} \w+\(reason=[^)]*\): ", "", str(message or ""))


def link_support(support: str) -> str:
    """Return the target of a link for the site's support address; empty when it is neither web nor mail address."""
    if support.startswith(("https://", "http://")):
        return support
    return f"mailto:{support}" if "@" in support and not set(support) & set(" \t\n?&<>\"'") else ""


def _own(path: Path) -> Markup:
    """Return a file of this package as text that goes into a page as it is."""
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - no input of anybody


def _view_for(settings: Settings, _user: Any) -> Any:
    return partial(view_session, settings)
