"""Whatever PBS prints, its engine gives a value or one of its own errors."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swotvre_hub.engines.base import BatchError, CommandResult, JobRequest, JobState, JobStatus
from swotvre_hub.engines.pbs import PbsEngine
from swotvre_hub.engines.pbs_jobs import STATES
from swotvre_hub.engines.reading import describe_memory, parse_clock, parse_integer, parse_memory

ENGINE = PbsEngine()
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

IDS = ["1.head", "2.head.site.fr", "3", "4[].head"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(["", "0", "-1", "24:00:00", "40gb", "Fri Nov 20 23:10:03 2026", "Fri Feb 31 00:00:00 9999"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
RESOURCES = st.dictionaries(
    st.sampled_from(["mem", "cput", "walltime", "ncpus", "ngpus", "diag_messages", "start_time", "Qlist"]),
    VALUES,
    max_size=6,
)
COMMENTS = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}: Insufficient amount of {}resource: {} (R: {} A: {} T: {})".format,
        st.sampled_from(["Not Running", "Can Never Run"]),
        st.sampled_from(["", "queue ", "server "]),
        st.sampled_from(["mem", "ncpus", "ngpus", "scratch", "{}"]),
        *[st.sampled_from(["0", "1", "-1", "1.5", "40gb", "0kb", "UNLIMITED", "{0}", ""])] * 3,
    ),
)
JOBS = st.fixed_dictionaries(
    {"job_state": st.sampled_from([*STATES, "Z", ""]) | VALUES},
    optional={
        "substate": st.sampled_from([10, 22, 42, 71, 91, 92, 93]) | VALUES,
        "comment": COMMENTS | VALUES,
        "Exit_status": st.integers(-40, 300) | VALUES,
        "exec_host": st.text(string.ascii_lowercase + "./+*0", max_size=12) | VALUES,
        "resources_used": RESOURCES | VALUES,
        "Resource_List": RESOURCES | VALUES,
        "estimated": RESOURCES | VALUES,
        "Hold_Types": st.sampled_from(["u", "os", "n"]) | VALUES,
        "exec_vnode": st.text("n1:+()=ncpusmem", max_size=20) | VALUES,
        **dict.fromkeys(["stime", "obittime", "mtime", "history_timestamp", "Execution_Time", "queue"], VALUES),
    },
)
ANSWERS = st.builds(
    lambda jobs, extra: json.dumps({"timestamp": 1, "Jobs": jobs, **extra}),
    st.dictionaries(st.sampled_from([*IDS, "1.head.site.fr", "9.head"]), JOBS | VALUES, max_size=4) | VALUES,
    st.dictionaries(st.text(max_size=5), VALUES, max_size=2),
)


def statuses(stdout: str, exit_code: int = 0, stderr: str = "") -> dict[str, JobStatus]:
    return ENGINE.parse_status(CommandResult((), exit_code, stdout, stderr), IDS)


@QUICK
@given(
    stdout=ANSWERS,
    exit_code=st.sampled_from([0, 35, 153]),
    stderr=st.sampled_from(["", "qstat: Unknown Job Id 3.head"]),
)
def test_every_job_that_is_read_is_whole(stdout: str, exit_code: int, stderr: str) -> None:
    try:
        found = statuses(stdout, exit_code, stderr)
    except BatchError:
        return
    assert set(found) <= set(IDS)
    for status in found.values():
        assert (status.end is not None) is (status.state is JobState.ENDED)
        assert bool(status.explanation) is status.state.is_pending
        assert status.end is None or status.end.memory_bytes is None or status.end.memory_bytes >= 0
        for moment in (status.started, status.estimated_start, status.end and status.end.ended):
            assert moment is None or moment.utcoffset() == timedelta(0)


@QUICK
@given(job=JOBS)
def test_a_job_that_cannot_be_read_never_takes_another_with_it(job: dict[str, Any]) -> None:
    found = statuses(json.dumps({"Jobs": {"1.head": job, "3.head": {"job_state": "R"}}}))
    assert found["3"].state is JobState.RUNNING
    known = isinstance(job["job_state"], (str, list)) and _letter(job["job_state"]) in STATES
    assert ("1.head" in found) is known


def _letter(value: object) -> str:
    return ",".join(map(_letter, value)) if isinstance(value, list) else str(value).strip() if value is not None else ""


@QUICK
@given(whole=ANSWERS, data=st.data())
def test_a_cut_answer_ends_no_job(whole: str, data: st.DataObject) -> None:
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(BatchError):
        statuses(cut)


PARSERS: list[Callable[[CommandResult], object]] = [
    ENGINE.parse_submitted,
    ENGINE.parse_cancelled,
    ENGINE.parse_found,
    ENGINE.parse_nodes,
    ENGINE.parse_queues,
    ENGINE.parse_releases,
    lambda result: ENGINE.parse_status(result, IDS),
    lambda result: ENGINE.parse_places(result, IDS),
]


@QUICK
@given(
    exit_code=st.integers(-64, 255),
    stdout=st.text() | ANSWERS | st.just("5.head\n"),
    stderr=st.text()
    | st.sampled_from(["qsub: Unknown queue", "Unknown Job Id 3.head", "sudo: a password is required"]),
    arguments=st.lists(st.sampled_from(["qsub", "-q", "{queue}", "%s"])),
)
def test_no_answer_breaks_a_parser(exit_code: int, stdout: str, stderr: str, arguments: list[str]) -> None:
    for parse in PARSERS:
        try:
            parse(CommandResult(arguments, exit_code, stdout, stderr))
        except BatchError as error:
            assert 0 < len(str(error)) < 1000


@QUICK
@given(
    nodes=st.dictionaries(
        st.text(min_size=1, max_size=4),
        st.fixed_dictionaries(
            {"state": st.sampled_from(["free", "job-busy", "offline,down"]) | VALUES},
            optional={
                "resources_available": RESOURCES | VALUES,
                "resources_assigned": RESOURCES | VALUES,
                "queue": VALUES,
            },
        )
        | VALUES,
        max_size=3,
    )
)
def test_no_node_has_more_free_than_it_has(nodes: dict[str, Any]) -> None:
    for node in ENGINE.parse_nodes(CommandResult((), 0, json.dumps({"nodes": nodes}), "")):
        assert 0 <= node.free_cores <= node.cores
        assert 0 <= node.free_memory_bytes <= node.memory_bytes
        assert 0 <= node.free_gpus <= node.gpus


@QUICK
@given(
    queues=st.dictionaries(
        st.text(min_size=1, max_size=4),
        st.dictionaries(
            st.sampled_from(["queue_type", "enabled", "started", "acl_user_enable", "acl_users", "resources_max"]),
            st.sampled_from(["True", "Execution", "+", "-a@b,a"]) | RESOURCES | VALUES,
        )
        | VALUES,
        max_size=3,
    )
)
def test_no_queue_that_takes_no_jobs_is_the_default(queues: dict[str, Any]) -> None:
    read = ENGINE.parse_queues(CommandResult((), 0, json.dumps({"Queue": queues}), ""))
    assert sum(queue.is_default for queue in read.values()) <= 1
    assert all(queue.enabled for queue in read.values() if queue.is_default)


@QUICK
@given(jobs=st.dictionaries(st.sampled_from(IDS), JOBS | VALUES, max_size=3))
def test_nothing_negative_is_given_back(jobs: dict[str, Any]) -> None:
    for release in ENGINE.parse_releases(CommandResult((), 0, json.dumps({"Jobs": jobs}), "")):
        assert min(release.cores, release.memory_bytes, release.gpus) >= 0


@QUICK
@given(name=st.text(max_size=10), queue=st.text(max_size=10), project=st.text(max_size=10), log=st.text(max_size=10))
def test_no_text_becomes_an_option(name: str, queue: str, project: str, log: str) -> None:
    request = JobRequest(name, 1, 2**30, timedelta(hours=1), f"/{log}", queue=queue, project=project)
    try:
        command = ENGINE.submit_command(request)
    except ValueError:
        return
    for option, value in (("-N", name), ("-q", queue), ("-P", project)):
        assert not value or command[command.index(option) + 1] == value
    assert set("".join([name, queue, project])) <= set(string.ascii_letters + string.digits + "_.@+-")
    assert not any(value.startswith("-") for value in (name, queue, project))


@QUICK
@given(value=VALUES)
def test_sizes_and_durations_are_read_without_trust(value: object) -> None:
    size, duration, number = parse_memory(value), parse_clock(value), parse_integer(value)
    assert size is None or size >= 0
    assert duration is None or duration >= timedelta(0)
    assert number is None or isinstance(number, int)


@QUICK
@given(size=st.integers(0, 2**50))
def test_a_size_in_words_is_the_size(size: int) -> None:
    amount, unit = describe_memory(size).split()
    factor = {"byte": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[unit]
    assert abs(float(amount) * factor - size) <= max(factor * 0.06, size * 0.001)
