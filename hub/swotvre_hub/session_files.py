"""A user's files of batch sessions, handled as that user: ``python -I -m swotvre_hub.session_files VERB SESSION ...``.

The hub runs this by sudo: it may not read or write in anybody's home itself. It prints one JSON object.

``begin SESSION FOLDER LOG_DAYS``
    Make the user's FOLDER ready for a session, and a place for its log; remove logs that are older than LOG_DAYS.
``end SESSION FOLDER``
    Tell the record that the session wrote of its end, and the last lines of its log.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from swotvre_hub.spawner.workspace import WorkspaceError, prepare_workspace

#: Below a user's folder: logs and end records, one of each per session.
LOG_FOLDER = ".local/state/swot-vre/sessions"
#: Logs of the jobs that a notebook submits by itself, for Dask workers.
DASK_LOG_FOLDER = ".local/state/swot-vre/dask-jobs"
#: Lines of a log that are told, and bytes that are read for them.
TOLD_LINES, READ_BYTES = 40, 16384
DAY_SECONDS = 86400
_SESSION_ID = re.compile(r"[0-9a-f]{16}")
#: PBS names a log after the job's id, and dask_jobqueue tells Slurm to add it to the name.
_DASK_LOG = re.compile(r"\d+[.\[].*\.(OU|ER)$|.+\.[oe]\d+$|dask-worker-\d+\.(out|err)$")


def log_path(folder: Path, session_id: str) -> Path:
    """Return the log of a session."""
    return folder / LOG_FOLDER / f"{session_id}.log"


def end_path(folder: Path, session_id: str) -> Path:
    """Return where a session says how it ended."""
    return folder / LOG_FOLDER / f"{session_id}.end.json"


def begin(folder: Path, session_id: str, log_days: int) -> dict[str, Any]:
    """Make everything ready that a session needs in the user's folder.

    Raises:
        WorkspaceError: when the folder cannot be used.
    """
    prepare_workspace(folder)
    logs = folder / LOG_FOLDER
    try:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = time.time() - log_days * DAY_SECONDS
        remove_old(logs, before, _SESSION_ID)
        dask_logs = folder / DASK_LOG_FOLDER
        dask_logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_old(dask_logs, before, _DASK_LOG)
        # It exists before the job: what the scheduler cannot write, the user is told before it waits.
        log_path(folder, session_id).touch(mode=0o600)
    except OSError as error:
        raise WorkspaceError(f"the log of a session cannot be kept in {logs}: {error.strerror or error}") from error
    return {"log": str(log_path(folder, session_id))}


def remove_old(logs: Path, before: float, names: re.Pattern[str]) -> None:
    """Remove the files of ``names`` that were last written before ``before``, seconds since the epoch."""
    for path in logs.iterdir():
        with suppress(OSError):
            if names.match(path.name) and path.lstat().st_mtime < before:
                path.unlink()


def end(folder: Path, session_id: str) -> dict[str, Any]:
    """Return ``end`` (the text of the session's own record, or null) and ``log`` (its last lines)."""
    record = None
    with suppress(OSError, UnicodeDecodeError), open_plain(end_path(folder, session_id)) as stream:
        record = stream.read(READ_BYTES).decode("ascii")
    return {"end": record, "log": last_lines(log_path(folder, session_id))}


def open_plain(path: Path) -> BinaryIO:
    """Open a file to be read; what is no plain file, and might never end, is not read.

    Raises:
        OSError: when it cannot be opened, or is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a log; none when it cannot be read."""
    try:
        with open_plain(path) as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - READ_BYTES, 0))
            text = stream.read(READ_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-TOLD_LINES:]


def main(arguments: Sequence[str]) -> int:
    """Do what ``arguments`` say; print JSON, ``error`` in it when it failed."""
    os.umask(0o077)
    try:
        answer = _do(list(arguments))
    except (WorkspaceError, ValueError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))  # noqa: T201
    return 1 if "error" in answer else 0


def _do(arguments: list[str]) -> dict[str, Any]:
    if len(arguments) < 3 or _SESSION_ID.fullmatch(arguments[1]) is None or not arguments[2].startswith("/"):
        raise ValueError("expected: begin SESSION FOLDER LOG_DAYS, or: end SESSION FOLDER")
    verb, session_id, folder = arguments[0], arguments[1], Path(arguments[2])
    if verb == "begin" and len(arguments) == 4 and arguments[3].isdigit():
        return begin(folder, session_id, int(arguments[3]))
    if verb == "end" and len(arguments) == 3:
        return end(folder, session_id)
    raise ValueError(f"received {verb!r}; expected: begin SESSION FOLDER LOG_DAYS, or: end SESSION FOLDER")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
