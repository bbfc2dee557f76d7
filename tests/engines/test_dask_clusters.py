"""How a Dask cluster lives: one list of behaviours, on this machine, recorded PBS, real Slurm and real OpenPBS."""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import httpx
import psutil
import pytest
from batch_hub import batch_hub
from cluster import USERS, BatchCluster, ensure_accounts
from dask_kernels import ACTIVE, BROKEN, EMPTY, OLDER
from dask_site import DaskSite, LocalMachine, site_settings

ADA, BOB = USERS
CAPS = {"user": {"cores": 5, "memory_gib": None}, "project": {"cores": None, "memory_gib": None}}


@pytest.fixture(scope="module", params=["this machine", "recorded PBS", "Slurm", "OpenPBS"])
def cluster(request: pytest.FixtureRequest) -> BatchCluster:
    """Return each cluster in turn: one list of behaviours holds for all."""
    if request.param == "this machine":
        return cast("BatchCluster", LocalMachine())
    if os.geteuid() != 0:
        pytest.skip("only root can make the accounts that clusters run as")
    ensure_accounts()
    name = {"recorded PBS": "recorded_pbs", "Slurm": "slurm_cluster", "OpenPBS": "openpbs"}[request.param]
    found: BatchCluster = request.getfixturevalue(name)
    return found


@pytest.fixture(scope="module")
def shared_site(cluster: BatchCluster, lab_everywhere: Path, dask_kernels: Path) -> Iterator[DaskSite]:
    settings, port = site_settings(dask_kernels, caps=CAPS)
    with batch_hub(cluster, lab_everywhere, settings=settings) as hub:
        site = DaskSite(hub, dask_kernels, port)
        site.wait_for_gateway()
        yield site


@pytest.fixture
def site(shared_site: DaskSite) -> Iterator[DaskSite]:
    """Return the hub of all tests of one cluster; after each, no cluster is left."""
    yield shared_site
    for user in USERS:
        shared_site.run(user, "[gateway.stop_cluster(one.name) for one in gateway.list_clusters()]; print(1)")
    shared_site.hub.wait(lambda: not records(shared_site), "the jobs to be over", 90)


@pytest.fixture
def queue(site: DaskSite) -> BatchCluster:
    """Return the cluster, if it has a queue."""
    if site.cluster.engine == "local":
        pytest.skip("on this machine clusters start at once: there is no queue")
    return site.cluster


def records(site: DaskSite) -> list[dict[str, object]]:
    """Return what the gateway keeps of the jobs of its clusters."""
    return [json.loads(path.read_text()) for path in (site.state.run / "dask-jobs").glob("*.json")]


COMPUTE = """
cluster = gateway.new_cluster(workers=2, walltime_hours=0.25)
client = cluster.get_client()
client.wait_for_workers(2)
NAMES = ("OF_THE_KERNEL", "SWOTVRE_KERNEL_VERSION", "OMP_NUM_THREADS")
told = client.submit(lambda: [os.environ.get(name) for name in NAMES])
total = sum(client.gather(client.map(lambda i: i * i, range(100))))
who = set(client.run(lambda: __import__("pwd").getpwuid(os.getuid()).pw_name).values())
secrets = [value for one in client.run(lambda: dict(os.environ)).values() for name, value in one.items()
           if "PRIVATE KEY" in value or "TOKEN" in name]
computing = wait(lambda: (now := state(cluster.name))["workers"]["running"] == 2 and now)
answer = {"total": total, "who": list(who), "state": computing, "told": told.result(), "secrets": secrets}
cluster.shutdown()
print(json.dumps(answer))
"""


def test_a_cluster_computes_a_right_sum_as_its_user(site: DaskSite) -> None:
    answer = site.run(ADA, COMPUTE)
    assert answer["total"] == sum(i * i for i in range(100))
    assert answer["told"] == [ACTIVE, ACTIVE, "1"]
    told = answer["state"]
    assert (told["status"], told["size"], told["kernel"], told["kernel_version"]) == (
        "RUNNING",
        "small",
        "swot-ocean",
        ACTIVE,
    )
    assert told["workers"] == {"wanted": 2, "running": 2, "waiting": 0, "starting": 0, "message": ""}
    if site.cluster.engine != "local":
        assert answer["who"] == [ADA]
        assert answer["secrets"] == []
        assert told["node"] in site.cluster.node_names
        assert told["job_id"]
    site.hub.wait(lambda: not records(site), "the jobs to be over", 60)


REFUSE = """
said = {}
for what, options in {
    "missing": {"kernel_version": "1999.1"}, "broken": {"kernel_version": BROKEN},
    "empty": {"kernel_version": EMPTY}, "size": {"size": "giant"}, "queue": {"queue": "nowhere"},
    "workers": {"workers": 6},
}.items():
    said[what] = refusal(lambda: gateway.submit(**options))
print(json.dumps(said))
"""


def test_what_a_cluster_cannot_have_is_refused_before_anything_is_submitted(site: DaskSite) -> None:
    said = site.run(ADA, f"BROKEN, EMPTY = {BROKEN!r}, {EMPTY!r}\n{REFUSE}")
    assert "version 1999.1 of kernel 'swot-ocean' is not installed" in said["missing"]
    assert ACTIVE in said["missing"]
    assert "is broken" in said["broken"]
    assert "holds no distributed" in said["empty"]
    assert "giant" in said["size"]
    assert "there is no choice of queues here" in said["queue"]
    assert "6 workers asks for" in said["workers"]
    assert f"the Dask clusters of {ADA} may have 5 cores in all, of which 0 are used" in said["workers"]
    assert not records(site)


SCALE = """
first = gateway.new_cluster(workers=1, shutdown_on_close=False)
said = refusal(lambda: first.scale(8))
second = refusal(lambda: gateway.submit(workers=5))
# Who scales himself is held as well.
first.adapt(minimum=0, maximum=8)
client = first.get_client()
futures = client.map(lambda i: time.sleep(1), range(100))
told = wait(lambda: (now := state(first.name))["workers"]["message"].count("in all") and now)
first.shutdown()
print(json.dumps({"said": said, "second": second, "state": told}))
"""


def test_no_more_is_given_than_the_cap_and_the_words_say_what_is_free(site: DaskSite) -> None:
    answer = site.run(ADA, SCALE)
    cap = f"the Dask clusters of {ADA} may have 5 cores in all, of which"
    assert f"A cluster with 8 workers asks for {8 if site.is_local else 9} cores; {cap} 0 are used" in answer["said"]
    assert f"{cap} {1 if site.is_local else 2} " in answer["second"]
    assert cap in answer["state"]["workers"]["message"]
    # Where the scheduler is a job, its core counts.
    assert answer["state"]["workers"]["wanted"] <= (5 if site.is_local else 4)


OTHERS = """
name = os.environ["CLUSTER"]
said = {what: refusal(lambda: getattr(gateway, what)(name)) for what in ("connect", "get_cluster", "stop_cluster")}
said["scale"] = refusal(lambda: gateway.scale_cluster(name, 0))
said["state"] = refusal(lambda: state(name))
said["seen"] = len(gateway.list_clusters())
print(json.dumps(said))
"""
START = """
cluster = gateway.new_cluster(workers=1, shutdown_on_close=False)
cluster.get_client().wait_for_workers(1)
print(json.dumps(state(cluster.name)))
"""


def test_a_cluster_is_its_owners_alone(site: DaskSite) -> None:
    told = site.run(ADA, START)
    said = site.run(BOB, f"os.environ['CLUSTER'] = {told['name']!r}\n" + OTHERS)
    for what in ("connect", "get_cluster", "stop_cluster", "scale"):
        assert "403" in said[what]
    assert "404" in said["state"]
    assert said["seen"] == 0
    environment = site.environment(ADA)
    headers = {"Authorization": f"jupyterhub {environment['JUPYTERHUB_API_TOKEN']}"}
    mine = httpx.get(f"{site.address}/api/v1/clusters/{told['name']}", headers=headers, verify=site.trust()).json()
    secrets = [line for line in mine["tls_key"].splitlines() if len(line) > 40][:1]
    if site.is_local:
        return
    shown = {
        "pbs": (["qstat", "-x", "-f", told["job_id"]],),
        "slurm": (["scontrol", "show", "job", "-d", told["job_id"]], ["squeue", "-o", "%all"]),
    }[site.cluster.engine]
    words = " ".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    for command in shown:
        listed = subprocess.run(
            ["/usr/sbin/runuser", "-u", BOB, "--", str(site.cluster.commands / command[0]), *command[1:]],
            capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", **site.cluster.environment},
        )  # fmt: skip
        assert "vre-dask-scheduler" in listed.stdout
        words += listed.stdout.replace("\n\t", "")
    logs = list((Path(pwd.getpwnam(ADA).pw_dir) / ".local/state/swot-vre/sessions").glob("*.log"))
    words += site.hub.log() + "".join(log.read_text(errors="replace") for log in logs)
    for secret in secrets:
        assert secret not in words
    (job,) = [one for one in records(site) if one["role"] == "scheduler"]
    log = Path(str(job["log"]))
    assert (log.stat().st_uid, stat.S_IMODE(log.stat().st_mode)) == (pwd.getpwnam(ADA).pw_uid, 0o600)
    for file in (site.state.run / "dask-gateway.sqlite", site.state.run / "dask-gateway.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not any(secret.encode() in file.read_bytes() for secret in secrets)
    node = httpx.URL(f"https://{told['node']}:{_port_of(site)}/")
    with pytest.raises(httpx.TransportError):
        httpx.get(node, verify=False)  # noqa: S501 - whoever it is, he has no certificate of the cluster


def _port_of(site: DaskSite) -> int:
    """Return the port of the API of the cluster that was started last."""
    with closing(sqlite3.connect(site.state.run / "dask-gateway.sqlite")) as database:
        command = "select api_address from clusters where api_address != '' order by id desc"
        (address,) = database.execute(command).fetchone()
    return int(str(address).rpartition(":")[2])


WAIT = """
name = gateway.submit(workers=2)
waiting = wait(lambda: (now := state(name))["message"].count("waits: ") and "considered" not in now["message"] and now)
print(json.dumps(waiting), flush=True)
cluster = gateway.connect(name)
client = cluster.get_client()
client.wait_for_workers(2)
print(json.dumps({"sum": client.submit(sum, range(10)).result(), "state": state(name)}))
cluster.shutdown()
"""


def test_a_cluster_waits_in_a_full_queue_says_why_and_then_starts(site: DaskSite, queue: BatchCluster) -> None:
    with queue.filled():
        process = site.start(ADA, WAIT)
        assert process.stdout is not None
        told = json.loads(process.stdout.readline() or "{}")
        assert told, site.finish(process)
        assert told["status"] == "PENDING"
        assert "waiting for" in told["message"]
        assert told["job_id"] in queue.live_jobs()
        assert told["workers"]["wanted"] == told["workers"]["waiting"] == 2
        assert told["started_at"] is None
    assert site.finish(process)["sum"] == 45


def test_a_waiting_cluster_can_be_cancelled(site: DaskSite, queue: BatchCluster) -> None:
    before = queue.live_jobs()
    with queue.filled():
        code = "name = gateway.submit(workers=1); gateway.stop_cluster(name)"
        site.run(ADA, f"{code}\nprint(json.dumps(wait(lambda: state(name)['status'] == 'STOPPED')))")
    site.hub.wait(lambda: queue.live_jobs() <= before, "no job to be left", 60)
    site.hub.wait(lambda: not records(site), "nothing to be kept of it", 60)


SLOW = """
cluster = gateway.new_cluster(workers=2, shutdown_on_close=False)
client = cluster.get_client()
client.wait_for_workers(2)
def slow(i):
    time.sleep(0.25)
    return i * i
futures = client.map(slow, range(80))
print(json.dumps(cluster.name), flush=True)
print(json.dumps(sum(client.gather(futures))))
cluster.shutdown()
"""


def test_a_worker_killed_in_the_middle_changes_no_result(site: DaskSite, queue: BatchCluster) -> None:
    process = site.start(ADA, SLOW)
    assert process.stdout is not None
    assert process.stdout.readline()
    (job, *_) = [one for one in records(site) if one["role"] == "worker"]
    queue.kill_session_on_node(str(job["job_id"]))
    assert site.finish(process) == sum(i * i for i in range(80))


def test_a_killed_gateway_cuts_no_computation_and_finds_its_clusters_again(site: DaskSite, queue: BatchCluster) -> None:
    # It is over while there is no gateway, and a stop would find none.
    process = site.start(ADA, SLOW.replace("cluster.shutdown()", ""))
    assert process.stdout is not None
    name = json.loads(process.stdout.readline())
    jobs = {str(one["job_id"]) for one in records(site)}
    site.gateway().kill()
    site.wait_for_gateway()
    told = site.run(ADA, f"print(json.dumps(state({name!r})))")
    assert told["status"] == "RUNNING"
    assert {str(one["job_id"]) for one in records(site)} == jobs
    assert site.finish(process) == sum(i * i for i in range(80))
    site.run(ADA, f"gateway.stop_cluster({name!r}); print(1)")
    site.hub.wait(lambda: not jobs & queue.live_jobs(), "the jobs to be over", 60)


def test_jobs_without_a_cluster_are_ended_and_nobody_elses(site: DaskSite, queue: BatchCluster) -> None:
    site.run(ADA, START)
    (job, *_) = records(site)
    gateway = site.gateway()
    database = site.state.run / "dask-gateway.sqlite"
    gateway.suspend()
    database.unlink()  # as a lost disk does
    gateway.kill()
    with queue.filled() as others:
        site.wait_for_gateway()
        site.hub.wait(lambda: str(job["job_id"]) not in queue.live_jobs(), "the orphan to be ended", 60)
        assert others in queue.live_jobs()
    site.hub.wait(lambda: not records(site), "nothing to be left", 60)


def test_a_cluster_whose_job_was_cancelled_behind_its_back_says_so(site: DaskSite, queue: BatchCluster) -> None:
    told = site.run(ADA, START)
    command = queue.commands / {"pbs": "qdel", "slurm": "scancel"}[queue.engine]
    subprocess.run(["/usr/sbin/runuser", "-u", ADA, "--", str(command), told["job_id"]], check=True)
    code = f"print(json.dumps(wait(lambda: (now := state({told['name']!r}))['status'] == 'FAILED' and now)))"
    # Who did it, Slurm says by its accounting alone.
    message = site.run(ADA, code)["message"]
    assert "the job of its scheduler is over" in message
    assert "cancelled" in message


def test_an_older_version_of_the_kernel_runs_where_the_notebook_runs_it(site: DaskSite) -> None:
    code = f"""
cluster = gateway.new_cluster(workers=1, kernel="swot-ocean", kernel_version={OLDER!r})
client = cluster.get_client()
import sys
told = [client.submit(lambda: sys.prefix).result(), state(cluster.name)["kernel_version"]]
cluster.shutdown()
print(json.dumps(told))
"""
    prefix, version = site.run(ADA, code)
    assert prefix.endswith(f"swot-ocean-{OLDER}")
    assert version == OLDER


def test_the_end_of_its_duration_is_told(site: DaskSite) -> None:
    code = """
name = gateway.submit(walltime_hours=1 / 60)
wait(lambda: state(name)["status"] == "RUNNING")
print(json.dumps(wait(lambda: (now := state(name))["status"] == "FAILED" and now, 140)))
"""
    told = site.run(ADA, code, 200)
    assert "its duration" in told["message"]
    assert "over" in told["message"]
