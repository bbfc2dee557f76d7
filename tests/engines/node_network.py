"""Hosts on one machine: a network and a UTS namespace for each, joined by a bridge, with names in ``/etc/hosts``.

Everything of one network bears its number, which the kernel gives to one process alone: the name of the bridge.
A namespace lives as long as its holder, a sleeping process that dies with the process that started it; what else a
killed run leaves behind, the bridge and the lines in ``/etc/hosts``, the next run removes.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HOSTS = Path("/etc/hosts")
MARK = "# swot-vre tests"


class ClusterUnavailableError(Exception):
    """No cluster can be started on this machine; the message says why, for ``pytest.skip``."""


class Launcher:
    """Starts programs that die with this process, however it ends: ``setpriv --pdeathsig KILL``.

    The kernel counts the death of the *thread* that started them, hence one thread that starts them all.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")

    def start(
        self, command: Sequence[str], output: int | IO[bytes], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start ``command``, with ``PATH`` and nothing else of the environment of the tests."""
        return self._thread.submit(
            subprocess.Popen,
            command,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).result()

    def close(self) -> None:
        """End the thread; nothing that it started may still be needed."""
        self._thread.shutdown()


@dataclass(frozen=True)
class Host:
    """One host: its namespaces, held by a process."""

    name: str
    address: str
    holder: subprocess.Popen[bytes]

    def enter(self) -> list[str]:
        """Return the beginning of a command that runs in this host; files and cgroups stay those of the machine."""
        pid = self.holder.pid
        return ["nsenter", f"--net=/proc/{pid}/ns/net", f"--uts=/proc/{pid}/ns/uts"]

    def processes(self) -> set[int]:
        """Return the processes in this host, but for its holder."""
        own, found = Path(f"/proc/{self.holder.pid}/ns/net").readlink(), set()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "ns" / "net").readlink() == own:
                    found.add(int(folder.name))
        return found - {self.holder.pid}

    def kill_all(self) -> None:
        """Kill every process in this host, but for its holder, children started meanwhile included."""
        while pids := {pid for pid in self.processes() if not _is_zombie(pid)}:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class NodeNetwork:
    """A bridge that has the hub's address, and the hosts on it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.bridge = f"vrebr{number}"
        self.hub_name = f"vre{number}-hub.test"
        self.hub_address = f"10.77.{number}.254"
        self.hosts: list[Host] = []

    @classmethod
    def start(cls, names: Sequence[str], launcher: Launcher) -> NodeNetwork:
        """Make a network with a host for each of ``names``; the host's own name is that, after the network's number.

        Raises:
            ClusterUnavailableError: when the kernel does not let us.
        """
        _remove_leftovers()
        network = cls._claim()
        try:
            _ip("link", "set", network.bridge, "alias", f"{MARK} {os.getpid()}")
            _ip("address", "add", f"{network.hub_address}/24", "dev", network.bridge)
            _ip("link", "set", network.bridge, "up")
            for place, name in enumerate(names, start=1):
                network._add_host(place, name, launcher)
            pairs = [(network.hub_address, network.hub_name), *((host.address, host.name) for host in network.hosts)]
            _write_hosts(network.number, [f"{address}\t{name}" for address, name in pairs])
        except BaseException:
            network.stop()
            raise
        return network

    @classmethod
    def _claim(cls) -> NodeNetwork:
        for number in range(1, 255):
            taken = subprocess.run(
                ["ip", "address", "show", "to", f"10.77.{number}.0/24"], capture_output=True, check=False
            )
            with suppress(FileExistsError):
                if not taken.stdout:
                    _ip("link", "add", f"vrebr{number}", "type", "bridge")
                    return cls(number)
        raise ClusterUnavailableError("no subnet of 10.77.0.0/16 is free on this machine")

    def _add_host(self, place: int, name: str, launcher: Launcher) -> None:
        full_name, address = f"vre{self.number}-{name}", f"10.77.{self.number}.{place}"
        script = 'hostname "$0" && ip link set lo up && echo ready && exec sleep infinity'
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--uts", "sh", "-c", script, full_name]
        holder = launcher.start(command, subprocess.PIPE)
        host = Host(full_name, address, holder)
        self.hosts.append(host)
        assert holder.stdout is not None
        with holder.stdout as output:
            said = output.readline().decode(errors="replace").strip()
        if said != "ready":
            raise ClusterUnavailableError(f"no network and UTS namespace can be made: {said}")
        outside = f"vre{self.number}n{place}"
        # That of a killed run lives as long as a job in its namespace.
        subprocess.run(["ip", "link", "delete", outside], check=False, capture_output=True)
        _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        _ip("link", "set", outside, "master", self.bridge, "up")
        for arguments in (["address", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            subprocess.run([*host.enter(), "ip", *arguments], check=True)

    def stop(self) -> None:
        """Kill everything in the hosts and remove the network."""
        for host in self.hosts:
            if host.holder.poll() is None:
                host.kill_all()
                host.holder.kill()
            host.holder.wait()
        self.hosts.clear()
        _write_hosts(self.number, [])
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if "File exists" in done.stderr:
        raise FileExistsError(done.stderr)
    raise ClusterUnavailableError(f"'ip {' '.join(arguments)}' failed: {done.stderr.strip()}")


def _remove_leftovers() -> None:
    """Remove the bridges of runs that are over, with their names."""
    shown = subprocess.run(["ip", "-json", "link", "show", "type", "bridge"], capture_output=True, check=False)
    for link in json.loads(shown.stdout or "[]"):
        mark, _, pid = link.get("ifalias", "").rpartition(" ")
        if mark == MARK and not Path("/proc", pid).exists():
            subprocess.run(["ip", "link", "delete", link["ifname"]], check=False, capture_output=True)
            _write_hosts(int(link["ifname"].removeprefix("vrebr")), [])


def _write_hosts(number: int, lines: Sequence[str]) -> None:
    """Replace this network's lines in ``/etc/hosts``, in place: it may be a mount."""
    ending = f" {MARK} {number}"
    with HOSTS.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        old = file.read()
        kept = [line for line in old.splitlines() if not line.endswith(ending)]
        new = "".join(f"{line}\n" for line in [*kept, *(f"{line}{ending}" for line in lines)])
        if new != old:
            file.seek(0)
            file.write(new)
            file.truncate()
