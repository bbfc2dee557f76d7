"""What a user reads while his session waits and starts: the scheduler's own reason, his place, and nothing made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swotvre_hub.engines.base import JobState, JobStatus, Place
from swotvre_hub.spawner.batch_progress import Told, describe_progress

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def told(status: JobStatus | None, place: Place | None = None, trouble: str | None = None) -> Told:
    found = describe_progress("PBS", status, place, trouble, NOW)
    assert found is not None
    return found


def test_a_job_of_which_nothing_is_known_was_handed_over() -> None:
    assert told(None).message == "Handed over to PBS."


def test_a_scheduler_that_does_not_answer_is_told_whatever_was_known_before() -> None:
    line = told(JobStatus("1", JobState.WAITING), trouble="qstat did not answer within 20 s")
    assert line.kind == "trouble"
    assert line.message == "PBS does not answer at present; the session is kept, and asked for again."


def test_reason_place_and_expected_start_are_told() -> None:
    status = JobStatus(
        "1",
        JobState.WAITING,
        reason="Not Running: Insufficient amount of resource: ncpus",
        explanation="waiting for 16 free cores; 9 are free",
        estimated_start=NOW + timedelta(minutes=25),
    )
    line = told(status, Place(3, 12))
    assert line.message == (
        "Waiting for 16 free cores; 9 are free; place 3 of 12 that wait; expected to start in about 25 minutes."
    )
    assert line.more == {
        "reason": "Not Running: Insufficient amount of resource: ncpus",
        "explanation": "Waiting for 16 free cores; 9 are free",
        "place": 3,
        "waiting": 12,
        "expected_at": "2026-11-21T12:25:00+00:00",
    }


def test_a_start_that_was_expected_in_the_past_is_not_told() -> None:
    line = told(JobStatus("1", JobState.WAITING, estimated_start=NOW - timedelta(minutes=1)))
    assert "expected" not in line.message
    assert "expected_at" not in line.more


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (JobState.WAITING, "Waiting for its turn."),
        (JobState.HELD, "Held back."),
        (JobState.STARTING, "A node is being made ready on n1."),
        (JobState.RUNNING, "Running on n1; JupyterLab comes up."),
        (JobState.SUSPENDED, "Suspended on n1: another job uses its node for a while."),
    ],
)
def test_every_state_of_a_job_that_lives_has_words(state: JobState, message: str) -> None:
    assert told(JobStatus("1", state, host="n1")).message == message


def test_a_node_that_is_not_known_is_not_named() -> None:
    assert told(JobStatus("1", JobState.RUNNING)).message == "Running; JupyterLab comes up."


@pytest.mark.parametrize("state", [JobState.ENDING, JobState.ENDED])
def test_of_a_job_that_ends_nothing_new_is_told(state: JobState) -> None:
    assert describe_progress("PBS", JobStatus("1", state), None, None) is None


def test_progress_never_goes_back_while_a_job_waits_starts_and_runs() -> None:
    lines = [told(None), *(told(JobStatus("1", state)) for state in (JobState.WAITING, JobState.STARTING))]
    lines.append(told(JobStatus("1", JobState.RUNNING)))
    assert [line.percent for line in lines] == sorted(line.percent for line in lines)


@given(
    status=st.builds(
        JobStatus,
        st.just("1"),
        st.sampled_from(JobState),
        reason=st.text(max_size=20),
        explanation=st.text(max_size=20),
        host=st.text(max_size=8),
        estimated_start=st.none() | st.datetimes(timezones=st.just(UTC)),
    ),
    place=st.none() | st.builds(Place, st.integers(), st.integers()),
    trouble=st.none() | st.text(),
)
def test_anything_that_a_scheduler_says_is_a_line_or_nothing(
    status: JobStatus, place: Place | None, trouble: str | None
) -> None:
    line = describe_progress("Slurm", status, place, trouble, NOW)
    assert line is None or (0 < line.percent < 90 and line.message.endswith("."))
