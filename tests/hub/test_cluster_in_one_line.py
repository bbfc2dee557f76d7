"""``swotvre.cluster()`` and ``swotvre.clusters()`` against a real gateway beside a real hub."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from swotvre_hub.processes import CLUSTER_ROLE, find_processes
from swotvre_hub.state import State

KERNELS = Path(__file__).parents[2] / "kernels"
SETTINGS = """
sizes:
  tiny: {title: Tiny, cores: 1, memory_gib: 1, max_walltime_hours: 1, good_for: tests}
  giant: {title: Giant, cores: 4096, memory_gib: 65536, max_walltime_hours: 1, good_for: nobody}
sessions: {default_size: tiny, default_walltime_hours: 1, walltime_choices_hours: [1], workspace: "",
           start_timeout_seconds: 60, per_user: 1, fork_server: false}
gateway: {enabled: true, idle_timeout_minutes: 10, max_workers: 2, default_size: tiny}
"""
BLOCK = """
from swotvre_hub.gateway import gateway_roles, gateway_service
from swotvre_hub.settings import load_settings
from swotvre_hub.state import find_state
state = find_state({state!r})
settings = load_settings(state.site_file)
c.JupyterHub.services.append(gateway_service(settings, state))
c.JupyterHub.load_roles.extend(gateway_roles(settings, state))
"""


@dataclass
class User:
    """One user of the hub, with a token."""

    name: str
    hub: object
    state: State
    kernel: Path
    token: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, code: str, **environment: str) -> subprocess.Popen[str]:
        """Start a Python of the kernel that runs ``code`` as in a session of this user."""
        return subprocess.Popen(
            [self.kernel, "-c", code],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, **environment: str) -> str:
        """Run ``code`` as in a session of this user; return what it printed."""
        process = self.start(code, **environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, f"{out}\n{err}"
        return out

    def clusters(self) -> list[str]:
        """Return the names of this user's clusters that wait or run."""
        with self.gateway() as gateway:
            return list(gateway.get("clusters/").raise_for_status().json())

    def end_clusters(self) -> None:
        """End what a test left."""
        with self.gateway() as gateway:
            for name in gateway.get("clusters/").raise_for_status().json():
                gateway.delete(f"clusters/{name}").raise_for_status()

    def gateway(self) -> httpx.Client:
        """Return what asks the gateway itself, as this user."""
        address = f"{self.environment['DASK_GATEWAY__ADDRESS']}/api/v1/"
        return httpx.Client(base_url=address, headers={"Authorization": f"jupyterhub {self.token}"}, timeout=30)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return State(tmp_path_factory.mktemp("site") / ".vre")


@pytest.fixture(scope="module")
def hub(state: State, start_shared_hub):
    """Return a hub with a gateway."""
    kernel = os.environ.get("SWOTVRE_KERNEL_PYTHON")
    if not kernel:
        pytest.skip("SWOTVRE_KERNEL_PYTHON does not name the interpreter of a built kernel")
    # The gateway starts workers of the very kernel that asks.
    state.root.mkdir()
    (state.root / "kernels").symlink_to(Path(kernel).parents[2])
    (state.root.parent / "vre.yaml").write_text(SETTINGS)
    return start_shared_hub(BLOCK.format(state=str(state.root)))


@pytest.fixture
def user(hub, state: State, kernel_python: Path) -> Iterator[User]:
    """Return a new user, whose clusters are ended at the end."""
    name = f"user-{secrets.token_hex(4)}"
    assert hub.api.post(f"/users/{name}").status_code == 201
    user = User(name, hub, state, kernel_python)
    user.token = hub.api.post(f"/users/{name}/tokens", json={"note": "test"}).json()["token"]
    port = (state.run / "dask-gateway.port").read_text().strip()
    user.environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(KERNELS),
        "PYTHONUNBUFFERED": "1",
        "JUPYTERHUB_API_TOKEN": user.token,
        "DASK_GATEWAY__ADDRESS": f"{hub.url}services/dask-gateway",
        "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://127.0.0.1:{port}",
        "DASK_GATEWAY__PUBLIC_ADDRESS": "/services/dask-gateway",
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
    }
    yield user
    user.token = hub.api.post(f"/users/{name}/tokens", json={"note": "test"}).json()["token"]
    user.end_clusters()


COMPUTE = """
import json, swotvre, dask.array
with swotvre.cluster(workers=2) as cluster:
    total = int(dask.array.arange(1000, chunks=100).sum().compute())
    who = cluster.client.run(lambda dask_worker: dask_worker.name)
    rows = [tuple(row)[:4] for row in swotvre.clusters()]
left = len(swotvre.clusters())
print(json.dumps({"total": total, "workers": len(who), "rows": rows, "left": left}))
"""


def test_one_line_gives_workers_that_compute_and_the_block_ends_them(user: User) -> None:
    lines = user.run(COMPUTE).splitlines()
    answer = json.loads(lines[-1])
    assert answer["total"] == 499500
    assert answer["workers"] == 2
    assert answer["left"] == 0
    ((name, state, size, _),) = answer["rows"]
    assert re.fullmatch("[0-9a-f]{32}", name)
    assert (state, size) == ("running", "tiny")
    # Told as it went: asked for, workers one after the other, and what there is in the end.
    assert lines[0] == "cluster: asking for it"
    assert lines[-2] == f"2 workers of size tiny, 2 cores; dashboard: /services/dask-gateway/clusters/{name}/status"
    assert any(re.fullmatch(r"[01] of 2 workers, [12] starting", line) for line in lines), lines


TWO = """
import swotvre
first, second = swotvre.cluster(workers=1), swotvre.cluster(workers=1)
print(first.client.submit(lambda: 1).result(), second.client.submit(lambda: 2).result())
table = swotvre.clusters()
table.stop(first.name[:12])
print(len(table), [row.name == second.name for row in swotvre.clusters()])
print(swotvre.clusters())
"""


def test_two_clusters_at_once_and_one_stopped_by_the_beginning_of_its_name(user: User) -> None:
    lines = user.run(TWO).splitlines()
    assert "1 2" in lines
    assert "2 [True]" in lines
    assert any(re.match(r"name +state +size +workers +since +dashboard", line) for line in lines)
    assert user.clusters() == []


ADAPT = """
import time, swotvre
cluster = swotvre.cluster(adapt=(0, 2))
print("ready with", len(cluster.client.nthreads()))
print(sum(cluster.client.gather(cluster.client.map(lambda i: time.sleep(0.05) or i, range(50), pure=False))))
cluster.close()
"""


def test_adaptive_cluster_is_ready_without_workers_and_gets_them_when_there_is_work(user: User) -> None:
    lines = user.run(ADAPT).splitlines()
    assert "ready with 0" in lines
    assert lines[-1] == str(sum(range(50)))


REFUSED = """
import swotvre
for arguments in ({"size": "giant"}, {"size": "tini"}, {"workers": 0}, {"workers": 3}, {"queue": "night"},
                  {"adapt": (2, 1)}, {"wait": 9, "workers": 2}, {"timeout": -1}, {"workers": 2.5}):
    try:
        swotvre.cluster(**{"workers": 2, **arguments})
    except swotvre.ClusterRefusedError as error:
        print(error)
    else:
        print("not refused", arguments)
"""


def test_what_cannot_be_had_is_refused_in_words_and_leaves_nothing(user: User) -> None:
    said = [line for line in user.run(REFUSED).splitlines() if not line.startswith("cluster:")]
    for reason in (
        r"worker size 'giant' needs 4096 cores.*choose among: tiny",
        r"unknown session size 'tini'.*did you mean 'tiny'",
        r"workers: a whole number from 1 on is expected; got 0",
        r"received 3 as workers; expected a whole number from 0 to 2",
        r"queue.*night",
        r"adapt: the most workers are fewer than the fewest: \(2, 1\)",
        r"wait=9: only 2 workers are asked for",
        r"timeout: a number above 0 is expected; got -1",
        r"workers: a whole number from 1 on is expected; got 2\.5",
    ):
        assert any(re.search(reason, line) for line in said), (reason, said)
    assert len(said) == 9
    assert user.clusters() == []


INTERRUPTED = """
import signal, swotvre
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that started the tests may have it ignored
try:
    swotvre.cluster(workers=1)
except KeyboardInterrupt as error:
    print("said:", error)
"""


@pytest.mark.parametrize("moment", ["asking for it", "comes up", "1 worker"])
def test_interrupt_while_it_waits_ends_the_cluster_and_says_so(user: User, moment: str) -> None:
    process = user.start(INTERRUPTED)
    assert process.stdout is not None
    for line in process.stdout:
        if moment in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "said: interrupted; no cluster is left" in out, f"{out}\n{err}"
    assert "Traceback" not in err, err
    assert user.clusters() == []


def said(code: str) -> str:
    return (
        "import swotvre\n"
        f"try:\n    {code}\n"
        "except swotvre.ClusterError as error:\n    print(type(error).__name__, error)\n"
    )


@pytest.mark.parametrize("code", ["swotvre.cluster(workers=1)", "swotvre.clusters()"])
def test_session_without_a_gateway_is_told_so(user: User, code: str) -> None:
    environment = {name: value for name, value in user.environment.items() if not name.startswith("DASK_")}
    stranger = User("nobody", None, user.state, user.kernel, environment=environment)
    assert "NoGatewayError this session knows of no Dask Gateway" in stranger.run(said(code))


def test_gateway_that_does_not_answer_is_named_with_its_address(user: User, free_port: int) -> None:
    out = user.run(said("swotvre.cluster(workers=1)"), DASK_GATEWAY__ADDRESS=f"http://127.0.0.1:{free_port}/gateway")
    assert f"GatewayUnreachableError Dask Gateway at http://127.0.0.1:{free_port}/gateway does not answer" in out


@pytest.mark.parametrize("code", ["swotvre.cluster(workers=1)", "swotvre.clusters()"])
def test_token_that_the_hub_forgot_is_told_in_words(user: User, code: str) -> None:
    (token,) = user.hub.api.get(f"/users/{user.name}/tokens").json()["api_tokens"]
    assert user.hub.api.delete(f"/users/{user.name}/tokens/{token['id']}").status_code == 204
    out = user.run(said(code))
    assert "NotLetInError" in out
    assert "stop the session and start it again" in out


@pytest.mark.parametrize(
    ("running", "asked", "reason"),
    [
        (("swot-ocean", "2026.11"), "swot-hydro", "workers of the kernel 'swot-hydro' were asked for"),
    ],
)
def test_other_kernel_than_the_running_one_is_refused_before_anything_is_submitted(
    user: User, running: tuple[str, str], asked: str, reason: str
) -> None:
    name, version = running
    out = user.run(
        said(f"swotvre.cluster(workers=1, kernel={asked!r})"), SWOTVRE_KERNEL=name, SWOTVRE_KERNEL_VERSION=version
    )
    assert f"KernelMismatchError {reason}" in out
    assert "asking for it" not in out
    assert user.clusters() == []


DIES = """
import os, swotvre
with swotvre.cluster(workers=2) as cluster:
    def square(i):
        # One worker dies at once, in the middle of the work.
        import os, time
        from distributed import get_worker
        marker = "{marker}"
        if i == 7 and not os.path.exists(marker):
            open(marker, "w").close()
            os._exit(1)
        time.sleep(0.01)
        return i * i
    print(sum(cluster.client.gather(cluster.client.map(square, range(100)))))
"""


def test_worker_that_dies_in_the_middle_costs_nothing_of_the_result(user: User, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    assert user.run(DIES.format(marker=marker)).splitlines()[-1] == str(sum(i * i for i in range(100)))
    assert marker.exists()


TABLE = """
import swotvre
table = swotvre.clusters()
print(table._repr_html_())
for what in ("stop", "connect"):
    try:
        getattr(table, what)("NAME")
    except swotvre.ClusterError as error:
        print(error)
"""
KEPT = """
import os, swotvre
cluster = swotvre.cluster(workers=1)
cluster.client.publish_dataset(answer=42)
print(cluster.name, flush=True)
os._exit(0)
"""


def test_cluster_of_a_dead_kernel_is_found_again_and_is_its_owners_alone(user: User, hub, state: State) -> None:
    name = user.run(KEPT).splitlines()[-1]
    code = (
        f"import swotvre; cluster = swotvre.clusters().connect({name!r}); print(cluster.client.get_dataset('answer'))"
    )
    assert user.run(code).splitlines()[-1] == "42"
    # The second kernel was a guest: it ended, the cluster did not.
    assert user.clusters() == [name]
    stranger = f"user-{secrets.token_hex(4)}"
    assert hub.api.post(f"/users/{stranger}").status_code == 201
    token = hub.api.post(f"/users/{stranger}/tokens", json={"note": "test"}).json()["token"]
    said = user.run(TABLE.replace("NAME", name), JUPYTERHUB_API_TOKEN=token)
    assert "no Dask cluster waits or runs" in said
    assert said.count("no such cluster") == 2
    assert "<table>" in user.run(TABLE)


@pytest.fixture
def notebook(user: User) -> Iterator[Notebook]:
    """Return a kernel, as JupyterLab starts it."""
    manager = KernelManager()
    argv = [str(user.kernel), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=argv, env=user.environment)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@dataclass
class Notebook:
    """A running kernel, and what a cell of it shows."""

    manager: KernelManager
    client: BlockingKernelClient

    def run(self, code: str, interrupt_at: str = "") -> list[tuple[str, dict[str, Any]]]:
        """Run a cell; return its outputs as they came. Interrupt it when the text of one holds ``interrupt_at``."""
        message_id = self.client.execute(code)
        outputs = []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != message_id:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                return outputs
            if kind in {"stream", "display_data", "update_display_data", "execute_result", "error"}:
                outputs.append((kind, content))
            if interrupt_at and interrupt_at in str(content.get("data")):
                self.manager.interrupt_kernel()
                interrupt_at = ""


def test_notebook_shows_one_output_that_is_replaced_and_ends_with_the_dashboard(notebook: Notebook) -> None:
    outputs = notebook.run("import swotvre; cluster = swotvre.cluster(workers=1)")
    kinds = [kind for kind, _ in outputs]
    assert kinds == ["display_data", *["update_display_data"] * (len(outputs) - 1)], outputs
    assert len({content["transient"]["display_id"] for _, content in outputs}) == 1
    last = outputs[-1][1]["data"]
    assert "1 worker of size tiny, 1 core" in last["text/plain"]
    assert re.search(
        r'<a href="/services/dask-gateway/clusters/[0-9a-f]{32}/status" target="_blank">', last["text/html"]
    )
    # No two in a row are the same: nothing flickers.
    texts = [content["data"]["text/html"] for _, content in outputs]
    assert all(one != other for one, other in pairwise(texts))
    ((kind, shown),) = notebook.run("cluster.client.submit(sum, [1, 2]).result()")
    assert (kind, shown["data"]["text/plain"]) == ("execute_result", "3")
    assert notebook.run("cluster.close()") == []


def test_stop_button_of_a_notebook_ends_the_start_and_later_cells_still_work(notebook: Notebook, user: User) -> None:
    *_, (kind, error) = notebook.run("import swotvre; swotvre.cluster(workers=2)", interrupt_at="starting")
    assert kind == "error"
    assert error["traceback"] == ["ClusterInterrupted: interrupted; no cluster is left"]
    assert user.clusters() == []
    ((_, shown),) = notebook.run("1 + 1")
    assert shown["data"]["text/plain"] == "2"


SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import swotvre")
shell.run_cell("swotvre.cluster(workers=1, size='tini')")
"""


def test_refusal_is_shown_by_ipython_without_a_traceback(user: User) -> None:
    out = user.run(SHELL)
    assert "ClusterRefusedError: unknown session size 'tini'" in out
    assert "Traceback" not in out
    assert "site_gateway.py" not in out


def test_cluster_ends_with_its_kernel_also_where_the_gateway_has_a_name(user: User) -> None:
    address = user.environment["DASK_GATEWAY__ADDRESS"].replace("127.0.0.1", "localhost")
    out = user.run("import swotvre; cluster = swotvre.cluster(workers=1)", DASK_GATEWAY__ADDRESS=address)
    assert "1 worker of size tiny" in out
    assert user.clusters() == []


def test_nothing_is_left_on_the_machine_when_clusters_are_closed(user: User, state: State) -> None:
    user.run("import swotvre; swotvre.cluster(workers=1).close()")
    deadline = time.monotonic() + 20
    while left := list(find_processes(state, [CLUSTER_ROLE])):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
