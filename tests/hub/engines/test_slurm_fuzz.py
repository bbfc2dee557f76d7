"""Whatever Slurm prints, its engine gives a value or one of its own errors."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swotvre_hub.engines.base import BatchError, CommandResult, EndCause, JobRequest, JobState
from swotvre_hub.engines.slurm import SlurmEngine
from swotvre_hub.engines.slurm_jobs import STATES
from swotvre_hub.engines.slurm_nodes import COLUMNS, JOB_COLUMNS, expand_hosts
from swotvre_hub.engines.slurm_words import Asked, explain_reason

ENGINE = SlurmEngine()
QUICK = settings(max_examples=150, deadline=None)

IDS = ["1", "2", "33"]
TIMES = st.sampled_from(
    ["N/A", "", "2026-11-21T12:00:00", "2026-02-31T12:00:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59"]
)
WORDS = st.text(string.ascii_letters + string.digits + "[]()-,:/*=. %", max_size=20) | st.text(max_size=10)
ROWS = st.builds(
    lambda *fields: "|".join(fields),
    st.sampled_from([*IDS, "4_[1-2]", ""]),
    st.sampled_from([*STATES, "NEW", ""]),
    WORDS,
    WORDS,
    WORDS | st.sampled_from(["1G", "500M", "9" * 40]),
    TIMES,
    TIMES,
    WORDS | st.sampled_from(["n/a", "n1"]),
    WORDS,
    WORDS,
)
ERRORS = (
    st.sampled_from(["", "slurm_load_jobs error: Invalid job id specified", "Socket timed out", "sudo: no"]) | WORDS
)
OUTPUTS = st.lists(ROWS | WORDS, max_size=4).map(lambda rows: "".join(f"{row}\n" for row in rows)) | st.text(
    max_size=60
)
RESULTS = st.builds(
    CommandResult, st.just(("x", "--partition=a{b}")), st.sampled_from([0, 1, 8, 127, -9]), OUTPUTS, ERRORS
)


@QUICK
@given(RESULTS)
def test_status_ends_no_job_without_a_word_of_slurm(result: CommandResult) -> None:
    try:
        statuses = ENGINE.parse_status(result, IDS)
    except BatchError:
        return
    for job_id, status in statuses.items():
        assert job_id in IDS
        assert status.job_id == job_id
        assert (status.state is JobState.ENDED) == (status.end is not None)
        if status.end is not None and status.end.cause is not EndCause.FORGOTTEN:
            assert any(row.strip().startswith(f"{job_id}|") for row in result.stdout.split("\n"))
        if status.end is not None and status.end.cause is EndCause.FORGOTTEN and "REVOKED" not in result.stdout:
            assert not any(row.strip().startswith(f"{job_id}|") for row in result.stdout.split("\n"))


PARSERS: dict[str, Callable[[CommandResult], object]] = {
    "submit": ENGINE.parse_submitted,
    "cancel": ENGINE.parse_cancelled,
    "found": ENGINE.parse_found,
    "places": lambda result: ENGINE.parse_places(result, IDS),
    "nodes": ENGINE.parse_nodes,
    "releases": ENGINE.parse_releases,
    "queues": ENGINE.parse_queues,
    "history": lambda result: ENGINE.parse_history(result, "1"),
}


@pytest.mark.parametrize("parser", PARSERS)
@QUICK
@given(result=RESULTS)
def test_any_text_gives_a_value_or_an_error_of_the_engine(parser: str, result: CommandResult) -> None:
    try:
        PARSERS[parser](result)
    except BatchError as error:
        assert str(error)


def table(columns: dict[str, int]) -> st.SearchStrategy[str]:
    cell = WORDS | st.integers(-(10**25), 10**25).map(str) | st.sampled_from(["1/2/3/4", "idle", "gpu:1", "n[1-3]"])
    cells = st.tuples(*(cell for _ in columns))
    return cells.map(
        lambda row: "".join(text[:width].ljust(width) for text, width in zip(row, columns.values(), strict=True))
    )


@QUICK
@given(st.lists(table(COLUMNS), max_size=3))
def test_nodes_are_never_less_than_nothing(rows: list[str]) -> None:
    try:
        nodes = ENGINE.parse_nodes(CommandResult((), 0, "".join(f"{row}\n" for row in rows), ""))
    except BatchError:
        return
    for node in nodes:
        assert 0 <= node.free_cores <= node.cores
        assert 0 <= node.free_memory_bytes <= node.memory_bytes
        assert 0 <= node.free_gpus <= node.gpus


@QUICK
@given(st.lists(table(JOB_COLUMNS), max_size=3))
def test_releases_are_never_less_than_nothing(rows: list[str]) -> None:
    try:
        releases = ENGINE.parse_releases(CommandResult((), 0, "".join(f"{row}\n" for row in rows), ""))
    except BatchError:
        return
    assert all(min(one.cores, one.memory_bytes, one.gpus) >= 0 for one in releases)


PAIRS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "PartitionName",
                "State",
                "MaxTime",
                "MaxCPUsPerNode",
                "AllowGroups",
                "JobId",
                "JobState",
                "ExitCode",
                "RunTime",
                "EndTime",
            ]
        ),
        WORDS | st.sampled_from(["1", "UP", "DOWN", "FAILED", "0:9", "1-00:00:00", "UNLIMITED", "9" * 40]),
    ).map(lambda pair: f"{pair[0]}={pair[1]}"),
    max_size=8,
).map(" ".join)


@QUICK
@given(PAIRS)
def test_pairs_of_scontrol_give_values(row: str) -> None:
    ENGINE.parse_queues(CommandResult((), 0, f"{row}\n", ""))
    ENGINE.parse_history(CommandResult((), 0, f"JobId=1 {row}\n", ""), "1")


@QUICK
@given(WORDS, st.integers(0, 10**6) | st.none(), st.integers(0, 2**60) | st.none())
def test_every_reason_has_an_explanation(reason: str, cores: int | None, memory: int | None) -> None:
    waiting = explain_reason(reason, Asked(cores, memory))
    assert waiting.state.is_pending
    assert waiting.explanation
    assert not waiting.explanation.endswith(".") or reason.rstrip(") ").endswith(".")


@QUICK
@given(WORDS)
def test_lists_of_nodes_are_read_or_not_at_all(text: str) -> None:
    assert all(expand_hosts(text))


@QUICK
@given(st.text(max_size=15), st.text(max_size=15), st.text(max_size=15), st.text(max_size=20))
def test_no_text_becomes_an_option(name: str, queue: str, project: str, log: str) -> None:
    request = JobRequest(name, 1, 2**30, timedelta(hours=1), f"/{log}", queue=queue, project=project)
    try:
        command = ENGINE.submit_command(request)
    except ValueError:
        return
    options = [word.partition("=")[0] for word in command[1:]]
    assert len(options) == len(set(options))
    assert all(word.startswith("--") and word.isprintable() for word in command[1:])
