"""Ports: a taken one is named with its holder, the internal ones stay the same from start to start."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from swotvre_hub.errors import SetupError
from swotvre_hub.ports import ensure_port_is_free, free_ports, internal_ports, recorded_ports
from swotvre_hub.settings import load_settings
from swotvre_hub.state import State

SETTINGS = load_settings()


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "run").mkdir()
    return State(tmp_path)


def test_a_taken_port_is_named_with_its_holder_and_what_to_do() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(SetupError, match=f"port {port} on 127.0.0.1 cannot be used") as caught:
            ensure_port_is_free("127.0.0.1", port)
    assert f"pid {os.getpid()}" in str(caught.value)
    assert f"make up PORT={port + 10}" in str(caught.value)


def test_a_free_port_is_fine() -> None:
    ensure_port_is_free("127.0.0.1", free_ports(1)[0])


def test_free_ports_are_none_that_linux_gives_to_outgoing_connections() -> None:
    """A hub that is away for a moment finds its port again, however many connections are made meanwhile."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(10000 <= port < first for port in ports)
    assert free_ports(1, avoid={*range(10000, first)} - {ports[0]}) == ports[:1]


def test_internal_ports_stay_the_same(state: State) -> None:
    ports = internal_ports(SETTINGS, state)
    assert internal_ports(SETTINGS, state) == ports == recorded_ports(SETTINGS, state)


def test_an_internal_port_that_somebody_took_is_chosen_anew(state: State) -> None:
    ports = internal_ports(SETTINGS, state)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports.hub))
        holder.listen()
        assert recorded_ports(SETTINGS, state) == ports, "a running hub holds its own ports"
        assert internal_ports(SETTINGS, state).hub != ports.hub


def test_internal_ports_are_none_of_those_that_the_settings_name(state: State) -> None:
    """A hub that has not begun to listen holds no port yet: its proxy must not take that one."""
    ports = internal_ports(SETTINGS, state)
    for chosen in ports.all():
        settings = SETTINGS.model_copy(update={"hub": SETTINGS.hub.model_copy(update={"port": chosen})})
        assert chosen not in recorded_ports(settings, state).all()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"hub": 1}', '{"hub": "a", "proxy_api": 2}', '{"hub": 99999, "proxy_api": 2}']
)
def test_a_damaged_record_of_ports_is_made_anew(text: str, state: State) -> None:
    (state.run / "ports.json").write_text(text, encoding="ascii")
    ports = internal_ports(SETTINGS, state)
    assert 0 < ports.hub < 65536
    assert internal_ports(SETTINGS, state) == ports
