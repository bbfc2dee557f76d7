"""Where the daemons keep what they share."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """The cluster's folder, which everybody can enter, and what lies in it."""

    root: Path

    def make(self) -> None:
        """Make every folder: the users' are entered, not listed; the daemons' are their own."""
        for path, mode in ((self.root, 0o755), (self.commands, 0o755), (self.spool, 0o711), (self.private, 0o700)):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        (self.private / "jobs").mkdir(exist_ok=True)
        (self.private / "mom").mkdir(exist_ok=True)

    @property
    def commands(self) -> Path:
        """``qsub`` and its like."""
        return self.root / "bin"

    @property
    def spool(self) -> Path:
        """Scripts, output and temporary folders of jobs, each readable by the job's owner alone."""
        return self.root / "spool"

    @property
    def private(self) -> Path:
        """What the daemons keep."""
        return self.root / "private"

    @property
    def site(self) -> Path:
        """The settings of the site."""
        return self.private / "site.json"

    @property
    def server_socket(self) -> Path:
        """Where the commands reach the server."""
        return self.root / "pbs.sock"

    @property
    def events_socket(self) -> Path:
        """Where shepherds tell the server what happened."""
        return self.private / "events.sock"

    @property
    def mom_socket(self) -> Path:
        """Where the server tells the mom which job to start."""
        return self.private / "mom.sock"

    @property
    def jobs(self) -> Path:
        """The server's jobs."""
        return self.private / "jobs"

    def launch(self, number: int) -> Path:
        """How a job is to be started, for as long as the mom has not read it."""
        return self.private / "mom" / f"{number}.launch"

    def report(self, number: int) -> Path:
        """The last that the shepherd has told of a job, for a server that was down."""
        return self.private / "mom" / f"{number}.report"

    @staticmethod
    def bind(listener: socket.socket, path: Path, mode: int = 0o600) -> None:
        """Bind a socket in place of one that was left behind."""
        path.unlink(missing_ok=True)
        if len(os.fsencode(path)) > 100:
            raise ValueError(f"{path} is too long for a socket: start the cluster in a folder with a shorter name")
        listener.bind(str(path))
        path.chmod(mode)
