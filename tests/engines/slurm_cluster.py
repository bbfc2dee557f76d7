"""A real Slurm of two nodes on this machine; everything of it lies in one folder.

Each node is a host of its own (`node_network`): its ``slurmd`` is entered by ``nsenter``, so that the cgroups stay
visible, and memory is enforced by them. A killed run leaves no daemon behind, and the next one removes the rest.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster import NodeSize, ensure_accounts, wait_until
from node_network import ClusterUnavailableError, Launcher, NodeNetwork
from slurm_daemons import CGROUPS, COMMANDS, SlurmDaemons

PROGRAMS = (*COMMANDS, "slurmctld", "slurmd", "munged", "ip", "nsenter", "setpriv", "unshare")


class SlurmCluster:
    """The real Slurm; a `BatchCluster`."""

    is_real = True
    engine = "slurm"
    node = NodeSize()
    queue, short_queue, closed_queue = "workq", "short", "closed"
    enforces_memory = True

    def __init__(self, folder: Path, title: str, network: NodeNetwork, launcher: Launcher) -> None:
        self.title = title
        self.environment: dict[str, str] = {}
        self.hub_address = network.hub_name
        self.node_names = tuple(host.name for host in network.hosts)
        self._network = network
        self._launcher = launcher
        self._daemons = SlurmDaemons(folder, network, launcher)
        self.commands = self._daemons.commands
        #: Run one of Slurm's commands as root and return what it prints.
        self.ask = self._daemons.ask

    @classmethod
    def start(cls, folder: Path) -> SlurmCluster:
        """Start a cluster in ``folder``, which everybody must be able to enter; return it when its nodes are idle.

        Raises:
            ClusterUnavailableError: when this machine cannot hold one; any other failure is a fault.
        """
        _ensure_possible(folder)
        ensure_accounts()
        version = subprocess.run(["slurmd", "-V"], check=True, capture_output=True, text=True).stdout.split()[-1]
        launcher = Launcher()
        try:
            network = NodeNetwork.start(["n1", "n2"], launcher)
        except BaseException:
            launcher.close()
            raise
        cluster = cls(folder, f"Slurm {version}", network, launcher)
        try:
            cluster._start()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def _start(self) -> None:
        self._daemons.configure(self.node)
        self._daemons.start_munge()
        self._daemons.start_controller()
        for host in self._network.hosts:
            self._daemons.start_node(host)
        self._wait_for_nodes(*self.node_names)

    @contextmanager
    def filled(self) -> Iterator[str]:
        """Have root's jobs take all cores of all nodes for as long as the context lasts."""
        jobs: list[str] = []
        # A job that is ending holds cores that are free a moment later.
        ending = ("squeue", "--noheader", "--all", "--states=COMPLETING", "--format=%i")
        wait_until(lambda: not self.ask(*ending).strip(), "ending jobs to be over", 30)
        try:
            idle = {name: int(self._node_field(name, "%C").split("/")[1]) for name in self.node_names}
            jobs.extend(self._submit_filler(name, cores) for name, cores in idle.items() if cores)
            assert jobs, "the cluster is full already"
            wait_until(lambda: all(self._state(job) == "RUNNING" for job in jobs), "the filling jobs to run", 30)
            yield jobs[0]
        finally:
            self._end_jobs(jobs)

    @contextmanager
    def scheduler_down(self) -> Iterator[None]:
        """Stop ``slurmctld`` for as long as the context lasts."""
        self._daemons.end("slurmctld")
        try:
            yield
        finally:
            self._daemons.start_controller()
            self._wait_for_nodes()

    @contextmanager
    def node_lost(self, name: str) -> Iterator[None]:
        """Kill everything on node ``name``, and have it back when the context ends."""
        host = next(host for host in self._network.hosts if host.name == name)
        try:
            host.kill_all()
            self._daemons.end(name)
            wait_until(lambda: self._node_field(name, "%T").startswith("down"), f"Slurm to miss {name}", 60)
            yield
        finally:
            self._daemons.start_node(host)
            self._wait_for_nodes(name)

    def live_jobs(self) -> set[str]:
        """Return the ids of all jobs that wait or run."""
        return set(self.ask("squeue", "--noheader", "--array", "--all", "--format=%i").split())

    def kill_session_on_node(self, job_id: str) -> None:
        """Kill the job's processes, but not Slurm's own that watches them."""
        for host in self._network.hosts:
            for pid in host.processes():
                with suppress(OSError):
                    is_of_job = f"/job_{job_id}/" in Path(f"/proc/{pid}/cgroup").read_text()
                    if is_of_job and Path(f"/proc/{pid}/comm").read_text().strip() != "slurmstepd":
                        os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the cluster and everything in it."""
        if self._daemons.controller_runs:
            # What does not end in time is killed with its node.
            with suppress(AssertionError):
                self._end_jobs(sorted(self.live_jobs()))
        self._daemons.end_all()
        self._network.stop()
        self._launcher.close()

    def _submit_filler(self, node: str, cores: int) -> str:
        options = ["--parsable", "--job-name=filler", "--mem=64M", f"--nodelist={node}", f"--cpus-per-task={cores}"]
        return self.ask("sbatch", *options, "--output=/dev/null", "--chdir=/", "--wrap=sleep 100000").strip()

    def _end_jobs(self, jobs: list[str]) -> None:
        if jobs:
            self.ask("scancel", *jobs)
            wait_until(lambda: self.live_jobs().isdisjoint(jobs), "cancelled jobs to end", 30)

    def _wait_for_nodes(self, *idle: str) -> None:
        """Wait until every node answers, and those of ``idle`` are idle."""

        def are_ready() -> bool:
            states = {name: self._node_field(name, "%T") for name in self.node_names}
            known = all(state != "unknown" and not state.endswith("*") for state in states.values())
            return known and all(states[name] == "idle" for name in idle)

        wait_until(are_ready, "the nodes to answer", 60, self._daemons.tail)

    def _node_field(self, name: str, field: str) -> str:
        # Not --nodes=NAME: asked for one node alone, slurmctld does not count its allocated cores anew.
        rows = self.ask("sinfo", "--noheader", "--Node", f"--partition={self.queue}", f"--format=%N {field}")
        return dict(row.split(maxsplit=1) for row in rows.splitlines())[name].strip()

    def _state(self, job_id: str) -> str:
        return self.ask("squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%T").strip()


def _ensure_possible(folder: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ClusterUnavailableError("a Slurm cluster needs Linux and root: munge, users and namespaces")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if missing := [program for program in PROGRAMS if shutil.which(program, path=path) is None]:
        raise ClusterUnavailableError(f"no {', '.join(missing)}: apt-get install slurm-wlm munge iproute2 util-linux")
    for account in ("slurm", "munge"):
        try:
            pwd.getpwnam(account)
        except KeyError:
            raise ClusterUnavailableError(f"no account {account}: apt-get install slurm-wlm munge") from None
    if not (CGROUPS / "memory" / "cgroup.procs").exists() or not (CGROUPS / "freezer").exists():
        raise ClusterUnavailableError(f"no cgroups of version 1 (memory, freezer) below {CGROUPS}")
    if closed := [str(place) for place in (folder, *folder.parents) if not place.stat().st_mode & 0o001]:
        raise ValueError(f"not everybody can enter {', '.join(closed)}; expected a folder outside of pytest's own")
