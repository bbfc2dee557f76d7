"""What the settings make of Dask Gateway."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from traitlets.config import Config

from swotvre_hub.errors import SetupError, VreError
from swotvre_hub.gateway import (
    gateway_roles,
    gateway_service,
    read_gateway_port,
    reserve_gateway_port,
    session_environment,
)
from swotvre_hub.gateway_server import cluster_configuration, configure_gateway_server, worker_options
from swotvre_hub.machine import Machine
from swotvre_hub.settings import Settings, load_settings
from swotvre_hub.state import State

LAPTOP = Machine(cores=4, memory_bytes=16 * 2**30)


@pytest.fixture
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / ".vre")


def build_kernel(state: State, settings: Settings, python: str) -> None:
    spec = state.kernels(settings) / "share/jupyter/kernels" / settings.kernels.default / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps({"argv": [python, "-m", "ipykernel_launcher"]}))


def test_everything_listens_on_loopback_and_the_service_carries_no_secret(settings: Settings, state: State) -> None:
    service = gateway_service(settings, state)
    c = Config()
    configure_gateway_server(c, settings, state)
    assert service["url"] == f"http://{c.Proxy.address}"
    assert c.Proxy.address == f"127.0.0.1:{read_gateway_port(state)}"
    assert c.DaskGateway.address.startswith("127.0.0.1:")
    assert set(service["environment"]) == {"SWOTVRE_STATE"}
    assert state.run.stat().st_mode & 0o777 == 0o700


def test_port_is_kept_from_start_to_start_unless_somebody_took_it(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swotvre_hub.gateway.PORT_PATIENCE_SECONDS", 0.2)
    first = reserve_gateway_port(state)
    reserve_gateway_port.cache_clear()
    assert reserve_gateway_port(state) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        reserve_gateway_port.cache_clear()
        assert reserve_gateway_port(state) != first


@pytest.mark.parametrize("content", ["", "soon", "80", "99999999"])
def test_damaged_port_file_is_named_and_the_next_start_repairs_it(state: State, content: str) -> None:
    path = state.run / "dask-gateway.port"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(SetupError, match=r"dask-gateway\.port: expected a number"):
        read_gateway_port(state)
    assert reserve_gateway_port(state) == read_gateway_port(state)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SetupError, match=r"cannot be kept in .*; make the folder writable"):
        reserve_gateway_port(State(tmp_path / ".vre"))


@pytest.mark.parametrize(
    ("address", "reached"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("192.0.2.7", "192.0.2.7")],
)
def test_session_finds_the_gateway_behind_the_hub(settings: Settings, state: State, address: str, reached: str) -> None:
    hub = settings.hub.model_copy(update={"address": address, "base_url": "/vre/"})
    environment = session_environment(settings.model_copy(update={"hub": hub}), state)
    assert environment["DASK_GATEWAY__ADDRESS"] == f"http://{reached}:8000/vre/services/dask-gateway"
    assert environment["DASK_GATEWAY__PUBLIC_ADDRESS"] == "/vre/services/dask-gateway"
    assert environment["DASK_GATEWAY__PROXY_ADDRESS"] == f"gateway://127.0.0.1:{read_gateway_port(state)}"


def test_session_without_a_gateway_is_told_nothing(settings: Settings, state: State) -> None:
    off = settings.gateway.model_copy(update={"enabled": False})
    assert session_environment(settings.model_copy(update={"gateway": off}), state) == {}
    assert not state.run.exists()


def test_users_and_their_sessions_keep_their_scopes_and_gain_the_gateway(settings: Settings, state: State) -> None:
    scopes = {role["name"]: set(role["scopes"]) for role in gateway_roles(settings, state)}
    access = "access:services!service=dask-gateway"
    assert scopes == {"user": {"self", access}, "server": {"users:activity!user", "access:servers!server", access}}


def test_workers_have_a_size_and_the_programs_of_the_active_kernel(settings: Settings, state: State) -> None:
    build_kernel(state, settings, "/kernels/one/bin/python")
    options = worker_options(settings, state, LAPTOP)
    chosen = options.get_configuration(options.parse_options({}), user=None)
    assert chosen["worker_cmd"][0] == chosen["scheduler_cmd"][0] == "/kernels/one/bin/python"
    assert (chosen["worker_threads"], chosen["worker_memory"]) == (1, 8 * 2**30)
    assert chosen["environment"]["SWOTVRE_DATALAKE"] == str(state.root / "datalake")
    assert json.loads(chosen["environment"]["SWOTVRE_DATALAKE_OPTIONS"]) == {}
    build_kernel(state, settings, "/kernels/two/bin/python")
    assert options.get_configuration({"size": "small"}, user=None)["worker_cmd"][0] == "/kernels/two/bin/python"


def test_worker_never_gets_more_than_the_machine_has(settings: Settings, state: State) -> None:
    build_kernel(state, settings, "/python")
    machine = Machine(cores=1, memory_bytes=int(7.6 * 2**30))
    assert cluster_configuration("small", settings, state, machine)["worker_memory"] == machine.memory_bytes


def test_kernel_that_is_not_built_is_named(settings: Settings, state: State) -> None:
    with pytest.raises(SetupError, match=r"run 'swot-vre kernels build swot-ocean'"):
        cluster_configuration("small", settings, state, LAPTOP)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (
            "large",
            "worker size 'large' needs 8 cores.* choose among: small$",
        ),
        ("smal", "did you mean 'small'"),
        (None, "unknown session size None"),
        ("x" * 10_000, r"10002 characters"),
        ("small\n$(id)", "unknown session size"),
    ],
)
def test_other_worker_sizes_are_refused_in_words(settings: Settings, state: State, size: object, reason: str) -> None:
    with pytest.raises(VreError, match=reason) as refused:
        worker_options(settings, state, LAPTOP).parse_options({"size": size})
    # The gateway sends it as the reason of an HTTP status.
    assert "\n" not in str(refused.value)


def test_machine_that_holds_no_size_still_gets_a_reason(settings: Settings, state: State) -> None:
    options = worker_options(settings, state, Machine(cores=1, memory_bytes=2**30))
    assert options.get_specification()[0]["spec"]["options"] == ["small"]
