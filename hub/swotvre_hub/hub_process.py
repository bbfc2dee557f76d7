"""The hub as a child process: start it, wait until it answers, stop all that it started."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from swotvre_hub.bootstrap import CHECKOUT
from swotvre_hub.errors import SetupError
from swotvre_hub.processes import CLUSTER_ROLE, HUB_ROLE, SERVICE_ROLE, end_processes, find_processes, service_mark
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.records import SessionRecords
from swotvre_hub.state import PORT_VARIABLE, State

#: The hub has this long to answer after its start, and to end its sessions at its stop.
START_SECONDS, STOP_SECONDS = 60, 30


def hub_url(settings: Settings) -> str:
    """Return the address that a browser on this machine opens."""
    return f"{settings.hub.local_origin}{settings.hub.base_url}"


def end_leftovers(state: State) -> int:
    """End the hub, proxy and services that a killed start left behind; return how many. Sessions are not touched."""
    # Not asked but killed: a hub that is asked to end would end its sessions too.
    hubs = list(find_processes(state, [HUB_ROLE]))
    for process in hubs:
        if process.is_running():
            process.kill()
    psutil.wait_procs(hubs, timeout=5)
    return len(hubs) + end_processes(find_processes(state, [SERVICE_ROLE]), patience_seconds=5)


def end_everything(state: State) -> int:
    """End the hub, its services, its clusters and its sessions, whoever started them; return how many processes."""
    # The hub first, and killed: it would start its services again.
    ended = end_leftovers(state)
    ended += end_processes(find_processes(state, [CLUSTER_ROLE]), patience_seconds=5)
    sessions = []
    for session in SessionRecords(state).live():
        with contextlib.suppress(psutil.NoSuchProcess):
            sessions.append(psutil.Process(session.process.pid))
    return ended + end_processes(sessions, patience_seconds=15)


def start_hub(settings: Settings, state: State) -> subprocess.Popen[bytes]:
    """Start JupyterHub; its output goes to ``log/hub.log``."""
    environment = {**os.environ, **service_mark(state, HUB_ROLE), PORT_VARIABLE: str(settings.hub.port)}
    command = [sys.executable, "-m", "jupyterhub", "-f", str(CHECKOUT / "hub" / "jupyterhub_config.py")]
    with hub_log(state).open("ab") as log:
        # A session of its own: Ctrl-C reaches only `swot-vre up`, which then stops the parts in order.
        return subprocess.Popen(
            command,
            cwd=state.run,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until_ready(process: subprocess.Popen[bytes], settings: Settings, state: State) -> None:
    """Wait until the hub answers through its proxy.

    Raises:
        SetupError: with the last lines of the log, when it ended or did not answer in time.
    """
    url = f"{hub_url(settings)}hub/health"
    # A proxy of the environment leads out of this machine, never back to it.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SetupError(f"the hub ended while it started (exit code {process.returncode}); {_log_tail(state)}")
        try:
            with direct.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SetupError(f"the hub did not answer at {url} within {START_SECONDS} s; {_log_tail(state)}")


def stop_hub(process: subprocess.Popen[bytes], state: State) -> None:
    """Stop the hub with its sessions, proxy and services."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    end_everything(state)


def count_sessions(state: State) -> int:
    """Return how many sessions the hub's database holds as running."""
    database = state.run / "jupyterhub.sqlite"
    if not database.exists():
        return 0
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            row = connection.execute("SELECT count(*) FROM spawners WHERE server_id IS NOT NULL").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return 0
    return int(row[0])


def hub_log(state: State) -> Path:
    """Return the file that the hub, its proxy and its services write to."""
    return state.log / "hub.log"


def _log_tail(state: State, lines: int = 12) -> str:
    text = hub_log(state).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return f"the end of {hub_log(state)}:\n  " + "\n  ".join(text)
