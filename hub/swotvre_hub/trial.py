"""A hub for a trial: it uses what another state folder has installed, and shares nothing else with it.

The tests and the documentation run their notebooks and browsers in one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swotvre_hub.errors import SetupError
from swotvre_hub.passwords import read_password, user_password_file
from swotvre_hub.ports import free_ports
from swotvre_hub.state import State

#: What is installed: parts of a state folder that a trial only reads.
INSTALLED = ("bootstrap", "env", "kernels", "node", "datalake", "python")
#: A hub whose parts are all installed answers within this time, and stops within it.
PATIENCE_SECONDS = 90


@dataclass(frozen=True)
class Trial:
    """A running trial hub."""

    #: Address of the hub, with a slash at the end.
    url: str
    #: The password of its users.
    password: str
    #: Its own state folder.
    state: State
    #: The ``swot-vre up`` that runs it.
    process: subprocess.Popen[str]


@contextlib.contextmanager
def trial_folder(installed: Path) -> Iterator[State]:
    """Yield a new state folder whose installed parts are those of ``installed``; remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="swot-vre-trial-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / ".vre"
        root.mkdir(mode=0o700)
        for name in INSTALLED:
            if (installed / name).exists():
                (root / name).symlink_to((installed / name).resolve())
        yield State(root)


@contextlib.contextmanager
def trial_hub(state: State, variables: Mapping[str, str] | None = None) -> Iterator[Trial]:
    """Run ``swot-vre up`` in ``state`` on a free port of loopback; stop it afterwards with all its sessions.

    Args:
        state: a folder made by `trial_folder`; a ``vre.yaml`` may lie beside it.
        variables: more environment variables of the hub.

    Raises:
        SetupError: with what ``swot-vre up`` said, when it does not come up.
    """
    port = free_ports(1)[0]
    output = state.root.parent / "up.log"
    command = [
        str(state.environment("hub") / "bin" / "swot-vre"),
        "up",
        "--state",
        str(state.root),
        "--port",
        str(port),
    ]
    with output.open("a", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(variables or {})},
            cwd=state.root.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        _wait_for_greeting(process, output, f":{port}/")
        yield Trial(f"http://127.0.0.1:{port}/", read_password(user_password_file(state)), state, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def _wait_for_greeting(process: subprocess.Popen[str], output: Path, address: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        text = output.read_text(encoding="utf-8", errors="replace")
        if f"{address}\n" in text and "Stop " in text:
            return
        if process.poll() is not None:
            raise SetupError(f"'swot-vre up' ended with exit code {process.returncode}:\n{text}")
        time.sleep(0.1)
    raise SetupError(f"'swot-vre up' was not ready after {PATIENCE_SECONDS} s:\n{output.read_text(encoding='utf-8')}")
