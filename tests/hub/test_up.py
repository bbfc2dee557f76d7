"""``swot-vre up`` as a person runs it: it comes up, stays alone, stops everything, and survives what kills it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from swotvre_hub.ports import free_ports
from swotvre_hub.processes import HUB_ROLE, SERVICE_ROLE, find_processes
from swotvre_hub.spawner.records import SessionRecords
from swotvre_hub.state import State
from swotvre_hub.trial import Trial, trial_folder, trial_hub

USER = "maria"
#: The kernels of the environment that is installed by default.
OFFERED = ["calval-optical", "pangeo", "swot-hydro", "swot-ocean"]


@pytest.fixture
def state(installed_state: Path) -> Iterator[State]:
    with trial_folder(installed_state) as state:
        yield state


def _up(state: State, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an ``up`` that is expected to end by itself."""
    command = [str(state.environment("hub") / "bin" / "swot-vre"), "up", "--state", str(state.root), *arguments]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False
    )


def _session_processes(state: State) -> list[psutil.Process]:
    """Return every process whose working folder is a user's workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(state.root / "home")):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wait_until_gone(state: State) -> None:
    for _ in range(100):
        if not [*find_processes(state, [HUB_ROLE, SERVICE_ROLE]), *_session_processes(state)]:
            return
        time.sleep(0.1)
    left = [*find_processes(state, [HUB_ROLE, SERVICE_ROLE]), *_session_processes(state)]
    pytest.fail(f"left running: {[process.cmdline() for process in left]}")


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Close the clients of a test after it."""
    with ExitStack() as stack:
        yield stack


def _token(hub: Trial) -> str:
    """Log in and return a token of the REST API."""
    from run_in_session import log_in

    return log_in(hub.url, USER, hub.password)


def _start_session(hub: Trial, token: str, clients: ExitStack) -> httpx.Client:
    """Start a session; return a client of its own server."""
    headers = {"Authorization": f"token {token}"}
    address = f"{hub.url}hub/api/users/{USER}/server"
    assert httpx.post(address, json={"size": "small"}, headers=headers, timeout=60).status_code in {201, 202}
    _wait_until_ready(hub, token)
    return clients.enter_context(httpx.Client(base_url=f"{hub.url}user/{USER}/", headers=headers, timeout=60))


def _wait_until_ready(hub: Trial, token: str) -> None:
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(base_url=f"{hub.url}hub/api/", headers=headers, timeout=60) as api:
        for _ in range(600):
            if api.get(f"users/{USER}").json()["servers"].get("", {}).get("ready"):
                return
            time.sleep(0.1)
        raise AssertionError(api.get(f"users/{USER}").text)


def test_a_stop_ends_everything_that_was_started(state: State, clients: ExitStack) -> None:
    with trial_hub(state) as hub:
        token = _token(hub)
        session = _start_session(hub, token, clients)
        kernel = session.post("api/kernels", json={"name": "swot-ocean"})
        assert kernel.status_code == 201, kernel.text
        assert _session_processes(state)
        hub.process.send_signal(signal.SIGINT)
        assert hub.process.wait(60) == 0
        _wait_until_gone(state)


def test_what_jupyterlab_keeps_of_a_user_lies_in_his_own_folder(state: State, clients: ExitStack) -> None:
    with trial_hub(state) as hub:
        token = _token(hub)
        session = _start_session(hub, token, clients)
        layout = {"data": {}, "metadata": {"id": "mine"}}
        assert session.put("lab/api/workspaces/mine", json=layout).status_code == 204
        themes = "lab/api/settings/@jupyterlab/apputils-extension:themes"
        assert session.put(themes, json={"raw": '{"theme": "JupyterLab Dark"}'}).status_code == 204
        lab = state.root / "home" / USER / ".config" / "jupyter" / "lab"
        assert list((lab / "workspaces").glob("mine*"))
        assert "Dark" in next(lab.rglob("themes.jupyterlab-settings")).read_text(encoding="utf-8")
        specs = session.get("api/kernelspecs").json()
        assert specs["default"] == "swot-ocean"
        assert sorted(specs["kernelspecs"]) == OFFERED, "the server's own interpreter is no kernel for users"


def test_a_second_one_in_the_same_folder_says_where_the_first_is(state: State) -> None:
    with trial_hub(state) as hub:
        second = _up(state)
        assert second.returncode == 2
        assert f"it is running already: {hub.url} (process {hub.process.pid})" in second.stderr
        down = [str(state.environment("hub") / "bin" / "swot-vre"), "down", "--state", str(state.root)]
        assert subprocess.run(down, capture_output=True, text=True, check=True).stdout == "stopped\n"
        assert hub.process.wait(60) == 0
    _wait_until_gone(state)


def test_a_taken_port_is_told_with_what_to_do_and_nothing_is_started(state: State) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = _up(state, "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr
    _wait_until_gone(state)


def test_a_settings_file_with_a_mistake_stops_it_before_anything_starts(state: State) -> None:
    (state.root.parent / "vre.yaml").write_text("hub: {port: 80000}\n", encoding="utf-8")
    done = _up(state)
    assert done.returncode == 2
    assert "key:      hub.port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_in_the_sites_own_configuration_shows_the_end_of_the_log(state: State) -> None:
    folder = state.root.parent / "jupyterhub_config.d"
    folder.mkdir()
    (folder / "10-broken.py").write_text("raise RuntimeError('a planted mistake')\n", encoding="utf-8")
    done = _up(state, "--port", str(free_ports(1)[0]))
    assert done.returncode == 2
    assert "the hub ended while it started" in done.stderr
    assert "a planted mistake" in done.stderr
    _wait_until_gone(state)


def test_a_session_survives_a_killed_hub_and_the_next_start_finds_it(state: State, clients: ExitStack) -> None:
    with trial_hub(state) as first:
        token = _token(first)
        session = _start_session(first, token, clients)
        started = session.get("api/status").json()["started"]
        for process in find_processes(state, [HUB_ROLE]):
            process.kill()
        first.process.kill()
        first.process.wait()
        assert _session_processes(state), "the session must outlive its hub"
        with trial_hub(state) as second:
            said = (state.root.parent / "up.log").read_text(encoding="utf-8")
            assert "Sessions   1 from before, still running" in said
            found = httpx.get(
                f"{second.url}user/{USER}/api/status", headers={"Authorization": f"token {token}"}, timeout=60
            )
            assert found.json()["started"] == started
        _wait_until_gone(state)


def test_what_a_killed_start_left_running_is_stopped_by_down_and_guarded_from_removal(
    state: State, clients: ExitStack, checkout: Path
) -> None:
    with trial_hub(state) as hub:
        _start_session(hub, _token(hub), clients)
        hub.process.kill()
        hub.process.wait()
        bootstrap = checkout / "hub" / "swotvre_hub" / "bootstrap.py"
        remove = [sys.executable, str(bootstrap), "--remove", "--state", str(state.root)]
        refused = subprocess.run(remove, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert "still running; stop it first: make down" in refused.stderr
        down = [str(state.environment("hub") / "bin" / "swot-vre"), "down", "--state", str(state.root)]
        done = subprocess.run(down, capture_output=True, text=True, check=True)
        assert "that a killed start had left behind" in done.stdout
        _wait_until_gone(state)


def test_a_start_with_everything_installed_needs_no_network(state: State) -> None:
    dead = "http://127.0.0.1:9"
    variables = {"UV_OFFLINE": "1", "npm_config_offline": "true", "PIP_NO_INDEX": "1"}
    variables |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), dead)
    with trial_hub(state, variables) as hub:
        assert httpx.get(f"{hub.url}hub/health", trust_env=False).status_code == 200


def test_two_starts_at_once_by_one_user_give_one_session(state: State) -> None:
    with trial_hub(state) as hub:
        token = _token(hub)
        program = (
            "import sys, httpx; print(httpx.post(sys.argv[1], json={'size': 'small'}, timeout=60,"
            "headers={'Authorization': 'token ' + sys.argv[2]}).status_code)"
        )
        command = [sys.executable, "-c", program, f"{hub.url}hub/api/users/{USER}/server", token]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        codes = sorted(int(process.communicate(timeout=90)[0]) for process in both)
        assert codes[0] in {201, 202}
        assert codes[1] in {201, 202, 400}
        _wait_until_ready(hub, token)
        assert len(list(SessionRecords(state).live())) == 1
        listening = [process for process in _session_processes(state) if process.net_connections("tcp")]
        assert len(listening) == 1, [process.cmdline() for process in listening]


def test_the_folder_and_its_secrets_are_for_their_owner_alone(state: State) -> None:
    with trial_hub(state):
        for path in (state.root, state.run, state.log):
            assert path.stat().st_mode & 0o077 == 0, path
        for name in ("password", "admin-password", "cookie-secret"):
            assert (state.run / name).stat().st_mode & 0o077 == 0, name
        commands = " ".join(" ".join(process.cmdline()) for process in find_processes(state, [HUB_ROLE, SERVICE_ROLE]))
        for name in ("password", "admin-password"):
            assert (state.run / name).read_text(encoding="ascii").strip() not in commands
