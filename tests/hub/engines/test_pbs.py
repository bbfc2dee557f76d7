"""The PBS engine on recorded answers of OpenPBS 23.06."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from swotvre_hub.engines.base import (
    CancelRefusedError,
    CommandResult,
    EndCause,
    JobRequest,
    JobState,
    JobStatus,
    Node,
    Place,
    Release,
    SchedulerUnavailableError,
    SubmitRefusedError,
)
from swotvre_hub.engines.pbs import PbsEngine

Recording = Callable[[str], CommandResult]
GIB = 2**30
ENGINE = PbsEngine()
REQUEST = JobRequest(
    name="vre-alice-x1", cores=4, memory_bytes=32 * GIB, walltime=timedelta(hours=36), log="/home/alice/session.log"
)


@pytest.fixture(autouse=True)
def hub_in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The recordings were made in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def answer(stdout: str = "", exit_code: int = 0, stderr: str = "", arguments: tuple[str, ...] = ()) -> CommandResult:
    return CommandResult(arguments, exit_code, stdout, stderr)


def status_of(job: dict[str, Any], job_id: str = "7.head") -> JobStatus:
    return ENGINE.parse_status(answer(json.dumps({"Jobs": {job_id: job}})), [job_id])[job_id]


# -- submitting -------------------------------------------------------------------------------------------------------


def test_a_job_is_submitted_with_its_resources_and_a_log_that_is_written_live() -> None:
    assert ENGINE.submit_command(REQUEST) == [
        *("/opt/pbs/bin/qsub", "-N", "vre-alice-x1", "-S", "/bin/bash", "-r", "n", "-m", "n"),
        *("-l", "select=1:ncpus=4:mem=32gb", "-l", "walltime=36:00:00"),
        *("-j", "oe", "-k", "doe", "-o", "localhost:/home/alice/session.log"),
    ]


def test_gpus_queue_and_project_are_asked_for_when_they_are_chosen() -> None:
    command = ENGINE.submit_command(replace(REQUEST, gpus=1, queue="gpu_a100", project="swot@2026"))
    assert "select=1:ncpus=4:mem=32gb:ngpus=1" in command
    assert command[-4:] == ["-q", "gpu_a100", "-P", "swot@2026"]


@pytest.mark.parametrize(
    ("memory_bytes", "mem"), [(GIB, "1gb"), (1536 * 2**20, "1572864kb"), (GIB + 1, "1048577kb"), (1, "1kb")]
)
def test_memory_is_asked_for_without_loss(memory_bytes: int, mem: str) -> None:
    assert f"select=1:ncpus=4:mem={mem}" in ENGINE.submit_command(replace(REQUEST, memory_bytes=memory_bytes))


@pytest.mark.parametrize(
    ("walltime", "text"),
    [(timedelta(minutes=90), "01:30:00"), (timedelta(days=7), "168:00:00"), (timedelta(seconds=59.2), "00:01:00")],
)
def test_the_walltime_is_in_hours_minutes_and_seconds(walltime: timedelta, text: str) -> None:
    assert f"walltime={text}" in ENGINE.submit_command(replace(REQUEST, walltime=walltime))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "two words"},
        {"name": ""},
        {"name": "-v"},
        {"queue": "-Ia"},
        {"queue": "workq;id"},
        {"project": "swot,x=y"},
        {"project": "a\n"},
        {"log": "relative.log"},
        {"log": "/home/alice/\n.log"},
        {"log": "/home/alicé/x.log"},
        {"cores": 0},
        {"memory_bytes": 0},
        {"gpus": -1},
        {"walltime": timedelta(0)},
    ],
)
def test_what_could_become_another_argument_is_never_put_on_a_command_line(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"of a job|a job of|a walltime of"):
        ENGINE.submit_command(replace(REQUEST, **change))


def test_commands_stand_where_the_site_has_them() -> None:
    engine = PbsEngine(Path("/usr/local/pbs/bin"))
    assert engine.waiting_command()[0] == "/usr/local/pbs/bin/qselect"


@pytest.mark.parametrize(
    ("name", "job_id"),
    [("qsub_ok", "0.pbsvm"), ("qsub_stdin", "1.pbsvm"), ("qsub_array", "20[].pbsvm"), ("qsub_never_fits", "5.pbsvm")],
)
def test_the_id_of_a_submitted_job_is_read(recording: Recording, name: str, job_id: str) -> None:
    assert ENGINE.parse_submitted(recording(f"pbs/{name}")) == job_id


def test_the_id_is_found_below_what_a_site_prints_before_it() -> None:
    assert (
        ENGINE.parse_submitted(answer("Welcome!\nyour project has 12 h left\n 12.head.site.fr\n\n"))
        == "12.head.site.fr"
    )


def test_a_submission_without_an_id_is_not_taken_for_a_refusal() -> None:
    with pytest.raises(SchedulerUnavailableError, match="no job id: Welcome"):
        ENGINE.parse_submitted(answer("Welcome!\n"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "qsub_reject_queue_max",
            r"more than queue 'small' or the server allows .*violates.*Choose a smaller size or a sho",
        ),
        ("qsub_reject_walltime", r"more than the default queue or the server allows"),
        ("qsub_reject_unknown_queue", r"queue 'nosuch' does not exist \(qsub: Unknown queue\)\. Choose another queue"),
        (
            "qsub_reject_unknown_resource",
            r"does not know \(qsub: Unknown resource: nosuch\)\. .*Tell those who run this site",
        ),
        ("qsub_over_quota_max_queued", r"already as many jobs as a limit allows .*per-user limit\)\. Stop a session"),
        ("qsub_reject_illegal_mem", r"cannot read one of its values \(.*select\.mem\)"),
        ("qsub_reject_mem_with_select", r"in two ways at once .*resource is: mem\)\. Tell those who run this site"),
        ("qsub_reject_select_and_nodes", r"in two ways at once .*place: nodes\)\. Tell those who run this site"),
        ("qsub_root", r"your account may not run jobs \(qsub: Bad UID"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(recording: Recording, name: str, words: str) -> None:
    with pytest.raises(SubmitRefusedError, match=f"^PBS refused the session: .*{words}"):
        ENGINE.parse_submitted(recording(f"pbs/{name}"))


@pytest.mark.parametrize(
    ("exit_code", "stderr", "words"),
    [
        (39, "qsub: would exceed per-user limit on resource ncpus in queue workq", "with what your other jobs have"),
        (38, "qsub: Maximum number of jobs for user alice already in complex", "as many jobs as a limit allows"),
        (173, "qsub: Queue is not enabled", "'gpu' takes no jobs at present"),
        (174, "qsub: Access to queue is denied", "may not use queue 'gpu'"),
        (191, "qsub: Job rejected by all possible destinations", "no queue behind queue 'gpu'"),
        (32, "qsub: hook error: only night jobs", r"a rule of this site .*only night jobs"),
        (188, "", "more than queue 'gpu' or the server allows"),
        (
            77,
            "qsub: budget of project swot is used up",
            "^PBS refused the session, and says: qsub: budget of project swot",
        ),
    ],
)
def test_a_refusal_that_was_not_recorded_is_explained(exit_code: int, stderr: str, words: str) -> None:
    with pytest.raises(SubmitRefusedError, match=words):
        ENGINE.parse_submitted(answer("", exit_code, stderr, ("/opt/pbs/bin/qsub", "-q", "gpu")))


def test_a_long_refusal_is_cut() -> None:
    with pytest.raises(SubmitRefusedError) as refusal:
        ENGINE.parse_submitted(answer("", 77, "x" * 5000))
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "stderr",
    [
        "sudo: a password is required",
        "sudo: a terminal is required to read the password; either use the -S option",
        "sudo: /opt/pbs/bin/qsub: command not found",
        "sudo: unknown user alice",
        "Sorry, user hub is not allowed to execute '/opt/pbs/bin/qsub' as alice on head.",
        "hub is not in the sudoers file.",
    ],
)
def test_a_fault_of_sudo_is_one_of_the_site_and_not_of_the_user(stderr: str) -> None:
    with pytest.raises(SubmitRefusedError, match=r"fault in the set-up of this site.*Tell those who run this site"):
        ENGINE.parse_submitted(answer("", 1, stderr))
    with pytest.raises(CancelRefusedError, match=r"may not stop sessions.*Tell those who run this site"):
        ENGINE.parse_cancelled(answer("", 1, stderr))


def test_a_warning_of_sudo_does_not_hide_what_pbs_says() -> None:
    warning = "sudo: unable to resolve host hub: Name or service not known\n"
    with pytest.raises(SubmitRefusedError, match="queue 'x' does not exist"):
        ENGINE.parse_submitted(answer("", 170, f"{warning}qsub: Unknown queue", ("qsub", "-q", "x")))


# -- a server that does not answer ------------------------------------------------------------------------------------

UNANSWERED = [
    answer("", 162, "Connection refused\nqsub: cannot connect to server head (errno=15010)"),
    answer("", 255, "Connection refused\nqstat: cannot connect to server head (errno=15010)"),
    answer("", 162, "Connection refused\nCouldn't connect to cluster: head"),
    answer("", 1, "pbsnodes: cannot connect to server head, error=15010"),
    answer("", 185, "qsub: No free connections"),
    answer("", 212, "qsub: Request not allowed: Server shutting down"),
    answer("", 127, "/opt/pbs/bin/qstat: No such file or directory"),
    answer("", 255, ""),
    answer("", 162, ""),
    answer("", 124, ""),
    answer("", -9, ""),
]


@pytest.mark.parametrize("result", UNANSWERED, ids=lambda result: f"{result.exit_code}")
@pytest.mark.parametrize(
    "parse",
    [
        ENGINE.parse_submitted,
        ENGINE.parse_cancelled,
        ENGINE.parse_found,
        ENGINE.parse_nodes,
        ENGINE.parse_queues,
        ENGINE.parse_releases,
        lambda result: ENGINE.parse_status(result, ["1.head"]),
        lambda result: ENGINE.parse_places(result, ["1.head"]),
    ],
)
def test_a_server_that_does_not_answer_tells_nothing(
    parse: Callable[[CommandResult], object], result: CommandResult
) -> None:
    with pytest.raises(SchedulerUnavailableError, match="PBS did not answer"):
        parse(result)


@pytest.mark.parametrize("name", ["qsub_server_down", "qdel_server_down", "qstat_server_down"])
def test_the_recorded_absence_of_the_server_is_recognised(recording: Recording, name: str) -> None:
    parse = {"qsub": ENGINE.parse_submitted, "qdel": ENGINE.parse_cancelled}
    with pytest.raises(SchedulerUnavailableError, match="onnect"):
        parse.get(name[:4], ENGINE.parse_found)(recording(f"pbs/{name}"))


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_a_job_is_cancelled_by_its_id_and_nothing_else() -> None:
    assert ENGINE.cancel_command("12.head") == ["/opt/pbs/bin/qdel", "12.head"]
    with pytest.raises(ValueError, match="no job id of PBS"):
        ENGINE.cancel_command("-Wforce")


@pytest.mark.parametrize("name", ["qdel_running", "qdel_finished", "qdel_unknown"])
def test_a_job_that_is_over_needs_no_cancelling(recording: Recording, name: str) -> None:
    ENGINE.parse_cancelled(recording(f"pbs/{name}"))


def test_a_refused_cancellation_says_that_the_job_goes_on(recording: Recording) -> None:
    with pytest.raises(CancelRefusedError, match=r"which goes on: qdel: Unauthorized Request 6\.pbsvm"):
        ENGINE.parse_cancelled(recording("pbs/qdel_other_user"))


# -- the state of jobs ------------------------------------------------------------------------------------------------


def test_all_jobs_are_asked_for_in_one_command() -> None:
    assert ENGINE.status_command(["1.head", "2.head"]) == (
        ["/opt/pbs/bin/qstat", "-E", "-x", "-f", "-F", "json", "1.head", "2.head"]
    )
    with pytest.raises(ValueError, match="no job id"):
        ENGINE.status_command(["1.head", "workq"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "qstat_f_json_running",
            JobStatus(
                "0.pbsvm",
                JobState.RUNNING,
                host="pbsvm",
                queue="workq",
                started=datetime(2026, 11, 20, 23, 10, 3, tzinfo=UTC),
            ),
        ),
        (
            "qstat_f_json_E",
            JobStatus(
                "52.pbsvm",
                JobState.ENDING,
                host="pbsvm",
                queue="workq",
                started=datetime(2026, 11, 20, 23, 37, 20, tzinfo=UTC),
            ),
        ),
        (
            "qstat_f_json_Q",
            JobStatus(
                "4.pbsvm",
                JobState.WAITING,
                reason="Not Running: Insufficient amount of resource: ncpus (R: 8 A: 5 T: 8)",
                explanation="waiting for 8 free cores; 5 are free",
                queue="workq",
            ),
        ),
        (
            "qstat_f_json_H",
            JobStatus("6.pbsvm", JobState.HELD, explanation="held by its owner, until it is released", queue="workq"),
        ),
        (
            "qstat_json_numeric_env",
            JobStatus("49.pbsvm", JobState.HELD, explanation="held by its owner, until it is released", queue="workq"),
        ),
    ],
)
def test_a_live_job_is_read(recording: Recording, name: str, expected: JobStatus) -> None:
    assert ENGINE.parse_status(recording(f"pbs/{name}"), [expected.job_id]) == {expected.job_id: expected}


@pytest.mark.parametrize(
    ("name", "job_id", "cause", "exit_status", "cancelled_by", "memory_kib", "seconds", "memory_exceeded"),
    [
        ("walltime_killed", "2.pbsvm", EndCause.WALLTIME, None, None, 7048, 13, False),
        ("mem_killed", "3.pbsvm", EndCause.MEMORY, None, None, 628492, 13, True),
        ("cgroup_oom", "47.pbsvm", EndCause.ENDED, 0, None, 409600, 7, True),
        ("jupyter_qdel", "26.pbsvm", EndCause.CANCELLED, 143, "alice", 193348, 35, False),
        ("multinode_F", "53.pbsvm", EndCause.ENDED, 0, None, 12440, 0, False),
    ],
)
def test_how_a_job_ended_is_read(
    recording: Recording,
    name: str,
    job_id: str,
    cause: EndCause,
    exit_status: int | None,
    cancelled_by: str | None,
    memory_kib: int,
    seconds: int,
    memory_exceeded: bool,
) -> None:
    status = ENGINE.parse_status(recording(f"pbs/qstat_xf_json_{name}"), [job_id])[job_id]
    assert status.state is JobState.ENDED
    assert status.end is not None
    assert status.end.cause is cause
    assert status.end.exit_status == exit_status
    assert status.end.cancelled_by == cancelled_by
    assert status.end.memory_bytes == memory_kib * 1024
    assert status.end.ran == timedelta(seconds=seconds)
    assert status.end.cpu_time is not None
    assert status.end.memory_exceeded is memory_exceeded
    assert status.started is not None
    assert status.end.ended is not None
    assert status.end.ended >= status.started


def test_a_job_that_was_deleted_while_it_waited_was_cancelled(recording: Recording) -> None:
    result = recording("pbs/qstat_xf_json_jupyter_timeout_deleted_while_Q")
    status = ENGINE.parse_status(result, ["35.pbsvm"])["35.pbsvm"]
    assert status.end is not None
    assert status.end.cause is EndCause.CANCELLED
    assert status.end.ended == datetime.fromtimestamp(1795216758, UTC)
    assert (status.started, status.host, status.end.ran) == (None, "", None)


def test_the_node_of_a_job_on_several_is_the_first(recording: Recording) -> None:
    assert ENGINE.parse_status(recording("pbs/qstat_xf_json_multinode_F"), ["53.pbsvm"])["53.pbsvm"].host == "n1"


def test_a_node_may_have_dots_in_its_name() -> None:
    assert status_of({"job_state": "R", "exec_host": "n1.cluster.site.fr/3*4"}).host == "n1.cluster.site.fr"


@pytest.mark.parametrize(
    ("letter", "state"),
    [
        ("Q", JobState.WAITING),
        ("T", JobState.WAITING),
        ("M", JobState.WAITING),
        ("H", JobState.HELD),
        ("W", JobState.HELD),
        ("R", JobState.RUNNING),
        ("B", JobState.RUNNING),
        ("S", JobState.SUSPENDED),
        ("U", JobState.SUSPENDED),
        ("E", JobState.ENDING),
        ("F", JobState.ENDED),
        ("X", JobState.ENDED),
    ],
)
def test_every_state_of_pbs_has_its_word(letter: str, state: JobState) -> None:
    status = status_of({"job_state": letter})
    assert status.state is state
    assert bool(status.explanation) is state.is_pending
    assert (status.end is not None) is (state is JobState.ENDED)


def test_a_node_that_is_being_provisioned_starts() -> None:
    assert status_of({"job_state": "R", "substate": 71}).state is JobState.STARTING


@pytest.mark.parametrize(
    ("job", "cause", "exit_status"),
    [
        ({"Exit_status": 0}, EndCause.ENDED, 0),
        ({"Exit_status": "3"}, EndCause.ENDED, 3),
        ({"Exit_status": -27}, EndCause.MEMORY, None),
        ({"Exit_status": -28}, EndCause.WALLTIME, None),
        ({"Exit_status": "-29"}, EndCause.WALLTIME, None),
        ({"comment": "Job run at x and exceeded resource walltime", "Exit_status": 271}, EndCause.WALLTIME, 143),
        ({"Exit_status": -20}, EndCause.NODE, None),
        ({"Exit_status": -4}, EndCause.NODE, None),
        ({"Exit_status": -10}, EndCause.NOT_STARTED, None),
        ({"Exit_status": -77, "exec_host": "n1/0"}, EndCause.NODE, None),
        ({"Exit_status": 271}, EndCause.CANCELLED, 143),
        ({"Exit_status": 143}, EndCause.CANCELLED, 143),
        ({"Exit_status": 265, "substate": 91}, EndCause.CANCELLED, 137),
        ({"Exit_status": 267}, EndCause.ENDED, 139),
        ({"Exit_status": 265}, EndCause.ENDED, 137),
        (
            {"Exit_status": 265, "resources_used": {"diag_messages": {"n1": "Cgroup mem limit exceeded"}}},
            EndCause.MEMORY,
            137,
        ),
        (
            {
                "Exit_status": 271,
                "resources_used": {"walltime": "01:00:02"},
                "Resource_List": {"walltime": "01:00:00"},
            },
            EndCause.WALLTIME,
            143,
        ),
        ({"comment": "Job run at x and terminated by Scheduler@head", "Exit_status": 271}, EndCause.PREEMPTED, 143),
        ({"substate": 93, "stime": "Fri Nov 20 23:10:34 2026"}, EndCause.NODE, None),
        ({"substate": 92}, EndCause.NOT_STARTED, None),
        ({"substate": 91}, EndCause.CANCELLED, None),
        ({"substate": 91, "Exit_status": -3}, EndCause.CANCELLED, None),
        ({"substate": 91, "Exit_status": -29, "exec_host": "n1/0"}, EndCause.WALLTIME, None),
    ],
)
def test_the_cause_of_an_end_is_found(job: dict[str, Any], cause: EndCause, exit_status: int | None) -> None:
    end = status_of({"job_state": "F", **job}).end
    assert end is not None
    assert (end.cause, end.exit_status) == (cause, exit_status)


@pytest.mark.parametrize(
    ("comment", "who"),
    [
        ("Job run at x on (n1:ncpus=1) and terminated by bob.smith@head.site.fr", "bob.smith"),
        ("Job run at x on (n1:ncpus=1) and terminated", None),
        ("Job run at x on (n1:ncpus=1) and finished", None),
    ],
)
def test_who_cancelled_a_job_is_read(comment: str, who: str | None) -> None:
    end = status_of({"job_state": "F", "substate": 91, "Exit_status": 271, "comment": comment}).end
    assert end is not None
    assert (end.cause, end.cancelled_by) == (EndCause.CANCELLED, who)


@pytest.mark.parametrize("name", ["qstat_json_unknown", "qstat_fx_unknown"])
def test_a_job_that_pbs_does_not_know_is_forgotten(recording: Recording, name: str) -> None:
    status = ENGINE.parse_status(recording(f"pbs/{name}"), ["99999.pbsvm", "4.pbsvm"])
    assert list(status) == ["99999.pbsvm"]
    assert status["99999.pbsvm"].state is JobState.ENDED
    assert status["99999.pbsvm"].end is not None
    assert status["99999.pbsvm"].end.cause is EndCause.FORGOTTEN


def test_known_and_unknown_jobs_come_in_one_answer(recording: Recording) -> None:
    running = recording("pbs/qstat_f_json_running")
    result = replace(running, exit_code=153, stderr="qstat: Unknown Job Id 99999.pbsvm\n")
    status = ENGINE.parse_status(result, ["0.pbsvm", "99999.pbsvm", "5.pbsvm"])
    assert {job_id: found.state for job_id, found in status.items()} == (
        {"0.pbsvm": JobState.RUNNING, "99999.pbsvm": JobState.ENDED}
    )


def test_several_jobs_of_a_real_server_come_in_one_answer(recording: Recording) -> None:
    result = recording("pbs/lab_qstat_ended")
    status = ENGINE.parse_status(result, ["20.pbshead", "99999.pbshead", "8.pbshead", "7.pbshead"])
    causes = {job_id: (found.host, found.end and found.end.cause) for job_id, found in status.items()}
    assert causes == {
        "20.pbshead": ("pbsn2.cluster.example", EndCause.CANCELLED),
        "8.pbshead": ("", EndCause.CANCELLED),  # its log had no folder, it was held, then deleted
        "7.pbshead": ("pbsn1", EndCause.NODE),  # the daemon of its node was started anew
    }
    cancelled = status["20.pbshead"].end
    assert cancelled is not None
    assert (cancelled.cancelled_by, cancelled.ran) == ("vreuser1", timedelta(seconds=11))


def test_jobs_that_a_real_server_leaves_out_are_unknown(recording: Recording) -> None:
    """Without ``-E``, it leaves out all but the first: ``status_command`` has to ask with it."""
    result = recording("pbs/lab_qstat_without_E")
    status = ENGINE.parse_status(result, ["20.pbshead", "99999.pbshead", "8.pbshead", "21.pbshead"])
    assert list(status) == ["20.pbshead", "99999.pbshead"]
    assert result.arguments[1:5] == ["-x", "-f", "-F", "json"]


def test_of_several_jobs_that_are_all_unknown_one_is_named(recording: Recording) -> None:
    status = ENGINE.parse_status(recording("pbs/lab_qstat_all_unknown"), ["99999.pbshead", "99998.pbshead"])
    assert list(status) == ["99999.pbshead"]


def test_why_real_jobs_wait_is_explained(recording: Recording) -> None:
    status = ENGINE.parse_status(recording("pbs/lab_qstat_waiting"), ["22.pbshead", "23.pbshead"])
    assert {job_id: (found.explanation, found.hopeless) for job_id, found in status.items()} == {
        "22.pbshead": (
            "it can never run: it asks for 400 GiB of memory, more than the 80 GiB that the nodes have",
            True,
        ),
        "23.pbshead": ("waiting for 17 free cores; 1 is free", False),
    }


@pytest.mark.parametrize(
    ("asked", "printed", "same"),
    [
        ("7.head", "7.head.site.fr", True),
        ("7.head.site.fr", "7.head", True),
        ("7", "7.head", True),
        ("7.head", "7", True),
        ("7.head", "7.header", False),
        ("7.head", "70.head", False),
        ("7.head", "7[].head", False),
    ],
)
def test_ids_are_the_same_however_long_the_name_of_the_server(asked: str, printed: str, same: bool) -> None:
    result = answer(json.dumps({"Jobs": {printed: {"job_state": "R"}, "1.other": {"job_state": "R"}}}))
    status = ENGINE.parse_status(result, [asked])
    assert ({asked: printed} if same else {}) == {key: found.job_id for key, found in status.items()}


def test_an_id_that_is_printed_exactly_wins_over_one_that_is_like_it() -> None:
    jobs = {"7.head.a": {"job_state": "R"}, "7.head": {"job_state": "Q"}}
    assert ENGINE.parse_status(answer(json.dumps({"Jobs": jobs})), ["7.head"])["7.head"].state is JobState.WAITING


@pytest.mark.parametrize("broken", [None, [], "R", {}, {"job_state": "Z"}, {"job_state": 5}, {"job_state": None}])
def test_an_entry_that_cannot_be_read_is_left_out_and_the_others_count(broken: object) -> None:
    result = answer(json.dumps({"Jobs": {"1.head": broken, "2.head": {"job_state": "R"}}}))
    assert list(ENGINE.parse_status(result, ["1.head", "2.head"])) == ["2.head"]


@pytest.mark.parametrize(
    "stdout", ["", "{", '{"Jobs": {"1.head": {"job_state": "R"', "[]", "null", "Jobs", "[" * 100_000]
)
def test_an_answer_that_cannot_be_read_is_no_answer(stdout: str) -> None:
    with pytest.raises(SchedulerUnavailableError):
        ENGINE.parse_status(answer(stdout), ["1.head"])


def test_an_environment_that_breaks_the_json_does_not_hide_the_job() -> None:
    stdout = (
        '{"Jobs": {"1.head": {"job_state": "R", "Variable_List": {\n  "BASH_FUNC": "() { echo "hi"; \\x1b }",\n'
        '  "PBS_O_HOST": "head"\n },\n "queue": "workq"}}}'
    )
    assert ENGINE.parse_status(answer(stdout), ["1.head"])["1.head"].queue == "workq"


def test_control_characters_in_an_environment_are_read() -> None:
    stdout = '{"Jobs": {"1.head": {"Variable_List": {"X": "a\tb\x1b\n"}, "job_state": "R"}}}'
    assert ENGINE.parse_status(answer(stdout), ["1.head"])["1.head"].state is JobState.RUNNING


def test_an_answer_that_cannot_be_read_is_not_repeated_as_it_may_hold_an_environment() -> None:
    with pytest.raises(SchedulerUnavailableError) as failure:
        ENGINE.parse_status(answer('{"Jobs": {"1.head": {"Variable_List": {"TOKEN": "secret"'), ["1.head"])
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (answer('{"timestamp": 1}'), "query_other_jobs = True"),
        (
            answer('{"timestamp": 1}', 0, "qstat: PBS is not configured to maintain job history"),
            "job_history_enable = True",
        ),
    ],
)
def test_a_server_that_is_not_set_up_for_the_question_is_named_as_such(result: CommandResult, words: str) -> None:
    with pytest.raises(SchedulerUnavailableError, match=words):
        ENGINE.parse_status(result, ["1.head"])


@pytest.mark.parametrize("name", ["qstat_other_user_query_other_jobs_False", "qstat_all_query_other_jobs_False"])
def test_jobs_that_the_hub_may_not_see_have_not_ended(recording: Recording, name: str) -> None:
    with pytest.raises(SchedulerUnavailableError, match="query_other_jobs = True"):
        ENGINE.parse_status(recording(f"pbs/{name}"), ["0.pbsvm"])


def test_times_are_local_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    summer = status_of({"job_state": "R", "stime": "Sat Jul  4 01:30:00 2026"}).started
    winter = status_of({"job_state": "R", "stime": "Fri Nov 20 23:10:03 2026"}).started
    assert summer == datetime(2026, 7, 3, 23, 30, tzinfo=UTC)
    assert winter == datetime(2026, 11, 20, 22, 10, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start_time", "expected"),
    [
        ("Sat Nov 21 14:30:00 2026", datetime(2026, 11, 21, 14, 30, tzinfo=UTC)),
        (1795271400, datetime(2026, 11, 21, 14, 30, tzinfo=UTC)),
        ("UNKNOWN", None),
        ("Sat Foo 21 14:30:00 2026", None),
        ("Sat Nov 41 14:30:00 2026", None),
        (10**30, None),
        (None, None),
    ],
)
def test_the_estimated_start_is_read(start_time: object, expected: datetime | None) -> None:
    job = {"job_state": "Q", "estimated": {"start_time": start_time, "exec_vnode": "(n1:ncpus=1)"}}
    assert status_of(job).estimated_start == expected


# -- why a job waits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "explanation"),
    [
        ("Insufficient amount of resource: ncpus (R: 16 A: 9 T: 32)", "waiting for 16 free cores; 9 are free"),
        ("Insufficient amount of resource: ncpus (R: 1 A: 0 T: 32)", "waiting for 1 free core; none is free"),
        ("Insufficient amount of resource: ngpus (R: 2 A: 1 T: 4)", "waiting for 2 free GPUs; 1 is free"),
        ("Insufficient amount of resource: ncpus (R: 4 A: -2 T: 32)", "waiting for 4 free cores; none is free"),
        (
            "Insufficient amount of resource: mem (R: 32gb A: 12gb T: 64gb)",
            "waiting for 32 GiB of free memory; 12 GiB are free",
        ),
        (
            "Insufficient amount of resource: mem (R: 33554432kb A: 524288kb T: 67108864kb)",
            "waiting for 32 GiB of free memory; 512 MiB are free",
        ),
        ("Insufficient amount of resource: mem (R: 80gb A: 40gb T: 40gb)", "waiting for a node with 80 GiB of memory"),
        (
            "Insufficient amount of queue resource: ncpus (R: 4 A: 2 T: 8)",
            "waiting for 4 free cores in its queue; 2 are free",
        ),
        (
            "Insufficient amount of server resource: matlab (R: 1 A: 0 T: 5)",
            "waiting for 1 of free matlab in the whole cluster; none is free",
        ),
        ("Insufficient amount of resource: vntype (gpu != cpu,big)", "waiting for a node whose vntype is gpu"),
        ("Queue not started.", "its queue is stopped: jobs wait until those who run the cluster start it again"),
        ("Not enough free nodes available", "waiting for a free node"),
        ("No available resources on nodes", "waiting for a node with enough free cores and memory"),
        ("Dedicated time conflict", "waiting for the end of the dedicated time of the cluster"),
        (
            "Job would conflict with reservation or top job",
            "waiting for jobs that come before it, or for a reservation; a shorter duration may start sooner",
        ),
        (
            "Job is requesting an exclusive node and node is in use",
            "waiting for a node that nobody else uses: it asks for one of its own",
        ),
        (
            "User has reached queue workq running job limit.",
            "waiting for another job to end: the limit of running jobs for you in queue workq is reached",
        ),
        (
            "Queue workq job limit reached for user alice",
            "waiting for another job to end: the limit of running jobs for user alice in queue workq is reached",
        ),
        (
            "would exceed user alice's limit on resource ncpus in complex",
            "waiting for another job to end: the limit of cores for user alice in the cluster is reached",
        ),
        (
            "would exceed project swot's limit on resource mem in queue workq",
            "waiting for another job to end: the limit of memory for project swot in queue workq is reached",
        ),
        (
            "Project has reached queue workq's running limit.",
            "waiting for another job to end: the limit of running jobs for the project in queue workq is reached",
        ),
        ("PBS Error: Execution server rejected request", "PBS could not start it and will try again (Execution ser"),
        ("the moon {is} in the wrong % place", "the moon {is} in the wrong % place"),
        ("", "waiting for its turn"),
    ],
)
def test_a_comment_is_put_in_plain_words(comment: str, explanation: str) -> None:
    status = status_of({"job_state": "Q", "comment": f"Not Running: {comment}"})
    assert status.explanation.startswith(explanation)
    assert not status.explanation.endswith(".")
    assert status.reason == f"Not Running: {comment}".strip()
    assert not status.hopeless


@pytest.mark.parametrize(
    ("comment", "explanation"),
    [
        (
            "Insufficient amount of resource: mem (R: 400gb A: 40gb T: 40gb)",
            "it can never run: it asks for 400 GiB of memory, more than the 40 GiB that the nodes have",
        ),
        (
            "Insufficient amount of resource: ngpus (R: 1 A: 0 T: 0)",
            "it can never run: it asks for 1 GPU, which no node has",
        ),
        (
            "Insufficient amount of queue resource: ncpus (R: 64 A: 8 T: 8)",
            "it can never run: it asks for 64 cores, more than the 8 cores that its queue has",
        ),
        (
            "Insufficient amount of resource: vntype (gpu != cpu)",
            "it can never run: there is no node whose vntype is gpu",
        ),
        ("Not enough total nodes available", "it can never run: there are not enough nodes"),
        (
            "can't fit in the largest placement set, and can't span psets",
            "it can never run: it asks for more than the largest group of nodes, or the largest node, has",
        ),
        ("Job has zero shares for fairshare", "it can never run: its owner has no share of the cluster"),
        ("something else", "it can never run: something else"),
    ],
)
def test_a_job_that_can_never_run_is_hopeless(comment: str, explanation: str) -> None:
    status = status_of({"job_state": "Q", "comment": f"Can Never Run: {comment}"})
    assert (status.explanation, status.hopeless) == (explanation, True)


def test_every_sentence_of_the_scheduler_is_explained(recording: Recording) -> None:
    """The sentences are those of the source, table ``fctt``, with their ``%s`` filled in."""
    sentences = recording("pbs/scheduler_comments").stdout.splitlines()
    assert len(sentences) > 70
    for sentence in sentences:
        explanation = status_of({"job_state": "Q", "comment": f"Not Running: {sentence}"}).explanation
        assert explanation != sentence.rstrip("."), sentence
        assert "{" not in explanation, sentence


@pytest.mark.parametrize(
    ("job", "explanation", "hopeless"),
    [
        ({"Hold_Types": "u"}, "held by its owner, until it is released", False),
        ({"Hold_Types": "os"}, "held by an operator of the cluster and by the scheduler or an administrator", False),
        ({"Hold_Types": "n"}, "held until it is released", False),
        ({}, "held until it is released", False),
        ({"Hold_Types": "s", "substate": 22}, "held until another job, which it depends on, is over", False),
        (
            {"Hold_Types": "s", "comment": "job held, too many failed attempts to run"},
            "held by PBS: it could not be started on any node",
            True,
        ),
    ],
)
def test_a_held_job_says_who_holds_it(job: dict[str, Any], explanation: str, hopeless: bool) -> None:
    status = status_of({"job_state": "H", **job})
    assert status.explanation.startswith(explanation)
    assert status.hopeless is hopeless


def test_a_job_that_waits_for_a_time_says_which() -> None:
    job = {"job_state": "W", "Execution_Time": "Sat Nov 21 00:11:00 2026"}
    assert status_of(job).explanation == "waiting until 2026-11-21 00:11 UTC, as was asked for"
    assert status_of({"job_state": "W"}).explanation == "waiting until the time that was asked for"


# -- finding and counting ---------------------------------------------------------------------------------------------


def test_live_jobs_are_found_by_name() -> None:
    assert ENGINE.find_command("vre-alice-x1") == ["/opt/pbs/bin/qselect", "-N", "vre-alice-x1"]
    assert ENGINE.parse_found(answer("6.pbsvm\n12.pbsvm\n")) == ["6.pbsvm", "12.pbsvm"]
    assert ENGINE.parse_found(answer("")) == []
    with pytest.raises(ValueError, match="expected letters"):
        ENGINE.find_command("-x")


def test_a_search_that_fails_does_not_say_that_nothing_was_found() -> None:
    with pytest.raises(SchedulerUnavailableError, match="Unauthorized"):
        ENGINE.parse_found(answer("", 159, "qselect: Unauthorized Request"))


def test_places_are_counted_among_all_that_wait() -> None:
    result = answer("3.head\n5.head\n8[].head\n9.head\n")
    places = ENGINE.parse_places(result, ["9.head.site.fr", "3.head", "4.head"])
    assert places == {"3.head": Place(1, 4), "9.head.site.fr": Place(4, 4)}
    assert ENGINE.parse_places(answer(""), ["3.head"]) == {}


def test_places_on_a_real_server_are_in_order_of_submission(recording: Recording) -> None:
    result = recording("pbs/lab_qselect_waiting")
    assert result.arguments == ["qselect", "-s", "Q"]
    assert ENGINE.parse_places(result, ["21.pbshead"]) == {"21.pbshead": Place(2, 2)}


def test_places_among_ten_thousand_jobs_take_no_time() -> None:
    result = answer("".join(f"{number}.head\n" for number in range(10_000)))
    began = time.perf_counter()
    assert ENGINE.parse_places(result, ["9999.head"]) == {"9999.head": Place(10_000, 10_000)}
    assert time.perf_counter() - began < 5


def test_there_is_no_further_history() -> None:
    assert ENGINE.history_command("1.head") is None
    assert ENGINE.parse_history(answer(""), "1.head") is None


# -- nodes and queues -------------------------------------------------------------------------------------------------


def test_nodes_are_read_with_what_is_free(recording: Recording) -> None:
    assert ENGINE.nodes_command() == ["/opt/pbs/bin/pbsnodes", "-a", "-F", "json"]
    assert ENGINE.parse_nodes(recording("pbs/pbsnodes_json")) == (
        Node(
            name="pbsvm",
            available=True,
            cores=8,
            free_cores=1,
            memory_bytes=40 * GIB,
            free_memory_bytes=40 * GIB - 2404352 * 1024,
            jobs=("20[1].pbsvm", "20[2].pbsvm", "20[3].pbsvm", "21.pbsvm"),
        ),
    )


def test_a_node_that_is_offline_has_nothing_free(recording: Recording) -> None:
    nodes = {node.name: node for node in ENGINE.parse_nodes(recording("pbs/pbsnodes_json_multinode"))}
    assert list(nodes) == ["pbsvm", "n1", "n2"]
    assert (nodes["pbsvm"].available, nodes["pbsvm"].cores, nodes["pbsvm"].free_cores) == (False, 2, 0)
    assert (nodes["n1"].available, nodes["n1"].free_cores) == (True, 8)


def test_nodes_of_a_real_cluster_are_read(recording: Recording) -> None:
    nodes = ENGINE.parse_nodes(recording("pbs/lab_pbsnodes"))
    assert [(node.name, node.cores, node.free_cores, node.jobs) for node in nodes] == [
        ("pbsn1", 16, 0, ("18.pbshead", "16.pbshead")),
        ("pbsn2.cluster.example", 16, 0, ("19.pbshead", "20.pbshead")),
    ]


def node_of(**fields: object) -> Node:
    (node,) = ENGINE.parse_nodes(answer(json.dumps({"nodes": {"n1": fields}})))
    return node


@pytest.mark.parametrize(
    ("state", "available", "free"),
    [
        ("free", True, 6),
        ("job-busy", True, 0),
        ("job-exclusive", True, 0),
        ("resv-exclusive", True, 0),
        ("busy", True, 0),
        ("job-exclusive,resv-exclusive", True, 0),
        ("offline", False, 0),
        ("offline,down", False, 0),
        ("offline,job-busy", False, 0),
        ("Stale", False, 0),
        ("state-unknown,down", False, 0),
        ("provisioning", False, 0),
        ("maintenance", False, 0),
        ("sleep", False, 0),
        ("a word of tomorrow", False, 0),
    ],
)
def test_the_state_of_a_node_decides_what_is_free(state: str, available: bool, free: int) -> None:
    node = node_of(state=state, resources_available={"ncpus": 8}, resources_assigned={"ncpus": 2})
    assert (node.available, node.free_cores) == (available, free)


def test_numbers_may_be_text_and_more_may_be_assigned_than_there_is() -> None:
    node = node_of(
        state="free",
        resources_available={"ncpus": "8", "mem": "1048576", "ngpus": "2", "Qlist": "gpu,debug"},
        resources_assigned={"ncpus": "9", "mem": "2mb", "ngpus": 1},
        queue="night",
    )
    assert (node.cores, node.free_cores, node.gpus, node.free_gpus) == (8, 0, 2, 1)
    assert (node.memory_bytes, node.free_memory_bytes) == (2**20, 0)
    assert node.queues == {"gpu", "debug", "night"}


@pytest.mark.parametrize(
    ("jobs", "ids"),
    [
        (["18.head", "16.head", "18.head"], ("18.head", "16.head")),
        ("16.head/0, 16.head/1, 18.head/2", ("16.head", "18.head")),
        (None, ()),
    ],
)
def test_a_node_names_each_of_its_jobs_once(jobs: object, ids: tuple[str, ...]) -> None:
    assert node_of(state="job-busy", jobs=jobs).jobs == ids


def test_jobs_of_usable_nodes_are_asked_when_they_end_each_node_in_turn() -> None:
    node = Node("n1", available=True, cores=8, free_cores=0, memory_bytes=GIB, free_memory_bytes=0)
    nodes = [
        replace(node, jobs=("1.head", "2.head", "3.head")),
        replace(node, name="n2", jobs=("4[7].head", "1.head", "resv R7.head")),
        replace(node, name="n3", jobs=("5.head",), available=False),
    ]
    command = ENGINE.releases_command(nodes)
    assert command == ["/opt/pbs/bin/qstat", "-E", "-f", "-F", "json", "1.head", "4[7].head", "2.head", "3.head"]
    assert ENGINE.releases_command([node]) is None


def test_when_many_jobs_run_a_part_of_them_is_asked() -> None:
    jobs = tuple(f"{number}.head" for number in range(10_000))
    node = Node("n1", available=True, cores=8, free_cores=0, memory_bytes=GIB, free_memory_bytes=0, jobs=jobs)
    command = ENGINE.releases_command([node])
    assert command is not None
    assert 100 <= len(command) <= 300


def test_what_a_running_job_gives_back_is_read(recording: Recording) -> None:
    ends = datetime(2026, 11, 20, 23, 20, 3, tzinfo=UTC)
    assert ENGINE.parse_releases(recording("pbs/qstat_f_json_running")) == (Release("pbsvm", ends, 1, GIB),)


def test_a_job_on_several_nodes_gives_back_to_each(recording: Recording) -> None:
    result = recording("pbs/qstat_xf_json_multinode_F")
    assert ENGINE.parse_releases(result) == ()
    ends = datetime(2026, 11, 21, 0, 39, 25, tzinfo=UTC)
    running = replace(result, stdout=result.stdout.replace('"F"', '"R"').replace(":mem", ":ngpus=1:mem"))
    assert ENGINE.parse_releases(running) == (Release("n1", ends, 2, GIB, 1), Release("n2", ends, 2, GIB, 1))


@pytest.mark.parametrize("name", ["qstat_unknown", "qstat_f_finished_without_x"])
def test_jobs_that_ended_meanwhile_give_nothing_back(recording: Recording, name: str) -> None:
    assert ENGINE.parse_releases(recording(f"pbs/{name}")) == ()


def test_a_cluster_without_nodes_has_none() -> None:
    assert ENGINE.parse_nodes(answer("", 1, "pbsnodes: Server has no node list")) == ()


def test_queues_are_read_with_their_limits(recording: Recording) -> None:
    assert ENGINE.queues_command() == ["/opt/pbs/bin/qstat", "-Q", "-f", "-F", "json"]
    queues = ENGINE.parse_queues(recording("pbs/qstat_Qf"))
    assert list(queues) == ["workq", "small", "stopped"]
    assert queues["workq"].max_walltime == timedelta(days=1)
    assert queues["small"].max_cores == 2
    assert (queues["stopped"].enabled, queues["stopped"].started) == (True, False)
    assert not any(queue.is_default for queue in queues.values())
    assert queues["workq"].accepts("anybody", [])


def queues_of(**queues: dict[str, object]) -> dict[str, Any]:
    return dict(ENGINE.parse_queues(answer(json.dumps({"Queue": queues}))))


def test_a_queue_that_only_routes_fill_takes_no_jobs_of_users() -> None:
    queues = queues_of(
        entry={"queue_type": "Route", "enabled": "True", "started": "True"},
        inner={"queue_type": "Execution", "enabled": "True", "started": "True", "from_route_only": "True"},
    )
    assert (queues["entry"].enabled, queues["inner"].enabled) == (True, False)
    assert not queues["entry"].is_default


def test_the_only_queue_is_the_default() -> None:
    queues = queues_of(
        workq={"queue_type": "Execution", "enabled": "True", "started": "True"},
        closed={"queue_type": "Execution", "enabled": "False", "started": "True"},
    )
    assert {name: queue.is_default for name, queue in queues.items()} == {"workq": True, "closed": False}


@pytest.mark.parametrize(
    ("access", "accepted", "refused"),
    [
        ({"acl_user_enable": "True", "acl_users": "alice@*,+bob@head,-carol"}, {"alice", "bob"}, {"carol", "dave"}),
        ({"acl_user_enable": "True", "acl_users": ["alice", "bob@*"]}, {"alice", "bob"}, {"carol"}),
        ({"acl_user_enable": "True", "acl_users": "-alice@badhost,alice@*"}, {"alice"}, {"bob"}),
        ({"acl_user_enable": "True", "acl_users": "-alice,alice@*"}, set(), {"alice"}),
        ({"acl_user_enable": "True", "acl_users": "-carol,+"}, {"alice"}, set()),
        ({"acl_user_enable": "True"}, set(), {"alice"}),
        ({"acl_user_enable": "False", "acl_users": "alice"}, {"alice", "bob"}, set()),
        ({"acl_users": "alice"}, {"alice", "bob"}, set()),
    ],
)
def test_the_access_list_of_users_decides(access: dict[str, object], accepted: set[str], refused: set[str]) -> None:
    queue = queues_of(workq={"enabled": "True", "started": "True", **access})["workq"]
    assert {name for name in accepted | refused if queue.accepts(name, [])} == accepted


def test_the_access_list_of_groups_decides() -> None:
    queue = queues_of(workq={"enabled": "True", "acl_group_enable": "True", "acl_groups": "swot,ocean"})["workq"]
    assert queue.accepts("alice", ["users", "ocean"])
    assert not queue.accepts("alice", ["users"])


@pytest.mark.parametrize("parse", [ENGINE.parse_nodes, ENGINE.parse_queues])
def test_a_cluster_that_cannot_be_read_is_unknown(parse: Callable[[CommandResult], object]) -> None:
    with pytest.raises(SchedulerUnavailableError, match="cannot be read"):
        parse(answer('{"nodes": {"n1":'))


@pytest.mark.parametrize(
    ("substate", "state"), [(41, JobState.STARTING), (71, JobState.STARTING), (42, JobState.RUNNING)]
)
def test_a_job_runs_once_its_node_has_taken_it(substate: int, state: JobState) -> None:
    """OpenPBS shows R already when it has sent a job to its node, which may give it back to wait again."""
    job = {"job_state": "R", "substate": substate, "exec_host": "n2/0", "queue": "workq", "run_count": 7}
    result = answer(json.dumps({"Jobs": {"114.head": job}}))
    status = ENGINE.parse_status(result, ["114.head"])["114.head"]
    assert (status.state, status.host, status.started) == (state, "n2", None)
