"""Dask Gateway as the hub sees it: a service that the hub starts, who may use it, and what a session must know."""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path
from typing import Any

from jupyterhub.roles import get_default_roles

from swotvre_hub.errors import SetupError
from swotvre_hub.ports import LOOPBACK, free_ports, is_free, recorded_ports
from swotvre_hub.settings import Settings
from swotvre_hub.state import STATE_VARIABLE, State

SERVICE_NAME = "dask-gateway"
#: Lets a token in: that of a user and that of a session.
ACCESS_SCOPE = f"access:services!service={SERVICE_NAME}"
#: A gateway that ends stops its clusters first: its port is worth waiting for, for the sessions that know it.
PORT_PATIENCE_SECONDS = 5.0


def gateway_service(settings: Settings, state: State) -> dict[str, Any]:
    """Return the gateway's entry of ``JupyterHub.services``, and reserve its port.

    Raises:
        SetupError: when the state folder cannot keep the port.
    """
    return {
        "name": SERVICE_NAME,
        # On a batch site the hub leads to the pages alone: nodes and sessions reach the gateway itself.
        "url": f"http://{LOOPBACK}:{reserve_gateway_port(settings, state)}",
        "command": [sys.executable, "-m", "swotvre_hub.gateway_server"],
        "environment": {STATE_VARIABLE: str(state.root)},
        "cwd": str(state.run),
        # A user who opens the dashboard of a cluster is in the hub already.
        "oauth_no_confirm": True,
        "display": False,
    }


def gateway_roles(settings: Settings, state: State) -> list[dict[str, Any]]:
    """Return the hub's roles ``user`` and ``server``, with access to the gateway added."""
    return [
        {**role, "scopes": [*role["scopes"], ACCESS_SCOPE]}
        for role in get_default_roles()
        if role["name"] in {"user", "server"}
    ]


def session_environment(settings: Settings, state: State) -> dict[str, str]:
    """Return what makes ``dask_gateway.Gateway()`` work in a session without arguments; empty without a gateway."""
    if not settings.has_gateway:
        return {}
    prefix, port = service_prefix(settings), gateway_port(settings, state)
    host = settings.batch.hub_address if settings.is_batch else LOOPBACK
    # A node reaches the gateway itself; the hub's public address may be one that it does not see.
    origin = node_origin(settings) if settings.is_batch else settings.hub.local_origin
    return {
        "DASK_GATEWAY__ADDRESS": f"{origin}{prefix}",
        "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://{host}:{port}",
        # A path: the link to a dashboard then works under whichever name the browser reached the hub.
        "DASK_GATEWAY__PUBLIC_ADDRESS": prefix,
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        # Its client knows of the site's proxy to the outside, and not of the hosts that are excepted from it.
        "DASK_GATEWAY__HTTP_CLIENT__PROXY": "False",
    }


def service_prefix(settings: Settings) -> str:
    """Return the URL path of the gateway, without a slash at its end."""
    return f"{settings.hub.base_url}services/{SERVICE_NAME}"


def node_origin(settings: Settings) -> str:
    """Return ``https://host:port`` by which nodes reach the gateway of a batch site."""
    scheme = "https" if settings.uses_tls else "http"
    return f"{scheme}://{settings.batch.hub_address}:{settings.gateway.port}"


def gateway_port(settings: Settings, state: State) -> int:
    """Return the port of the gateway: that of the settings on a batch site, else one on loopback that is kept.

    Raises:
        SetupError: when the state folder cannot keep it.
    """
    return settings.gateway.port if settings.is_batch else reserve_gateway_port(settings, state)


def reserve_gateway_port(settings: Settings, state: State, purpose: str = "") -> int:
    """Return a port on loopback for the gateway that this hub will start, the same at each call.

    It is that of the last start, which sessions that outlived a killed hub know, or a free one.

    Args:
        settings: whose own ports it must not be.
        state: where it is kept.
        purpose: what it is for, when not for the hub's proxy.

    Raises:
        SetupError: when the state folder cannot keep it.
    """
    try:
        state.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _reserve(state, purpose, settings.own_ports.union(recorded_ports(settings, state).all()))
    except OSError as error:
        raise SetupError(
            f"the port of Dask Gateway cannot be kept in {_port_file(state, purpose)}: {error}; "
            "make the folder writable, or set gateway.enabled to false"
        ) from error


@functools.cache
def _reserve(state: State, purpose: str, avoid: frozenset[int]) -> int:
    file, other = _port_file(state, purpose), _port_file(state, "" if purpose else "api")
    avoid = avoid.union(filter(None, [_kept_port(other)]))
    port = _kept_port(file)
    if port is None or port in avoid or not _becomes_free(port):
        port = free_ports(1, avoid)[0]
    file.write_text(f"{port}\n", encoding="ascii")
    return port


def read_gateway_port(state: State) -> int:
    """Return the port that was reserved for the gateway.

    Raises:
        SetupError: when none was.
    """
    port = _kept_port(_port_file(state))
    if port is None:
        raise SetupError(
            f"no port of Dask Gateway in {_port_file(state)}: expected a number from 1024 to 65535; restart the hub"
        )
    return port


def _port_file(state: State, purpose: str = "") -> Path:
    return state.run / f"dask-gateway{f'-{purpose}' if purpose else ''}.port"


def _kept_port(file: Path) -> int | None:
    try:
        port = int(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
    return port if 1024 <= port <= 65535 else None


def _becomes_free(port: int) -> bool:
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
