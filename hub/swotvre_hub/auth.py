"""Who gets in: one password made for this installation, kept where only its owner reads."""

from __future__ import annotations

from typing import Any

from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from tornado.web import HTTPError
from traitlets.config import Config

from swotvre_hub.errors import UserNameError
from swotvre_hub.passwords import admin_password_file, read_password, user_password_file
from swotvre_hub.sessions import validate_user_name
from swotvre_hub.settings import Settings
from swotvre_hub.state import State


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
    """Let in who knows the password of this installation, or who has an account of this machine."""
    c.JupyterHub.cookie_secret_file = str(state.run / "cookie-secret")
    c.Authenticator.allow_all = True
    c.Authenticator.admin_users = set(settings.auth.admins)
    c.Authenticator.username_pattern = f"^(?:{settings.auth.user_name_pattern})$"
    if settings.auth.login == "pam":
        c.JupyterHub.authenticator_class = "pam"
        # Sessions are opened by the batch system, on their nodes.
        c.PAMAuthenticator.open_sessions = False
        return
    InstallationPasswordAuthenticator.vre_settings = settings
    authenticator = c.InstallationPasswordAuthenticator
    c.JupyterHub.authenticator_class = InstallationPasswordAuthenticator
    authenticator.user_password = read_password(user_password_file(state))
    if settings.auth.admins:
        authenticator.admin_password = read_password(admin_password_file(state))
