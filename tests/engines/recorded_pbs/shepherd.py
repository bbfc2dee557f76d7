"""What the mom does for one job: start it, watch its limits, end it, copy its output, and tell the server."""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from . import processes
from .folders import Folders
from .job import Usage

_PR_SET_CHILD_SUBREAPER = 36
#: Seconds between two looks at a job's memory, where it is limited.
_MEMORY_INTERVAL = 0.2
#: Seconds that the rest of a job has between SIGTERM and SIGKILL once its shell has ended.
_GRACE = 1.0
KILLED_FOR_WALLTIME, KILLED_FOR_MEMORY = -29, -27
#: SIGTERM ends the job, SIGUSR1 kills its processes as a crash would, SIGUSR2 everything, the report included.
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


@dataclass(frozen=True)
class Launch:
    """How one job is started and ended."""

    number: int
    job_id: str
    account: str
    uid: int
    home: str
    shell: str
    script: str
    environment: dict[str, str]
    nodes: list[str]
    umask: int
    #: Where standard output and error go at last; None for those that are joined into the other.
    output: str | None
    error: str | None
    #: Whether they are written there while the job runs, without a copy at its end.
    direct: bool
    walltime_seconds: int | None
    memory_kb: int | None
    memory_enforced_by: str
    kill_delay: float
    exiting: float
    usage_interval: float


def run(folders: Folders, launch: Launch) -> None:
    """Start the job, and return when it is over and its output delivered."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _Shepherd(folders, launch).run()


class _Shepherd:
    def __init__(self, folders: Folders, launch: Launch) -> None:
        self._folders = folders
        self._launch = launch
        self._usage = Usage()
        self._started = time.monotonic()
        self._deadline = float("inf")
        self._killed_for: int | None = None
        self._exit_status: int | None = None
        self._is_copied = {"output": not launch.direct, "error": not launch.direct}
        self._files: dict[str, int] = {}
        self._session = 0
        self._killed_pid = 0

    def run(self) -> None:
        self._prepare()
        self._session = os.fork()
        if self._session == 0:
            self._become_the_job()
        self._tell("started")
        if (walltime := self._launch.walltime_seconds) is not None:
            # Whole seconds are compared: one is over before the limit is exceeded.
            self._deadline = self._started + walltime + 1
        try:
            self._watch()
        except _NodeLost:
            processes.kill_below()
            return
        self._end_the_rest()
        self._measure()
        if self._usage.killed_for_memory:
            self._write(self._oom_message())
        self._tell("ended")
        self._deliver()

    def _prepare(self) -> None:
        """Write what the job needs, as its owner where it is the owner's."""
        launch = self._launch
        if os.geteuid() == 0:
            os.initgroups(launch.account, pwd.getpwuid(launch.uid).pw_gid)
        self._remove_files()
        self._own(self._spooled("SC"), launch.script, 0o700)
        self._own(self._spooled("nodes"), "".join(f"{node}\n" for node in launch.nodes), 0o644)
        temporary = self._spooled("tmp")
        temporary.mkdir()
        os.chown(temporary, launch.uid, -1)
        temporary.chmod(0o700)
        for stream, path in (("output", launch.output), ("error", launch.error)):
            if path is not None:
                self._files[stream] = self._open(stream, path)

    def _open(self, stream: str, path: str) -> int:
        """Open what a stream is written to: its place where that is wanted and possible, or the spool."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        if self._launch.direct:
            with suppress(OSError), self._as_owner():
                return os.open(self._delivered(path), flags, 0o666 & ~self._launch.umask)
            self._is_copied[stream] = True
        spooled = self._spooled(stream)
        descriptor = os.open(spooled, flags, 0o600)
        os.chown(spooled, self._launch.uid, -1)
        return descriptor

    def _become_the_job(self) -> None:
        """Run the script in a session of its own, as PBS does: by the login shell, with nothing to read."""
        launch = self._launch
        try:
            os.setsid()
            if os.geteuid() == 0:
                entry = pwd.getpwuid(launch.uid)
                os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
                os.setresuid(launch.uid, launch.uid, launch.uid)
            os.umask(launch.umask)
            # A home that is missing does not keep a job from running.
            with suppress(OSError):
                os.chdir(launch.home)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(self._files.get("output", self._files.get("error", 1)), 1)
            os.dup2(self._files.get("error", 1), 2)
            os.closerange(3, 1024)
            for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            script = str(self._spooled("SC"))
            os.execve(launch.shell, [f"-{Path(launch.shell).name}", script], launch.environment)  # noqa: S606
        finally:
            os._exit(254)

    def _watch(self) -> None:
        """Wait for the job's shell, and look after the limits meanwhile."""
        launch = self._launch
        limits_memory = launch.memory_kb is not None and bool(launch.memory_enforced_by)
        next_look = self._started if limits_memory else float("inf")
        next_message = self._started + launch.usage_interval
        while self._exit_status is None:
            wait = min(next_look, next_message, self._deadline) - time.monotonic()
            received = signal.sigtimedwait(_SIGNALS, max(0, wait))
            self._obey(received.si_signo if received else 0)
            now = time.monotonic()
            if now >= self._deadline:
                self._exceeded_walltime(now)
            if now >= next_look:
                next_look = now + _MEMORY_INTERVAL
                self._check_memory()
            if now >= next_message:
                next_message = now + launch.usage_interval
                self._measure()
                self._tell("usage")

    def _obey(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGTERM:
            self._terminate()
        elif number == signal.SIGUSR1:
            processes.send(processes.descendants(os.getpid()), signal.SIGKILL)
        elif number == signal.SIGUSR2:
            raise _NodeLost

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._session:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self._exit_status = 256 - code if code < 0 else code

    def _terminate(self) -> None:
        """Send SIGTERM to the job's session, and SIGKILL once the delay is over."""
        self._measure()
        self._signal_session(signal.SIGTERM)
        self._deadline = time.monotonic() + self._launch.kill_delay
        self._killed_for = self._killed_for or 0

    def _exceeded_walltime(self, now: float) -> None:
        if self._killed_for is not None:
            processes.send(processes.descendants(os.getpid()), signal.SIGKILL)
            self._deadline = now + 1
            return
        used, limit = int(now - self._started), self._launch.walltime_seconds
        self._kill_for(KILLED_FOR_WALLTIME, f"walltime {used} exceeded limit {limit}")

    def _kill_for(self, status: int, reason: str) -> None:
        self._killed_for = status
        self._write(f"=>> PBS: job killed: {reason}\n")
        self._terminate()

    def _check_memory(self) -> None:
        limit = self._launch.memory_kb or 0
        found = processes.snapshot(processes.descendants(os.getpid()))
        if self._launch.memory_enforced_by == "mom":
            used = sum(process.memory_kb for process in found if process.session == self._session)
            if used > limit and self._killed_for is None:
                self._usage.memory_kb = used
                self._kill_for(KILLED_FOR_MEMORY, f"mem {used}kb exceeded limit {limit}kb")
        elif sum(process.memory_kb for process in found) > limit:
            biggest = max(found, key=lambda process: process.memory_kb)
            self._usage.killed_for_memory, self._usage.memory_kb = True, limit
            self._killed_pid = biggest.pid
            processes.send([biggest.pid], signal.SIGKILL)

    def _oom_message(self) -> str:
        group = f"/pbs_jobs.service/jobid/{self._launch.job_id}"
        return (
            "Cgroup mem limit exceeded: oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            f"oom_memcg={group},task_memcg={group},task=python3,pid={self._killed_pid},uid={self._launch.uid}\n"
        )

    def _end_the_rest(self) -> None:
        """End what the shell has left behind."""
        below = processes.descendants(os.getpid())
        processes.send(below, signal.SIGTERM)
        until = time.monotonic() + _GRACE
        while processes.snapshot(below) and time.monotonic() < until:
            self._reap()
            time.sleep(0.02)
        processes.kill_below()

    def _signal_session(self, number: signal.Signals) -> None:
        found = processes.snapshot(processes.descendants(os.getpid()))
        processes.send([process.pid for process in found if process.session == self._session], number)

    def _measure(self) -> None:
        used = self._usage
        found = processes.snapshot(processes.descendants(os.getpid()))
        ended = os.times()
        used.walltime_seconds = time.monotonic() - self._started
        ended_cpu = ended.children_user + ended.children_system
        used.cpu_seconds = max(used.cpu_seconds, ended_cpu + sum(process.cpu_seconds for process in found))
        used.cpu_percent = int(100 * used.cpu_seconds / max(used.walltime_seconds, 1))
        used.memory_kb = max(used.memory_kb, sum(process.memory_kb for process in found))
        used.virtual_kb = max(used.virtual_kb, sum(process.virtual_kb for process in found))

    def _tell(self, event: str, stageout_status: int | None = None) -> None:
        """Leave a report, and tell the server of it if it is there."""
        killed_for = self._killed_for or None
        status = self._exit_status if killed_for is None or self._exit_status is None else killed_for
        report = {
            "event": event,
            "number": self._launch.number,
            "shepherd": os.getpid(),
            "shepherd_start": processes.start_ticks(os.getpid()),
            "session": self._session,
            "usage": asdict(self._usage),
            "exit_status": status,
            "stageout_status": stageout_status,
        }
        text = json.dumps(report)
        path = self._folders.report(self._launch.number)
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.sendto(text.encode(), str(self._folders.events_socket))

    def _deliver(self) -> None:
        """Copy the output to where it was asked for; the job is in state E meanwhile."""
        until = time.monotonic() + self._launch.exiting
        status = 1
        for stream, path in (("output", self._launch.output), ("error", self._launch.error)):
            if path is not None and self._is_copied[stream] and not self._copy(stream, path):
                status = 0
        self._remove_files()
        time.sleep(max(0, until - time.monotonic()))
        self._tell("delivered", status)

    def _copy(self, stream: str, path: str) -> bool:
        spooled = self._spooled(stream)
        try:
            with self._as_owner():
                target = os.open(self._delivered(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with open(target, "wb") as copy:  # noqa: PTH123  # a descriptor, opened with the mode that is wanted
                    copy.write(spooled.read_bytes())
        except OSError:
            return False
        spooled.unlink()
        return True

    def _remove_files(self) -> None:
        for ending in ("SC", "nodes"):
            self._spooled(ending).unlink(missing_ok=True)
        shutil.rmtree(self._spooled("tmp"), ignore_errors=True)

    def _delivered(self, path: str) -> str:
        """Return the file to write: in a folder, a file named after the job."""
        return str(Path(path) / f"{self._launch.job_id}.OU") if path.endswith("/") or Path(path).is_dir() else path

    def _write(self, message: str) -> None:
        """Append to the job's standard error."""
        os.write(self._files.get("error", self._files.get("output", 2)), message.encode())

    def _spooled(self, ending: str) -> Path:
        return self._folders.spool / f"{self._launch.job_id}.{ending}"

    def _own(self, path: Path, text: str, mode: int) -> None:
        """Write a file that belongs to the owner of the job from the first byte."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchown(descriptor, self._launch.uid, -1)
        os.fchmod(descriptor, mode)
        os.write(descriptor, text.encode("utf-8", "surrogateescape"))
        os.close(descriptor)

    @contextmanager
    def _as_owner(self) -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        entry = pwd.getpwuid(self._launch.uid)
        os.setegid(entry.pw_gid)
        os.seteuid(self._launch.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)


class _NodeLost(Exception):  # noqa: N818  # not an error: the way out of the loop
    """The node is gone with everything on it, and tells nobody."""
