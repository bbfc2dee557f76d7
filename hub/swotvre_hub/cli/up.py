"""``swot-vre up`` and ``down``: the whole environment on this machine, and its end."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import getpass
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TextIO

from swotvre_hub.bootstrap import BootstrapError, ensure_state, only_one
from swotvre_hub.cli.progress import show_progress
from swotvre_hub.errors import SetupError
from swotvre_hub.hub_process import (
    count_sessions,
    end_everything,
    end_leftovers,
    hub_log,
    hub_url,
    start_hub,
    stop_hub,
    wait_until_ready,
)
from swotvre_hub.passwords import ensure_passwords, read_password, user_password_file
from swotvre_hub.ports import ensure_port_is_free, internal_ports
from swotvre_hub.provision import ensure_datalake, ensure_kernels, ensure_session_parts
from swotvre_hub.settings import Settings
from swotvre_hub.state import PORT_VARIABLE, STATE_VARIABLE, State, find_state, load_installed_settings

#: `down` waits so long for `up` to stop everything.
DOWN_SECONDS = 60


class _Stop(Exception):  # noqa: N818  (not an error)
    """Somebody asked `up` to stop."""


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``up`` and ``down``."""
    up = nouns.add_parser("up", help="install what is missing and run everything on this machine")
    up.add_argument("--port", type=_port, help="public port (default: hub.port of the settings)")
    up.add_argument("--only-install", action="store_true", help="install what is missing, and start nothing")
    up.set_defaults(run=run)
    down = nouns.add_parser("down", help="stop what 'up' started, from another terminal")
    down.set_defaults(run=stop)
    for parser in (up, down):
        parser.add_argument("--state", help="state folder (default: $SWOTVRE_STATE or .vre)")


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Install, start, tell how to log in, and stay until told to stop."""
    state = find_state(args.state)
    os.environ[STATE_VARIABLE] = str(state.root)
    if args.port:
        os.environ[PORT_VARIABLE] = str(args.port)
    settings = load_installed_settings(state)
    try:
        ensure_state(state.root)
    except BootstrapError as error:
        raise SetupError(str(error)) from error
    alone = contextlib.nullcontext() if args.only_install else _running_once(state, settings)
    with _signals_stop(), alone:
        try:
            if args.only_install:
                _install(settings, state, out)
                return 0
            if end_leftovers(state):
                print("a killed start had left a hub behind; it is replaced, and its sessions go on", file=out)
            if not settings.proxy.external:
                ensure_port_is_free(settings.hub.address, settings.hub.port)
            _install(settings, state, out)
            return _serve(settings, state, out)
        except (_Stop, KeyboardInterrupt):
            print("\nstopped before the hub was started; the next 'up' goes on from here", file=out)
            return 130


def stop(args: argparse.Namespace, out: TextIO) -> int:
    """Tell a running ``up`` to stop, and wait until it has."""
    state = find_state(args.state)
    path = _lock_file(state)
    holder = _holder(path)
    if holder is None:
        ended = end_everything(state)
        words = f"stopped {ended} processes that a killed start had left behind" if ended else "nothing runs"
        print(f"{words} in {state.root}", file=out)
        return 0
    pid = holder.partition(" ")[0]
    if not pid.isdigit():
        raise SetupError("it is starting at this moment; try again in a second")
    os.kill(int(pid), signal.SIGTERM)
    deadline = time.monotonic() + DOWN_SECONDS
    while _holder(path) is not None:
        if time.monotonic() > deadline:
            raise SetupError(f"process {holder} did not stop within {DOWN_SECONDS} s; look into {hub_log(state)}")
        time.sleep(0.1)
    print("stopped", file=out)
    return 0


def _install(settings: Settings, state: State, out: TextIO) -> None:
    """Make what is missing, the session's parts and the kernels side by side, and show how far each is."""
    with only_one(state.root), show_progress(out) as bar:
        session, kernels, data = bar("session"), bar("kernels"), bar("datalake")
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(ensure_session_parts, state, session)
            ensure_kernels(settings, state, kernels)
            if beside.done():
                beside.result()  # what went wrong there is told before more is begun
            ensure_datalake(settings, state, data)
            beside.result()
    ensure_passwords(state)
    internal_ports(settings, state, held=settings.proxy.external)


def _serve(settings: Settings, state: State, out: TextIO) -> int:
    process = start_hub(settings, state)
    try:
        wait_until_ready(process, settings, state)
        print(_greeting(settings, state), file=out, flush=True)
        code = process.wait()
        raise SetupError(f"the hub ended by itself (exit code {code}); its log: {hub_log(state)}")
    except (_Stop, KeyboardInterrupt):
        what = "the hub; sessions go on" if settings.is_batch else "the sessions and the hub"
        print(f"\nstopping {what} ...", file=out, flush=True)
        return 0
    finally:
        # A second Ctrl-C would leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stop_hub(process, state)
        print("stopped", file=out, flush=True)


def _greeting(settings: Settings, state: State) -> str:
    sessions = count_sessions(state)
    lines = [
        f"{settings.site.name} is running.",
        "",
        f"  Address    {hub_url(settings)}",
        *_how_to_log_in(settings, state),
        f"  Log        {_short(hub_log(state))}",
        "  Stop       Ctrl-C here, or 'make down' in another terminal",
    ]
    if sessions:
        lines.append(f"  Sessions   {sessions} from before, still running")
    return "\n" + "\n".join(lines) + "\n"


def _how_to_log_in(settings: Settings, state: State) -> list[str]:
    if settings.auth.login != "shared-password":
        return ["  Log in     with an account of this machine"]
    password = user_password_file(state)
    return [
        f"  User name  any, for example {_account()}",
        f"  Password   {read_password(password)}   (made for this installation; kept in {_short(password)})",
    ]


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "maria"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"received {text!r}; expected a port number from 1 to 65535")
    return int(text)


def _lock_file(state: State) -> Path:
    return state.run / "up.lock"


def _holder(path: Path) -> str | None:
    """Return what the running ``up`` wrote into its lock file, or None when none runs."""
    if not path.exists():
        return None
    with path.open("r+", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return stream.read().strip()
    return None


@contextlib.contextmanager
def _running_once(state: State, settings: Settings) -> Iterator[None]:
    path = _lock_file(state)
    with path.open("a+", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            pid, _, url = stream.read().strip().partition(" ")
            raise SetupError(
                f"it is running already: {url} (process {pid}); stop it with Ctrl-C there or with 'make down'"
            ) from error
        stream.truncate(0)
        stream.write(f"{os.getpid()} {hub_url(settings)}\n")
        stream.flush()
        yield


@contextlib.contextmanager
def _signals_stop() -> Iterator[None]:
    def stop_now(number: int, frame: FrameType | None) -> None:
        raise _Stop

    before = {number: signal.signal(number, stop_now) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
