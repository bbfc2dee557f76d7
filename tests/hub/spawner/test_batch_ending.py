"""Why a batch session ended, in words: what the scheduler says, what the session wrote down, what was asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swotvre_hub.engines.base import EndCause, JobEnd
from swotvre_hub.settings import SessionSize
from swotvre_hub.spawner.batch_ending import OWN_STATUSES, BatchEnd
from swotvre_hub.spawner.batch_stopping import merge_ends
from swotvre_hub.spawner.ending import CAUSES, SessionEnd

SIZE = SessionSize(title="Medium", cores=4, memory_gib=32, max_walltime_hours=12, good_for="A test")
GIB = 2**30
WHEN = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def reason(job: JobEnd, own: SessionEnd | None = None, stop_reason: str | None = None) -> str:
    return BatchEnd(SIZE, "n1", job, own, stop_reason, "ada").reason()


def own(cause: str, status: int = 0, kills: int = 0, kernels: tuple[str, ...] = ()) -> SessionEnd:
    return SessionEnd(cause, status, kills, WHEN, kernels)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (EndCause.ENDED, "it ended, and the scheduler does not say how"),
        (EndCause.WALLTIME, "its duration was over"),
        (EndCause.MEMORY, "it used more than its 32 GiB of memory; choose a larger size"),
        (EndCause.NODE, "its node failed or was restarted; it was not your doing, start it again"),
        (EndCause.CANCELLED, "it was cancelled through the scheduler, by whom it does not say"),
        (EndCause.PREEMPTED, "a job of higher priority took its place; start it again"),
        (EndCause.NOT_STARTED, "the scheduler could not start it on a node"),
        (EndCause.FORGOTTEN, "the scheduler does not know it any more, nor why it ended"),
    ],
)
def test_every_cause_has_words(cause: EndCause, words: str) -> None:
    assert reason(JobEnd(cause)) == words


@pytest.mark.parametrize("cause", EndCause)
def test_no_cause_is_without_words(cause: EndCause) -> None:
    assert reason(JobEnd(cause, exit_status=1))


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("ada", "you cancelled it through the scheduler"),
        ("ada@head.site.fr", "you cancelled it through the scheduler"),
        ("root@head", "root cancelled it through the scheduler"),
    ],
)
def test_who_cancelled_it_is_told(by: str, words: str) -> None:
    assert reason(JobEnd(EndCause.CANCELLED, cancelled_by=by)) == words


@pytest.mark.parametrize("cause", [EndCause.CANCELLED, EndCause.ENDED, EndCause.FORGOTTEN])
def test_who_stopped_it_through_the_hub_is_told(cause: EndCause) -> None:
    assert reason(JobEnd(cause, 143), own("stopped"), "you asked for it") == "it was stopped: you asked for it"


@pytest.mark.parametrize("cause", [EndCause.WALLTIME, EndCause.MEMORY, EndCause.NODE, EndCause.PREEMPTED])
def test_what_the_scheduler_knows_counts_more_than_a_request_to_stop(cause: EndCause) -> None:
    assert "stopped" not in reason(JobEnd(cause), None, "you asked for it")


@pytest.mark.parametrize(("status", "words"), OWN_STATUSES.items())
def test_statuses_of_the_script_itself_have_words(status: int, words: str) -> None:
    assert reason(JobEnd(EndCause.ENDED, status)) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "JupyterLab was shut down"),
        (1, "JupyterLab ended by itself with exit code 1"),
        (128, "JupyterLab ended by itself with exit code 128"),
        (128 + 9, "JupyterLab was killed by SIGKILL"),
        (128 + 15, "JupyterLab was killed by SIGTERM"),
    ],
)
def test_an_exit_status_is_told_in_words(status: int, words: str) -> None:
    assert reason(JobEnd(EndCause.ENDED, status)) == words


def test_a_status_that_is_no_signal_is_told_as_it_is() -> None:
    assert reason(JobEnd(EndCause.ENDED, 255)) == "JupyterLab ended by itself with exit code 255"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (own("memory", -9), "it used more than its 32 GiB of memory; choose a larger size"),
        (own("ended", 3), "JupyterLab ended by itself with exit code 3"),
        (own("ended", -11), "JupyterLab was killed by SIGSEGV"),
        (own("stopped", -15), "it was told to end on its node"),
        (own("lost", 1), "JupyterLab was killed by SIGKILL"),
    ],
)
def test_the_record_of_the_session_tells_more_than_a_mere_end(record: SessionEnd, words: str) -> None:
    assert reason(JobEnd(EndCause.ENDED, 137), record) == words


def test_a_session_that_ended_itself_when_its_duration_was_over_says_so() -> None:
    assert reason(JobEnd(EndCause.ENDED, 143), own("walltime", -15)) == "its duration was over"


@pytest.mark.parametrize("record", [own("memory", -9), own("ended", 3), own("walltime", -15)])
def test_the_record_of_the_session_is_believed_when_the_scheduler_forgot_it(record: SessionEnd) -> None:
    assert "does not know" not in reason(JobEnd(EndCause.FORGOTTEN), record)


def test_everything_that_is_known_stands_in_the_description() -> None:
    job = JobEnd(
        EndCause.WALLTIME,
        memory_bytes=20 * GIB,
        cpu_time=timedelta(hours=3, minutes=10),
        ran=timedelta(hours=2),
        ended=WHEN,
    )
    assert BatchEnd(SIZE, "n17", job, user_name="ada").describe() == (
        "Your last session (Medium: 4 cores, 32 GiB) ended at 2026-11-21 12:30 UTC on n17: its duration was over. "
        "It ran for 2 hours, used at most 20.0 of its 32 GiB of memory and computed for 3 hours 10 minutes of "
        "processor time."
    )


def test_nothing_that_is_unknown_stands_in_the_description() -> None:
    described = BatchEnd(SIZE, "", JobEnd(EndCause.NOT_STARTED)).describe()
    assert described == (
        "Your last session (Medium: 4 cores, 32 GiB) ended: the scheduler could not start it on a node."
    )


def test_kernels_that_were_killed_for_memory_are_named() -> None:
    record = own("stopped", 0, 2, ("swot.ipynb", "a.ipynb"))
    described = BatchEnd(SIZE, "n1", JobEnd(EndCause.CANCELLED), record, "you asked for it").describe()
    assert (
        "In it, the kernels of swot.ipynb, a.ipynb had been killed for using more than 32 GiB of memory." in described
    )


def test_a_process_that_only_the_scheduler_saw_killed_for_memory_is_told() -> None:
    described = BatchEnd(SIZE, "n1", JobEnd(EndCause.ENDED, 0, memory_exceeded=True)).describe()
    assert "In it, a process had been killed for using more than 32 GiB of memory." in described


def test_memory_is_not_told_twice() -> None:
    described = BatchEnd(SIZE, "n1", JobEnd(EndCause.MEMORY, memory_exceeded=True), own("memory", -9, 3)).describe()
    assert described.count("more than") == 1


# -- two answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        (EndCause.CANCELLED, EndCause.ENDED, EndCause.CANCELLED),
        (EndCause.MEMORY, EndCause.FORGOTTEN, EndCause.MEMORY),
        (EndCause.ENDED, EndCause.FORGOTTEN, EndCause.ENDED),
        (EndCause.FORGOTTEN, EndCause.ENDED, EndCause.ENDED),
        (EndCause.ENDED, EndCause.WALLTIME, EndCause.WALLTIME),
        (EndCause.NOT_STARTED, EndCause.ENDED, EndCause.ENDED),
        (EndCause.CANCELLED, EndCause.MEMORY, EndCause.MEMORY),
        (EndCause.FORGOTTEN, EndCause.FORGOTTEN, EndCause.FORGOTTEN),
    ],
)
def test_the_answer_that_knows_more_is_believed(first: EndCause, second: EndCause, merged: EndCause) -> None:
    assert merge_ends(JobEnd(first), JobEnd(second)).cause is merged


def test_without_a_second_answer_the_first_stands() -> None:
    end = JobEnd(EndCause.NODE, 1)
    assert merge_ends(end, None) is end


ENDS = st.builds(
    JobEnd,
    st.sampled_from(EndCause),
    st.none() | st.integers(-40, 300),
    st.none() | st.text(max_size=5),
    st.none() | st.integers(0, 2**60),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=400)),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=400)),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.booleans(),
)


@given(first=ENDS, second=ENDS)
def test_nothing_that_one_answer_told_is_lost(first: JobEnd, second: JobEnd) -> None:
    merged = merge_ends(first, second)
    for name in ("exit_status", "cancelled_by", "memory_bytes", "cpu_time", "ran", "ended"):
        told = [value for end in (second, first) if (value := getattr(end, name)) is not None]
        assert getattr(merged, name) == (told[0] if told else None)
    assert merged.memory_exceeded == (first.memory_exceeded or second.memory_exceeded)


RECORDS = st.none() | st.builds(
    SessionEnd, st.sampled_from(CAUSES), st.integers(-70, 300), st.integers(0, 5), st.none() | st.just(WHEN)
)


@given(job=ENDS, record=RECORDS, stop_reason=st.none() | st.just("you asked for it"))
def test_every_end_is_a_sentence(job: JobEnd, record: SessionEnd | None, stop_reason: str | None) -> None:
    described = BatchEnd(SIZE, "n1", job, record, stop_reason, "ada").describe()
    assert described.startswith("Your last session (Medium: 4 cores, 32 GiB) ended")
    assert described.endswith(".")
    assert "None" not in described
