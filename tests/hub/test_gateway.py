"""What the settings make of Dask Gateway."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from dask_gateway_server.options import Options
from traitlets.config import Config

from swotvre_hub.errors import SetupError, VreError
from swotvre_hub.gateway import (
    _reserve,
    gateway_roles,
    gateway_service,
    read_gateway_port,
    reserve_gateway_port,
    session_environment,
)
from swotvre_hub.gateway_backend import local_configuration
from swotvre_hub.gateway_kernels import find_cluster_kernel
from swotvre_hub.gateway_options import ClusterOffer, cluster_options
from swotvre_hub.gateway_server import configure_gateway_server
from swotvre_hub.machine import Machine
from swotvre_hub.ports import recorded_ports
from swotvre_hub.sessions import BatchChoices
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
    first = reserve_gateway_port(settings, state)
    _reserve.cache_clear()
    assert reserve_gateway_port(settings, state) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        _reserve.cache_clear()
        assert reserve_gateway_port(settings, state) != first


def test_port_is_none_that_another_part_will_listen_on(settings: Settings, state: State) -> None:
    first = reserve_gateway_port(settings, state)
    taken = settings.model_copy(update={"hub": settings.hub.model_copy(update={"port": first})})
    assert reserve_gateway_port(taken, state) not in {first, *recorded_ports(taken, state).all()}


@pytest.mark.parametrize("content", ["", "soon", "80", "99999999"])
def test_damaged_port_file_is_named_and_the_next_start_repairs_it(
    settings: Settings, state: State, content: str
) -> None:
    path = state.run / "dask-gateway.port"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(SetupError, match=r"dask-gateway\.port: expected a number"):
        read_gateway_port(state)
    assert reserve_gateway_port(settings, state) == read_gateway_port(state)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_state_folder_that_cannot_be_written_is_named(settings: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SetupError, match=r"cannot be kept in .*; make the folder writable"):
        reserve_gateway_port(settings, State(tmp_path / ".vre"))


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


def options_of(settings: Settings, state: State, machine: Machine) -> Options:
    offer = ClusterOffer(settings, state, machine, BatchChoices())
    return cluster_options(offer, lambda request: local_configuration(request, settings, state, machine))


def configured(options: Options, **asked: Any) -> dict[str, Any]:
    """Return the configuration of a cluster that a user asks for."""
    values: dict[str, Any] = options.get_configuration(options.parse_options(asked), user=None)
    return values


def test_workers_have_a_size_and_the_programs_of_the_active_kernel(settings: Settings, state: State) -> None:
    build_kernel(state, settings, "/kernels/one/bin/python")
    options = options_of(settings, state, LAPTOP)
    chosen = configured(options)
    assert chosen["worker_cmd"][0] == chosen["scheduler_cmd"][0] == "/kernels/one/bin/python"
    assert (chosen["worker_threads"], chosen["worker_memory"]) == (1, 8 * 2**30)
    assert chosen["environment"]["SWOTVRE_DATALAKE"] == str(state.root / "datalake")
    assert json.loads(chosen["environment"]["SWOTVRE_DATALAKE_OPTIONS"]) == {}
    build_kernel(state, settings, "/kernels/two/bin/python")
    assert configured(options, size="small")["worker_cmd"][0] == "/kernels/two/bin/python"


def test_worker_never_gets_more_than_the_machine_has(settings: Settings, state: State) -> None:
    build_kernel(state, settings, "/kernels/one/bin/python")
    machine = Machine(cores=1, memory_bytes=int(7.6 * 2**30))
    assert configured(options_of(settings, state, machine))["worker_memory"] == machine.memory_bytes


def test_kernel_that_is_not_built_is_named(settings: Settings, state: State) -> None:
    with pytest.raises(SetupError, match=r"run 'swot-vre kernels build swot-ocean'"):
        configured(options_of(settings, state, LAPTOP))


def test_cluster_has_what_was_asked_for(settings: Settings, state: State) -> None:
    build_kernel(state, settings, "/kernels/one/bin/python")
    options = options_of(settings, state, LAPTOP)
    chosen = configured(options, workers=3, walltime_hours=2, idle_minutes=5)
    assert (chosen["workers"], chosen["maximum"], chosen["walltime_seconds"]) == (3, 0, 7200)
    assert chosen["idle_timeout"] == 300
    chosen = configured(options, minimum=1, maximum=4)
    assert (chosen["workers"], chosen["minimum"], chosen["maximum"]) == (1, 1, 4)
    assert chosen["walltime_seconds"] == 0
    assert chosen["idle_timeout"] == settings.gateway.idle_timeout_minutes * 60


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"workers": 9}, "received 9 as workers; expected a whole number from 0 to 8"),
        ({"workers": True}, "received True as workers"),
        ({"workers": "2"}, "received '2' as workers"),
        ({"workers": 10**5000}, "received a very large number as workers"),
        ({"workers": 2, "maximum": 4}, "received workers=2 and maximum=4"),
        ({"minimum": 4, "maximum": 2}, "received minimum=4 and maximum=2; expected the lower one first"),
        ({"walltime_hours": 99}, "received a duration of 99.0 hours; expected hours"),
        ({"walltime_hours": float("nan")}, "received nan as walltime_hours"),
        ({"idle_minutes": 31}, "received 31 as idle_minutes; expected a number up to 30"),
        ({"queue": "long"}, "received the queue 'long'; expected none"),
        ({"project": "ocean"}, "received the project 'ocean'; expected none"),
        ({"kernel": "swot-ocaen"}, r"'swot-ocaen' is not installed here; installed: swot-ocean \(did you mean"),
        ({"kernel_version": "2020.1"}, "is not installed here"),
        ({"kernel": "a\nb"}, "as kernel; expected a name"),
        ({"kernel": "../../etc"}, "is not installed here"),
    ],
)
def test_what_a_cluster_cannot_have_is_refused_in_words(
    settings: Settings, state: State, asked: dict[str, Any], reason: str
) -> None:
    build_kernel(state, settings, "/kernels/one/bin/python")
    with pytest.raises(VreError, match=reason):
        configured(options_of(settings, state, LAPTOP), **asked)


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
        options_of(settings, state, LAPTOP).parse_options({"size": size})
    # The gateway sends it as the reason of an HTTP status.
    assert "\n" not in str(refused.value)


def test_machine_that_holds_no_size_still_gets_a_reason(settings: Settings, state: State) -> None:
    options = options_of(settings, state, Machine(cores=1, memory_bytes=2**30))
    assert options.get_specification()[0]["spec"]["options"] == ["small"]


def test_kernels_of_one_environment_are_each_found_by_name_and_version(
    settings: Settings, installed_state: Path
) -> None:
    installed = State(installed_state)
    active = find_cluster_kernel("pangeo", "", settings, installed)
    assert find_cluster_kernel("pangeo", active.version, settings, installed) == active
    assert find_cluster_kernel("", "", settings, installed).python == active.python
    with pytest.raises(VreError, match=r"version 1999\.1 of kernel 'pangeo' is not installed.*Installed: .*20"):
        find_cluster_kernel("pangeo", "1999.1", settings, installed)
