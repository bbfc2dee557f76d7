"""``pbs_mom``: starts the jobs of all nodes, each below a `shepherd` of its own, and goes on when the server is down.

It stays small, so that a shepherd is a fork of a few milliseconds. It ends with everything below it, and with the
nodes' names, as soon as the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from . import hosts, processes, shepherd
from .folders import Folders


def main(folder: Path) -> None:
    """Start a job for every datagram, its number, until the standard input ends."""
    folders = Folders(folder)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whoever started the mom may have been told to ignore or to block what the jobs rely on.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as orders:
        folders.bind(orders, folders.mom_socket)
        while True:
            readable, _, _ = select.select([orders, sys.stdin], [], [])
            if sys.stdin in readable and not os.read(sys.stdin.fileno(), 1):
                break
            if orders in readable:
                _start(folders, int(orders.recv(64)), orders)
    while shepherds := processes.children(os.getpid()):
        processes.send(shepherds, signal.SIGUSR2)
        time.sleep(0.02)
    hosts.remove_names(folder)


def _start(folders: Folders, number: int, orders: socket.socket) -> None:
    path = folders.launch(number)
    launch = json.loads(path.read_text(errors="surrogateescape"))
    path.unlink()
    if os.fork() == 0:
        code = 1
        try:
            orders.close()
            shepherd.run(folders, shepherd.Launch(**launch))
            code = 0
        finally:
            os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
