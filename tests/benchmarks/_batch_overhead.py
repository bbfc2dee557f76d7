"""A start on a free cluster, and the single-user process alone, in turn: real jobs, no farm."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from _batch_farm import session_environment
from _batch_hubs import BenchHub, NodeSize, Site, our_hub, running_cluster
from _batch_load import make_users, start_session, stop_session, wait_for

from swotvre_hub.ports import free_ports

USER = "bench"
#: A session that has just become ready is still busy; the program by hand waits until it is not.
QUIET_SECONDS = 2.0
#: What a job's script runs, without the batch session around it.
PROGRAM = """
from swotvre_lab.trimmed_imports import import_server
import_server()
from swotvre_lab.server import serve
serve()
"""


@dataclass
class Overhead:
    """Seconds of each round; the first is cold."""

    #: From the request to the session being ready.
    totals: list[float] = field(default_factory=list)
    #: From the start of the same program by hand to its first answer.
    alone: list[float] = field(default_factory=list)


def measure_overhead(site: Site, folder: Path, rounds: int) -> Overhead:
    """Start a session and, while it runs, the same program by hand, ``rounds`` times after a first."""
    overhead = Overhead()
    with (
        running_cluster(folder / "pbs", NodeSize()) as cluster,
        our_hub(site, folder, cluster) as hub,
    ):
        make_users(hub, [USER])
        for _ in range(rounds + 1):
            began = time.perf_counter()
            if problem := start_session(hub, USER):
                raise SystemExit(f"a session on a free cluster did not start: {problem}")
            overhead.totals.append(time.perf_counter() - began)
            time.sleep(QUIET_SECONDS)
            overhead.alone.append(_time_alone(site, hub))
            stop_session(hub, USER)
            wait_for(lambda: not hub.cluster.live_jobs())
    return overhead


def _time_alone(site: Site, hub: BenchHub) -> float:
    """Run the program of the session that runs now, with its environment, at another port."""
    (job_id,) = hub.cluster.live_jobs()
    script = hub.cluster.commands.parent / "private" / "jobs" / f"{job_id.partition('.')[0]}.script"
    environment = session_environment({"script_path": str(script)})
    port = free_ports(1)[0]
    address = urlsplit(environment["JUPYTERHUB_SERVICE_URL"])
    environment["JUPYTERHUB_SERVICE_URL"] = urlunsplit(address._replace(netloc=f"127.0.0.1:{port}"))
    environment["SWOTVRE_SESSION_END"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    runtime = Path(tempfile.mkdtemp(prefix="vre-", dir="/tmp"))
    environment["JUPYTER_RUNTIME_DIR"] = str(runtime)
    account = pwd.getpwnam(site.account)
    as_account = {}
    if os.geteuid() == 0:
        os.chown(runtime, account.pw_uid, account.pw_gid)
        as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(site.lab / "bin" / "python"), "-I", "-c", PROGRAM],
        env=environment, cwd=environment["HOME"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_account,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}{environment['JUPYTERHUB_SERVICE_PREFIX']}api"
        wait_for(lambda: _answers(url, process), pause=0.005)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(runtime, ignore_errors=True)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise SystemExit(f"the single-user process ended by itself (exit code {process.returncode})")
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http on loopback
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False
