"""One builder at a time: locks in a folder or an object store, which a dead holder does not keep."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from swotvre_catalogs.errors import BuildRunningError, PlaceError

#: A holder says that it lives this often; after three times that silence, a holder on another host is dead.
HEARTBEAT_SECONDS = 60.0
SILENCE_SECONDS = 3 * HEARTBEAT_SECONDS

#: Errors of a file system that has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def local_lock(path: Path, name: str) -> Iterator[None]:
    """Hold the lock file ``path``; ``name`` is what is built, for the message.

    The operating system's lock on the file ends with its process. On a file system that shares no such locks between
    hosts, what the holder wrote into the file, and when, decides.

    Raises:
        BuildRunningError: If another process holds it.
        PlaceError: If the file cannot be written.
    """
    try:
        handle = _open_locked(path, name)
    except OSError as error:
        raise PlaceError(f"{path} cannot be written: {error}; name a place that can be with --index") from error
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, _holder_text(), 0)
        with _heartbeat(lambda: os.utime(path)):
            yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _open_locked(path: Path, name: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise _running(name, _holder(os.pread(handle, 4096, 0)), str(path)) from None
                locked = False
            holder = _holder(os.pread(handle, 4096, 0))
            ended_here = locked and holder.get("host") == socket.gethostname()
            if not ended_here and _lives(holder, os.fstat(handle).st_mtime):
                raise _running(name, holder, str(path))
            # The file may have been removed, with its lock, between opening and locking.
            with suppress(FileNotFoundError):
                if os.fstat(handle).st_ino == path.stat().st_ino:
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


@contextmanager
def object_lock(filesystem: Any, path: str, name: str) -> Iterator[None]:
    """Hold the object ``path`` of an fsspec object store, which must know conditional writes (If-None-Match).

    Raises:
        BuildRunningError: If another process holds it.
        PlaceError: If the object cannot be written.
    """
    for attempt in range(2):
        try:
            filesystem.pipe_file(path, _holder_text(), mode="create")
            break
        except FileExistsError:
            pass
        except OSError as error:
            if (
                error.errno != errno.EEXIST
                and "PreconditionFailed" not in str(error)
                and "pre-condition" not in str(error)
            ):
                raise PlaceError(f"{path} cannot be written: {error}; name a place that can be with --index") from error
        _take_over(filesystem, path, name, again=attempt > 0)
    mine = _holder_text()
    try:
        with _heartbeat(lambda: filesystem.pipe_file(path, mine)):
            yield
    finally:
        with suppress(OSError):
            filesystem.rm_file(path)


def _take_over(filesystem: Any, path: str, name: str, *, again: bool) -> None:
    filesystem.invalidate_cache()
    try:
        holder = _holder(filesystem.cat_file(path))
        written = filesystem.modified(path).timestamp()
    except FileNotFoundError:
        return
    if again or _lives(holder, written):
        raise _running(name, holder, path)
    with suppress(FileNotFoundError):
        filesystem.rm_file(path)


def _holder_text() -> bytes:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since}).encode()


def _holder(text: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(text)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _lives(holder: dict[str, Any], written: float) -> bool:
    if not holder:
        return False
    if holder.get("host") == socket.gethostname():
        # The lock of a process that is this one: another thread of it builds.
        return _is_process(holder.get("pid"))
    return time.time() - written < SILENCE_SECONDS


def _is_process(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, TypeError, ValueError):
        return False
    return True


def _running(name: str, holder: dict[str, Any], where: str) -> BuildRunningError:
    who = ", ".join(f"{key} {holder[key]}" for key in ("host", "pid", "since") if key in holder) or "an unknown process"
    return BuildRunningError(f"{name} is being built already ({who}); wait for it, or end it. The lock is {where}")


@contextmanager
def _heartbeat(beat: Callable[[], Any]) -> Iterator[None]:
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                beat()

    thread = threading.Thread(target=run, name="swot-vre build lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
