"""Run the commands of a batch system: argument lists, a clean environment, a time limit; as the hub or as a user."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from swotvre_hub.engines.base import CommandResult, SchedulerUnavailableError

SUDO = "/usr/bin/sudo"
RUNUSER = "/usr/sbin/runuser"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Commands that run at once for users: a hundred starts at the same moment are no hundred processes.
AT_ONCE = 8


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
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise SchedulerUnavailableError(f"{arguments[0]} cannot be run: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(self._timeout_seconds):
                out, err = await process.communicate(stdin.encode())
        except TimeoutError as error:
            await _end(process)
            raise SchedulerUnavailableError(
                f"{Path(_program(arguments)).name} did not answer within {self._timeout_seconds:g} s"
            ) from error
        except BaseException:
            # Whoever waited was cancelled: nothing of ours is left behind.
            await _end(process)
            raise
        return CommandResult(
            arguments,
            process.returncode if process.returncode is not None else -1,
            out.decode("utf-8", errors="replace"),
            err.decode("utf-8", errors="replace"),
        )


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


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a command and what it started, also when it has ended itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    with suppress(TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(2):
            await process.wait()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
