"""The daemons of a real Slurm on this machine, without systemd: munged, slurmctld, and a slurmd for each host.

Everything lies in one folder, munge's key and socket included, so that a Slurm or munge of the machine is no matter.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from cluster import NodeSize, wait_until
from node_network import Host, Launcher, NodeNetwork

from swotvre_hub.cgroups import end_cgroup

COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "sacct", "srun")
CGROUPS = Path("/sys/fs/cgroup")
CONFIGURATION = """\
ClusterName=vre
SlurmctldHost=localhost({hub_address})
SlurmctldPort={port}
SlurmUser=slurm
CommunicationParameters=NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.txt
MpiDefault=none
# Memory is enforced by cgroups; each node poses as larger than this machine.
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=500
# What a site says after minutes is said after seconds.
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=2,bf_interval=2
KillWait=5
SlurmdTimeout=10
MessageTimeout=5
InactiveLimit=0
MinJobAge=300
EnforcePartLimits=ALL
JobRequeue=0
ReturnToService=2
{nodes}
PartitionName=workq Nodes=ALL Default=YES MaxTime=2-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=short Nodes=ALL MaxTime=00:30:00 DefaultTime=00:10:00 State=UP
PartitionName=closed Nodes=ALL MaxTime=2-00:00:00 State=INACTIVE
"""
CGROUP_CONFIGURATION = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
AllowedSwapSpace=0
"""


class SlurmDaemons:
    """The daemons, by name: ``munged``, ``slurmctld``, and a ``slurmd`` by the name of its host."""

    def __init__(self, folder: Path, network: NodeNetwork, launcher: Launcher) -> None:
        self.folder = folder
        self.commands = folder / "bin"
        self._configuration = folder / "slurm.conf"
        self._network = network
        self._launcher = launcher
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def configure(self, node: NodeSize) -> None:
        """Write everything that the daemons and the commands read."""
        for name, owner in (("bin", 0), ("log", "slurm"), ("run", "slurm"), ("state", "slurm"), ("munge", "munge")):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o755)
            shutil.chown(self.folder / name, owner)
        size = f"CPUs={node.cores} RealMemory={node.memory_gib * 1024}"
        hosts = [f"NodeName={h.name} NodeHostname={h.name} NodeAddr={h.address} {size}" for h in self._network.hosts]
        text = CONFIGURATION.format(
            folder=self.folder,
            hub_address=self._network.hub_address,
            port=_free_port(self._network.hub_address),
            nodes="\n".join(hosts),
        )
        self._configuration.write_text(text, encoding="utf-8")
        (self.folder / "cgroup.conf").write_text(CGROUP_CONFIGURATION, encoding="utf-8")
        for command in COMMANDS:
            script = self.commands / command
            script.write_text(f'#!/bin/sh\nexport SLURM_CONF={self._configuration}\nexec /usr/bin/{command} "$@"\n')
            script.chmod(0o755)

    def start_munge(self) -> None:
        """Start munged, with a key of its own."""
        own = self.folder / "munge"
        (own / "key").write_bytes(os.urandom(128))
        (own / "key").chmod(0o400)
        shutil.chown(own / "key", "munge", "munge")
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={own / name}" for option, name in files.items()]
        self._start("munged", [*_as_user("munge"), "munged", "--foreground", *options])
        wait_until((own / "socket").exists, "munged to listen", 20, self.tail)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._start("slurmctld", [*_as_user("slurm"), "slurmctld", "-D", "-f", str(self._configuration)])
        wait_until(self._answers, "slurmctld to answer", 30, self.tail)

    def start_node(self, host: Host) -> None:
        """Start the slurmd of ``host``."""
        self._clear_cgroups(host.name)
        daemon = ["setpriv", "--pdeathsig", "KILL", "slurmd", "-D", "-N", host.name, "-f", str(self._configuration)]
        self._start(host.name, [*host.enter(), *daemon])

    def end(self, name: str) -> None:
        """End the daemon ``name``, when it runs."""
        daemon = self._running.pop(name, None)
        if daemon is None:
            return
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def end_all(self) -> None:
        """End every daemon and remove what they leave in the file system of the cgroups."""
        for name in reversed(self._running.copy()):
            self.end(name)
        for host in self._network.hosts:
            host.kill_all()
            self._clear_cgroups(host.name)

    @property
    def controller_runs(self) -> bool:
        """Whether slurmctld was started and has not ended."""
        return "slurmctld" in self._running and self._running["slurmctld"].poll() is None

    def ask(self, command: str, *arguments: str) -> str:
        """Return what one of Slurm's commands prints, run as root."""
        done = subprocess.run(
            [str(self.commands / command), *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"{command} {' '.join(arguments)} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def tail(self) -> str:
        """Return the last lines of every log."""
        texts = (file.read_text(errors="replace").splitlines() for file in sorted((self.folder / "log").iterdir()))
        return "\n".join(line for lines in texts for line in lines[-15:])

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as sink:
            self._running[name] = self._launcher.start(command, sink, {"SLURM_CONF": str(self._configuration)})

    def _answers(self) -> bool:
        assert self.controller_runs, f"slurmctld ended:\n{self.tail()}"
        with suppress(AssertionError):
            return "is UP" in self.ask("scontrol", "ping")
        return False

    def _clear_cgroups(self, name: str) -> None:
        """Kill what is left in the cgroups of node ``name`` and remove them; the names are this cluster's alone."""
        for root in CGROUPS.glob(f"*/slurm_{name}"):
            for folder in sorted((root, *(path for path in root.rglob("*") if path.is_dir())), reverse=True):
                end_cgroup(folder)


def _as_user(name: str) -> list[str]:
    return ["setpriv", "--reuid", name, "--regid", name, "--clear-groups", "--pdeathsig", "KILL"]


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
