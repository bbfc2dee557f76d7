"""One question for all sessions: what is known stays known, what is not known has not ended, and the questions go on."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.engines.base import EndCause, JobState
from swotvre_hub.engines.pbs import PbsEngine
from swotvre_hub.reflector import (
    JITTER,
    LARGEST_BACK_OFF,
    LEFT_OUT_AT_ONCE,
    LONGEST_PAUSE_SECONDS,
    QUICK_SECONDS,
    Reflector,
)
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
DOWN = "echo 'Connection refused; qstat: cannot connect to server head (errno=15010)' >&2; exit 255"
UNKNOWN = "echo 'qstat: Unknown Job Id 1.head' >&2; exit 153"


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
        self.say(shown(**states))

    def calls(self, name: str = "qstat") -> list[list[str]]:
        """Return the arguments of each call of a command."""
        lines = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == name]

    async def rounds(self, count: int) -> None:
        """Wait for so many rounds of questions."""
        for _ in range(count):
            assert await self.reflector.wait_for_news(10)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds after a round."""
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline
            await self.rounds(1)


def shown(**states: str) -> str:
    jobs = {f"{name[1:]}.head": {"job_state": state, "substate": 42} for name, state in states.items()}
    return f"cat <<'END'\n{json.dumps({'Jobs': jobs})}\nEND\n"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def pbs(tmp_path: Path, clock: Clock) -> AsyncIterator[Pbs]:
    pbs = Pbs(tmp_path)
    settings = SCHEDULER.model_copy(update={"starting_query_seconds": QUICK, "query_seconds": CALM})
    pbs.reflector = Reflector(PbsEngine(tmp_path), CommandRunner(0.5), settings, logging.getLogger("test"), clock)
    yield pbs
    await pbs.reflector.stop()


async def test_three_hundred_jobs_cost_one_question_a_round(pbs: Pbs) -> None:
    names = [f"j{number}" for number in range(1, 301)]
    pbs.show(**dict.fromkeys(names, "R"))
    for name in names:
        pbs.reflector.watch(f"{name[1:]}.head")
    await pbs.rounds(3)
    await pbs.reflector.stop()
    assert len(pbs.calls()) <= 4  # the fourth was cut off
    assert pbs.reflector.questions == len(pbs.calls())
    assert all(len(arguments) == 5 + 300 for arguments in pbs.calls())
    assert pbs.reflector.look("300.head").status is not None


async def test_a_job_is_unknown_until_the_first_answer(pbs: Pbs) -> None:
    pbs.say("exec sleep 0.1")
    pbs.reflector.watch("1.head")
    seen = pbs.reflector.look("1.head")
    assert (seen.status, seen.age_seconds, seen.trouble) == (None, None, None)


@pytest.mark.parametrize(
    "answer",
    [DOWN, "exec sleep 60", "echo '{\"Jobs\": {'", "echo garbage", "printf '\\377\\376'", "exit 1", "kill -9 $$", "exit 0"],
    ids=["down", "hangs", "cut", "garbage", "binary", "status 1", "killed", "silent"],
)
async def test_a_failed_question_keeps_the_last_answer_with_its_age(pbs: Pbs, clock: Clock, answer: str) -> None:
    pbs.show(j1="R")
    seen = await _watched(pbs)
    assert seen is JobState.RUNNING
    pbs.say(answer)
    await pbs.until(lambda: pbs.reflector.look("1.head").trouble)
    clock.now += 60
    later = pbs.reflector.look("1.head")
    assert later.status is not None
    assert (later.status.state, later.age_seconds) == (JobState.RUNNING, 60)


async def test_a_command_that_is_not_there_is_trouble(pbs: Pbs) -> None:
    (pbs.folder / "qstat").unlink()
    pbs.reflector.watch("1.head")
    await pbs.rounds(1)
    assert "qstat cannot be run" in str(pbs.reflector.look("1.head").trouble)


async def test_trouble_is_over_with_the_next_answer(pbs: Pbs) -> None:
    pbs.say(DOWN)
    pbs.reflector.watch("1.head")
    await pbs.rounds(1)
    pbs.show(j1="R")
    await pbs.until(lambda: pbs.reflector.look("1.head").status)
    assert pbs.reflector.look("1.head").trouble is None


async def test_an_end_is_told_exactly_once(pbs: Pbs) -> None:
    ends: list[str] = []
    pbs.show(j1="R")
    pbs.reflector.watch("1.head", lambda: ends.append("1.head"))
    await pbs.rounds(1)
    pbs.show(j1="F")
    await pbs.until(lambda: ends)
    await pbs.rounds(3)
    assert ends == ["1.head"]


async def test_an_end_is_not_told_to_who_asks_for_it_afterwards(pbs: Pbs) -> None:
    pbs.show(j1="F")
    assert await _watched(pbs) is JobState.ENDED
    ends: list[str] = []
    pbs.reflector.call_at_end("1.head", lambda: ends.append("1.head"))
    await pbs.rounds(3)
    assert ends == []


async def test_one_answer_does_not_make_a_job_forgotten(pbs: Pbs) -> None:
    pbs.say(f"mv qstat.next qstat.now; {UNKNOWN}")
    (pbs.folder / "qstat.next").write_text(shown(j1="R"))
    ends: list[str] = []
    pbs.reflector.watch("1.head", lambda: ends.append("1.head"))
    await pbs.rounds(4)
    status = pbs.reflector.look("1.head").status
    assert status is not None
    assert (status.state, ends) == (JobState.RUNNING, [])


async def test_two_answers_in_a_row_make_a_job_forgotten(pbs: Pbs) -> None:
    pbs.say(UNKNOWN)
    ends: list[int] = []
    pbs.reflector.watch("1.head", lambda: ends.append(pbs.reflector.questions))
    await pbs.until(lambda: ends)
    status = pbs.reflector.look("1.head").status
    assert status is not None
    assert status.end is not None
    assert (status.end.cause, ends) == (EndCause.FORGOTTEN, [2])


async def test_a_job_that_answers_leave_out_is_asked_for_alone(pbs: Pbs) -> None:
    pbs.show(j1="R")
    (pbs.folder / "alone-2.head.now").write_text("echo 'qstat: Unknown Job Id 2.head' >&2; exit 153")
    pbs.reflector.watch("1.head")
    pbs.reflector.watch("2.head")
    await pbs.until(lambda: pbs.reflector.look("2.head").status)
    status = pbs.reflector.look("2.head").status
    assert status is not None
    assert status.state is JobState.ENDED
    assert [arguments[5:] for arguments in pbs.calls()[:3]] == [["1.head", "2.head"], ["1.head", "2.head"], ["2.head"]]


async def test_only_some_of_the_jobs_that_are_left_out_are_asked_for_at_once(pbs: Pbs) -> None:
    pbs.show(j1="R")
    for number in range(1, 10):
        pbs.reflector.watch(f"{number}.head")
    await pbs.rounds(3)
    await pbs.reflector.stop()
    whole = [index for index, arguments in enumerate(pbs.calls()) if len(arguments) == 5 + 9]
    alone = [later - earlier - 1 for earlier, later in zip(whole, whole[1:], strict=False)]
    assert max(alone) == LEFT_OUT_AT_ONCE


async def test_the_place_of_a_waiting_job_is_told_and_gone_when_it_runs(pbs: Pbs) -> None:
    pbs.say("echo 7.head; echo 1.head; echo 9.head", "qselect")
    pbs.show(j1="Q")
    await _watched(pbs)
    place = pbs.reflector.look("1.head").place
    assert place is not None
    assert (place.number, place.of) == (2, 3)
    pbs.show(j1="R")
    await pbs.until(lambda: pbs.reflector.look("1.head").status.state is JobState.RUNNING)  # type: ignore[union-attr]
    assert pbs.reflector.look("1.head").place is None


async def test_places_that_are_not_known_are_no_trouble(pbs: Pbs) -> None:
    pbs.say(DOWN, "qselect")
    pbs.show(j1="Q")
    assert await _watched(pbs) is JobState.WAITING
    assert (pbs.reflector.look("1.head").place, pbs.reflector.look("1.head").trouble) == (None, None)


async def test_questions_end_with_the_last_job(pbs: Pbs) -> None:
    pbs.show(j1="R")
    await _watched(pbs)
    pbs.reflector.forget("1.head")
    await asyncio.sleep(3 * CALM)
    asked = len(pbs.calls())
    await asyncio.sleep(3 * CALM)
    assert len(pbs.calls()) == asked


async def test_who_waits_for_a_first_answer_waits_no_longer_than_he_said(pbs: Pbs, clock: Clock) -> None:
    del clock
    pbs.say("exec sleep 60")
    began = time.monotonic()
    assert (await pbs.reflector.look_soon("1.head", 0.1)).status is None
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("seconds", [-1e9, -3600.0, 3600.0, 1e9])
async def test_a_clock_that_jumps_ends_no_job_and_stops_no_question(pbs: Pbs, clock: Clock, seconds: float) -> None:
    pbs.show(j1="R")
    await _watched(pbs)
    clock.now += seconds
    await pbs.rounds(2)
    seen = pbs.reflector.look("1.head")
    assert seen.status is not None
    assert (seen.status.state, seen.trouble) == (JobState.RUNNING, None)


# -- how often -------------------------------------------------------------------------------------------------------


async def test_questions_are_quick_at_first_patient_while_it_waits_and_calm_when_it_runs(
    pbs: Pbs, clock: Clock
) -> None:
    slow = SCHEDULER.model_copy(update={"starting_query_seconds": QUICK, "query_seconds": 7.0})
    pbs.show(j1="Q")
    await _watched(pbs)
    pbs.reflector.settings = slow
    assert pbs.reflector.interval_seconds() == QUICK
    clock.now += QUICK_SECONDS
    assert pbs.reflector.interval_seconds() == 10 * QUICK
    pbs.show(j1="R")
    await pbs.until(lambda: pbs.reflector.look("1.head").status.state is JobState.RUNNING)  # type: ignore[union-attr]
    assert pbs.reflector.interval_seconds() == QUICK  # it has just begun
    clock.now += QUICK_SECONDS
    assert pbs.reflector.interval_seconds() == 7.0


@pytest.mark.parametrize("quick", [0.002, 1.0, 60.0])
async def test_a_scheduler_in_trouble_is_asked_less_often_but_within_bounds(pbs: Pbs, quick: float) -> None:
    pbs.say(DOWN)
    pbs.reflector.settings = SCHEDULER.model_copy(update={"starting_query_seconds": 0.002, "query_seconds": 0.002})
    pbs.reflector.watch("1.head")
    longest = max(quick, min(quick * LARGEST_BACK_OFF * 4, LONGEST_PAUSE_SECONDS))
    intervals = []
    for _ in range(8):
        await pbs.rounds(1)
        asked = pbs.reflector.settings
        pbs.reflector.settings = SCHEDULER.model_copy(update={"starting_query_seconds": quick, "query_seconds": quick})
        intervals.append(pbs.reflector.interval_seconds())
        pbs.reflector.settings = asked
    assert intervals == sorted(intervals)
    assert quick <= intervals[0] <= min(2 * quick, longest)
    assert intervals[-1] == longest


async def test_a_calm_interval_varies_by_a_tenth_at_most(pbs: Pbs, clock: Clock) -> None:
    interval = 0.1
    pbs.reflector.settings = SCHEDULER.model_copy(update={"starting_query_seconds": 0.01, "query_seconds": interval})
    pbs.show(j1="R")
    await _watched(pbs)
    clock.now += QUICK_SECONDS + 1
    await pbs.rounds(1)
    gaps = []
    for _ in range(8):
        began = time.monotonic()
        await pbs.rounds(1)
        gaps.append(time.monotonic() - began)
    assert min(gaps) >= interval * (1 - JITTER) - 0.002
    assert min(gaps) <= interval * (1 + JITTER) + 0.1  # the command itself takes a moment


async def test_a_new_job_is_not_kept_waiting_by_calm_ones(pbs: Pbs, clock: Clock) -> None:
    pbs.reflector.settings = SCHEDULER.model_copy(update={"starting_query_seconds": QUICK, "query_seconds": 3600.0})
    pbs.show(j1="R", j2="Q")
    await _watched(pbs)
    clock.now += QUICK_SECONDS + 1
    await pbs.rounds(1)
    assert not await pbs.reflector.wait_for_news(5 * QUICK + 0.2)
    assert (await pbs.reflector.look_soon("2.head", 5)).status is not None


async def _watched(pbs: Pbs) -> JobState:
    """Watch job 1, and return its state after the first round."""
    pbs.reflector.watch("1.head")
    await pbs.until(lambda: pbs.reflector.look("1.head").status)
    await pbs.rounds(1)
    status = pbs.reflector.look("1.head").status
    assert status is not None
    return status.state
