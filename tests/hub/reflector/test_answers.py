"""What is known of jobs: it stays known, what is not known has not ended, and the questions go on."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from swotvre_hub.engines.base import EndCause, JobState
from swotvre_hub.reflector import LEFT_OUT_AT_ONCE

DOWN = "echo 'Connection refused; qstat: cannot connect to server head (errno=15010)' >&2; exit 255"
UNKNOWN = "echo 'qstat: Unknown Job Id 1.head' >&2; exit 153"
#: Time between two questions, as ``conftest.py`` sets it.
CALM = 0.05


async def test_three_hundred_jobs_cost_one_question_a_round(pbs: Any) -> None:
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


async def test_a_job_is_unknown_until_the_first_answer(pbs: Any) -> None:
    pbs.say("exec sleep 0.1")
    pbs.reflector.watch("1.head")
    seen = pbs.reflector.look("1.head")
    assert (seen.status, seen.age_seconds, seen.trouble) == (None, None, None)


@pytest.mark.parametrize(
    "answer",
    [
        DOWN,
        "exec sleep 60",
        "echo '{\"Jobs\": {'",
        "echo garbage",
        "printf '\\377\\376'",
        "exit 1",
        "kill -9 $$",
        "exit 0",
    ],
    ids=["down", "hangs", "cut", "garbage", "binary", "status 1", "killed", "silent"],
)
async def test_a_failed_question_keeps_the_last_answer_with_its_age(pbs: Any, clock: Any, answer: str) -> None:
    pbs.show(j1="R")
    seen = await pbs.watched()
    assert seen is JobState.RUNNING
    pbs.say(answer)
    await pbs.until(lambda: pbs.reflector.look("1.head").trouble)
    clock.now += 60
    later = pbs.reflector.look("1.head")
    assert later.status is not None
    assert (later.status.state, later.age_seconds) == (JobState.RUNNING, 60)


async def test_a_command_that_is_not_there_is_trouble(pbs: Any) -> None:
    (pbs.folder / "qstat").unlink()
    pbs.reflector.watch("1.head")
    await pbs.rounds(1)
    assert "qstat cannot be run" in str(pbs.reflector.look("1.head").trouble)


async def test_trouble_is_over_with_the_next_answer(pbs: Any) -> None:
    pbs.say(DOWN)
    pbs.reflector.watch("1.head")
    await pbs.rounds(1)
    pbs.show(j1="R")
    await pbs.until(lambda: pbs.reflector.look("1.head").status)
    assert pbs.reflector.look("1.head").trouble is None


async def test_an_end_is_told_exactly_once(pbs: Any) -> None:
    ends: list[str] = []
    pbs.show(j1="R")
    pbs.reflector.watch("1.head", lambda: ends.append("1.head"))
    await pbs.rounds(1)
    pbs.show(j1="F")
    await pbs.until(lambda: ends)
    await pbs.rounds(3)
    assert ends == ["1.head"]


async def test_an_end_is_not_told_to_who_asks_for_it_afterwards(pbs: Any) -> None:
    pbs.show(j1="F")
    assert await pbs.watched() is JobState.ENDED
    ends: list[str] = []
    pbs.reflector.call_at_end("1.head", lambda: ends.append("1.head"))
    await pbs.rounds(3)
    assert ends == []


async def test_one_answer_does_not_make_a_job_forgotten(pbs: Any) -> None:
    pbs.say(f"mv qstat.next qstat.now; {UNKNOWN}")
    (pbs.folder / "qstat.next").write_text(pbs.script(j1="R"))
    ends: list[str] = []
    pbs.reflector.watch("1.head", lambda: ends.append("1.head"))
    await pbs.rounds(4)
    status = pbs.reflector.look("1.head").status
    assert status is not None
    assert (status.state, ends) == (JobState.RUNNING, [])


async def test_two_answers_in_a_row_make_a_job_forgotten(pbs: Any) -> None:
    pbs.say(UNKNOWN)
    ends: list[int] = []
    pbs.reflector.watch("1.head", lambda: ends.append(pbs.reflector.questions))
    await pbs.until(lambda: ends)
    status = pbs.reflector.look("1.head").status
    assert status is not None
    assert status.end is not None
    assert (status.end.cause, ends) == (EndCause.FORGOTTEN, [2])


async def test_a_job_that_answers_leave_out_is_asked_for_alone(pbs: Any) -> None:
    pbs.show(j1="R")
    (pbs.folder / "alone-2.head.now").write_text("echo 'qstat: Unknown Job Id 2.head' >&2; exit 153")
    pbs.reflector.watch("1.head")
    pbs.reflector.watch("2.head")
    await pbs.until(lambda: pbs.reflector.look("2.head").status)
    status = pbs.reflector.look("2.head").status
    assert status is not None
    assert status.state is JobState.ENDED
    assert [arguments[5:] for arguments in pbs.calls()[:3]] == [["1.head", "2.head"], ["1.head", "2.head"], ["2.head"]]


async def test_only_some_of_the_jobs_that_are_left_out_are_asked_for_at_once(pbs: Any) -> None:
    pbs.show(j1="R")
    for number in range(1, 10):
        pbs.reflector.watch(f"{number}.head")
    await pbs.rounds(3)
    await pbs.reflector.stop()
    whole = [index for index, arguments in enumerate(pbs.calls()) if len(arguments) == 5 + 9]
    alone = [later - earlier - 1 for earlier, later in itertools.pairwise(whole)]
    assert max(alone) == LEFT_OUT_AT_ONCE


async def test_the_place_of_a_waiting_job_is_told_and_gone_when_it_runs(pbs: Any) -> None:
    pbs.say("echo 7.head; echo 1.head; echo 9.head", "qselect")
    pbs.show(j1="Q")
    await pbs.watched()
    place = pbs.reflector.look("1.head").place
    assert place is not None
    assert (place.number, place.of) == (2, 3)
    pbs.show(j1="R")
    await pbs.until(lambda: pbs.reflector.look("1.head").status.state is JobState.RUNNING)
    assert pbs.reflector.look("1.head").place is None


async def test_places_that_are_not_known_are_no_trouble(pbs: Any) -> None:
    pbs.say(DOWN, "qselect")
    pbs.show(j1="Q")
    assert await pbs.watched() is JobState.WAITING
    assert (pbs.reflector.look("1.head").place, pbs.reflector.look("1.head").trouble) == (None, None)


async def test_questions_end_with_the_last_job(pbs: Any) -> None:
    pbs.show(j1="R")
    await pbs.watched()
    pbs.reflector.forget("1.head")
    await asyncio.sleep(3 * CALM)
    asked = len(pbs.calls())
    await asyncio.sleep(3 * CALM)
    assert len(pbs.calls()) == asked


async def test_who_waits_for_a_first_answer_waits_no_longer_than_he_said(pbs: Any, clock: Any) -> None:
    del clock
    pbs.say("exec sleep 60")
    began = time.monotonic()
    assert (await pbs.reflector.look_soon("1.head", 0.1)).status is None
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("seconds", [-1e9, -3600.0, 3600.0, 1e9])
async def test_a_clock_that_jumps_ends_no_job_and_stops_no_question(pbs: Any, clock: Any, seconds: float) -> None:
    pbs.show(j1="R")
    await pbs.watched()
    clock.now += seconds
    await pbs.rounds(2)
    seen = pbs.reflector.look("1.head")
    assert seen.status is not None
    assert (seen.status.state, seen.trouble) == (JobState.RUNNING, None)
