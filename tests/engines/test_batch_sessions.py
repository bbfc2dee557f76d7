"""How a session lives on a batch system: one list of behaviours, on recorded PBS, real Slurm and real OpenPBS."""

from __future__ import annotations

import json
import pwd
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websocket
from batch_hub import BatchHub, batch_hub, token_of
from cluster import USERS, BatchCluster

ADA, BOB = USERS


@pytest.fixture(scope="module")
def shared_hub(cluster: BatchCluster, lab_everywhere: Path) -> Iterator[BatchHub]:
    with batch_hub(cluster, lab_everywhere) as hub:
        yield hub


@pytest.fixture
def hub(shared_hub: BatchHub) -> Iterator[BatchHub]:
    """Return the hub of all tests of one cluster; after each, no session is left."""
    yield shared_hub
    shared_hub.end_all_sessions()


def processes_of_session(session_id: str) -> list[psutil.Process]:
    """Return the processes of a session, as root sees them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SWOTVRE_SESSION_ID") == session_id:
                found.append(process)
    return found


def environment_of_session(job: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a session's server, as its owner (or root) sees it."""
    for process in processes_of_session(job["session_id"]):
        with suppress(psutil.Error):
            return process.environ()
    raise AssertionError(f"no process of session {job['session_id']}")


# -- start -----------------------------------------------------------------------------------------------------------


def test_a_session_runs_as_its_user_on_a_node_and_is_reached_by_the_nodes_name(
    hub: BatchHub, cluster: BatchCluster
) -> None:
    hub.start_session(ADA)
    job = hub.job(ADA)
    assert job["host"] in cluster.node_names
    assert job["job_id"] in cluster.live_jobs()
    assert hub.answers(ADA)
    log = Path(job["log"])
    assert log.stat().st_uid == pwd.getpwnam(ADA).pw_uid
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert f"/user/{ADA}/" in log.read_text()  # written while it runs


def test_only_hub_and_proxy_can_connect_to_a_session(hub: BatchHub) -> None:
    hub.start_session(ADA)
    job = hub.job(ADA)
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        httpx.get(f"https://{job['host']}:{job['port']}/user/{ADA}/api", verify=anybody)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{job['host']}:{job['port']}/user/{ADA}/api")
    with socket.create_connection((job["host"], job["port"])) as plain:
        certificate = ssl.get_server_certificate((job["host"], job["port"]))
        assert "BEGIN CERTIFICATE" in certificate
        assert plain


def test_the_token_is_shown_to_nobody(hub: BatchHub, cluster: BatchCluster) -> None:
    hub.start_session(ADA)
    job = hub.job(ADA)
    token = environment_of_session(job)["JUPYTERHUB_API_TOKEN"]
    listings = {
        "pbs": (["qstat", "-x", "-f", job["job_id"]],),
        "slurm": (["scontrol", "show", "job", "-d", job["job_id"]], ["squeue", "-o", "%all"]),
    }[cluster.engine]
    for command in listings:
        shown = subprocess.run(
            ["/usr/sbin/runuser", "-u", BOB, "--", str(cluster.commands / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", **cluster.environment},
        )
        assert token not in shown.stdout.replace("\n\t", "")
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if token in command]
    assert token not in hub.log()
    for kept in (hub.state / "run").rglob("*"):
        if kept.is_file():
            assert token.encode() not in kept.read_bytes(), kept


def test_the_environment_arrives_as_it_is(cluster: BatchCluster, lab_everywhere: Path) -> None:
    values = {
        "QUOTES": """a 'b' "c" \\d""",
        "DOLLAR": "$(id) `id` ${HOME} $$",
        "NUMBER": "005",
        "LINES": "one\ntwo\n",
        "COMMAS": "a,b=c;d",
        "UMLAUT": "Höhe",
    }
    code = f"c.Spawner.environment.update({values!r})"
    with batch_hub(cluster, lab_everywhere, site_code=code) as hub:
        hub.start_session(ADA)
        environment = environment_of_session(hub.job(ADA))
        assert {name: environment[name] for name in values} == values
        json.loads(environment["JUPYTERHUB_OAUTH_SCOPES"])
        assert hub.answers(ADA)


def test_a_session_can_report_its_port_and_nothing_else(hub: BatchHub) -> None:
    hub.start_session(ADA)
    token = environment_of_session(hub.job(ADA))["JUPYTERHUB_API_TOKEN"]
    headers = {"Authorization": f"token {token}"}
    for body in ('{"port": 22}', '{"port": "20001"}', '{"port": 20001, "cmd": "id"}', "[]", "{", "", '{"port": true}'):
        answer = httpx.post(f"{hub.url}hub/api/batchspawner", content=body, headers=headers, timeout=30)
        assert answer.status_code == 400, body
        assert "expected" in answer.json()["message"]
    assert hub.answers(ADA)
    assert hub.api.post(f"/users/{BOB}").status_code in {201, 409}
    other = hub.api.post(f"/users/{BOB}/tokens", json={}).json()["token"]
    answer = httpx.post(
        f"{hub.url}hub/api/batchspawner", json={"port": 20001}, headers={"Authorization": f"token {other}"}
    )
    assert answer.status_code == 404  # a user's own token is no session's


def test_sessions_of_one_user_have_each_their_own_size(hub: BatchHub) -> None:
    hub.start_session(ADA, size="small")
    hub.start_session(ADA, "second", size="other")
    first, second = hub.job(ADA), hub.job(ADA, "second")
    assert (first["size"], second["size"]) == ("small", "other")
    assert hub.answers(ADA)
    assert hub.answers(ADA, "second")
    hub.stop_session(ADA, "second")
    assert hub.answers(ADA)


# -- waiting ---------------------------------------------------------------------------------------------------------


def test_who_waits_reads_the_reason_and_the_place_and_can_cancel(hub: BatchHub, cluster: BatchCluster) -> None:
    with cluster.filled():
        assert hub.request(ADA).status_code == 202
        told = hub.progress(ADA, lambda event: event.get("kind") == "waiting" and "place" in event)[-1]
        assert told["place"] >= 1
        assert told["message"].startswith("Waiting for")
        assert "place" in told["message"]
        job_id = hub.job(ADA)["job_id"]
        assert job_id in cluster.live_jobs()
        hub.stop_session(ADA)
        hub.wait(lambda: job_id not in cluster.live_jobs(), "the job to be gone")
    assert "asked for it" in hub.last_end(ADA)


def test_who_waited_gets_the_session_when_cores_become_free(hub: BatchHub, cluster: BatchCluster) -> None:
    with cluster.filled():
        assert hub.request(ADA).status_code == 202
        hub.progress(ADA, lambda event: event.get("kind") == "waiting")
    hub.wait(lambda: hub.server(ADA).get("ready"), "the session to start", 120)
    assert hub.answers(ADA)


def test_what_no_node_can_hold_is_refused_at_once_and_leaves_no_job(hub: BatchHub, cluster: BatchCluster) -> None:
    before = cluster.live_jobs()
    answer = hub.request(ADA, size="giant")
    if answer.status_code == 202:
        told = hub.progress(ADA, lambda event: bool(event.get("failed")))[-1]["message"]
    else:
        told = answer.json()["message"]
    assert "400 GiB" in told
    hub.wait(lambda: cluster.live_jobs() == before, "no job to be left")


def test_a_cancel_in_the_first_moment_leaves_no_job(hub: BatchHub, cluster: BatchCluster) -> None:
    before = cluster.live_jobs()
    hub.api.post(f"/users/{ADA}")
    with pytest.raises(httpx.ReadTimeout):
        hub.api.post(f"/users/{ADA}/server", json={"size": "small"}, timeout=0.05)
    hub.stop_session(ADA)
    hub.wait(lambda: cluster.live_jobs() == before, "no job to be left", 60)


# -- failed starts ---------------------------------------------------------------------------------------------------


def test_a_session_that_cannot_come_up_tells_the_end_of_its_log(cluster: BatchCluster, lab_everywhere: Path) -> None:
    code = 'c.Spawner.environment.update({"SWOTVRE_WALLTIME_SECONDS": "not a number"})'
    with batch_hub(cluster, lab_everywhere, site_code=code) as hub:
        answer = hub.request(ADA)
        if answer.status_code == 202:
            told = hub.progress(ADA, lambda event: bool(event.get("failed")))[-1]["message"]
        else:
            told = answer.json()["message"]
        assert "ended while it started" in told
        assert "could not convert string to float" in told
        hub.wait(lambda: not cluster.live_jobs(), "no job to be left")


def test_an_environment_that_is_not_there_is_told(cluster: BatchCluster, lab_everywhere: Path) -> None:
    with batch_hub(cluster, lab_everywhere.parent / "nothing") as hub:
        answer = hub.request(ADA)
        assert answer.status_code == 503
        assert "nothing" in answer.json()["message"]
        assert not cluster.live_jobs()


# -- what a session survives -----------------------------------------------------------------------------------------


def test_a_running_session_survives_a_killed_hub(hub: BatchHub) -> None:
    hub.start_session(ADA)
    job = hub.job(ADA)
    hub.kill()
    hub.start()
    hub.wait(lambda: hub.server(ADA).get("ready"), "the hub to find the session", 60)
    assert hub.job(ADA) == job
    assert hub.answers(ADA)


def test_a_waiting_session_survives_a_killed_hub_and_starts_later(hub: BatchHub, cluster: BatchCluster) -> None:
    with cluster.filled():
        assert hub.request(ADA).status_code == 202
        job_id = hub.wait_for_job(ADA)
        hub.kill()
        hub.start()
        told = hub.progress(ADA, lambda event: event.get("kind") == "waiting")
        assert told
        assert hub.wait_for_job(ADA) == job_id
    hub.wait(lambda: hub.server(ADA).get("ready"), "the session to start", 120)
    assert hub.job(ADA)["job_id"] == job_id
    assert hub.answers(ADA)


def test_a_waiting_session_can_be_cancelled_after_a_killed_hub(hub: BatchHub, cluster: BatchCluster) -> None:
    with cluster.filled():
        assert hub.request(ADA).status_code == 202
        job_id = hub.wait_for_job(ADA)
        hub.kill()
        hub.start()
        hub.progress(ADA, lambda event: event.get("kind") == "waiting")
        hub.stop_session(ADA)
        hub.wait(lambda: job_id not in cluster.live_jobs(), "the job to be gone")


def test_a_job_that_was_submitted_by_a_hub_that_died_at_once_is_no_orphan(hub: BatchHub, cluster: BatchCluster) -> None:
    before = cluster.live_jobs()
    hub.api.post(f"/users/{ADA}")
    with suppress(httpx.ReadTimeout):
        hub.api.post(f"/users/{ADA}/server", json={"size": "small"}, timeout=0.4)
    hub.wait(lambda: any((hub.state / "run" / "jobs").glob("*.json")), "the first note of the job", 20)
    hub.kill()
    hub.start()

    def agree() -> bool:
        job = hub.job(ADA)
        return cluster.live_jobs() - before == ({job["job_id"]} if job.get("job_id") else set())

    hub.wait(agree, "hub and scheduler to agree", 120)


def test_a_session_survives_a_scheduler_that_is_down(hub: BatchHub, cluster: BatchCluster) -> None:
    hub.start_session(ADA)
    job = hub.job(ADA)
    with cluster.scheduler_down():
        deadline = time.monotonic() + 12  # several questions
        while time.monotonic() < deadline:
            assert hub.server(ADA).get("ready")
            assert hub.answers(ADA)
            time.sleep(1)
    hub.wait(lambda: "answers again" in hub.log(), "the scheduler to answer", 60)
    assert hub.job(ADA)["job_id"] == job["job_id"]


def test_a_session_survives_a_hub_that_starts_while_the_scheduler_is_down(hub: BatchHub, cluster: BatchCluster) -> None:
    hub.start_session(ADA)
    with cluster.scheduler_down():
        hub.kill()
        hub.start()
        hub.wait(lambda: hub.server(ADA).get("ready"), "the hub to find the session", 60)
        assert hub.answers(ADA)


def test_a_session_that_is_stopped_while_the_scheduler_is_down_ends_when_it_is_back(
    hub: BatchHub, cluster: BatchCluster
) -> None:
    hub.start_session(ADA)
    job_id = hub.job(ADA)["job_id"]
    with cluster.scheduler_down():
        hub.stop_session(ADA)
    hub.wait(lambda: job_id not in cluster.live_jobs(), "the job to be cancelled", 90)
    hub.wait(lambda: not any((hub.state / "run" / "jobs").glob("*.json")), "nothing to be left", 60)


def test_a_start_while_the_scheduler_is_down_is_refused_in_words(hub: BatchHub, cluster: BatchCluster) -> None:
    with cluster.scheduler_down():
        answer = hub.request(ADA)
        assert answer.status_code == 503
        assert "does not answer" in answer.json()["message"]
    hub.wait(lambda: not cluster.live_jobs(), "no job to be left")


def test_a_restarted_hub_leaves_sessions_alone(hub: BatchHub) -> None:
    hub.start_session(ADA)
    job = hub.job(ADA)
    hub.end()
    hub.start()
    hub.wait(lambda: hub.server(ADA).get("ready"), "the hub to find the session", 60)
    assert hub.job(ADA) == job
    assert hub.answers(ADA)


# -- the end ---------------------------------------------------------------------------------------------------------


def test_the_end_by_walltime_is_told(hub: BatchHub) -> None:
    hub.start_session(ADA, walltime_hours=1 / 60)
    hub.wait(lambda: not hub.server(ADA), "the walltime to be over", 150)
    assert "its duration was over" in hub.last_end(ADA)
    assert "Small: 1 core, 1 GiB" in hub.last_end(ADA)


def test_who_cancelled_a_session_through_the_scheduler_is_told(hub: BatchHub, cluster: BatchCluster) -> None:
    hub.start_session(ADA)
    command = [{"pbs": "qdel", "slurm": "scancel"}[cluster.engine], hub.job(ADA)["job_id"]]
    subprocess.run(["/usr/sbin/runuser", "-u", ADA, "--", str(cluster.commands / command[0]), command[1]], check=True)
    hub.wait(lambda: not hub.server(ADA), "the hub to notice", 60)
    assert "cancel" in hub.last_end(ADA)


def test_nothing_of_a_session_that_was_stopped_is_left_on_its_node(hub: BatchHub) -> None:
    hub.start_session(ADA)
    httpx.post(f"{hub.url}user/{ADA}/api/kernels", headers=dict(hub.api.headers), timeout=60).raise_for_status()
    session = hub.job(ADA)["session_id"]
    # JupyterLab, the supervisor above it, and the kernel.
    assert len(processes_of_session(session)) >= 3
    hub.stop_session(ADA)
    hub.wait(lambda: not processes_of_session(session), "its processes to end", 20)


def test_a_lost_node_is_told(hub: BatchHub, cluster: BatchCluster) -> None:
    hub.start_session(ADA)
    with cluster.node_lost(hub.job(ADA)["host"]):
        hub.wait(lambda: not hub.server(ADA), "the hub to notice", 120)
    assert "its node failed" in hub.last_end(ADA)


def test_a_crash_on_the_node_is_told(hub: BatchHub, cluster: BatchCluster) -> None:
    hub.start_session(ADA)
    cluster.kill_session_on_node(hub.job(ADA)["job_id"])
    hub.wait(lambda: not hub.server(ADA), "the hub to notice", 60)
    assert "ended" in hub.last_end(ADA)
    assert "its duration was over" not in hub.last_end(ADA)


def test_a_kernel_that_used_too_much_memory_is_named_and_the_session_goes_on(
    hub: BatchHub, cluster: BatchCluster
) -> None:
    if not cluster.enforces_memory:
        pytest.skip(f"{cluster.title} does not enforce memory here")
    hub.start_session(ADA)
    notebook = {"path": "eddies.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    headers = dict(hub.api.headers)
    kernel = httpx.post(f"{hub.url}user/{ADA}/api/sessions", json=notebook, headers=headers, timeout=60).json()[
        "kernel"
    ]
    address = f"{hub.url.replace('http', 'ws')}user/{ADA}/api/kernels/{kernel['id']}/channels"
    channels = websocket.create_connection(address, header={"Authorization": headers["authorization"]}, timeout=60)
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "1", "version": "5.3"}
    content = {"code": "kept = [bytearray(64 * 2**20) for _ in range(48)]", "silent": False, "store_history": False}
    channels.send(
        json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"})
    )
    url = f"{hub.url}user/{ADA}/swotvre/session"

    def deaths() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(url, headers=headers, timeout=30).json()["kernel_deaths"]
        return found

    hub.wait(deaths, "the kernel's end to be noticed", 60)
    channels.close()
    assert [(death["name"], death["memory"]) for death in deaths()] == [("eddies.ipynb", True)]
    assert hub.server(ADA)["ready"]
    httpx.post(f"{hub.url}user/{ADA}/api/shutdown", headers=headers, timeout=30)
    hub.wait(lambda: not hub.server(ADA), "the hub to notice", 60)
    assert "JupyterLab was shut down" in hub.last_end(ADA)
    assert "the kernel of eddies.ipynb had been killed for using more than 1 GiB" in hub.last_end(ADA)


def test_a_user_who_shuts_jupyterlab_down_reads_so(hub: BatchHub) -> None:
    hub.start_session(ADA)
    httpx.post(f"{hub.url}user/{ADA}/api/shutdown", headers=dict(hub.api.headers), timeout=30)
    hub.wait(lambda: not hub.server(ADA), "the hub to notice", 60)
    assert "JupyterLab was shut down" in hub.last_end(ADA)


def test_who_stops_a_session_is_told(hub: BatchHub) -> None:
    hub.start_session(ADA)
    browser = hub.pages(ADA)
    home = browser.get("hub/home")
    headers = {"X-XSRFToken": token_of(home.text), "Referer": str(home.url)}
    answer = browser.delete(f"hub/api/users/{ADA}/server", headers=headers, timeout=60)
    browser.close()
    assert answer.status_code in {202, 204}, answer.text
    hub.wait(lambda: hub.last_end(ADA), "the end to be noted", 60)
    assert "you asked for it" in hub.last_end(ADA)
