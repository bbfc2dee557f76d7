"""The hub's pages: which templates and logo JupyterHub takes, and what the templates may ask."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markupsafe import Markup
from traitlets.config import Config

from swotvre_hub.gateway import service_prefix
from swotvre_hub.session_view import view_session, view_sessions
from swotvre_hub.settings import Settings
from swotvre_hub.state import State

#: For the login page: of an installation with the accounts of its machine, and of one with one shared password.
ACCOUNT_HINT = "Use your account of this machine."
SHARED_PASSWORD_HINT = "Choose any user name. The password was printed in the terminal when the hub started."  # noqa: S105 - says where
#: Names of a session that JupyterHub takes, without those that hide pages of the default session at the same address.
TAKEN_NAMES = (
    *("api", "doc", "edit", "files", "hub", "lab", "login", "logout", "metrics", "nbconvert", "notebooks"),
    *("proxy", "static", "terminals", "tree", "view"),
)
NAME_PATTERN = f"(?!(?:{'|'.join(TAKEN_NAMES)})$)[a-z][a-z0-9]*(-[a-z0-9]+)*"
NAME_RULE = "1 to 30 lower-case letters, digits and single hyphens, a letter first: cycle-12, river-gauges"

#: What JupyterHub says of names and numbers of sessions, and how it is told here.
OTHER_WORDS = (
    (
        re.compile(r"(?:Starting invalid|Invalid) (?:server_name|display_name):? (?P<name>'.*'|\".*\").*"),
        f"A session cannot be called {{name}}. A name has {NAME_RULE}.",
    ),
    (
        re.compile(r"User \S+ already has the maximum of (?P<number>\d+) named servers\..*"),
        "You have as many sessions as one user may have here: the default one and {number} with a name. "
        "Remove one on the home page to start another.",
    ),
    (
        re.compile(r"\S+ has no such server (?P<name>.*)"),
        "The session {name} is not there any more: it has ended, was cancelled or was removed.",
    ),
    (re.compile(r"Named servers are not enabled\."), "One user has one session here; another one cannot be named."),
)
#: How a failed start shows the end of a session's log.
LOG_IN_MESSAGE = re.compile(
    r"(?P<sentence>.*?)\s*It said(?:: (?P<lines>.*)| nothing\.?) \(log: (?P<file>[^()]*)\)\.?", re.DOTALL
)


@dataclass(frozen=True)
class Told:
    """What an error says, with the lines of a log in it apart."""

    sentence: str
    #: The last lines of the session's log, one per line; empty: none.
    log: str = ""
    #: Where the whole log is.
    log_file: str = ""


def configure_pages(c: Config, settings: Settings, state: State) -> None:
    """Assign templates, their variables and the logo.

    Style sheet and scripts go into the pages: JupyterHub serves static files from its own folder only.

    Args:
        c: JupyterHub's configuration.
        settings: the site's settings.
        state: the state folder; pages keep nothing in it.
    """
    package = Path(str(files("swotvre_hub")))
    c.JupyterHub.template_paths = [str(package / "templates")]
    c.JupyterHub.logo_file = str(package / "static" / "logo.svg")
    c.JupyterHub.template_vars = {
        "site_name": settings.site.name,
        "support": settings.site.support,
        "support_link": link_support(settings.site.support),
        "clusters_url": f"{service_prefix(settings)}/clusters" if settings.has_gateway else "",
        "login_hint": SHARED_PASSWORD_HINT if settings.auth.login == "shared-password" else ACCOUNT_HINT,
        "stylesheet": _own(package / "static" / "pages.css"),
        "scripts": {name: _own(package / "static" / f"{name}.js") for name in ("home", "login", "pending")},
        # JupyterHub calls a callable with the user of the page; the template gets what it returns.
        "plain_message": lambda _user: plain_message,
        "tell": lambda _user: tell,
        "session_name_in": lambda _user: session_name_in,
        "name_pattern": NAME_PATTERN,
        "name_rule": NAME_RULE,
        "view_session": lambda _user: partial(view_session, settings),
        "view_sessions": lambda _user: partial(view_sessions, settings),
    }


def plain_message(message: object) -> str:
    """Return what an error says, in words for users.

    JupyterHub puts ``400 SpawnException(reason=...):`` before some, and speaks of servers where these pages do not.
    """
    plain = re.sub(r"^\d{3} \w+\(reason=[^)]*\): ", "", str(message or ""))
    for pattern, words in OTHER_WORDS:
        if found := pattern.fullmatch(plain.strip()):
            return words.format(**found.groupdict())
    return plain


def tell(message: object) -> Told:
    """Return what an error says, with the lines of a log in it apart."""
    plain = plain_message(message)
    if found := LOG_IN_MESSAGE.fullmatch(plain):
        lines = found["lines"]
        return Told(found["sentence"], lines.replace(" / ", "\n"), found["file"]) if lines else Told(found["sentence"])
    return Told(plain)


def session_name_in(url: object) -> str:
    """Return the name of the session in the address of its launch page; empty: the default one, or another page."""
    found = re.search(r"/spawn/[^/]+/([^/]+)/?$", urlsplit(str(url or "")).path)
    return unquote(found[1]) if found else ""


def link_support(support: str) -> str:
    """Return the target of a link for the site's support address; empty when it is neither web nor mail address."""
    if support.startswith(("https://", "http://")):
        return support
    return f"mailto:{support}" if "@" in support and not set(support) & set(" \t\n?&<>\"'") else ""


def _own(path: Path) -> Markup:
    """Return a file of this package as text that goes into a page as it is."""
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - no input of anybody
