"""The small process above every session: starts the server, ends it at its walltime, and says how it ended.

It needs no hub: a session ends in time although the hub is dead, and the next hub reads the cause. As the *subreaper*
of the session it stays the ancestor of all its processes, kernels that called ``setsid`` included, and none outlives
it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from swotvre_lab.linux import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, descendants, set_process_option
from swotvre_lab.order import SessionOrder

#: Signals that the supervisor waits for; blocked, so that none is lost between two waits.
AWAITED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
#: The clock may be set, or the machine sleep: the end is looked at at least so often.
LONGEST_WAIT_SECONDS = 10.0
#: A process that is not gone so long after it was killed may not be killed by this account, or hangs in the kernel.
KILL_SECONDS = 5.0
#: Names the file to which a session appends the names of its kernels that were killed for memory: JSON lines.
KERNEL_DEATHS_VARIABLE = "SWOTVRE_KERNEL_DEATHS"
#: So many names are put into the end record, and so much of the file is read: users write it.
KEPT_KERNELS, READ_CHARACTERS = 10, 65536


def supervise(order: SessionOrder, serve: Callable[[], None], watched_cgroup: str = "") -> int:
    """Run ``serve`` in a child process with the resources of ``order``, until it ends or must.

    Args:
        order: the session.
        serve: runs the server; never returns before its end.
        watched_cgroup: folder of a memory cgroup that the session is in already, made by a batch system; empty: none.

    Returns:
        the exit status of the server; negative: the signal that ended it.
    """
    prepare_process(order)
    order = name_kernel_deaths_file(order)
    started = time.time()
    kills_before = count_memory_kills(watched_cgroup)
    server = os.fork()
    if server == 0:
        _run_server(order, serve)
    cause, status = _watch(server, order)
    _end_descendants()
    kills = count_memory_kills(order.cgroup) + max(count_memory_kills(watched_cgroup) - kills_before, 0)
    if cause == "ended" and status == -signal.SIGKILL and kills:
        cause = "memory"
    kernels = take_killed_kernels(order.environment.get(KERNEL_DEATHS_VARIABLE, ""))
    record = {"cause": cause, "status": status, "memory_kills": kills, "killed_kernels": kernels, "started": started}
    _write_end_record(order, record)
    if order.cgroup:
        with suppress(OSError):
            Path(order.cgroup).rmdir()
    return status


def prepare_process(order: SessionOrder) -> None:
    """Make this process the head of a session of its own: signals, output, cores."""
    signal.pthread_sigmask(signal.SIG_SETMASK, AWAITED)
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        # Whatever the starter ignored would be ignored by kernels too: an ignored SIGINT cannot be interrupted by.
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.umask(0o077)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if order.log:  # otherwise a batch system has opened one, and knows by the session id what to end with the job
        with suppress(PermissionError):  # a group leader already
            os.setsid()
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
    os.closerange(3, 4096)
    if order.cores:
        os.sched_setaffinity(0, order.cores)
    set_process_option(PR_SET_CHILD_SUBREAPER, 1)


def count_memory_kills(cgroup: str) -> int:
    """Return how many processes of ``cgroup`` were killed because its memory was used up."""
    for name in ("memory.events", "memory.oom_control"):  # version 2, version 1
        with suppress(OSError, ValueError):
            for line in (Path(cgroup) / name).read_text(encoding="ascii").splitlines() if cgroup else ():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def name_kernel_deaths_file(order: SessionOrder) -> SessionOrder:
    """Return ``order`` with a file for the names of killed kernels, in its runtime folder if it names none itself."""
    folder = order.environment.get("JUPYTER_RUNTIME_DIR")
    if not folder or order.environment.get(KERNEL_DEATHS_VARIABLE):
        return order
    file = Path(folder) / f"killed-kernels-{os.getpid()}"
    return replace(order, environment={**order.environment, KERNEL_DEATHS_VARIABLE: str(file)})


def take_killed_kernels(file: str) -> list[str]:
    """Return the last names in ``file``, each once, and remove it; what is damaged is left out."""
    try:
        with Path(file).open(encoding="ascii", errors="replace") as stream:
            lines = stream.read(READ_CHARACTERS).splitlines()
        Path(file).unlink()
    except OSError:  # no name: no file
        return []
    names: list[str] = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            if isinstance(name := json.loads(line), str):
                names = [other for other in names if other != name] + [name]
    return names[-KEPT_KERNELS:]


def _run_server(order: SessionOrder, serve: Callable[[], None]) -> None:
    """Become the server: never returns."""
    code = 1
    try:
        set_process_option(PR_SET_PDEATHSIG, signal.SIGTERM)
        if order.cgroup:
            (Path(order.cgroup) / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.environ.clear()
        os.environ.update(order.environment)
        os.chdir(order.folder)
        time.tzset()
        serve()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(server: int, order: SessionOrder) -> tuple[str, int]:
    """Wait for the end of the server; return its cause (``ended``, ``stopped``, ``walltime``) and its exit status."""
    cause = "ended"
    kill_at = float("inf")
    while True:
        if (status := _reap(server)) is not None:
            return cause, status
        now = time.time()
        if cause == "ended" and now >= order.ends_at:
            cause, kill_at = "walltime", time.monotonic() + order.grace_seconds
            os.kill(server, signal.SIGTERM)
        if time.monotonic() >= kill_at:
            os.kill(server, signal.SIGKILL)
        wait = min(order.ends_at - now if cause == "ended" else kill_at - time.monotonic(), LONGEST_WAIT_SECONDS)
        arrived = signal.sigtimedwait(AWAITED, max(wait, 0.05))
        if arrived is not None and arrived.si_signo != signal.SIGCHLD and cause == "ended":
            cause, kill_at = "stopped", time.monotonic() + order.grace_seconds
            os.kill(server, signal.SIGTERM)


def _reap(server: int) -> int | None:
    """Collect the children that ended; return the exit status of the server if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == server:
            found = os.waitstatus_to_exitcode(status)


def _end_descendants() -> None:
    """Kill what the session left behind: nothing of it may outlive it. What cannot be killed is named in the log."""
    deadline = time.monotonic() + KILL_SECONDS
    while remaining := descendants(os.getpid()):
        if time.monotonic() >= deadline:
            names = ", ".join(map(str, sorted(remaining)))
            print(f"processes of the session that could not be killed: {names}", file=sys.stderr, flush=True)  # noqa: T201
            return
        for pid in remaining:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap(0)
        time.sleep(0.01)


def _write_end_record(order: SessionOrder, record: dict[str, Any]) -> None:
    if not order.end_record:
        return
    partial = Path(f"{order.end_record}.partial")
    try:
        partial.write_text(json.dumps({**record, "ended": time.time()}), encoding="ascii")
        partial.replace(order.end_record)
    except OSError as error:
        how = f"{record['cause']}, {record['status']}"
        print(f"how the session ended ({how}) could not be kept: {error}", file=sys.stderr)  # noqa: T201
