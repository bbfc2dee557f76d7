"""Who gets in: one password made for this installation, kept where only its owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from jupyterhub.auth import SharedPasswordAuthenticator
from tornado.web import HTTPError
from traitlets.config import Config

from swotvre_hub.errors import UserNameError
from swotvre_hub.sessions import validate_user_name
from swotvre_hub.settings import Settings
from swotvre_hub.state import State

#: Bytes of randomness: 12 give the 16 characters that a person can still type.
USER_PASSWORD_BYTES = 12
#: JupyterHub wants at least 32 characters of an admin password.
ADMIN_PASSWORD_BYTES = 24


class InstallationPasswordAuthenticator(SharedPasswordAuthenticator):
    """Log in with any user name of the right form and this installation's password."""

    vre_settings: Settings | None = None

    async def authenticate(self, handler: Any, data: dict[str, str]) -> Any:
        """Check the password first, so that only who knows it is told what is wrong with the name."""
        authenticated = await super().authenticate(handler, data)
        if authenticated and self.vre_settings:
            try:
                validate_user_name(self.normalize_username(data["username"]), self.vre_settings)
            except UserNameError as error:
                raise HTTPError(400, f"{error}") from error
        return authenticated


def configure_auth(c: Config, settings: Settings, state: State) -> None:
    """Let in who knows the password of this installation."""
    InstallationPasswordAuthenticator.vre_settings = settings
    authenticator = c.InstallationPasswordAuthenticator
    c.JupyterHub.authenticator_class = InstallationPasswordAuthenticator
    c.JupyterHub.cookie_secret_file = str(state.run / "cookie-secret")
    c.Authenticator.allow_all = True
    c.Authenticator.admin_users = set(settings.auth.admins)
    c.Authenticator.username_pattern = f"^(?:{settings.auth.user_name_pattern})$"
    authenticator.user_password = read_password(user_password_file(state))
    if settings.auth.admins:
        authenticator.admin_password = read_password(admin_password_file(state))


def user_password_file(state: State) -> Path:
    """Return the file that holds the users' password."""
    return state.run / "password"


def admin_password_file(state: State) -> Path:
    """Return the file that holds the admins' password."""
    return state.run / "admin-password"


def ensure_passwords(state: State) -> None:
    """Make both passwords unless they are there."""
    _ensure_secret(user_password_file(state), USER_PASSWORD_BYTES)
    _ensure_secret(admin_password_file(state), ADMIN_PASSWORD_BYTES)


def read_password(path: Path) -> str:
    """Return the password that ``path`` holds."""
    return path.read_text(encoding="ascii").strip()


def _ensure_secret(path: Path, size: int) -> None:
    if path.exists() and path.read_text(encoding="ascii").strip():
        return
    # Written beside and renamed: an interrupted start leaves no empty password behind.
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(size) + "\n")
    partial.rename(path)
