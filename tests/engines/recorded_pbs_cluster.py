"""A recorded PBS of two nodes on this machine: the stand-in of `recorded_pbs`, started and stopped by the tests.

Its jobs are real processes of their owners. As an ordinary account it works too; all jobs are then that account's.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster import PATIENCE, NodeSize, ensure_accounts
from recorded_pbs import client, hosts, wire
from recorded_pbs.folders import Folders
from recorded_pbs.site import PBS_VERSION, SERVER_NAME, NodeSettings, Queue, Site, usual_queues

COMMANDS = ("qsub", "qstat", "qdel", "qselect", "pbsnodes")
#: Debian's Python, or whichever the system has, without its site-packages; every account can run it.
CLIENT_PYTHON = "/usr/bin/python3"
#: Whose jobs fill the cluster where the tests are root's.
_FILLING_ACCOUNT = "nobody"
_START_SECONDS = 20.0 * PATIENCE
#: A job for which a node has room runs within this time.
_PLACING_SECONDS = 2.0


class RecordedPbsCluster:
    """The stand-in for OpenPBS; a `BatchCluster`."""

    title = "recorded PBS"
    is_real = False
    engine = "pbs"
    hub_address = "127.0.0.1"
    server_name = SERVER_NAME
    queue, short_queue, closed_queue = "workq", "short", "closed"
    #: For one that has no start, and for one that nobody of the tests may use.
    stopped_queue, restricted_queue = "stopped", "restricted"

    def __init__(self, folder: Path, site: Site, node: NodeSize, note: str) -> None:
        self.node = node
        self.node_names = tuple(each.name for each in site.nodes)
        self.enforces_memory = bool(site.memory_enforced_by)
        self.environment: dict[str, str] = {}
        #: What is not as it would be on a site, in words; empty for nothing.
        self.note = note
        self._folders = Folders(folder)
        self.commands = self._folders.commands
        self._mom = self._daemon("mom")
        self._server = self._daemon("server")

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        nodes: int = 2,
        node: NodeSize = NodeSize(),  # noqa: B008  # frozen
        queues: Sequence[Queue] | None = None,
        **behaviour: Any,
    ) -> RecordedPbsCluster:
        """Start a cluster in ``folder``, which is opened to everybody, and return it when it answers.

        Args:
            folder: a short path that every account can enter, unlike those of pytest.
            nodes: how many nodes there are.
            node: what each of them poses as.
            queues: other queues than the usual ones; the first is the default.
            behaviour: further fields of `Site`, such as ``memory_enforced_by`` and ``virtual_jobs``.
        """
        folders = Folders(folder)
        folders.make()
        is_root = os.geteuid() == 0
        if is_root:
            ensure_accounts()
        names = ["vre-node1.example", *(f"vre-node{number}" for number in range(2, nodes + 1))]
        note = ""
        if not hosts.add_names(names, folder):
            note = "/etc/hosts cannot be written: the nodes have names that mean this machine anyway"
            names = ["localhost", *(f"127.0.0.{number}" for number in range(1, nodes))]
        site = Site(
            nodes=tuple(NodeSettings(name, node.cores, node.memory_gib * 1024**2) for name in names),
            queues=tuple(queues or usual_queues()),
            single_account="" if is_root else pwd.getpwuid(os.geteuid()).pw_name,
            **({"node_fail_requeue": 3.0} | behaviour),
        )
        site.save(folders.site)
        _write_commands(folders)
        cluster = cls(folder, site, node, note)
        try:
            cluster._wait(cluster._answers, "answer")
        except BaseException:
            cluster.stop()
            raise
        return cluster

    # --- the protocol ---

    @contextmanager
    def filled(self) -> Iterator[str]:
        """Have another account's jobs take all free cores for as long as the context lasts; yield the id of one."""
        ids: list[str] = []
        try:
            self._wait(lambda: self._fill(ids), "run the jobs that fill it")
            yield ids[0] if ids else ""
        finally:
            self._control("delete", job_ids=ids)
            self._wait(lambda: not self.live_jobs() & set(ids), "end the jobs that filled it")

    @contextmanager
    def scheduler_down(self) -> Iterator[None]:
        """Kill the server for as long as the context lasts; the mom and its jobs go on."""
        _end(self._server, kill=True)
        try:
            yield
        finally:
            self._server = self._daemon("server")
            self._wait(self._answers, "answer again")

    @contextmanager
    def node_lost(self, name: str) -> Iterator[None]:
        """Have a node die with everything on it; its jobs stay R until ``node_fail_requeue`` is over, as PBS' do."""
        self._control("node_down", name=name)
        try:
            yield
        finally:
            self._control("node_up", name=name)

    def live_jobs(self) -> set[str]:
        """Return the ids of all jobs that wait or run, without the ten thousand of `fault_other_jobs`."""
        return set(self._control("live_jobs"))

    def kill_session_on_node(self, job_id: str) -> None:
        """Kill the job's processes, as a crash would; the mom lives and tells the server."""
        self._control("kill", job_id=job_id)

    def stop(self) -> None:
        """End the daemons, and with the mom every process of every job and the nodes' names."""
        _end(self._server)
        _end(self._mom)

    # --- faults; those that are contexts last as long as the context ---

    @contextmanager
    def fault_truncated(self, *commands: str) -> Iterator[None]:
        """Cut answers in half."""
        yield from self._fault("truncated", commands)

    @contextmanager
    def fault_changed_types(self, *commands: str) -> Iterator[None]:
        """Give numbers as text, text as numbers, a comment as a list."""
        yield from self._fault("types", commands)

    @contextmanager
    def fault_garbage(self, *commands: str) -> Iterator[None]:
        """Print bytes that are no text in place of the answer; what was asked for is done."""
        yield from self._fault("garbage", commands)

    @contextmanager
    def fault_hang(self, seconds: float, *commands: str) -> Iterator[None]:
        """Have commands wait before they are answered."""
        yield from self._fault("hang", commands, seconds)

    @contextmanager
    def fault_no_estimate(self, *commands: str) -> Iterator[None]:
        """Leave ``estimated`` out."""
        yield from self._fault("no_estimate", commands)

    @contextmanager
    def fault_clock_jump(self, seconds: float) -> Iterator[None]:
        """Have the server's clock be wrong."""
        self._control("clock_offset", seconds=seconds)
        try:
            yield
        finally:
            self._control("clock_offset", seconds=0)

    @contextmanager
    def fault_other_jobs(self, count: int = 10_000, *, state: str = "Q", owner: str = "somebody") -> Iterator[None]:
        """Have jobs of another account that are in every list, and nowhere else."""
        self._control("fakes", count=count, state=state, owner=owner)
        try:
            yield
        finally:
            self._control("fakes", count=0, state=state, owner=owner)

    def fault_forget_job(self, job_id: str) -> None:
        """Have a job's history purged; its processes, if there are any, go on."""
        self._control("forget", job_id=job_id)

    def fault_lose_job(self, job_id: str) -> None:
        """Have a job vanish: its processes are gone and its id is unknown."""
        self._control("lose", job_id=job_id)

    # --- what a benchmark asks ---

    def commands_asked(self) -> Counter[tuple[str, int]]:
        """Return how often each command was asked in each second of the clock, since the server started."""
        return Counter({(name, second): count for name, second, count in self._control("asked")})

    def job_states(self) -> dict[str, str]:
        """Return the state of every job, the finished included, without a command being counted."""
        return dict(self._control("states"))

    # --- inside ---

    def _fault(self, name: str, commands: tuple[str, ...], seconds: float = 0) -> Iterator[None]:
        self._control("set_fault", name=name, commands=list(commands or COMMANDS), seconds=seconds)
        try:
            yield
        finally:
            self._control("clear_fault", name=name)

    def _fill(self, ids: list[str]) -> bool:
        """Submit jobs for the cores that are free now; return whether none is, and none will be in a moment.

        A job that still waits after a moment lost its cores to another one: it is deleted, the next look counts anew.
        """
        nodes = json.loads(self._ask("pbsnodes", "-a", "-F", "json"))["nodes"]
        free = {
            name: page["resources_available"]["ncpus"] - page["resources_assigned"].get("ncpus", 0)
            for name, page in nodes.items()
            if page["state"] != "down"
        }
        new = [self._submit_filling(f"select=1:ncpus={cores}:host={name}") for name, cores in free.items() if cores]
        ids += new
        until = time.monotonic() + _PLACING_SECONDS
        while (waiting := [each for each in new if self.job_states().get(each) != "R"]) and time.monotonic() < until:
            time.sleep(0.02)
        if waiting:
            self._control("delete", job_ids=waiting)
        return not new and "E" not in self.job_states().values()

    def _submit_filling(self, select: str) -> str:
        """Submit a job that holds its cores, as another account where that is possible."""
        account = {"user": _FILLING_ACCOUNT, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        submitted = subprocess.run(
            [self.commands / "qsub", "-N", "filling", "-k", "oed", "-o", "/dev/null", "-j", "oe",
             "-l", select, "-l", "walltime=24:00:00"],
            input="exec sleep infinity\n", text=True, capture_output=True, check=True, cwd="/", **account,
        )  # fmt: skip
        return submitted.stdout.strip()

    def _answers(self) -> bool:
        for process in (self._mom, self._server):
            if process.poll() is not None:
                raise RuntimeError(f"the stand-in for PBS ended:\n{self._log()}")
        try:
            self._control("live_jobs")
        except OSError:
            return False
        return True

    def _log(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folders.private.glob("*.log")))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"the stand-in for PBS did not {what} in {_START_SECONDS:.0f} s:\n{self._log()}")
            time.sleep(0.02)

    def _control(self, request: str, **parameters: object) -> Any:
        return json.loads(self._ask("control", request, json.dumps(parameters)))

    def _ask(self, command: str, *arguments: str) -> str:
        call = wire.Call(command, "/", list(arguments), {}, b"")
        code, stdout, stderr = wire.ask(self._folders.server_socket, call)
        if code or stderr or not stdout:
            raise RuntimeError(f"{command} {' '.join(arguments)}: {stderr.decode()}\n{self._log()}")
        return stdout.decode()

    def _daemon(self, name: str) -> subprocess.Popen[bytes]:
        """Start a daemon, which ends when this process does: its standard input is a pipe from here."""
        with (self._folders.private / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"recorded_pbs.{name}", str(self._folders.root)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={"PYTHONPATH": str(Path(__file__).parent), "PATH": "/usr/local/bin:/usr/bin:/bin"},
                cwd="/",
            )


def _end(process: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    if kill:
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def _write_commands(folders: Folders) -> None:
    """Copy the client once for each command, where every account can run it."""
    text = Path(client.__file__).read_text()
    for placeholder, value in (
        ("@SOCKET@", str(folders.server_socket)), ("@SERVER@", SERVER_NAME), ("@VERSION@", PBS_VERSION),
    ):  # fmt: skip
        text = text.replace(placeholder, value)
    for name in COMMANDS:
        path = folders.commands / name
        path.write_text(f"#!{CLIENT_PYTHON} -ISE\n{text}")
        path.chmod(0o755)
