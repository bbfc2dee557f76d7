"""The Slurm engine on recorded answers of Slurm 22.05.8."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from swotvre_hub.engines.base import (
    CancelRefusedError,
    CommandResult,
    EndCause,
    Engine,
    JobEnd,
    JobRequest,
    JobState,
    JobStatus,
    Node,
    Place,
    Release,
    SchedulerUnavailableError,
    SubmitRefusedError,
)
from swotvre_hub.engines.slurm import SlurmEngine, render_walltime
from swotvre_hub.engines.slurm_jobs import STATES, count_gpus
from swotvre_hub.engines.slurm_nodes import COLUMNS, expand_hosts

Recording = Callable[[str], CommandResult]
GIB = 2**30
ENGINE: Engine = SlurmEngine()
REQUEST = JobRequest(
    name="vre-alice-x1", cores=4, memory_bytes=32 * GIB, walltime=timedelta(hours=36), log="/home/alice/100%.log"
)


@pytest.fixture(autouse=True)
def hub_in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The recordings were made in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def answer(stdout: str = "", exit_code: int = 0, stderr: str = "") -> CommandResult:
    return CommandResult(("squeue",), exit_code, stdout, stderr)


def status_of(state: str, reason: str = "None", *, host: str = "n1", gpus: str = "N/A") -> JobStatus:
    times = "2026-11-21T11:00:00|2026-11-21T12:00:00"
    return ENGINE.parse_status(answer(f"7|{state}|workq|16|32G|{times}|{host}|{gpus}|{reason}\n"), ["7"])["7"]


def node_row(name: str = "n1", state: str = "idle", cores: str = "0/8/0/8", queue: str = "workq*", **other: str) -> str:
    values = {"NodeList": name, "StateLong": state, "CPUsState": cores, "Partition": queue}
    values |= {"Memory": "40960", "AllocMem": "0", "Gres": "(null)", "GresUsed": "gpu:0"} | other
    return "".join(values[column].ljust(width) for column, width in COLUMNS.items()) + "\n"


# -- submitting -------------------------------------------------------------------------------------------------------


def test_a_job_is_submitted_with_its_resources_and_a_log_whose_name_stays_as_it_is() -> None:
    assert ENGINE.submit_command(REQUEST) == [
        "/usr/bin/sbatch",
        "--parsable",
        "--job-name=vre-alice-x1",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=4",
        "--mem=32768M",
        "--time=1-12:00:00",
        "--output=/home/alice/100%%.log",
        "--open-mode=append",
        "--no-requeue",
        "--export=ALL",
    ]


def test_gpus_partition_and_account_are_asked_for_when_given() -> None:
    command = SlurmEngine(Path("/opt/slurm/bin")).submit_command(replace(REQUEST, gpus=2, queue="gpu", project="swot"))
    assert command[0] == "/opt/slurm/bin/sbatch"
    assert command[-3:] == ["--gres=gpu:2", "--partition=gpu", "--account=swot"]


@pytest.mark.parametrize(
    ("walltime", "text"),
    [
        (timedelta(seconds=1), "0-00:01:00"),
        (timedelta(minutes=90, seconds=1), "0-01:31:00"),
        (timedelta(days=2), "2-00:00:00"),
    ],
)
def test_walltime_is_rounded_up_to_a_minute(walltime: timedelta, text: str) -> None:
    assert render_walltime(walltime) == text


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"name": ""},
        {"name": "-x"},
        {"queue": "q;rm"},
        {"queue": "--wrap=id"},
        {"project": "a\n"},
        {"log": "relative.log"},
        {"log": "/tmp/a\\%j"},
        {"log": "/tmp/a\nb"},
        {"cores": 0},
        {"memory_bytes": 0},
        {"gpus": -1},
        {"walltime": timedelta()},
    ],
)
def test_what_does_not_belong_on_a_command_line_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"job|walltime"):
        ENGINE.submit_command(replace(REQUEST, **change))  # type: ignore[arg-type]


def test_the_id_of_a_submitted_job_is_read(recording: Recording) -> None:
    assert ENGINE.parse_submitted(recording("slurm/sbatch_ok")) == "34"
    assert ENGINE.parse_submitted(answer("12;cluster\n")) == "12"


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("sbatch_bad_partition", "partition 'nope' does not exist"),
        ("sbatch_closed_partition", "partition 'closed' takes no jobs at present"),
        ("sbatch_time_limit", "more time than partition 'short' allows"),
        ("sbatch_memory", "as much memory"),
        ("sbatch_cores", "no node of the default partition has as many cores"),
        ("sbatch_gpus", "no such GPUs"),
        ("sbatch_no_script", "not one that Slurm takes"),
    ],
)
def test_a_refusal_says_why_and_what_to_do_with_slurms_own_words(recording: Recording, name: str, meaning: str) -> None:
    result = recording(f"slurm/{name}")
    with pytest.raises(SubmitRefusedError) as refused:
        ENGINE.parse_submitted(result)
    assert meaning in str(refused.value)
    assert result.stderr.splitlines()[-1] in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("Invalid account or account/partition combination specified", "project"),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", "limit"),
        ("User's group not permitted to use this partition", "you may not use"),
        ("Invalid qos specification", "quality of service"),
        ("Something new", "Something new"),
    ],
)
def test_refusals_that_need_accounts_are_explained(said: str, meaning: str) -> None:
    with pytest.raises(SubmitRefusedError, match=meaning):
        ENGINE.parse_submitted(answer("", 1, f"sbatch: error: Batch job submission failed: {said}\n"))


def test_sudo_that_fails_is_a_fault_of_the_site() -> None:
    result = answer("", 1, "sudo: a password is required\n")
    with pytest.raises(SubmitRefusedError, match="set-up of this site"):
        ENGINE.parse_submitted(result)
    with pytest.raises(CancelRefusedError, match="set-up of this site"):
        ENGINE.parse_cancelled(result)


# -- no answer --------------------------------------------------------------------------------------------------------

PARSERS: dict[str, Callable[[CommandResult], object]] = {
    "submit": ENGINE.parse_submitted,
    "cancel": ENGINE.parse_cancelled,
    "status": lambda result: ENGINE.parse_status(result, ["34"]),
    "found": ENGINE.parse_found,
    "places": lambda result: ENGINE.parse_places(result, ["34"]),
    "nodes": ENGINE.parse_nodes,
    "releases": ENGINE.parse_releases,
    "queues": ENGINE.parse_queues,
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("name", ["sbatch_down", "scancel_down", "squeue_down", "sinfo_down", "scontrol_down"])
def test_a_controller_that_is_down_is_no_answer(recording: Recording, parser: str, name: str) -> None:
    with pytest.raises(SchedulerUnavailableError, match="Unable to contact slurm controller"):
        PARSERS[parser](recording(f"slurm/{name}"))


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (1, "slurm_load_jobs error: Socket timed out on send/recv operation"),
        (1, "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received"),
        (1, "squeue: error: Transport endpoint is not connected"),
        (1, "squeue: error: If munged is up, restart with --num-threads=10\nerror: Munge encode failed"),
        (1, "sbatch: error: Batch job submission failed: Protocol authentication error"),
        (127, "no such file"),
        (-9, ""),
    ],
)
def test_other_ways_not_to_answer(parser: str, exit_code: int, said: str) -> None:
    with pytest.raises(SchedulerUnavailableError):
        PARSERS[parser](answer("", exit_code, said))


# -- cancelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pending", "running", "ended", "unknown"])
def test_a_job_that_is_over_or_unknown_counts_as_cancelled(recording: Recording, name: str) -> None:
    ENGINE.parse_cancelled(recording(f"slurm/scancel_{name}"))


def test_a_job_that_another_user_owns_is_not_cancelled(recording: Recording) -> None:
    with pytest.raises(CancelRefusedError, match="Access/permission denied"):
        ENGINE.parse_cancelled(recording("slurm/scancel_denied"))


def test_only_a_number_is_a_job_id() -> None:
    for words in (["--user=alice"], ["1,2"], [""]):
        with pytest.raises(ValueError, match="no job id"):
            ENGINE.cancel_command(*words)
        with pytest.raises(ValueError, match="no job id"):
            ENGINE.status_command(words)


# -- states -----------------------------------------------------------------------------------------------------------


def test_the_status_command_is_the_recorded_one(recording: Recording) -> None:
    assert ENGINE.status_command(["34", "38", "39"]) == recording("slurm/squeue_pending").arguments


def test_waiting_and_running_jobs(recording: Recording) -> None:
    statuses = ENGINE.parse_status(recording("slurm/squeue_pending"), ["34", "38", "39"])
    start = datetime(2026, 11, 21, 12, 24, 26, tzinfo=UTC)
    assert statuses["38"] == JobStatus(
        "38",
        JobState.WAITING,
        "Resources",
        "waiting for 8 free cores and 32 GiB of free memory on one node",
        queue="workq",
        estimated_start=start,
    )
    assert statuses["39"].explanation == "waiting for its turn: other jobs come first"
    started = datetime(2026, 11, 21, 11, 24, 25, tzinfo=UTC)
    assert statuses["34"] == JobStatus("34", JobState.RUNNING, host="vre1-n1", queue="workq", started=started)


def test_a_completing_job_is_ending(recording: Recording) -> None:
    assert ENGINE.parse_status(recording("slurm/squeue_completing"), ["34"])["34"].state is JobState.ENDING


def test_ended_jobs_have_their_cause_and_duration(recording: Recording) -> None:
    statuses = ENGINE.parse_status(recording("slurm/squeue_ended"), ["40", "41", "42", "43", "45"])
    ends = {job_id: status.end for job_id, status in statuses.items() if status.end is not None}
    assert {job_id: end.cause for job_id, end in ends.items()} == {
        "40": EndCause.ENDED,
        "41": EndCause.ENDED,
        "42": EndCause.MEMORY,
        "43": EndCause.MEMORY,
        "45": EndCause.ENDED,
    }
    assert ends["42"].memory_exceeded
    assert ends["40"].ran == timedelta(seconds=1)
    assert ends["40"].ended == datetime(2026, 11, 21, 11, 24, 36, tzinfo=UTC)


def test_a_job_that_was_cancelled_before_it_began_has_neither_host_nor_start(recording: Recording) -> None:
    status = ENGINE.parse_status(recording("slurm/squeue_cancelled_pending"), ["38"])["38"]
    assert (status.host, status.started) == ("", None)
    assert status.end is not None
    assert (status.end.cause, status.end.ran) == (EndCause.CANCELLED, None)


def test_unknown_jobs_are_forgotten_whether_asked_for_alone_or_with_others(recording: Recording) -> None:
    forgotten = JobEnd(EndCause.FORGOTTEN)
    alone = ENGINE.parse_status(recording("slurm/squeue_unknown_one"), ["99999"])
    assert alone["99999"].end == forgotten
    both = ENGINE.parse_status(recording("slurm/squeue_unknown_two"), ["99998", "99999"])
    assert {status.end for status in both.values()} == {forgotten}
    mixed = ENGINE.parse_status(recording("slurm/squeue_cancelled_and_unknown"), ["34", "99999"])
    assert [mixed[job_id].end.cause for job_id in ("34", "99999") if mixed[job_id].end] == [  # type: ignore[union-attr]
        EndCause.CANCELLED,
        EndCause.FORGOTTEN,
    ]


def test_a_refusal_of_several_ids_says_nothing_of_any(recording: Recording) -> None:
    with pytest.raises(SchedulerUnavailableError):
        ENGINE.parse_status(recording("slurm/squeue_unknown_one"), ["1", "2"])


def test_a_row_that_cannot_be_read_ends_no_job(recording: Recording) -> None:
    good = recording("slurm/squeue_running").stdout
    for bad in ("35|RUNN", "35|NEW_STATE|workq|1|1G|N/A|N/A|n1|N/A|None"):
        assert set(ENGINE.parse_status(answer(f"{good}{bad}\n"), ["34", "35"])) == {"34"}
    assert set(ENGINE.parse_status(answer(f"{good}squeue: warning\n"), ["34", "35"])) == {"34"}
    for cut in (good[:-1], "squeue: warning\n"):
        with pytest.raises(SchedulerUnavailableError):
            ENGINE.parse_status(answer(cut), ["34"])


@pytest.mark.parametrize("word", STATES)
def test_every_state_has_a_meaning(word: str) -> None:
    status, meaning = status_of(word), STATES[word]
    if isinstance(meaning, EndCause):
        assert status.end is not None
        assert (status.state, status.end.cause) == (JobState.ENDED, meaning)
    else:
        assert (status.state, status.end) == (meaning, None)


def test_times_are_those_of_the_hubs_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    assert status_of("RUNNING").started == datetime(2026, 11, 21, 10, tzinfo=UTC)


# -- reasons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "state", "explanation", "hopeless"),
    [
        ("Resources", "waiting", "waiting for 16 free cores and 32 GiB of free memory on one node", False),
        ("JobHeldUser", "held", "held by its owner, until it is released", False),
        ("BeginTime", "held", "waiting for the time that it is to begin at", False),
        ("BadConstraints", "waiting", "it can never run: no node has what it asks for", True),
        ("PartitionTimeLimit", "waiting", "it can never run: it asks for more time than its partition allows", True),
        ("InvalidQOS", "waiting", "it can never run: its quality of service is not one that you may use", True),
        (
            "ReqNodeNotAvail, UnavailableNodes:n1",
            "waiting",
            "waiting for a node that is not available: it is down, reserved or taken out of use",
            False,
        ),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            "waiting",
            "waiting for nodes that are down, taken out of use, or reserved for other jobs",
            False,
        ),
        (
            "AssocGrpCpuLimit",
            "waiting",
            "waiting for another job to end: the limit of cores for its project is reached",
            False,
        ),
        (
            "QOSMaxJobsPerUserLimit",
            "waiting",
            "waiting for another job to end: the limit of running jobs for you in its quality of service is reached",
            False,
        ),
        (
            "AssocGrpCPUMinutesLimit",
            "waiting",
            "waiting: the computing time of its project (cores) is used up",
            False,
        ),
        (
            "AssocMaxCpuPerJobLimit",
            "waiting",
            "it can never run: it asks for more cores than its project allows one job",
            True,
        ),
        (
            "user env retrieval failed requeued held",
            "held",
            "held by Slurm: user env retrieval failed requeued held",
            False,
        ),
        ("SomethingNewIsShort", "waiting", "waiting: something new is short", False),
        ("a | b", "waiting", "waiting: a | b", False),
    ],
)
def test_a_reason_is_said_in_words(reason: str, state: str, explanation: str, hopeless: bool) -> None:
    status = status_of("PENDING", reason, host="n/a")
    assert (status.state.value, status.explanation, status.hopeless) == (state, explanation, hopeless)
    assert status.reason == reason


def test_gpus_are_counted() -> None:
    counts = [count_gpus(text) for text in ("gpu:2", "gpu:a100:2(S:0-1),shard:4", "gres:gpu:1", "gres/gpu=3", "(null)")]
    assert counts == [2, 2, 1, 3, 0]
    assert "and 2 free GPUs on one node" in status_of("PENDING", "Resources", gpus="gres:gpu:2").explanation


# -- places -----------------------------------------------------------------------------------------------------------


def test_places_are_counted_without_held_jobs(recording: Recording) -> None:
    places = ENGINE.parse_places(recording("slurm/squeue_waiting"), {"39", "29", "1"})
    assert places == {"39": Place(2, 2)}


def test_jobs_for_other_partitions_are_not_before_a_job() -> None:
    rows = "1|gpu|Resources\n2|workq|Resources\n3|gpu,workq|Priority\n4|workq|Priority\n"
    assert ENGINE.parse_places(answer(rows), ["4", "3"]) == {"4": Place(3, 3), "3": Place(2, 2)}


def test_found_jobs(recording: Recording) -> None:
    assert ENGINE.find_command("vre-test-1") == recording("slurm/squeue_found").arguments
    assert sorted(ENGINE.parse_found(recording("slurm/squeue_found"))) == ["29", "34", "38", "39"]
    assert ENGINE.parse_found(recording("slurm/squeue_found_none")) == []


# -- history ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "job_id", "cause", "status"),
    [
        ("completed", "45", EndCause.ENDED, 0),
        ("failed", "40", EndCause.ENDED, 3),
        ("killed", "41", EndCause.ENDED, 137),
        ("oom", "42", EndCause.MEMORY, None),
        ("oom_kernel", "43", EndCause.MEMORY, None),
        ("cancelled", "38", EndCause.CANCELLED, 0),
        ("no_log", "46", EndCause.NOT_STARTED, None),
    ],
)
def test_scontrol_knows_the_exit_status(
    recording: Recording, name: str, job_id: str, cause: EndCause, status: int | None
) -> None:
    result = recording(f"slurm/scontrol_job_{name}")
    assert result.arguments == ENGINE.history_command(job_id)
    end = ENGINE.parse_history(result, job_id)
    assert end is not None
    assert (end.cause, end.exit_status, end.memory_exceeded) == (cause, status, cause is EndCause.MEMORY)
    assert end.ended is not None


def test_history_that_does_not_say_is_none(recording: Recording) -> None:
    for name in ("scontrol_job_running", "scontrol_job_unknown", "sacct_disabled"):
        assert ENGINE.parse_history(recording(f"slurm/{name}"), "47") is None


def test_sacct_knows_what_was_used_and_who_cancelled(recording: Recording) -> None:
    engine = SlurmEngine(accounting=True)
    assert engine.history_command("45") == recording("slurm/sacct_disabled").arguments
    rows = (
        "7|CANCELLED by {}|0:0||00:01:02|00:10:00|2026-11-21T12:00:00|1001|alice|None\n"
        "7.batch|CANCELLED|0:15|1048576|00:01:02|00:10:01|2026-11-21T12:00:01||||\n"
        "7.batch|OUT_OF_MEMORY|0:125|1048576|00:01.500|00:10:01|2026-11-21T12:00:01|||\n"
    )
    end = engine.parse_history(answer(rows.format(1001)), "7")
    assert end == JobEnd(
        EndCause.CANCELLED,
        exit_status=0,
        cancelled_by="alice",
        memory_bytes=2**20,
        cpu_time=timedelta(seconds=62),
        ran=timedelta(minutes=10),
        ended=datetime(2026, 11, 21, 12, tzinfo=UTC),
        memory_exceeded=True,
    )
    names = [engine.parse_history(answer(rows.format(uid)), "7") for uid in (0, 1002)]
    assert [end.cancelled_by for end in names if end] == ["root", "uid 1002"]


def test_a_path_of_the_owner_does_not_change_how_a_job_ended() -> None:
    row = "JobId=7 JobName=x JobState=COMPLETED ExitCode=0:0 WorkDir=/a JobState=TIMEOUT ExitCode=9:0\n"
    end = ENGINE.parse_history(answer(row), "7")
    assert end is not None
    assert (end.cause, end.exit_status) == (EndCause.ENDED, 0)


# -- the cluster ------------------------------------------------------------------------------------------------------


def test_nodes_with_what_is_free(recording: Recording) -> None:
    assert ENGINE.nodes_command() == recording("slurm/sinfo_nodes").arguments
    queues = frozenset({"workq", "short", "closed"})
    assert ENGINE.parse_nodes(recording("slurm/sinfo_nodes_mixed")) == (
        Node("vre1-n1", True, 8, 6, 40 * GIB, 39 * GIB, queues=queues),
        Node("vre1-n2", True, 8, 8, 40 * GIB, 40 * GIB, queues=queues),
    )
    full = ENGINE.parse_nodes(recording("slurm/sinfo_nodes"))
    assert [(node.available, node.free_cores) for node in full] == [(True, 0), (True, 0)]


@pytest.mark.parametrize(
    ("state", "available"),
    [
        ("idle", True),
        ("mixed-", True),
        ("idle~", True),
        ("allocated#", True),
        ("completing", True),
        ("idle*", False),
        ("down*", False),
        ("drained", False),
        ("draining", False),
        ("mixed$", False),
        ("idle%", False),
        ("reserved", False),
        ("unknown", False),
    ],
)
def test_jobs_start_only_on_nodes_that_are_available(state: str, available: bool) -> None:
    (node,) = ENGINE.parse_nodes(answer(node_row(state=state)))
    assert node.available is available


def test_gpus_of_nodes() -> None:
    (node,) = ENGINE.parse_nodes(answer(node_row(Gres="gpu:a100:4(S:0-1)", GresUsed="gpu:a100:1(IDX:0)")))
    assert (node.gpus, node.free_gpus) == (4, 3)


def test_a_node_that_cannot_be_read_is_left_out() -> None:
    rows = node_row("n1", cores="?") + node_row("n2") + node_row("n3", Memory="much") + node_row("n2", queue="short")
    (node,) = ENGINE.parse_nodes(answer(rows))
    assert (node.name, node.queues) == ("n2", {"workq", "short"})


def test_partitions_with_their_limits(recording: Recording) -> None:
    assert ENGINE.queues_command() == recording("slurm/scontrol_partitions").arguments
    queues = ENGINE.parse_queues(recording("slurm/scontrol_partitions"))
    facts = {name: (q.enabled, q.started, q.is_default, q.max_walltime) for name, q in queues.items()}
    assert facts == {
        "workq": (True, True, True, timedelta(days=2)),
        "short": (True, True, False, timedelta(minutes=30)),
        "closed": (False, False, False, timedelta(days=2)),
    }
    assert queues["workq"].accepts("alice", ())


def test_limits_and_lists_of_a_partition() -> None:
    row = (
        "PartitionName=gpu AllowGroups=a,b AllowAccounts=swot Default=NO MaxTime=UNLIMITED MaxCPUsPerNode=16 "
        "RootOnly=NO State=DRAIN MaxMemPerNode=2048\n"
    )
    queue = ENGINE.parse_queues(answer(row + "PartitionName= State=UP\nnonsense\n"))["gpu"]
    assert (queue.enabled, queue.started, queue.max_walltime, queue.max_cores) == (False, True, None, 16)
    assert (queue.groups, queue.projects, queue.max_memory_bytes) == ({"a", "b"}, {"swot"}, 2 * GIB)


def test_what_running_jobs_give_back(recording: Recording) -> None:
    result = recording("slurm/squeue_releases")
    nodes = ENGINE.parse_nodes(recording("slurm/sinfo_nodes_mixed"))
    assert ENGINE.releases_command(nodes) == result.arguments
    assert ENGINE.releases_command(nodes[1:]) is None
    at = datetime(2026, 11, 21, 11, 35, 11, tzinfo=UTC)
    assert ENGINE.parse_releases(result) == (Release("vre1-n1", at, 2, GIB),)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("n1", ["n1"]),
        ("n[1-2,07-08],login", ["n1", "n2", "n07", "n08", "login"]),
        ("n[1-2]-ib", ["n1-ib", "n2-ib"]),
        ("", []),
        ("n[1-", []),
        ("n[1-999999999]", []),
    ],
)
def test_lists_of_nodes(text: str, hosts: list[str]) -> None:
    assert expand_hosts(text) == hosts
