"""The server's jobs, nodes and queues, and what happens to them; who asks, and how it is printed, is elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import socket
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from . import processes
from .fakes import fake_jobs
from .folders import Folders
from .job import Job, Usage, run_comment
from .placement import Nodes
from .resources import Request
from .shepherd import KILLED_FOR_WALLTIME, Launch
from .site import Site

#: Seconds between an event and the scheduler's look at the queue.
_SCHEDULING_DELAY = 0.01
#: The mom cannot be reached any more.
_NODE_FAILED = -20


class Batch:
    """Everything that the server knows."""

    def __init__(self, folders: Folders, site: Site) -> None:
        self.folders = folders
        self.site = site
        self.jobs: dict[int, Job] = {}
        self.nodes = Nodes(site.nodes)
        self.next_number = 0
        #: Seconds by which the server's clock is wrong.
        self.clock_offset = 0.0
        self.last_used: dict[str, int] = {}
        self.changed_at = {node.name: self.now() for node in site.nodes}
        self._loop = asyncio.get_running_loop()
        self._scheduling: asyncio.TimerHandle | None = None
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._fakes: list[int] = []
        self._estimated: Job | None = None

    def now(self) -> int:
        """Return the server's time."""
        return int(time.time() + self.clock_offset)

    # --- the life of a job ---

    def add(self, job: Job, script: str) -> None:
        """Queue a job."""
        self.jobs[job.number] = job
        self.next_number = max(self.next_number, job.number + 1)
        path = self._script_path(job.number)
        path.touch(mode=0o600)
        path.write_text(script, errors="surrogateescape")
        self.save(job)
        self.schedule_soon()

    def delete(self, job: Job, by: str, *, by_force: bool = False) -> None:
        """End a job that waits or runs, as qdel does; with ``by_force`` without SIGTERM."""
        if job.state in {"Q", "H"}:
            job.comment = f"{job.comment} and terminated" if job.comment else ""
            self._finish(job, 91)
            return
        job.deleted_by = by
        self.save(job)
        if job.is_fake:
            self._finish(job, 91)
        elif self.site.virtual_jobs:
            self._end_virtual(job, 256 + signal.SIGTERM)
        elif any(self.nodes.states[host].is_down for host in job.hosts):
            self._finish(job, 91)
        else:
            self.signal_shepherd(job, signal.SIGUSR1 if by_force else signal.SIGTERM)

    def signal_shepherd(self, job: Job, number: signal.Signals) -> None:
        """Tell the mom's process for a job something, if it is still that process."""
        if job.shepherd and processes.start_ticks(job.shepherd) == job.shepherd_start:
            os.kill(job.shepherd, number)

    def forget(self, job: Job) -> None:
        """Drop a job, as if its history had been purged."""
        if job.state in {"R", "E"} and not job.is_fake:
            self.nodes.release(job)
        self.jobs.pop(job.number, None)
        for path in (self._path(job.number), self.folders.report(job.number), self._script_path(job.number)):
            path.unlink(missing_ok=True)
        self.schedule_soon()

    def save(self, job: Job) -> None:
        """Keep a job for a server that starts anew."""
        job.touch()
        if not job.is_fake:
            job.save(self.folders.jobs)

    def told(self, report: dict[str, object]) -> None:
        """Take what a shepherd tells."""
        job = self.jobs.get(int(str(report["number"])))
        if job is None or job.state not in {"R", "E"}:
            return
        job.shepherd, job.shepherd_start = int(str(report["shepherd"])), int(str(report["shepherd_start"] or 0))
        job.session = int(str(report["session"]))
        event = report["event"]
        if event != "started":
            job.usage = Usage(**report["usage"])  # type: ignore[arg-type]
        if event == "started" and job.deleted_by:
            self.signal_shepherd(job, signal.SIGTERM)
        if event in {"ended", "delivered"}:
            self._exit(job, int(str(report["exit_status"])))
        if event == "delivered":
            job.stageout_status = int(str(report["stageout_status"]))
            self._finish(job, self._final_substate(job))
        self.save(job)

    def _exit(self, job: Job, status: int) -> None:
        if job.state == "R":
            job.exit_status = status
            job.obittime = self.now()
            job.set_state("E", self.now())

    @staticmethod
    def _final_substate(job: Job) -> int:
        if job.deleted_by:
            return 91
        return 93 if job.exit_status else 92

    def _finish(self, job: Job, substate: int, *, with_comment: bool = True) -> None:
        """Move a job to the history."""
        if job.state in {"R", "E"} and not job.is_fake:
            self.nodes.release(job)
            self.last_used |= dict.fromkeys(job.hosts, self.now())
        if job.state in {"R", "E"} and with_comment:
            job.comment += self._ending(job, substate)
        if timer := self._timers.pop(job.number, None):
            timer.cancel()
        job.history_time = self.now()
        job.estimated_start = None
        job.set_state("F", self.now(), substate)
        self._script_path(job.number).unlink(missing_ok=True)
        self.folders.report(job.number).unlink(missing_ok=True)
        self.save(job)
        self.schedule_soon()

    @staticmethod
    def _ending(job: Job, substate: int) -> str:
        if substate == 91:
            return f" and terminated by {job.deleted_by}"
        exceeded = {KILLED_FOR_WALLTIME: "walltime", -27: "mem"}.get(job.exit_status or 0)
        if exceeded:
            return f" and exceeded resource {exceeded}"
        return " and failed" if substate == 93 else " and finished"

    # --- scheduling ---

    def schedule_soon(self) -> None:
        """Look at the queue in a moment, once for all that happens until then."""
        if self._scheduling is None:
            self._scheduling = self._loop.call_later(_SCHEDULING_DELAY, self._schedule)

    def _schedule(self) -> None:
        self._scheduling = None
        waiting = [job for job in self.jobs.values() if job.state == "Q" and not job.is_fake]
        refused: dict[Request, str] = {}
        first: Job | None = None
        for job in sorted(waiting, key=lambda each: (-each.priority, each.number)):
            queue = self.site.queue(job.queue)
            if queue is not None and not queue.started:
                self._comment(job, "Not Running: Queue not started.")
            elif job.request in refused:
                self._comment(job, refused[job.request])
            elif (places := self.nodes.place(job.request)) is not None:
                self._run(job, places)
            else:
                refused[job.request] = self.nodes.refusal(job.request)
                self._comment(job, refused[job.request])
            if first is None and job.state == "Q" and job.comment.startswith("Not Running: "):
                first = job if queue is None or queue.started else None
        self._estimate(first)

    def _comment(self, job: Job, comment: str) -> None:
        if job.comment != comment:
            job.comment = comment
            job.mtime = self.now()
            self.save(job)

    def _estimate(self, first: Job | None) -> None:
        """Say when the first job that waits would start; only of the first, as PBS does by default."""
        if self._estimated is not None and self._estimated is not first and self._estimated.estimated_start is not None:
            self._estimated.estimated_start = None
            self.save(self._estimated)
        self._estimated = first
        if first is not None:
            estimate = self.nodes.estimate(first, self._running(), self.now())
            if estimate is not None and estimate != (first.estimated_start, first.estimated_vnode):
                first.estimated_start, first.estimated_vnode = estimate
                self.save(first)

    def _run(self, job: Job, places: list[tuple[str, int, int, int | None]]) -> None:
        job.places = places
        self.nodes.occupy(job)
        now = self.now()
        job.stime, job.estimated_start = now, None
        job.run_count += 1
        job.with_cgroups = self.site.memory_enforced_by == "cgroup"
        job.comment = run_comment(job, now)
        self.last_used |= dict.fromkeys(job.hosts, now)
        job.set_state("R", now)
        if self.site.virtual_jobs:
            self._run_virtually(job)
        else:
            self._launch(job)
        self.save(job)
        self._announce(job)

    def _launch(self, job: Job) -> None:
        """Have the mom start a job."""
        entry = pwd.getpwuid(job.uid)
        launch = Launch(
            number=job.number,
            job_id=job.job_id,
            account=entry.pw_name,
            uid=job.uid,
            home=entry.pw_dir,
            shell=job.shell.partition("@")[0] or "/bin/bash",
            script=self._script_path(job.number).read_text(errors="surrogateescape"),
            environment=self._environment(job, entry),
            nodes=[place[0] for place in job.places],
            umask=0o077,
            output=None if job.join == "eo" else job.output_path.partition(":")[2],
            error=None if job.join == "oe" else job.error_path.partition(":")[2],
            direct="d" in job.keep,
            walltime_seconds=job.request.walltime_seconds,
            memory_kb=job.request.memory_kb,
            memory_enforced_by=self.site.memory_enforced_by,
            kill_delay=self.site.kill_delay,
            exiting=self.site.exiting,
            usage_interval=self.site.usage_interval,
        )
        path = self.folders.launch(job.number)
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(launch)), errors="surrogateescape")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as orders:
            orders.sendto(b"%d" % job.number, str(self.folders.mom_socket))

    def _environment(self, job: Job, entry: pwd.struct_passwd) -> dict[str, str]:
        """Return the environment of a job, as a mom gives it: what was passed, then what it knows better."""
        spooled = self.folders.spool / job.job_id
        ncpus = str(job.places[0][2])
        passed = dict(text.partition("=")[::2] for text in job.variables)
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **passed,
            "HOME": entry.pw_dir,
            "LOGNAME": entry.pw_name,
            "PBS_JOBNAME": job.name,
            "PBS_JOBID": job.job_id,
            "PBS_QUEUE": job.queue,
            "SHELL": entry.pw_shell or "/bin/bash",
            "USER": entry.pw_name,
            "PBS_JOBCOOKIE": f"{job.number:032X}",
            "PBS_NODENUM": "0",
            "PBS_TASKNUM": "1",
            "PBS_MOMPORT": "15003",
            "OMP_NUM_THREADS": ncpus,
            "NCPUS": ncpus,
            "PBS_NODEFILE": f"{spooled}.nodes",
            **({"PBS_ACCOUNT": job.account} if job.account else {}),
            "TMPDIR": f"{spooled}.tmp",
            "PBS_JOBDIR": entry.pw_dir,
            "PBS_ENVIRONMENT": "PBS_BATCH",
            "ENVIRONMENT": "BATCH",
        }

    # --- jobs that are not processes ---

    def _run_virtually(self, job: Job) -> None:
        if (walltime := job.request.walltime_seconds) is not None:
            end = self._loop.call_later(walltime, self._end_virtual, job, KILLED_FOR_WALLTIME)
            self._timers[job.number] = end

    def _announce(self, job: Job) -> None:
        """Tell whoever plays the jobs which one has started; the script is where ``script_path`` says."""
        if not self.site.on_start:
            return
        entry = pwd.getpwuid(job.uid)
        told = {"job_id": job.job_id, "user": job.owner, "host": job.hosts[0], "home": entry.pw_dir}
        told["script_path"] = str(self._script_path(job.number))
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.sendto(json.dumps(told).encode(), self.site.on_start)

    def _end_virtual(self, job: Job, status: int) -> None:
        if job.state != "R":
            return
        if timer := self._timers.pop(job.number, None):
            timer.cancel()
        job.usage = Usage(walltime_seconds=self.now() - (job.stime or self.now()))
        job.stageout_status = 1
        self._exit(job, status)
        self.save(job)
        self._timers[job.number] = self._loop.call_later(
            self.site.exiting, lambda: self._finish(job, self._final_substate(job))
        )

    def fill_with_fakes(self, count: int, state: str, owner: str) -> None:
        """Have exactly ``count`` jobs of another account, without processes and without a place on the nodes."""
        for number in self._fakes:
            self.jobs.pop(number, None)
        self._fakes = list(range(self.next_number, self.next_number + count))
        self.next_number += count
        self.jobs.update(fake_jobs(self._fakes, self.site, owner, state, self.now()))

    # --- nodes ---

    def node_down(self, name: str) -> None:
        """Lose a node with everything on it."""
        self.nodes.states[name].is_down = True
        self.changed_at[name] = self.now()
        lost = [job for job in self._running() if name in job.hosts]
        for job in lost:
            self.signal_shepherd(job, signal.SIGUSR2)
        self._loop.call_later(self.site.node_fail_requeue, self._give_up, lost)
        self.schedule_soon()

    def node_up(self, name: str) -> None:
        """Have a node back, empty."""
        self.nodes.states[name].is_down = False
        self.changed_at[name] = self.now()
        self._give_up([job for job in self._running() if name in job.hosts])
        self.schedule_soon()

    def _give_up(self, lost: list[Job]) -> None:
        """Requeue the jobs of a lost node, or end those that may not be run again, without a word in the comment."""
        for job in lost:
            if job.state not in {"R", "E"} or self._is_alive(job):
                continue
            if job.rerunnable and not job.deleted_by:
                self.nodes.release(job)
                job.places, job.usage, job.session, job.stime = [], None, None, None
                job.exit_status = job.obittime = None
                job.set_state("Q", self.now())
                self.save(job)
            else:
                job.exit_status, job.obittime = _NODE_FAILED, self.now()
                self._finish(job, 93, with_comment=False)
        self.schedule_soon()

    # --- after a restart ---

    def recover(self) -> None:
        """Take up what another server has left: its jobs, and what happened to them meanwhile."""
        for path in self.folders.jobs.glob("*.json"):
            job = Job.load(path)
            self.jobs[job.number] = job
        self.jobs = dict(sorted(self.jobs.items()))
        self.next_number = max(self.jobs, default=-1) + 1
        for job in self._running():
            self.nodes.occupy(job)
        for job in self._running():
            if self.site.virtual_jobs:
                self._recover_virtual(job)
            elif self.folders.report(job.number).exists():
                self.told(json.loads(self.folders.report(job.number).read_text()))
        self.look_after_jobs()
        self.schedule_soon()

    def look_after_jobs(self) -> None:
        """Give up jobs whose shepherd has vanished without a word."""
        vanished = [job for job in self._running() if job.shepherd and not self._is_alive(job)]
        self._give_up([job for job in vanished if not any(self.nodes.states[host].is_down for host in job.hosts)])

    def _recover_virtual(self, job: Job) -> None:
        walltime = job.request.walltime_seconds
        if walltime is not None:
            left = (job.stime or 0) + walltime - self.now()
            self._timers[job.number] = self._loop.call_later(left, self._end_virtual, job, KILLED_FOR_WALLTIME)

    def _running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in {"R", "E"} and not job.is_fake]

    def _is_alive(self, job: Job) -> bool:
        if self.site.virtual_jobs:
            return not any(self.nodes.states[host].is_down for host in job.hosts)
        return bool(job.shepherd) and processes.start_ticks(job.shepherd) == job.shepherd_start

    def _script_path(self, number: int) -> Path:
        return self.folders.jobs / f"{number}.script"

    def _path(self, number: int) -> Path:
        return self.folders.jobs / f"{number}.json"
