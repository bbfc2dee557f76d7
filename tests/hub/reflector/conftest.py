"""A reflector whose scheduler is PBS, with commands that say what a test wants, and a clock that stands still."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.engines.base import JobState
from swotvre_hub.engines.pbs import PbsEngine
from swotvre_hub.reflector import Reflector
from swotvre_hub.settings import load_settings

SCHEDULER = load_settings().scheduler
QUICK, CALM = 0.02, 0.05

#: A command of PBS: prints what the test says now; asked for one job, what it says of that job, if it does.
PROGRAM = """#!/bin/sh
cd {folder}
echo "$(basename "$0") $*" >> calls
for last; do :; done
say=$(basename "$0")
[ $# -eq 6 ] && [ -e "alone-$last.now" ] && say="alone-$last"
exec /bin/sh "./$say.now" "$@"
"""


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pbs:
    """The commands of PBS, which say what the test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("qstat", "qselect"):
            (folder / name).write_text(PROGRAM.format(folder=folder), encoding="utf-8")
            (folder / name).chmod(0o755)
            self.say("exit 0", name)
        self.reflector: Reflector

    def say(self, script: str, name: str = "qstat") -> None:
        """Have a command answer by ``script`` from now on."""
        partial = self.folder / "partial"
        partial.write_text(script, encoding="utf-8")
        partial.rename(self.folder / f"{name}.now")

    def show(self, **states: str) -> None:
        """Have ``qstat`` show jobs, ``j1`` for ``1.head``, in states."""
        self.say(self.script(**states))

    @staticmethod
    def script(**states: str) -> str:
        """Return a script that shows jobs, ``j1`` for ``1.head``, in states."""
        jobs = {f"{name[1:]}.head": {"job_state": state, "substate": 42} for name, state in states.items()}
        return f"cat <<'END'\n{json.dumps({'Jobs': jobs})}\nEND\n"

    def calls(self, name: str = "qstat") -> list[list[str]]:
        """Return the arguments of each call of a command."""
        lines = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == name]

    async def rounds(self, count: int) -> None:
        """Wait for so many rounds of questions."""
        for _ in range(count):
            assert await self.reflector.wait_for_news(30)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds after a round."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline
            await self.rounds(1)

    async def watched(self) -> JobState:
        """Watch job 1, and return its state after the first answer."""
        self.reflector.watch("1.head")
        await self.until(lambda: self.reflector.look("1.head").status)
        await self.rounds(1)
        status = self.reflector.look("1.head").status
        assert status is not None
        return status.state


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def pbs(tmp_path: Path, clock: Clock) -> AsyncIterator[Pbs]:
    pbs = Pbs(tmp_path)
    settings = SCHEDULER.model_copy(update={"starting_query_seconds": QUICK, "query_seconds": CALM})
    pbs.reflector = Reflector(PbsEngine(tmp_path), CommandRunner(5), settings, logging.getLogger("test"), clock)
    yield pbs
    await pbs.reflector.stop()
