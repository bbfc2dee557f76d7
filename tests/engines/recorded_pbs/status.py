"""The pages of ``qstat`` and ``pbsnodes``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from .batch import Batch
from .job import Job
from .printing import Attribute, full_text, json_text
from .resources import duration_text, size_text
from .site import PBS_VERSION, Queue
from .wire import Answer

#: The headers of plain and of wide columns.
JOB_COLUMNS = (
    "Job id            Name             User              Time Use S Queue\n"
    "----------------  ---------------- ----------------  -------- - -----\n",
    "Job id                         Name            User             Time Use S Queue\n"
    "-----------------------------  --------------- ---------------  -------- - ---------------\n",
)
_STATES = {"Q": "Queued", "H": "Held", "W": "Waiting", "R": "Running", "E": "Exiting", "B": "Begun", "T": "Transit"}


class StatusPages:
    """Prints what a `Batch` knows."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def jobs_json(self, jobs: list[Job]) -> str:
        """Print jobs as JSON, without ``Jobs`` when there is none."""
        members = "" if not jobs else ',\n\t"Jobs":\t{\n' + ",\n".join(job.json_entry() for job in jobs) + "\n\t}"
        prologue = json_text(self._prologue()).removesuffix("\n}")
        return f"{prologue}{members}\n}}\n"

    def line(self, job: Job) -> str:
        """Print a job in columns: the id to the server's first label, and to 17 characters."""
        job_id = _cut(".".join(job.job_id.split(".")[:2]), 17)
        name = job.name if len(job.name) < 16 else f"{job.name[:15]}*"
        return f"{job_id:<17} {name:<16} {_cut(job.owner, 16):<16}  {_time_used(job):>8} {job.state} {job.queue:<16}\n"

    def wide_line(self, job: Job) -> str:
        """Print a job in the wider columns of ``-w``."""
        job_id = _cut(".".join(job.job_id.split(".")[:2]), 30)
        name = job.name if len(job.name) < 15 else f"{job.name[:14]}*"
        return f"{job_id:<30} {name:<15} {_cut(job.owner, 15):<15}  {_time_used(job):>8} {job.state} {job.queue:<15}\n"

    def queues_or_server(self, names: list[str], *, of_server: bool, as_json: bool) -> Answer:
        """Print ``qstat -Qf`` or ``qstat -Bf``."""
        if of_server:
            kind, pages, code, errors = "Server", {self._batch.site.server: self._server()}, 0, ""
        else:
            queues = {queue.name: queue for queue in self._batch.site.queues}
            missing = [name for name in names if name not in queues]
            errors = "".join(f"qstat: Unknown queue {name}\n" for name in missing)
            kind, code = "Queue", 170 if missing else 0
            pages = {name: self._queue(queue) for name, queue in queues.items() if not names or name in names}
        if as_json:
            return Answer(code, json_text(self._prologue() | ({kind: pages} if pages else {})) + "\n", errors)
        text = "".join(full_text(name, page, kind=kind, wide=False) for name, page in pages.items())
        return Answer(code, text, errors)

    def nodes(self, names: list[str], *, as_json: bool) -> Answer:
        """Print ``pbsnodes``."""
        known = self._batch.nodes.states
        missing = [name for name in names if name not in known]
        errors = "".join(f"Node: {name},  Error: Unknown node \n" for name in missing)
        pages = {name: self._node(name) for name in known if not names or name in names}
        if as_json:
            return Answer(int(bool(missing)), json_text(self._prologue() | {"nodes": pages}) + "\n", errors)
        return Answer(int(bool(missing)), "".join(_node_text(name, page) for name, page in pages.items()), errors)

    def _prologue(self) -> dict[str, object]:
        return {"timestamp": self._batch.now(), "pbs_version": PBS_VERSION, "pbs_server": self._batch.site.server}

    def _node(self, name: str) -> dict[str, object]:
        state = self._batch.nodes.states[name]
        size = state.settings
        cores, memory_kb = size.cores - state.free_cores, size.memory_kb - state.free_kb
        assigned = ({"mem": f"{memory_kb}kb"} if memory_kb else {}) | ({"ncpus": str(cores)} if cores else {})
        word = "job-exclusive" if state.is_exclusive else "free" if state.free_cores else "job-busy"
        mem = size_text(size.memory_kb)
        return {
            "Mom": name,
            "ntype": "PBS",
            "state": "down" if state.is_down else word,
            "pcpus": os.cpu_count() or 1,
            **({"jobs": list(state.job_ids)} if state.job_ids else {}),
            "resources_available": {"arch": "linux", "host": name, "mem": mem, "ncpus": str(size.cores), "vnode": name},
            "resources_assigned": assigned,
            **({"comment": "node down: communication closed"} if state.is_down else {}),
            "resv_enable": "True",
            "sharing": "default_shared",
            "license": "l",
            "last_state_change_time": self._batch.changed_at[name],
            **({"last_used_time": self._batch.last_used[name]} if name in self._batch.last_used else {}),
        }

    def _queue(self, queue: Queue) -> dict[str, Attribute]:
        jobs = [job for job in self._batch.jobs.values() if job.queue == queue.name and job.is_live]
        acl = {"acl_user_enable": "True", "acl_users": ",".join(queue.acl_users)} if queue.acl_users is not None else {}
        limit = {"max_queued": f"[u:PBS_GENERIC={queue.max_queued}]"} if queue.max_queued is not None else {}
        return {
            "queue_type": "Execution",
            "total_jobs": str(len(jobs)),
            "state_count": _state_count(jobs),
            **acl,
            **({"resources_max": {"walltime": queue.max_walltime}} if queue.max_walltime else {}),
            **({"resources_default": {"walltime": queue.default_walltime}} if queue.default_walltime else {}),
            **_assigned(jobs),
            "enabled": str(queue.enabled),
            "started": str(queue.started),
            **limit,
        }

    def _server(self) -> dict[str, Attribute]:
        site, jobs = self._batch.site, list(self._batch.jobs.values())
        return {
            "server_state": "Active",
            "server_host": site.server,
            "scheduling": "True",
            "total_jobs": str(len(jobs)),
            "state_count": _state_count(jobs),
            "default_queue": site.queues[0].name,
            "log_events": "511",
            "mailer": "/usr/sbin/sendmail",
            "mail_from": "adm",
            "query_other_jobs": "True",
            "resources_default": {"ncpus": "1"},
            "default_chunk": {"ncpus": "1"},
            **_assigned(jobs),
            "scheduler_iteration": "600",
            "flatuid": "True",
            "resv_enable": "True",
            "node_fail_requeue": str(int(site.node_fail_requeue)),
            "max_array_size": "10000",
            "resend_term_delay": "5",
            "pbs_license_min": "0",
            "pbs_license_max": "2147483647",
            "pbs_license_linger_time": "31536000",
            "license_count": "Avail_Global:1000000 Avail_Local:1000000 Used:0 High_Use:0",
            "pbs_version": PBS_VERSION,
            "eligible_time_enable": "False",
            "job_history_enable": "True",
            "job_history_duration": "24:00:00",
            "max_concurrent_provision": "5",
            "clear_topjob_estimates_enable": "False",
            "max_job_sequence_id": "9999999",
        }


def _assigned(jobs: list[Job]) -> dict[str, Attribute]:
    running = [job for job in jobs if job.state in {"R", "E"}]
    if not running:
        return {}
    memory_kb = sum(job.request.memory_kb or 0 for job in running)
    counted = {
        "mem": size_text(memory_kb),
        "ncpus": str(sum(job.request.ncpus for job in running)),
        "nodect": str(sum(len(job.places) for job in running)),
    }
    return {"resources_assigned": counted}


def _state_count(jobs: Iterable[Job]) -> str:
    counts = dict.fromkeys(("Transit", "Queued", "Held", "Waiting", "Running", "Exiting", "Begun"), 0)
    for job in jobs:
        if job.is_live:
            counts[_STATES[job.state]] += 1
    return "".join(f"{word}:{count} " for word, count in counts.items())


def _time_used(job: Job) -> str:
    return "0" if job.usage is None else duration_text(job.usage.cpu_seconds)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}*"


def _node_text(name: str, page: dict[str, object]) -> str:
    lines = [f"{name}\n"]
    for attribute, value in page.items():
        if isinstance(value, dict):
            lines += [f"     {attribute}.{resource} = {text}\n" for resource, text in value.items()]
        elif isinstance(value, list):
            lines.append(f"     {attribute} = {', '.join(f'{job_id}/0' for job_id in value)}\n")
        elif attribute.endswith("_time"):
            lines.append(f"     {attribute} = {time.ctime(int(str(value)))}\n")
        else:
            lines.append(f"     {attribute} = {value}\n")
    return "".join(lines) + "\n"
