"""The passwords of an installation: made once, kept where only its owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from swotvre_hub.state import State

#: Bytes of randomness: 12 give the 16 characters that a person can still type.
USER_PASSWORD_BYTES = 12
#: JupyterHub wants at least 32 characters of an admin password.
ADMIN_PASSWORD_BYTES = 24


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


def proxy_token_file(state: State) -> Path:
    """Return the file that holds what hub and proxy know each other by."""
    return state.run / "proxy-token"


def read_proxy_token(state: State) -> str:
    """Return the secret of a proxy that runs on its own; it is made at the first call."""
    path = proxy_token_file(state)
    _ensure_secret(path, ADMIN_PASSWORD_BYTES)
    return read_password(path)


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
