"""Run the commands of a batch system: argument lists, a clean environment, a time limit; as the hub or as a user."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from swotvre_hub.engines.base import CommandResult, SchedulerUnavailableError

SUDO = "/usr/bin/sudo"
RUNUSER = "/usr/sbin/runuser"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Commands that run at once for users: a hundred starts at the same moment are no hundred processes.
AT_ONCE = 8
#: How often it is looked whether a command that has said all has ended.
LOOK_SECONDS = 0.005


class CommandRunner:
    """Runs commands; nothing of the hub's environment, and no text of a user, reaches a shell."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        # Two queues: a hundred starts that make files ready keep no job from being submitted or ended.
        self._jobs = asyncio.Semaphore(AT_ONCE)
        self._files = asyncio.Semaphore(AT_ONCE)

    async def run(self, arguments: Sequence[str]) -> CommandResult:
        """Run a command as the hub's own account.

        Raises:
            SchedulerUnavailableError: when it cannot be run, or does not end in time.
        """
        return await self._run(list(arguments), "", _environment(_account()))

    async def run_as(
        self, user_name: str, arguments: Sequence[str], stdin: str = "", for_files: bool = False
    ) -> CommandResult:
        """Run a command as the account ``user_name``, with ``stdin`` as its standard input.

        Args:
            user_name: a validated account name.
            arguments: the command.
            stdin: its standard input.
            for_files: whether it handles files, and is no command of the scheduler.

        Raises:
            SchedulerUnavailableError: when it cannot be run, or does not end in time.
        """
        async with self._files if for_files else self._jobs:
            prefix = prefix_for(user_name, _account(), os.geteuid())
            return await self._run([*prefix, *arguments], stdin, _environment(user_name))

    async def _run(self, arguments: list[str], stdin: str, environment: dict[str, str]) -> CommandResult:
        given = stdin.encode()
        out, err = _Output(), _Output()
        try:
            try:
                process = _begin(arguments, given, out, err, environment)
            except OSError as error:
                raise SchedulerUnavailableError(f"{arguments[0]} cannot be run: {error.strerror or error}") from error
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    printed, complained = await asyncio.gather(out.read(), err.read())
                    exit_code = await _exit_code(process)
            except TimeoutError as error:
                await _end(process)
                raise SchedulerUnavailableError(
                    f"{Path(_program(arguments)).name} did not answer within {self._timeout_seconds:g} s"
                ) from error
            except BaseException:
                # Whoever waited was cancelled: nothing of ours is left behind.
                await _end(process)
                raise
        finally:
            out.close()
            err.close()
        return CommandResult(
            arguments,
            exit_code,
            printed.decode("utf-8", errors="replace"),
            complained.decode("utf-8", errors="replace"),
        )


class _Output:
    """A pipe that a command writes into."""

    def __init__(self) -> None:
        self._read_end = self._write_end = -1

    def open(self) -> int:
        """Make the pipe and return the end that a command writes into."""
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        return self._write_end

    def is_given(self) -> None:
        """The command has the end to write into; ours would keep the pipe open."""
        os.close(self._write_end)
        self._write_end = -1

    async def read(self) -> bytes:
        """Return all that is written, until nobody can write any more."""
        reader = asyncio.StreamReader()
        pipe = os.fdopen(self._read_end, "rb", buffering=0)
        self._read_end = -1
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        except BaseException:
            pipe.close()
            raise
        try:
            return await reader.read()
        finally:
            transport.close()

    def close(self) -> None:
        """Close what is still open."""
        for end in (self._read_end, self._write_end):
            if end >= 0:
                os.close(end)
        self._read_end = self._write_end = -1


def _begin(
    arguments: list[str], given: bytes, out: _Output, err: _Output, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command.

    Not by asyncio: when a hub ends, it cancels every task, also those by which asyncio connects to a command that has
    just begun, and then waits for that command in vain.

    Raises:
        OSError: when it cannot be run.
    """
    with os.fdopen(os.memfd_create("stdin"), "wb+") as stdin:
        stdin.write(given)
        stdin.seek(0)
        process = subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=out.open(),
            stderr=err.open(),
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    out.is_given()
    err.is_given()
    return process


async def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """Return how a command ended that has said all: as a rule it is just ending."""
    while (exit_code := process.poll()) is None:  # noqa: ASYNC110 - an ended process sets no event
        await asyncio.sleep(LOOK_SECONDS)
    return exit_code


def prefix_for(user_name: str, account: str, uid: int) -> list[str]:
    """Return what runs a command as ``user_name``.

    Args:
        user_name: a validated account name.
        account: the account that this process runs as.
        uid: its effective user id; root needs no sudo.
    """
    if user_name == account:
        return []
    if uid == 0:
        return [RUNUSER, "-u", user_name, "--"]
    return [SUDO, "-n", "-u", user_name, "--"]


def _account() -> str:
    """Return the account that this process runs as; what its environment says of itself does not count."""
    return pwd.getpwuid(os.geteuid()).pw_name


def _environment(user_name: str) -> dict[str, str]:
    """Return the little that a scheduler's command needs; sudo makes its own."""
    try:
        home = pwd.getpwnam(user_name).pw_dir
    except KeyError:
        home = "/"
    kept = {name: os.environ[name] for name in ("TZ",) if name in os.environ}
    return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": home, "USER": user_name, "LOGNAME": user_name, **kept}


def _program(arguments: Sequence[str]) -> str:
    after = arguments.index("--") + 1 if "--" in arguments else 0
    return arguments[min(after, len(arguments) - 1)]


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and what it started, also when it has ended itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    with suppress(TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(2):
            await _exit_code(process)
    if process.poll() is None:
        # Nobody waits here any more; somebody has to take notice of its end, or it stays as a zombie.
        threading.Thread(target=process.wait, name=f"end of {process.pid}", daemon=True).start()
