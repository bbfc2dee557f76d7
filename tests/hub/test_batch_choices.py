"""Queue and project of a session: only what the scheduler would accept from this user, whichever way he asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swotvre_hub.cluster_view import ClusterState
from swotvre_hub.engines.base import Cluster, JobRequest, Node, Queue
from swotvre_hub.engines.pbs import PbsEngine
from swotvre_hub.errors import (
    QueueError,
    SessionRequestError,
    SessionSizeUnavailableError,
    UnknownSessionOptionError,
    WalltimeError,
)
from swotvre_hub.sessions import BatchChoices, SessionRequest, parse_session_request
from swotvre_hub.settings import load_settings

SETTINGS = load_settings()
GIB = 2**30
NODES = (Node("n1", True, 8, 0, 64 * GIB, 0),)
ROOM = ClusterState(Cluster(NODES, {"short": Queue("short", enabled=True, started=True, max_cores=2)}))
CHOICES = BatchChoices(("short", "long"), ("swot", "ocean"), {"short": timedelta(hours=1)})


def parse(options: object, choices: BatchChoices = CHOICES) -> SessionRequest:
    return parse_session_request(options, SETTINGS, ROOM, choices)


def test_the_first_queue_and_project_are_taken_when_nothing_is_said() -> None:
    request = parse({})
    assert (request.queue, request.project) == ("short", "swot")


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_field_says_nothing(nothing: object) -> None:
    assert parse({"queue": nothing, "project": nothing}) == parse({})


def test_what_is_offered_is_taken() -> None:
    request = parse({"queue": "long", "project": "ocean"})
    assert (request.queue, request.project) == ("long", "ocean")


def test_the_same_is_asked_for_again_by_the_options_of_a_request() -> None:
    request = parse({"queue": "long", "project": "ocean", "size": "medium", "walltime_hours": "2.5"})
    assert parse(request.options) == request


def test_options_hold_no_queue_where_there_is_no_choice() -> None:
    assert set(parse({}, BatchChoices()).options) == {"size", "walltime_hours"}


@pytest.mark.parametrize("key", ["queue", "project"])
@pytest.mark.parametrize(
    "value",
    ["Short", "short ", "-q other", "short\n#PBS -q other", "$(id)", "'", "x" * 10_000, 5, True, ["short"], {"a": 1}],
)
def test_what_is_not_offered_is_refused_with_what_is(key: str, value: object) -> None:
    with pytest.raises(QueueError, match=f"unknown {key} .*expected one of: ") as caught:
        parse({key: value})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("key", ["queue", "project"])
def test_a_site_without_a_choice_refuses_one_in_words(key: str) -> None:
    with pytest.raises(QueueError, match=f"there is no choice of {key}s here"):
        parse({key: "short"}, BatchChoices())


def test_a_local_engine_knows_no_queue() -> None:
    with pytest.raises(UnknownSessionOptionError):
        parse_session_request({"queue": "short"}, SETTINGS, ROOM)


@pytest.mark.parametrize("key", ["prologue", "req_options", "ip", "cmd", "Queue", "job_id"])
def test_no_other_option_reaches_the_job(key: str) -> None:
    with pytest.raises(UnknownSessionOptionError, match="expected one of: size, walltime_hours, queue, project"):
        parse({key: "x"})


def test_a_user_who_may_use_no_queue_is_told_why() -> None:
    with pytest.raises(QueueError, match="ask for access"):
        parse({}, BatchChoices(refusal="no queue takes your sessions; ask for access"))


def test_a_duration_beyond_that_of_the_queue_is_refused_with_both() -> None:
    with pytest.raises(WalltimeError, match=r"a duration of 2 hours; expected at most 1, the longest of queue 'short'"):
        parse({"queue": "short", "walltime_hours": 2})


def test_a_duration_that_another_queue_allows_is_taken_there() -> None:
    assert parse({"queue": "long", "walltime_hours": 2}).walltime == timedelta(hours=2)


def test_the_default_duration_is_one_that_the_queue_allows() -> None:
    assert parse({"queue": "short"}).walltime == timedelta(hours=1)
    assert parse({}, BatchChoices(queue_walltimes={"": timedelta(minutes=90)})).walltime == timedelta(minutes=90)


def test_a_size_that_the_queue_does_not_take_is_refused() -> None:
    with pytest.raises(SessionSizeUnavailableError, match="needs 4 cores; queue short allows 2 cores; choose"):
        parse({"queue": "short", "size": "medium"})


def test_a_size_that_no_node_holds_is_refused_whatever_the_queue() -> None:
    with pytest.raises(SessionSizeUnavailableError, match="the largest node has 8 cores, 64 GiB"):
        parse({"queue": "long", "size": "xlarge"})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["size", "walltime_hours", "queue", "project"])
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from([*SETTINGS.sizes]) | VALUES,
        "walltime_hours": st.floats(0, 13) | st.sampled_from(["1", "0.5", "\u0661"]) | VALUES,
        "queue": st.sampled_from(["short", "long", "other"]) | VALUES,
        "project": st.sampled_from(["swot", "ocean", "-P"]) | VALUES,
    },
)
NAMES = st.lists(st.sampled_from(["short", "long", "night", "_a.b"]), unique=True, max_size=3).map(tuple)
ANY_CHOICES = st.builds(
    BatchChoices,
    NAMES,
    NAMES,
    st.dictionaries(st.sampled_from(["", "short", "long"]), st.timedeltas(timedelta(0), timedelta(days=9))),
)


@given(options=ASKED | st.dictionaries(KEYS | st.text(max_size=9), VALUES) | VALUES, choices=ANY_CHOICES)
def test_anything_at_all_is_a_session_that_the_scheduler_may_be_asked_for_or_a_refusal(
    options: object, choices: BatchChoices
) -> None:
    try:
        request = parse(options, choices)
    except SessionRequestError as error:
        assert str(error)
        assert len(str(error)) < 600
        return
    assert request.queue in choices.queues or (not choices.queues and not request.queue)
    assert request.project in choices.projects or (not choices.projects and not request.project)
    assert request.walltime <= choices.queue_walltimes.get(request.queue, timedelta.max)
    job = JobRequest("vre-1", 1, GIB, request.walltime, "/tmp/log", queue=request.queue, project=request.project)
    command = PbsEngine().submit_command(job)
    assert ("-q" in command, "-P" in command) == (bool(request.queue), bool(request.project))
