"""Services that the hub starts: what they have in common, and the one that ends idle sessions."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

from traitlets.config import Config

from swotvre_hub.settings import Settings
from swotvre_hub.state import STATE_VARIABLE, State

IDLE_SERVICE_NAME = "idle-sessions"

#: prctl(2): the signal that the kernel sends to this process when its parent ends.
PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have this process end (SIGTERM) when its parent does, in whichever way.

    A hub that is killed stops none of its services; the next hub starts them anew, with other tokens.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the kernel was told
        os.kill(os.getpid(), signal.SIGTERM)


def configure_idle(c: Config, settings: Settings, state: State) -> None:
    """Have the hub go by what sessions report, not by open browsers."""
    if settings.idle.enabled:
        c.JupyterHub.proxy_class = "swotvre_hub.idle_proxy.UnwatchedProxy"


def idle_service(settings: Settings, state: State) -> dict[str, Any]:
    """Return the entry of ``JupyterHub.services`` that ends idle sessions."""
    idle = settings.idle
    return {
        "name": IDLE_SERVICE_NAME,
        "command": [
            *(sys.executable, "-m", "swotvre_hub.idle_culler"),
            f"--timeout={math.ceil(idle.timeout_minutes * 60)}",
            f"--cull-every={idle.check_every_seconds}",
            *_tls_arguments(settings, state),
        ],
        "environment": {STATE_VARIABLE: str(state.root), "SWOTVRE_LOCAL_ADDRESS": settings.hub.local_origin},
        "display": False,
    }


def _tls_arguments(settings: Settings, state: State) -> list[str]:
    """Return how the culler reaches a hub that wants to know whom it talks to."""
    if not settings.uses_tls:
        return []
    return ["--ssl-enabled=True", f"--internal-certs-location={certificates_folder(settings, state)}"]


def certificates_folder(settings: Settings, state: State) -> Path:
    """Return where JupyterHub keeps its authorities: one folder per address, whose certificates name it."""
    return state.run / "tls" / settings.batch.hub_address


def idle_roles(settings: Settings, state: State) -> list[dict[str, Any]]:
    """Return the role of the idle service: see who runs what, ask the session, end it."""
    return [
        {
            "name": IDLE_SERVICE_NAME,
            "services": [IDLE_SERVICE_NAME],
            "scopes": ["list:users", "read:users:activity", "read:servers", "access:servers", "delete:servers"],
        }
    ]
