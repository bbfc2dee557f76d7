"""A process that has imported JupyterLab, and forks a session at each order.

``python -m swotvre_lab.forkserver FD`` gets one end of a socket pair from the hub as file descriptor ``FD``. No other
process can reach it: there is no path to connect to. Each line that comes in is the order of a session, each line
that goes out its answer. When the hub goes, its end closes, and the fork server ends; the sessions do not notice.

It holds no secret: it is started with a minimal environment, and each session gets its own through the order.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from types import FrameType

from swotvre_lab.linux import start_ticks
from swotvre_lab.order import LARGEST_ORDER_BYTES, OrderError, SessionOrder
from swotvre_lab.supervisor import supervise
from swotvre_lab.trimmed_imports import import_server

#: What the fork server says when it is ready.
READY: dict[str, object] = {"ready": True}


class ForkServer:
    """Answers orders on one socket until the other end closes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._told_to_stop = False
        self._received = b""

    def run(self) -> None:
        """Serve orders until told to stop, or until the hub is gone."""
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGCHLD, _only_wake)
        # Ctrl-C in the hub's terminal is the hub's to act upon.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._send(READY)
        while not self._told_to_stop:
            readable, _, _ = select.select([self._connection.fileno(), self._wake_reader], [], [])
            if self._wake_reader in readable:
                with suppress(BlockingIOError):
                    os.read(self._wake_reader, 4096)
                report_ended_sessions()
            if self._connection.fileno() in readable and not self._take_orders():
                return

    def _take_orders(self) -> bool:
        """Read what came in and start what is complete; return whether the other end is still open."""
        received = self._connection.recv(65536)
        if not received:
            return False
        self._received += received
        if len(self._received) > LARGEST_ORDER_BYTES:
            return False
        *orders, self._received = self._received.split(b"\n")
        for order in orders:
            self._send(self._start(order))
        return True

    def _start(self, message: bytes) -> dict[str, object]:
        try:
            order = SessionOrder.from_json(message)
        except OrderError as error:
            return {"error": str(error)}
        try:
            pid = os.fork()
        except OSError as error:
            return {"error": f"no process could be started: {error.strerror}"}
        if pid == 0:
            self._become_session(order)
        return {"pid": pid, "start_ticks": start_ticks(pid)}

    def _become_session(self, order: SessionOrder) -> None:
        """Leave everything of the fork server behind and supervise the session: never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            self._connection.close()
            from swotvre_lab.server import serve

            status = supervise(order, serve)
        except BaseException:
            # Standard error is the session's log as soon as there is one.
            traceback.print_exc()
        finally:
            os._exit(status if status >= 0 else 128 - status)

    def _send(self, message: dict[str, object]) -> None:
        with suppress(BrokenPipeError):
            self._connection.sendall(json.dumps(message).encode("ascii") + b"\n")

    def _stop(self, _signal_number: int, _frame: FrameType | None) -> None:
        self._told_to_stop = True


def report_ended_sessions() -> None:
    """Collect the sessions that ended, and say so."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        print(f"session with pid {pid} ended with status {os.waitstatus_to_exitcode(status)}", flush=True)  # noqa: T201


def count_threads() -> int:
    """Return how many threads this process has; a fork carries over only one."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are all that is needed


def main(argv: list[str]) -> int:
    """Import the server, then serve orders on the file descriptor that ``argv`` names."""
    if len(argv) != 2 or not argv[1].isdecimal():
        print("usage: python -m swotvre_lab.forkserver FILE_DESCRIPTOR_OF_A_SOCKET", file=sys.stderr)  # noqa: T201
        return 2
    connection = socket.socket(fileno=int(argv[1]))
    os.set_inheritable(connection.fileno(), False)
    import_server()
    if (threads := count_threads()) > 1:
        print(f"imports left {threads} threads running; expected one: cannot fork cleanly", file=sys.stderr)  # noqa: T201
        return 1
    gc.collect()
    # What was imported stays in memory that all sessions share: the collector would write to it.
    gc.freeze()
    ForkServer(connection).run()
    return 0


def _only_wake(_signal_number: int, _frame: FrameType | None) -> None:
    """Exist, so that the signal reaches the wake-up pipe."""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
