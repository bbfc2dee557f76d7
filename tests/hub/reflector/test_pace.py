"""How often a scheduler is asked: quickly while something happens, calmly otherwise, and less when it is in trouble."""

from __future__ import annotations

import time
from typing import Any

import pytest

from swotvre_hub.engines.base import JobState
from swotvre_hub.reflector import JITTER, LARGEST_BACK_OFF, LONGEST_PAUSE_SECONDS, QUICK_SECONDS
from swotvre_hub.settings import load_settings

SCHEDULER = load_settings().scheduler
DOWN = "echo 'Connection refused; qstat: cannot connect to server head (errno=15010)' >&2; exit 255"
QUICK = 0.02


async def test_questions_are_quick_at_first_patient_while_it_waits_and_calm_when_it_runs(pbs: Any, clock: Any) -> None:
    slow = SCHEDULER.model_copy(update={"starting_query_seconds": QUICK, "query_seconds": 7.0})
    pbs.show(j1="Q")
    await pbs.watched()
    pbs.reflector.settings = slow
    assert pbs.reflector.interval_seconds() == QUICK
    clock.now += QUICK_SECONDS
    assert pbs.reflector.interval_seconds() == 10 * QUICK
    pbs.show(j1="R")
    await pbs.until(lambda: pbs.reflector.look("1.head").status.state is JobState.RUNNING)
    assert pbs.reflector.interval_seconds() == QUICK  # it has just begun
    clock.now += QUICK_SECONDS
    assert pbs.reflector.interval_seconds() == 7.0


@pytest.mark.parametrize("quick", [0.002, 1.0, 60.0])
async def test_a_scheduler_in_trouble_is_asked_less_often_but_within_bounds(pbs: Any, quick: float) -> None:
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


async def test_a_calm_interval_varies_by_a_tenth_at_most(pbs: Any, clock: Any) -> None:
    interval = 0.1
    pbs.reflector.settings = SCHEDULER.model_copy(update={"starting_query_seconds": 0.01, "query_seconds": interval})
    pbs.show(j1="R")
    await pbs.watched()
    clock.now += QUICK_SECONDS + 1
    await pbs.rounds(1)
    gaps = []
    for _ in range(8):
        began = time.monotonic()
        await pbs.rounds(1)
        gaps.append(time.monotonic() - began)
    assert min(gaps) >= interval * (1 - JITTER) - 0.002
    assert min(gaps) <= interval * (1 + JITTER) + 0.1  # the command itself takes a moment


async def test_a_new_job_is_not_kept_waiting_by_calm_ones(pbs: Any, clock: Any) -> None:
    pbs.reflector.settings = SCHEDULER.model_copy(update={"starting_query_seconds": QUICK, "query_seconds": 3600.0})
    pbs.show(j1="R", j2="Q")
    await pbs.watched()
    clock.now += QUICK_SECONDS + 1
    await pbs.rounds(1)
    assert not await pbs.reflector.wait_for_news(5 * QUICK + 0.2)
    assert (await pbs.reflector.look_soon("2.head", 5)).status is not None
