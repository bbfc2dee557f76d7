"""TCP ports: the public one that the site chose, and internal ones that stay the same from start to start."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from swotvre_hub.errors import SetupError
from swotvre_hub.settings import Settings
from swotvre_hub.state import State

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class InternalPorts:
    """Ports on loopback between the parts of one installation."""

    #: The hub's own API. A session that outlives a killed hub finds the next one here.
    hub: int
    #: The API of the proxy.
    proxy_api: int

    def all(self) -> tuple[int, ...]:
        """Return all of them."""
        return self.hub, self.proxy_api


def ensure_port_is_free(address: str, port: int) -> None:
    """Refuse to go on when ``port`` cannot be bound.

    Raises:
        SetupError: with who holds the port, where the machine lets us see it.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise SetupError(
                f"port {port} on {address} cannot be used ({error.strerror}{_holder(port)}); expected a free port: "
                f"end that program, or choose another port: 'make up PORT={port + 10}', or hub.port in vre.yaml"
            ) from error


def internal_ports(settings: Settings, state: State, held: bool = False) -> InternalPorts:
    """Return the internal ports of the installation: those of the last start if they are still free.

    Args:
        settings: whose own ports are left to what they are for, though nobody may listen on them yet.
        state: the state folder.
        held: whether a proxy that runs on its own may hold them already; they then stay as they are.
    """
    path = state.run / "ports.json"
    ports, avoid = _read(path), settings.own_ports
    if ports is not None and not avoid.isdisjoint(ports.all()):
        ports = None
    if held and ports is not None:
        return ports
    if ports is None or not all(is_free(port) for port in ports.all()):
        ports = InternalPorts(*free_ports(2, avoid))
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(ports)), encoding="ascii")
        partial.rename(path)
    return ports


def recorded_ports(settings: Settings, state: State) -> InternalPorts:
    """Return the internal ports that the last start chose, whoever holds them now."""
    return internal_ports(settings, state, held=True)


def _read(path: Path) -> InternalPorts | None:
    try:
        return InternalPorts(**json.loads(path.read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError):
        return None


def is_free(port: int) -> bool:
    """Return whether ``port`` of loopback can be bound now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError, TypeError):
            return False
    return True


def free_ports(count: int, avoid: Collection[int] = ()) -> list[int]:
    """Return ``count`` ports of loopback that nobody listens on, nor takes by chance while its owner is restarted.

    Linux takes the port of an outgoing connection from a range of its own (``ip_local_port_range``): they are chosen
    below it, where there is room.

    Args:
        count: how many.
        avoid: ports that somebody will listen on.
    """
    quiet = [port for port in _quiet_ports() if port not in avoid]
    candidates = [*random.sample(quiet, len(quiet)), *[0] * count]
    probes: list[socket.socket] = []
    try:
        for port in candidates:
            if len(probes) == count:
                break
            probe = socket.socket()
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                probe.close()
            else:
                probes.append(probe)
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _quiet_ports() -> range:
    """Return the ports from 10000 on that Linux gives to nobody by itself."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = 32768
    return range(10000, first)


def _holder(port: int) -> str:
    """Return ``, by PROGRAM (pid N)`` for the process that listens on ``port``, or nothing where we may not know."""
    try:
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local[1] == port and connection.pid:
                return f", held by {psutil.Process(connection.pid).name()} with pid {connection.pid}"
    except psutil.Error:
        return ""
    return ""
