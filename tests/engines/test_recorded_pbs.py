"""The stand-in for OpenPBS answers as OpenPBS 23.06.06 did, and its jobs are real processes."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import PATIENCE, USERS, BatchCluster
from recorded_pbs.printing import full_text, json_text
from recorded_pbs.site import Queue
from recorded_pbs.variables import variable_list
from recorded_pbs_cluster import RecordedPbsCluster

RECORDINGS = Path(__file__).parent / "recorded_pbs" / "recordings"
NEEDS_ACCOUNTS = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for two accounts")


@dataclass(frozen=True)
class Said:
    """What a command printed, here or where it was recorded."""

    code: int
    stdout: str
    stderr: str

    @property
    def job(self) -> dict[str, Any]:
        """The only job of an answer in JSON."""
        (job,) = json.loads(self.stdout)["Jobs"].values()
        return job


def recorded(name: str) -> Said:
    text = (RECORDINGS / f"{name}.txt").read_text()
    head, _, rest = text.partition("# --- stdout ---\n")
    stdout, _, stderr = rest.partition("# --- stderr ---\n")
    return Said(int(re.search(r"exit code: (\d+)", head)[1]), stdout, stderr)


@dataclass(frozen=True)
class Account:
    """Somebody at a terminal of the cluster."""

    cluster: RecordedPbsCluster
    name: str

    @property
    def home(self) -> Path:
        return Path(pwd.getpwnam(self.name).pw_dir)

    def types(self, command: str, *arguments: str, script: str = "", **environment: str) -> Said:
        identity = {"user": self.name, "group": pwd.getpwnam(self.name).pw_gid, "extra_groups": []}
        done = subprocess.run(
            [self.cluster.commands / command, *arguments],
            input=script,
            text=True,
            capture_output=True,
            check=False,
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LOGNAME": self.name, **environment},
            **(identity if os.geteuid() == 0 else {}),
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def submits(self, script: str, *arguments: str, **environment: str) -> str:
        said = self.types("qsub", *arguments, script=script, **environment)
        assert (said.code, said.stderr) == (0, "")
        return said.stdout.strip()

    def sees(self, job_id: str) -> dict[str, Any]:
        said = self.types("qstat", "-x", "-f", "-F", "json", job_id)
        assert said.code == 0
        return said.job

    def waits_for(self, job_id: str, state: str) -> dict[str, Any]:
        until(lambda: self.cluster.job_states()[job_id] == state)
        return self.sees(job_id)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + PATIENCE * seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def alice(recorded_pbs: RecordedPbsCluster) -> Account:
    return Account(recorded_pbs, USERS[0] if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)


@pytest.fixture
def bob(recorded_pbs: RecordedPbsCluster) -> Account:
    return Account(recorded_pbs, USERS[1])


@pytest.fixture
def log(alice: Account) -> Iterator[Path]:
    """Return where a job of alice's may write."""
    path = alice.home / "recorded_pbs.log"
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _empty_cluster(recorded_pbs: RecordedPbsCluster) -> Iterator[None]:
    yield
    for job_id in recorded_pbs.live_jobs():
        subprocess.run([recorded_pbs.commands / "qdel", job_id], capture_output=True, check=False)
    until(lambda: not recorded_pbs.live_jobs())


@contextmanager
def another_cluster(**behaviour: Any) -> Iterator[RecordedPbsCluster]:
    folder = Path(tempfile.mkdtemp(prefix="vre-pbs-", dir="/tmp"))
    try:
        cluster = RecordedPbsCluster.start(folder, **behaviour)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


def researcher(cluster: RecordedPbsCluster) -> Account:
    return Account(cluster, USERS[0] if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)


def keys(job: dict[str, Any], *without: str) -> list[str | tuple[str, list[str]]]:
    """Return the keys of a job in their order, those of its resources included; variables are the submitter's."""
    return [
        (name, list(value)) if isinstance(value, dict) and name != "Variable_List" else name
        for name, value in job.items()
        if name not in without
    ]


def unwrapped(text: str) -> dict[str, str]:
    """Return the attributes of a ``qstat -f``, whose lines are put together again."""
    lines = text.replace("\n\t", "").splitlines()
    return dict(line.strip().split(" = ", 1) for line in lines if " = " in line)


# --- the recordings themselves ---


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in RECORDINGS.glob("*.txt") if recorded(path.stem).stdout.startswith("{"))
)
def test_recorded_json_is_printed_to_the_letter(name: str) -> None:
    text = recorded(name).stdout
    assert json_text(json.loads(text)) + "\n" == text


def test_recorded_text_is_wrapped_to_the_letter() -> None:
    text = recorded("qstat_f_E").stdout
    attributes = unwrapped(text)
    assert full_text("52.pbsvm", attributes, kind="Job Id", wide=False) == text


def test_quotes_of_a_passed_variable_are_spoiled_as_recorded() -> None:
    scopes = '["access:servers!server=alice/", "access:servers!user=alice"]'
    option = "JUPYTERHUB_OAUTH_SCOPES,JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES"
    environment = {"JUPYTERHUB_OAUTH_SCOPES": scopes, "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": "[]"}
    variables = variable_list(option, environment, "/", "workq", "pbsvm", whole=False)
    arrived = dict(variable.split("=", 1) for variable in variables)
    assert arrived["JUPYTERHUB_OAUTH_SCOPES"] == r"[\access:servers!server=alice/\, \access:servers!user=alice\]"
    shown = recorded("qstat_xf_json_jupyter_qdel").job["Variable_List"]
    assert shown["JUPYTERHUB_OAUTH_SCOPES"].replace("\\\\", "\\") == arrived["JUPYTERHUB_OAUTH_SCOPES"]


# --- a job's life ---


def test_cluster_is_a_batch_cluster(recorded_pbs: RecordedPbsCluster) -> None:
    cluster: BatchCluster = recorded_pbs
    assert (cluster.title, cluster.is_real, cluster.engine) == ("recorded PBS", False, "pbs")
    assert len(cluster.node_names) == 2


def test_version_is_not_taken_for_a_real_one(alice: Account) -> None:
    assert alice.types("qstat", "--version") == Said(0, "pbs_version = recorded\n", "")


def test_running_job_looks_as_recorded(alice: Account) -> None:
    job_id = alice.submits("sleep 60\n", "-N", "hello", "-j", "oe", "-l", "select=1:ncpus=1:mem=1gb")
    job = alice.waits_for(job_id, "R")
    assert keys(job) == keys(recorded("qstat_f_json_running").job)
    node = alice.cluster.node_names[0]
    assert re.fullmatch(r"\d+\.vre-head-node-name\.example", job_id)
    assert (job["exec_host"], job["exec_vnode"]) == (f"{node}/0", f"({node}:ncpus=1:mem=1048576kb)")
    assert re.fullmatch(r"Job run at \w{3} \w{3} \d\d at \d\d:\d\d on \(\S+\)", job["comment"])


def test_finished_job_looks_as_recorded(alice: Account) -> None:
    job = alice.waits_for(alice.submits("true\n", "-l", "select=1:ncpus=1:mem=1gb"), "F")
    assert keys(job) == keys(recorded("qstat_xf_json_finished").job)
    assert (job["Exit_status"], job["substate"]) == (0, 92)
    assert job["comment"].endswith(") and finished")


def test_failed_script_is_told_by_its_status(alice: Account) -> None:
    job = alice.waits_for(alice.submits("exit 7\n"), "F")
    assert (job["Exit_status"], job["substate"]) == (7, 93)
    assert job["comment"].endswith(") and failed")


def test_job_is_killed_at_its_walltime(alice: Account, log: Path) -> None:
    options = ("-j", "oe", "-k", "doe", "-o", str(log), "-l", "select=1:ncpus=1:mem=100mb", "-l", "walltime=00:00:01")
    job = alice.waits_for(alice.submits("sleep 60\n", *options), "F")
    assert keys(job) == keys(recorded("qstat_xf_json_walltime_killed").job)
    assert (job["Exit_status"], job["substate"]) == (-29, 93)
    assert job["comment"].endswith(") and exceeded resource walltime")
    assert log.read_text() == "=>> PBS: job killed: walltime 2 exceeded limit 1\n"


def test_walltime_kills_a_job_that_ignores_sigterm() -> None:
    with another_cluster(kill_delay=0.2) as cluster:
        account = researcher(cluster)
        job = account.waits_for(account.submits("trap '' TERM; sleep 60\n", "-l", "walltime=00:00:00"), "F")
        assert job["Exit_status"] == -29


def test_deleted_job_looks_as_recorded(alice: Account) -> None:
    job_id = alice.submits("sleep 60\n", "-l", "select=1:ncpus=1:mem=1gb")
    alice.waits_for(job_id, "R")
    assert alice.types("qdel", job_id) == recorded("qdel_running")
    job = alice.waits_for(job_id, "F")
    assert keys(job, "Submit_arguments") == keys(recorded("qstat_xf_json_jupyter_qdel").job)
    assert (job["Exit_status"], job["substate"]) == (271, 91)
    assert job["comment"].endswith(f") and terminated by {alice.name}@vre-head-node-name.example")


def test_own_status_of_a_deleted_job_is_kept(alice: Account) -> None:
    job_id = alice.submits("trap 'exit 143' TERM; echo > started; while :; do sleep 0.05; done\n")
    until((alice.home / "started").exists)
    (alice.home / "started").unlink()
    alice.types("qdel", job_id)
    assert alice.waits_for(job_id, "F")["Exit_status"] == 143


def test_exiting_job_is_still_shown(alice: Account) -> None:
    job_id = alice.submits("true\n", "-j", "oe", "-l", "select=1:ncpus=1:mem=100mb")
    until(lambda: alice.cluster.job_states()[job_id] in {"E", "F"})
    said = alice.types("qstat", "-f", "-F", "json", job_id)
    if said.code == 0:  # it takes 0.2 s
        assert said.job["job_state"] == "E"
        assert said.job["substate"] == 51
        without = ("session_id", "resources_used")
        assert keys(said.job, *without, "obittime") == keys(recorded("qstat_f_json_E").job, *without)
    assert alice.types("qstat", "-x", job_id).code == 0


def test_held_job_looks_as_recorded(alice: Account) -> None:
    job_id = alice.submits("true\n", "-h", "-N", "held", "-l", "select=1:ncpus=1:mem=1gb")
    job = alice.sees(job_id)
    assert keys(job) == keys(recorded("qstat_f_json_H").job)
    assert (job["job_state"], job["substate"], job["Hold_Types"]) == ("H", 20, "u")


def test_job_deleted_while_it_waits_looks_as_recorded(alice: Account) -> None:
    job_id = alice.submits("true\n", "-q", "stopped", "-l", "select=1:ncpus=1:mem=1gb", "-l", "walltime=00:30:00")
    until(lambda: alice.sees(job_id).get("comment") == "Not Running: Queue not started.")
    alice.types("qdel", job_id)
    job = alice.sees(job_id)
    wanted = recorded("qstat_xf_json_jupyter_timeout_deleted_while_Q").job
    assert keys(job, "Submit_arguments") == keys(wanted)
    assert (job["comment"], job["substate"]) == (wanted["comment"], wanted["substate"])


# --- what a job gets ---


def test_job_runs_as_its_owner_in_its_home_with_a_small_environment(alice: Account, log: Path) -> None:
    script = 'id -un; pwd; umask; echo "$SECRET|$PBS_JOBID|$PBS_JOBNAME|$PBS_QUEUE|$NCPUS|$PBS_O_WORKDIR"\n'
    script += 'stat -c %a "$TMPDIR"\n'
    job_id = alice.submits(
        script, "-N", "env", "-k", "doe", "-j", "oe", "-o", str(log), "-l", "select=1:ncpus=2", SECRET="no"
    )
    alice.waits_for(job_id, "F")
    lines = log.read_text().splitlines()
    assert lines == [alice.name, str(alice.home), "0077", f"|{job_id}|env|workq|2|{alice.home}", "700"]


def test_script_is_readable_by_its_owner_alone(alice: Account, log: Path) -> None:
    job_id = alice.submits('stat -c "%a %U" "$0"\n', "-k", "doe", "-j", "oe", "-o", str(log))
    alice.waits_for(job_id, "F")
    assert log.read_text() == f"700 {alice.name}\n"


def test_output_without_keep_appears_at_the_end(alice: Account, log: Path) -> None:
    job_id = alice.submits("echo written; sleep 1; echo done >&2\n", "-j", "oe", "-o", str(log))
    alice.waits_for(job_id, "R")
    assert not log.exists()
    job = alice.waits_for(job_id, "F")
    assert (log.read_text(), job["Stageout_status"]) == ("written\ndone\n", 1)


def test_directives_of_the_script_count_after_the_command_line(alice: Account) -> None:
    script = "#!/bin/bash\n#PBS -N script\n#PBS -l select=1:ncpus=2\n#PBS -l walltime=00:20:00\ntrue\n#PBS -q closed\n"
    job = alice.sees(alice.submits(script, "-h", "-N", "line", "-l", "walltime=00:10:00"))
    assert job["Job_Name"] == "line"
    assert job["Resource_List"] == {
        "ncpus": 2, "nodect": 1, "place": "free", "select": "1:ncpus=2", "walltime": "00:10:00",
    }  # fmt: skip


@NEEDS_ACCOUNTS
def test_passed_variables_are_seen_by_everybody(alice: Account, bob: Account) -> None:
    job_id = alice.submits("true\n", "-h", "-v", "TOKEN,FOO=005,BAR=1e5,BAZ=0x10", TOKEN="secret")
    shown = bob.sees(job_id)["Variable_List"]
    wanted = recorded("qstat_json_numeric_env").job["Variable_List"]
    assert shown["TOKEN"] == "secret"
    assert [shown[name] for name in ("FOO", "BAR", "BAZ")] == [wanted[name] for name in ("FOO", "BAR", "BAZ")]


def test_setsid_descendants_end_with_the_job(alice: Account, log: Path) -> None:
    job_id = alice.submits("setsid sleep 60 & echo $!; sleep 60\n", "-k", "doe", "-j", "oe", "-o", str(log))
    until(lambda: log.exists() and log.read_text().strip() != "")
    process = Path("/proc", log.read_text().strip())
    assert process.exists()
    alice.types("qdel", job_id)
    alice.waits_for(job_id, "F")
    assert not process.exists()


# --- waiting ---


def test_job_that_can_never_run_waits_and_says_so(alice: Account) -> None:
    job_id = alice.submits("true\n", "-N", "never", "-l", "select=1:ncpus=4:mem=400gb")
    until(lambda: "comment" in alice.sees(job_id))
    job = alice.sees(job_id)
    wanted = unwrapped(recorded("qstat_f_Q_never").stdout)["comment"]
    assert job["comment"] == wanted.replace("40gb T: 40gb", "80gb T: 80gb")
    assert (job["job_state"], job["substate"]) == ("Q", 10)


def test_waiting_job_looks_as_recorded_and_has_an_estimate(alice: Account) -> None:
    running = [alice.submits("sleep 60\n", "-l", "select=1:ncpus=6", "-l", "walltime=00:10:00") for _ in "ab"]
    for job_id in running:
        alice.waits_for(job_id, "R")
    job_id = alice.submits("true\n", "-l", "select=1:ncpus=8:mem=1gb", "-l", "walltime=00:10:00")
    until(lambda: "estimated" in alice.sees(job_id))
    job = alice.sees(job_id)
    assert job["comment"] == "Not Running: Insufficient amount of resource: ncpus (R: 8 A: 4 T: 16)"
    assert keys(job, "estimated") == keys(recorded("qstat_f_json_Q").job)
    expected = time.strptime(alice.sees(running[0])["stime"])
    assert time.mktime(time.strptime(job["estimated"]["start_time"])) == time.mktime(expected) + 600
    assert job["estimated"]["exec_vnode"] == f"({alice.cluster.node_names[0]}:ncpus=8:mem=1048576kb)"


def test_full_cluster_lets_jobs_wait_until_it_is_free(alice: Account) -> None:
    with alice.cluster.filled() as filling:
        job_id = alice.submits("true\n")
        until(lambda: "comment" in alice.sees(job_id))
        assert alice.sees(job_id)["comment"] == "Not Running: Not enough free nodes available"
        assert alice.sees(filling)["job_state"] == "R"
    alice.waits_for(job_id, "F")


# --- refusals ---


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("qsub_reject_illegal_mem", ["-l", "select=1:ncpus=1:mem=4x"]),
        ("qsub_reject_mem_with_select", ["-l", "select=1:ncpus=1", "-l", "mem=2gb"]),
        ("qsub_reject_select_and_nodes", ["-l", "select=1:ncpus=1", "-l", "nodes=1:ppn=2"]),
        ("qsub_reject_unknown_queue", ["-q", "nosuch"]),
        ("qsub_reject_unknown_resource", ["-l", "select=1:ncpus=1:nosuch=1"]),
        ("qsub_reject_walltime", ["-l", "select=1:ncpus=1:mem=1gb", "-l", "walltime=240:00:00"]),
    ],
)
def test_qsub_refuses_as_recorded(alice: Account, name: str, arguments: list[str]) -> None:
    assert alice.types("qsub", *arguments, script="true\n") == recorded(name)


@NEEDS_ACCOUNTS
def test_root_has_no_jobs(recorded_pbs: RecordedPbsCluster) -> None:
    assert Account(recorded_pbs, "root").types("qsub", script="hostname\n") == recorded("qsub_root")


def test_closed_and_restricted_queues_take_no_jobs(alice: Account) -> None:
    closed = alice.types("qsub", "-q", alice.cluster.closed_queue, script="true\n")
    assert closed == Said(173, "", "qsub: Queue is not enabled\n")
    restricted = alice.types("qsub", "-q", alice.cluster.restricted_queue, script="true\n")
    assert restricted == Said(159, "", "qsub: Unauthorized Request \n")
    short = alice.types("qsub", "-q", alice.cluster.short_queue, "-l", "walltime=00:31:00", script="true\n")
    assert short == recorded("qsub_reject_walltime")


def test_limit_of_queued_jobs_is_refused_as_recorded() -> None:
    with another_cluster(queues=(Queue("workq", max_queued=2),)) as cluster:
        account = researcher(cluster)
        said = [account.types("qsub", "-h", script="true\n") for _ in range(3)]
    assert [each.code for each in said] == [0, 0, 38]
    assert said[-1] == recorded("qsub_over_quota_max_queued")


def test_finished_and_unknown_jobs_are_refused_as_recorded(alice: Account) -> None:
    job_id = alice.submits("true\n")
    alice.waits_for(job_id, "F")
    number = job_id.partition(".")[0]

    def like(said: Said, old: str, new: str) -> Said:
        return Said(said.code, said.stdout, said.stderr.replace(old, new))

    finished, unknown = "4.pbsvm", "99999.pbsvm"
    assert alice.types("qstat", "-f", number) == like(recorded("qstat_f_finished_without_x"), finished, job_id)
    assert alice.types("qdel", number) == like(recorded("qdel_finished"), finished, job_id)
    nobody = f"99999.{alice.cluster.server_name}"
    assert alice.types("qstat", "-f", "99999") == like(recorded("qstat_unknown"), unknown, nobody)
    assert alice.types("qdel", "99999") == like(recorded("qdel_unknown"), unknown, nobody)


def test_known_jobs_are_shown_beside_an_unknown_one(alice: Account) -> None:
    job_id = alice.submits("true\n", "-h")
    said = alice.types("qstat", "-f", "-F", "json", job_id, "99999")
    assert list(json.loads(said.stdout)["Jobs"]) == [job_id]
    assert (said.code, said.stderr) == (153, f"qstat: Unknown Job Id 99999.{alice.cluster.server_name}\n")
    other = alice.submits("true\n", "-h")
    assert alice.types("qstat", "-f", "99999", job_id, other).stdout.count("Job Id: ") == 2
    alone = alice.types("qstat", "-f", "-F", "json", "99999")
    assert alone.code == recorded("qstat_json_unknown").code
    assert list(json.loads(alone.stdout)) == list(json.loads(recorded("qstat_json_unknown").stdout))


def test_several_jobs_are_printed_as_json_when_they_are_asked_for_at_once(alice: Account) -> None:
    job_ids = [alice.submits("true\n", "-h") for _ in range(2)]
    first_alone = alice.types("qstat", "-f", "-F", "json", *job_ids)
    assert list(json.loads(first_alone.stdout)["Jobs"]) == job_ids[:1]
    both = alice.types("qstat", "-E", "-f", "-F", "json", *reversed(job_ids), "99999")
    assert (both.code, both.stderr, list(json.loads(both.stdout)["Jobs"])) == (0, "", job_ids)
    neither = alice.types("qstat", "-E", "-f", "-F", "json", "99999", "88888")
    assert (neither.code, neither.stderr) == (153, f"qstat: Unknown Job Id 99999.{alice.cluster.server_name}\n")


def test_number_as_a_name_stays_text(alice: Account) -> None:
    assert alice.sees(alice.submits("true\n", "-h", "-N", "007"))["Job_Name"] == "007"


@NEEDS_ACCOUNTS
def test_job_of_another_account_is_not_deleted(alice: Account, bob: Account) -> None:
    job_id = alice.submits("true\n", "-h")
    wanted = recorded("qdel_other_user")
    assert bob.types("qdel", job_id) == Said(wanted.code, "", wanted.stderr.replace("6.pbsvm", job_id))
    assert alice.sees(job_id)["job_state"] == "H"


def test_json_needs_the_full_display(alice: Account) -> None:
    said = alice.types("qstat", "-x", "-F", "json")
    assert (said.code, said.stderr) == (2, recorded("qstat_x_json_all").stderr)


# --- other pages ---


def test_plain_columns_cut_the_id(alice: Account) -> None:
    alice.submits("true\n", "-h", "-N", "a-name-that-is-long")
    *header, line = alice.types("qstat").stdout.splitlines()
    assert header == recorded("qstat").stdout.splitlines()[:2]
    assert line[17:] == f" a-name-that-is-* {alice.name:<16}  {'0':>8} H workq           "
    assert re.fullmatch(r"\d+\.vre-head-nod\S*\*", line[:17])


def test_text_is_wrapped_and_wide_text_is_not(alice: Account) -> None:
    job_id = alice.submits("true\n", "-h", "-N", "n" * 100)
    wrapped, wide = alice.types("qstat", "-f", job_id).stdout, alice.types("qstat", "-f", "-w", job_id).stdout
    assert "\n\t" in wrapped
    assert max(map(len, wrapped.expandtabs().splitlines())) <= 80
    assert unwrapped(wrapped) == unwrapped(wide)
    assert wide.replace("\n\t", "") == wide


def test_nodes_look_as_recorded(alice: Account) -> None:
    job_id = alice.submits("sleep 60\n", "-l", "select=1:ncpus=3:mem=1gb")
    alice.waits_for(job_id, "R")
    nodes = json.loads(alice.types("pbsnodes", "-a", "-F", "json").stdout)["nodes"]
    busy, idle = (nodes[name] for name in alice.cluster.node_names)
    assert keys(busy) == keys(json.loads(recorded("pbsnodes_json").stdout)["nodes"]["pbsvm"])
    assert (busy["jobs"], busy["resources_assigned"]) == ([job_id], {"mem": "1048576kb", "ncpus": 3})
    assert (idle["state"], idle["resources_assigned"], idle["resources_available"]["mem"]) == ("free", {}, "40gb")


def test_queues_and_server_look_as_recorded(alice: Account) -> None:
    alice.waits_for(alice.submits("sleep 60\n", "-l", "select=1:ncpus=1:mem=1gb"), "R")
    queues = json.loads(alice.types("qstat", "-Q", "-f", "-F", "json").stdout)["Queue"]
    wanted = json.loads(recorded("qstat_Qf").stdout)["Queue"]["workq"]
    assert keys(queues["workq"]) == keys(wanted, "max_queued")
    assert (queues["closed"]["enabled"], queues["stopped"]["started"]) == ("False", "False")
    assert queues["restricted"]["acl_user_enable"] == "True"
    (server,) = json.loads(alice.types("qstat", "-B", "-f", "-F", "json").stdout)["Server"].values()
    assert keys(server) == keys(json.loads(recorded("qstat_Bf").stdout)["Server"]["pbsvm"])


def test_jobs_are_selected_by_state_and_name(alice: Account) -> None:
    held = alice.submits("true\n", "-h", "-N", "held")
    running = alice.submits("sleep 60\n", "-N", "goes")
    alice.waits_for(running, "R")
    assert alice.types("qselect", "-s", "R").stdout == f"{running}\n"
    assert alice.types("qselect", "-s", "Q").stdout == ""
    assert alice.types("qselect", "-N", "held").stdout == f"{held}\n"


# --- what goes wrong ---


def test_commands_fail_as_recorded_while_the_server_is_down(alice: Account) -> None:
    job_id = alice.submits("sleep 60\n")
    alice.waits_for(job_id, "R")
    with alice.cluster.scheduler_down():
        said = {
            "qstat_server_down": alice.types("qstat", "-fx", job_id),
            "qdel_server_down": alice.types("qdel", job_id),
            "qsub_server_down": alice.types("qsub", script="true\n"),
        }
        as_json = alice.types("qstat", "-f", "-F", "json")
    for name, each in said.items():
        wanted = recorded(name)
        assert each == Said(wanted.code, "", wanted.stderr.replace("pbsvm", alice.cluster.server_name))
    assert as_json.code == 255
    assert "Jobs" not in json.loads(as_json.stdout)
    assert alice.sees(job_id)["job_state"] == "R"


def test_restarted_server_knows_what_happened_meanwhile(alice: Account) -> None:
    ends = alice.submits("sleep 0.5; exit 3\n")
    stays = alice.submits("sleep 60\n")
    waits = alice.submits("true\n", "-h")
    for job_id in (ends, stays):
        alice.waits_for(job_id, "R")
    with alice.cluster.scheduler_down():
        time.sleep(1.2)
    assert alice.waits_for(ends, "F")["Exit_status"] == 3
    assert (alice.sees(stays)["job_state"], alice.sees(waits)["job_state"]) == ("R", "H")
    alice.types("qdel", stays)
    assert alice.waits_for(stays, "F")["Exit_status"] == 271


def test_crashed_job_has_the_signal_in_its_status(alice: Account) -> None:
    job_id = alice.submits("sleep 60\n")
    alice.waits_for(job_id, "R")
    until(lambda: (alice.cluster.commands.parent / "private" / "mom" / f"{job_id.partition('.')[0]}.report").exists())
    alice.cluster.kill_session_on_node(job_id)
    job = alice.waits_for(job_id, "F")
    assert job["Exit_status"] == 256 + signal.SIGKILL
    assert job["comment"].endswith(") and failed")


def test_jobs_of_a_lost_node_are_given_up_after_a_while(alice: Account) -> None:
    once = alice.submits("sleep 60\n", "-r", "n")
    again = alice.submits("sleep 60\n")
    for job_id in (once, again):
        alice.waits_for(job_id, "R")
    with alice.cluster.node_lost(alice.cluster.node_names[0]):
        nodes = json.loads(alice.types("pbsnodes", "-a", "-F", "json").stdout)["nodes"]
        assert nodes[alice.cluster.node_names[0]]["state"] == "down"
        assert alice.sees(once)["job_state"] == "R"
        job = alice.waits_for(once, "F")
        assert (job["Exit_status"], job["substate"]) == (-20, 93)
        assert job["comment"].endswith(")")
        until(lambda: alice.sees(again)["run_count"] == 2)
        assert alice.sees(again)["exec_host"] == f"{alice.cluster.node_names[1]}/0"


@pytest.mark.parametrize("enforced_by", ["cgroup", "mom"])
def test_memory_is_enforced_as_recorded(enforced_by: str) -> None:
    script = "python3 -c 'x = b\"x\" * (200 << 20); import time; time.sleep(20)'\necho survived\n"
    if enforced_by == "cgroup":
        script = f"setsid -w {script}"
    with another_cluster(memory_enforced_by=enforced_by) as cluster:
        account = researcher(cluster)
        log = account.home / f"memory-{enforced_by}.log"
        options = (
            "-j",
            "oe",
            "-k",
            "doe",
            "-o",
            str(log),
            "-l",
            "select=1:ncpus=1:mem=100mb",
            "-l",
            "walltime=00:05:00",
        )
        job = account.waits_for(account.submits(script, *options), "F")
    text = log.read_text()
    log.unlink()
    if enforced_by == "mom":
        assert keys(job) == keys(recorded("qstat_xf_json_mem_killed").job)
        assert (job["Exit_status"], job["substate"]) == (-27, 93)
        assert re.search(r"=>> PBS: job killed: mem \d+kb exceeded limit 102400kb\n", text)
        assert job["comment"].endswith(") and exceeded resource mem")
    else:
        wanted = recorded("qstat_xf_json_cgroup_oom").job
        assert keys(job) == keys(wanted)
        assert job["Exit_status"] == 0
        node = cluster.node_names[0]
        assert job["resources_used"]["diag_messages"] == wanted["resources_used"]["diag_messages"].replace(
            "pbsvm", node
        )
        assert "survived\nCgroup mem limit exceeded: oom-kill:" in text


# --- faults ---


def test_faults_spoil_answers_for_as_long_as_they_last(alice: Account) -> None:
    job_id = alice.submits("true\n", "-h")
    ask = ("qstat", "-f", "-F", "json", job_id)
    with alice.cluster.fault_truncated("qstat"), pytest.raises(json.JSONDecodeError):
        json.loads(alice.types(*ask).stdout)
    with alice.cluster.fault_changed_types():
        assert alice.types(*ask).job["Job_Name"] == 5
    with alice.cluster.fault_hang(0.3, "qstat"):
        began = time.monotonic()
        alice.types(*ask)
        assert time.monotonic() - began >= 0.3
    with alice.cluster.fault_clock_jump(86400):
        assert json.loads(alice.types(*ask).stdout)["timestamp"] > time.time() + 80000
    assert alice.types(*ask).job["Job_Name"] == "STDIN"


def test_garbage_is_not_text(alice: Account) -> None:
    with alice.cluster.fault_garbage("qstat"):
        printed = subprocess.run([alice.cluster.commands / "qstat"], capture_output=True, check=True).stdout
    with pytest.raises(UnicodeDecodeError):
        printed.decode()


def test_jobs_are_forgotten_and_lost(alice: Account) -> None:
    over, running = alice.submits("true\n"), alice.submits("sleep 60\n")
    alice.waits_for(over, "F")
    alice.cluster.fault_forget_job(over)
    alice.waits_for(running, "R")
    alice.cluster.fault_lose_job(running)
    for job_id in (over, running):
        assert alice.types("qstat", "-x", "-f", job_id).code == 153
    until(lambda: subprocess.run(["pgrep", "-f", f"{running}.SC"], capture_output=True, check=False).returncode == 1)


def test_jobs_of_others_are_listed(alice: Account) -> None:
    with alice.cluster.fault_other_jobs(10_000):
        assert len(alice.types("qselect", "-s", "Q").stdout.splitlines()) == 10_000
        assert len(json.loads(alice.types("qstat", "-f", "-F", "json").stdout)["Jobs"]) == 10_000
        alice.waits_for(alice.submits("true\n"), "F")
    assert alice.types("qselect", "-s", "Q").stdout == ""


def test_commands_are_counted(alice: Account) -> None:
    before = sum(count for (name, _), count in alice.cluster.commands_asked().items() if name == "qselect")
    alice.types("qselect")
    after = sum(count for (name, _), count in alice.cluster.commands_asked().items() if name == "qselect")
    assert after == before + 1


def test_virtual_jobs_are_announced_and_last_until_they_are_deleted() -> None:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        listener.bind(f"{folder}/started")
        listener.settimeout(10)
        with another_cluster(virtual_jobs=True, on_start=f"{folder}/started") as cluster:
            account = researcher(cluster)
            job_id = account.submits("echo a script\n", "-l", "walltime=01:00:00")
            told = json.loads(listener.recv(1 << 16))
            assert (told["job_id"], told["user"], told["host"]) == (job_id, account.name, cluster.node_names[0])
            assert Path(told["script_path"]).read_text() == "echo a script\n"
            account.types("qdel", job_id)
            assert account.waits_for(job_id, "F")["Exit_status"] == 271


def test_stopped_cluster_leaves_nothing_behind() -> None:
    sleeper = f"sleep 1{os.getpid()}"

    def is_running() -> bool:
        return subprocess.run(["pgrep", "-f", f"^{sleeper}"], capture_output=True, check=False).returncode == 0

    with another_cluster() as cluster:
        account = researcher(cluster)
        job_id = account.submits(f"setsid {sleeper} & {sleeper}\n")
        account.waits_for(job_id, "R")
        until(is_running)
        folder = cluster.commands.parent
    assert not is_running()
    assert str(folder) not in Path("/etc/hosts").read_text()
