"""What ``qsub`` and ``qdel`` change, and what all five commands print and how they exit."""

from __future__ import annotations

import getopt
import pwd
from collections.abc import Callable
from dataclasses import dataclass

from .batch import Batch
from .job import Job
from .resources import RefusedError, Request, duration_seconds, parse_request
from .site import Queue
from .status import JOB_COLUMNS, StatusPages
from .submission import Submission, output_path, parse_submission
from .variables import variable_list
from .wire import Answer, Call

_UNKNOWN, _FINISHED, _OTHER_USER, _BAD_STATE = 153, 35, 159, 168
_QSTAT_USAGE = """usage: 
qstat [-f] [-J] [-p] [-t] [-x] [-E] [-F format | -w] [-D delim] [ job_identifier... | destination... ]
qstat [-a|-i|-r|-H|-T] [-J] [-t] [-u user] [-n] [-s] [-G|-M] [-1] [-w]
\t[ job_identifier... | destination... ]
qstat -Q [-f] [-F format] [-D delim] [ destination... ]
qstat -q [-G|-M] [ destination... ]
qstat -B [-f] [-F format] [-D delim] [ server_name... ]
qstat --version
"""  # noqa: W291  # as recorded
_QDEL_USAGE = "usage:\n\tqdel [-W force|suppress_email=X] [-x] job_identifier...\n\tqdel --version\n"


@dataclass(frozen=True)
class _Shown:
    """What the server answers to one question of qstat."""

    jobs: list[Job]
    code: int = 0
    error: str = ""


class Commands:
    """Answers calls."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._pages = StatusPages(batch)
        self._answers: dict[str, Callable[[Call], Answer]] = {
            "qsub": self._qsub,
            "qstat": self._qstat,
            "qdel": self._qdel,
            "qselect": self._qselect,
            "pbsnodes": self._pbsnodes,
        }

    def answer(self, call: Call) -> Answer:
        """Return what the command prints."""
        return self._answers[call.command](call)

    def account(self, uid: int) -> str:
        """Return who asks, by name."""
        return self._batch.site.single_account or pwd.getpwuid(uid).pw_name

    # --- qsub ---

    def _qsub(self, call: Call) -> Answer:
        try:
            submission = parse_submission(call)
            queue = self._queue(submission.queue)
            request = parse_request(submission.resources, queue.default_walltime)
            owner = self.account(call.uid)
            if owner == "root":
                raise RefusedError(175, "Bad UID for job execution")
            self._admit(queue, request, owner)
            job = self._job(call, submission, queue, request)
        except RefusedError as error:
            return Answer(error.code, stderr=f"qsub: {error}\n")
        self._batch.add(job, submission.script)
        return Answer(stdout="" if "z" in submission.options else f"{job.job_id}\n")

    def _queue(self, name: str | None) -> Queue:
        queue = self._batch.site.queues[0] if name is None else self._batch.site.queue(name)
        if queue is None:
            raise RefusedError(170, "Unknown queue")
        return queue

    def _admit(self, queue: Queue, request: Request, owner: str) -> None:
        if not queue.enabled:
            raise RefusedError(173, "Queue is not enabled")
        if queue.acl_users is not None and owner not in queue.acl_users:
            raise RefusedError(_OTHER_USER, "Unauthorized Request ")
        if queue.max_walltime is not None and (request.walltime_seconds or 0) > duration_seconds(queue.max_walltime):
            raise RefusedError(188, "Job violates queue and/or server resource limits")
        if queue.max_queued is not None:
            jobs = self._batch.jobs.values()
            own = sum(1 for job in jobs if job.is_live and job.owner == owner and job.queue == queue.name)
            if own >= queue.max_queued:
                raise RefusedError(38, "would exceed queue generic's per-user limit")

    def _job(self, call: Call, submission: Submission, queue: Queue, request: Request) -> Job:
        server, number = self._batch.site.server, self._batch.next_number
        options = submission.options
        now = self._batch.now()
        is_held = "h" in options
        folder = submission.attributes.get("sandbox") or call.folder
        variables = variable_list(
            options.get("v"), call.environment, call.folder, queue.name, server, whole="V" in options
        )
        job = Job(
            number=number,
            server=server,
            name=submission.name,
            owner=self.account(call.uid),
            uid=call.uid
            if not self._batch.site.single_account
            else pwd.getpwnam(self._batch.site.single_account).pw_uid,
            queue=queue.name,
            request=request,
            variables=variables,
            output_path=output_path(submission, "o", number, folder, server),
            error_path=output_path(submission, "e", number, folder, server),
            join=options.get("j", "n"),
            keep=options.get("k", "n"),
            arguments=submission.arguments,
            ctime=now,
            rerunnable=options.get("r", "y") == "y",
            account=options.get("A", ""),
            project=options.get("P", "_pbs_project_default"),
            priority=int(options.get("p", "0")),
            shell=options.get("S", ""),
            mail=options.get("m", "a"),
            executable=" ".join(submission.executable[:1]),
            etime=None if is_held else now,
        )
        job.set_state("H" if is_held else "Q", now)
        return job

    # --- qdel ---

    def _qdel(self, call: Call) -> Answer:
        try:
            options, names = getopt.gnu_getopt(call.arguments, "W:x")
        except getopt.GetoptError:
            names = []
        if not names:
            return Answer(2, stderr=_QDEL_USAGE)
        errors, code = [], 0
        for name in names:
            if refusal := self._delete(name, call, options):
                code, text = refusal
                errors.append(f"qdel: {text} {self._full_id(name)}\n")
        return Answer(code, stderr="".join(errors))

    def _delete(self, name: str, call: Call, options: list[tuple[str, str]]) -> tuple[int, str] | None:
        job = self._find(name)
        account = self.account(call.uid)
        if job is None:
            return _UNKNOWN, "Unknown Job Id"
        if not job.is_live and ("-x", "") not in options:
            return _FINISHED, "Job has finished"
        if account not in {job.owner, "root"}:
            return _OTHER_USER, "Unauthorized Request "
        if job.state == "E":
            return _BAD_STATE, "Request invalid for state of job"
        if job.is_live:
            by = f"{account}@{self._batch.site.server}"
            self._batch.delete(job, by, by_force=("-W", "force") in options)
        else:
            self._batch.forget(job)
        return None

    # --- qstat, qselect, pbsnodes ---

    def _qstat(self, call: Call) -> Answer:
        try:
            pairs, names = getopt.gnu_getopt(call.arguments, "ainpqrstwxu:fGHJMQEBW:T1F:D:")
        except getopt.GetoptError as error:
            return Answer(2, stderr=f"qstat: invalid option -- '{error.opt}'\n{_QSTAT_USAGE}")
        options = dict(pairs)
        output_format = options.get("-F", "default").lower()
        if unknown := set(options) - {"-f", "-x", "-w", "-t", "-F", "-Q", "-B", "-E"}:
            text = f"qstat: recorded PBS does not stand in for {' '.join(sorted(unknown))}\n"
            return Answer(2, stderr=text)
        if output_format not in {"default", "json"}:
            return Answer(2, stderr=f"qstat: recorded PBS does not stand in for -F {output_format}\n")
        if output_format == "json" and "-f" not in options:
            return Answer(2, stderr=f"qstat: conflicting options.\n{_QSTAT_USAGE}")
        if output_format == "json" and "-w" in options:
            return Answer(2, stderr=f"qstat: option w cannot be used with -F\n{_QSTAT_USAGE}")
        if "-Q" in options or "-B" in options:
            return self._pages.queues_or_server(names, of_server="-B" in options, as_json=output_format == "json")
        return self._stat_jobs(options, names, as_json=output_format == "json")

    def _stat_jobs(self, options: dict[str, str], names: list[str], *, as_json: bool) -> Answer:
        with_history, wide = "-x" in options, "-w" in options
        groups = [self._shown(name, with_history=with_history) for name in names]
        if not names:
            groups = [_Shown([job for job in self._batch.jobs.values() if with_history or job.is_live])]
        elif "-E" in options:
            groups = [self._shown_at_once(names, with_history=with_history)]
        shown = [job for group in groups for job in group.jobs]
        code = next((group.code for group in reversed(groups) if group.code), 0)
        errors = "".join(group.error for group in groups)
        if as_json:
            # Each answer of the server makes "Jobs" anew, and only the first is printed: all of them need -E.
            text = self._pages.jobs_json(next((group.jobs for group in groups if group.jobs), []))
        elif "-f" in options:
            text = "".join(job.text_entry(wide=wide) for job in shown)
        else:
            # The header comes with the first answer, and is lost if that is an error.
            header = JOB_COLUMNS[wide] if groups[0].jobs else ""
            text = header + "".join(map(self._pages.wide_line if wide else self._pages.line, shown))
        return Answer(code, text, errors)

    def _shown(self, name: str, *, with_history: bool) -> _Shown:
        """Return what one operand shows: a job, or those of a queue."""
        if not name[:1].isdigit():
            if self._batch.site.queue(name.partition("@")[0]) is None:
                return _Shown([], 170, f"qstat: Unknown queue {name}\n")
            jobs = self._batch.jobs.values()
            return _Shown([job for job in jobs if job.queue == name and (with_history or job.is_live)])
        job = self._find(name)
        if job is None:
            return _Shown([], _UNKNOWN, f"qstat: Unknown Job Id {self._full_id(name)}\n")
        if not with_history and not job.is_live:
            advice = "use -x or -H to obtain historical job information"
            return _Shown([], _FINISHED, f"qstat: {job.job_id} Job has finished, {advice}\n")
        return _Shown([job])

    def _shown_at_once(self, names: list[str], *, with_history: bool) -> _Shown:
        """Return what ``-E`` shows: with one that is known, nothing is said of those that are not."""
        if not all(name[:1].isdigit() for name in names):
            return _Shown([], 1, "qstat: Express option can only be used with job ids\n")
        ordered = sorted(names, key=lambda name: int(name.partition(".")[0]))
        each = [self._shown(name, with_history=with_history) for name in ordered]
        jobs = [job for one in each for job in one.jobs]
        return _Shown(jobs) if jobs else each[-1]

    def _qselect(self, call: Call) -> Answer:
        try:
            pairs, names = getopt.gnu_getopt(call.arguments, "s:N:u:q:xH")
        except getopt.GetoptError as error:
            return Answer(2, stderr=f"qselect: recorded PBS does not stand in for -{error.opt}\n")
        if names:
            return Answer(2, stderr="usage: qselect ...\n")
        options = dict(pairs)
        states = options.get("-s", "F" if "-H" in options else "QHREF")
        found = [
            job
            for job in self._batch.jobs.values()
            if job.state in states
            and (job.is_live or "-x" in options or "-H" in options)
            and job.name == options.get("-N", job.name)
            and job.owner in options.get("-u", job.owner).split(",")
            and job.queue == options.get("-q", job.queue)
        ]
        return Answer(stdout="".join(f"{job.job_id}\n" for job in found))

    def _pbsnodes(self, call: Call) -> Answer:
        try:
            pairs, names = getopt.gnu_getopt(call.arguments, "avF:")
        except getopt.GetoptError as error:
            return Answer(1, stderr=f"pbsnodes: recorded PBS does not stand in for -{error.opt}\n")
        options = dict(pairs)
        if not names and "-a" not in options:
            return Answer(1, stderr="usage:\tpbsnodes -a[v][S[j][L]][-F format][-D delim][-s server]\n")
        return self._pages.nodes(names, as_json=options.get("-F") == "json")

    def _full_id(self, name: str) -> str:
        return name if "." in name else f"{name}.{self._batch.site.server}"

    def _find(self, name: str) -> Job | None:
        """Return the job of an id; its server may be left out, or shortened to its first label."""
        number, _, server = name.partition(".")
        own = self._batch.site.server
        if server not in {"", own, own.partition(".")[0]} or not number.isdigit():
            return None
        return self._batch.jobs.get(int(number))
