"""Memory limits by cgroup, version 1 or 2, where the machine lets this account make one.

Whether it does is found out by trying, once: a cgroup is made, limited, and a process moved into it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swotvre_hub.errors import VreError

MOUNT = Path("/sys/fs/cgroup")
PREFIX = "swotvre-"


class CgroupError(VreError):
    """No memory cgroup can be made here."""


@dataclass(frozen=True)
class MemoryCgroups:
    """A place below which memory cgroups can be made."""

    #: The parent folder in the cgroup file system.
    parent: Path
    #: 1 or 2.
    version: int

    def create(self, name: str, memory_bytes: int) -> Path:
        """Make a cgroup whose processes together use at most ``memory_bytes``, swap included; return its folder.

        Raises:
            CgroupError: when the kernel refuses.
        """
        folder = self.parent / f"{PREFIX}{name}"
        try:
            if self.version == 2:
                _enable_memory(self.parent)
            folder.mkdir()
            for file, value in self._limits(memory_bytes):
                path = folder / file
                if path.exists():
                    path.write_text(str(value), encoding="ascii")
                elif file in {"memory.max", "memory.limit_in_bytes"}:
                    raise FileNotFoundError(2, "the memory controller is not enabled here", str(path))
        except OSError as error:
            remove_cgroup(folder)
            raise CgroupError(f"no memory cgroup can be made in {self.parent}: {error.strerror or error}") from error
        return folder

    def _limits(self, memory_bytes: int) -> list[tuple[str, int]]:
        if self.version == 2:
            return [("memory.max", memory_bytes), ("memory.swap.max", 0), ("memory.oom.group", 0)]
        return [("memory.limit_in_bytes", memory_bytes), ("memory.memsw.limit_in_bytes", memory_bytes)]

    def try_out(self) -> None:
        """Make a cgroup, move a process into it, and remove it.

        Raises:
            CgroupError: when any of it fails.
        """
        folder = self.create(f"probe-{os.getpid()}-{time.monotonic_ns()}", 64 * 2**20)
        process = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
        try:
            (folder / "cgroup.procs").write_text(str(process.pid), encoding="ascii")
        except OSError as error:
            raise CgroupError(f"no process can be moved into {folder}: {error.strerror}") from error
        finally:
            process.kill()
            process.wait()
            remove_cgroup(folder)


def find_memory_cgroups(own_cgroups: str | None = None, mount: Path = MOUNT) -> MemoryCgroups:
    """Return where this account can make memory cgroups.

    Args:
        own_cgroups: the text of ``/proc/PID/cgroup`` of the process whose children are to be limited.
        mount: where the cgroup file systems are mounted.

    Raises:
        CgroupError: with the reason why nowhere.
    """
    text = Path("/proc/self/cgroup").read_text(encoding="utf-8") if own_cgroups is None else own_cgroups
    reasons = []
    for place in candidates(text, mount):
        try:
            place.try_out()
        except CgroupError as error:
            reasons.append(str(error))
        else:
            return place
    raise CgroupError(reasons[0] if reasons else f"this account may write no memory cgroup below {mount}")


def candidates(own_cgroups: str, mount: Path) -> Iterator[MemoryCgroups]:
    """Yield the places to try: this process's own cgroup and those above it, nearest first."""
    paths = {}
    for line in own_cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    if "memory" in paths and (mount / "memory").is_dir():
        yield from (MemoryCgroups(folder, 1) for folder in _upwards(mount / "memory", paths["memory"]))
    elif (mount / "cgroup.controllers").exists():
        yield from (MemoryCgroups(folder, 2) for folder in _upwards(mount, paths.get("", "/")))


def _upwards(root: Path, path: str) -> Iterable[Path]:
    own = root / path.lstrip("/")
    for folder in (own, *own.parents):
        if folder.is_dir() and folder.is_relative_to(root) and os.access(folder, os.W_OK):
            yield folder


def end_cgroup(folder: Path, patience_seconds: float = 5.0) -> None:
    """Kill every process of the cgroup and remove it; nothing happens when it is gone."""
    deadline = time.monotonic() + patience_seconds
    while folder.is_dir() and time.monotonic() < deadline:
        with suppress(OSError, ValueError):
            for pid in (folder / "cgroup.procs").read_text(encoding="ascii").split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        if remove_cgroup(folder):
            return
        time.sleep(0.02)


def remove_cgroup(folder: Path) -> bool:
    """Remove an empty cgroup; return whether it is gone."""
    with suppress(OSError):
        folder.rmdir()
    return not folder.is_dir()


def _enable_memory(parent: Path) -> None:
    """Let the children of ``parent`` limit memory (version 2)."""
    control = parent / "cgroup.subtree_control"
    if "memory" not in control.read_text(encoding="ascii").split():
        control.write_text("+memory", encoding="ascii")


def scope_command() -> list[str]:
    """Return the command that starts a program in a cgroup of its own by the user's systemd; empty: none can."""
    command = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--"]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return command if tried.returncode == 0 else []


def cgroups_of_scope(pid: int) -> MemoryCgroups:
    """Return the cgroups below the scope that process ``pid`` was started in by ``scope_command``.

    The process moves into a leaf of its own: a version 2 cgroup that holds processes cannot limit its children.

    Raises:
        CgroupError: when the scope does not let us.
    """
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
        scope = MOUNT / text.strip().splitlines()[-1].split(":", 2)[2].lstrip("/")
        if not scope.name.endswith(".scope"):
            raise CgroupError(f"process {pid} is in {scope}; expected a scope of systemd")
        leaf = scope / "starter"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(pid), encoding="ascii")
    except OSError as error:
        raise CgroupError(f"the scope of process {pid} is not ours: {error.strerror or error}") from error
    place = MemoryCgroups(scope, 2)
    remove_cgroup(place.create("probe", 64 * 2**20))
    return place
