"""A job of the stand-in, and what ``qstat -f`` says of it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .printing import Attribute, Printed, full_text, json_key, json_text, quoted, split_variables
from .resources import Chunk, Request, duration_text
from .variables import printed

#: Attributes that ``qstat -F json`` prints as text whatever they are.
_ALWAYS_TEXT = ("Job_Name", "project", "Account_Name")
_SUBSTATES = {"Q": 10, "H": 20, "R": 41, "E": 51}


@dataclass
class Usage:
    """``resources_used``, as the mom reports it."""

    cpu_percent: int = 0
    cpu_seconds: float = 0.0
    memory_kb: int = 0
    virtual_kb: int = 0
    walltime_seconds: float = 0.0
    #: The hook ``pbs_cgroups`` has killed a process.
    killed_for_memory: bool = False


@dataclass
class Job:
    """One job: what was asked for, where it is, how it went."""

    number: int
    server: str
    name: str
    owner: str
    uid: int
    queue: str
    request: Request
    variables: list[str]
    output_path: str
    error_path: str
    join: str
    keep: str
    arguments: str
    ctime: int
    rerunnable: bool = True
    account: str = ""
    project: str = "_pbs_project_default"
    priority: int = 0
    shell: str = ""
    mail: str = "a"
    executable: str = ""
    state: str = "Q"
    substate: int = 10
    mtime: int = 0
    etime: int | None = None
    stime: int | None = None
    obittime: int | None = None
    history_time: int | None = None
    #: (node, first slot, cores, KiB or None) of every chunk of a job that runs or has run.
    places: list[tuple[str, int, int, int | None]] = field(default_factory=list)
    comment: str = ""
    run_count: int = 0
    estimated_start: int | None = None
    estimated_vnode: str = ""
    #: Pids of the mom's process for this job and of the job's shell, and when the first was started, in clock ticks.
    shepherd: int = 0
    shepherd_start: int = 0
    session: int | None = None
    usage: Usage | None = None
    with_cgroups: bool = False
    exit_status: int | None = None
    stageout_status: int | None = None
    deleted_by: str = ""
    #: Of another account, and without a process.
    is_fake: bool = False
    _printed: str = field(default="", repr=False, compare=False)

    @property
    def job_id(self) -> str:
        """``12.server.name``."""
        return f"{self.number}.{self.server}"

    @property
    def is_live(self) -> bool:
        """Whether the job waits or runs."""
        return self.state != "F"

    def set_state(self, state: str, now: int, substate: int | None = None) -> None:
        """Enter a state."""
        self.state, self.mtime = state, now
        self.substate = _SUBSTATES[state] if substate is None else substate
        self.touch()

    def touch(self) -> None:
        """Forget what was printed of the job."""
        self._printed = ""

    @property
    def exec_host(self) -> str:
        """Where the job runs: ``node/slot`` or ``node/slot*cores``."""
        return "+".join(f"{node}/{slot}" + (f"*{cores}" if cores > 1 else "") for node, slot, cores, _ in self.places)

    @property
    def exec_vnode(self) -> str:
        """What the job has where it runs."""
        return vnode_text([(node, cores, memory) for node, _, cores, memory in self.places])

    @property
    def hosts(self) -> list[str]:
        """The nodes of the job, the first of them its mother superior."""
        return list(dict.fromkeys(place[0] for place in self.places))

    def json_entry(self) -> str:
        """Print the job as a member of ``Jobs``; remembered, since a benchmark asks for thousands again and again."""
        if not self._printed:
            shown: dict[str, object] = dict(self.attributes())
            shown |= {name: Printed(quoted(str(shown[name]))) for name in _ALWAYS_TEXT if name in shown}
            shown["Variable_List"] = split_variables(printed(self.variables))
            self._printed = json_key(self.job_id, 2) + json_text(shown, 2)
        return Printed(self._printed)

    def text_entry(self, *, wide: bool) -> str:
        """Print the job as ``qstat -f`` does."""
        return full_text(self.job_id, self.attributes(), kind="Job Id", wide=wide)

    def attributes(self) -> dict[str, Attribute]:
        """Return what the server tells of the job, in its order."""
        return self._what_and_where() | self._when_and_how() | self._how_it_went()

    def _what_and_where(self) -> dict[str, Attribute]:
        waiting_or_gone = not self.places
        return _present(
            {
                "Job_Name": self.name,
                "Job_Owner": f"{self.owner}@{self.server}",
                "resources_used": self._used(),
                "job_state": self.state,
                "queue": self.queue,
                "server": self.server,
                "Account_Name": self.account or None,
                "Checkpoint": "u",
                "ctime": time.ctime(self.ctime),
                "Error_Path": self.error_path,
                "exec_host": None if waiting_or_gone else self.exec_host,
                "exec_vnode": None if waiting_or_gone else self.exec_vnode,
                "Hold_Types": "u" if self.state == "H" else "n",
                "Join_Path": self.join,
                "Keep_Files": self.keep,
                "Mail_Points": self.mail,
                "mtime": time.ctime(self.mtime),
                "Output_Path": self.output_path,
            }
        )

    def _when_and_how(self) -> dict[str, Attribute]:
        has_reported = self.usage is not None
        return _present(
            {
                "Priority": str(self.priority),
                "qtime": time.ctime(self.ctime),
                "Rerunable": str(self.rerunnable),
                "Resource_List": dict(self.request.resource_list()),
                "stime": _time(self.stime),
                "obittime": _time(self.obittime),
                "session_id": str(self.session) if self.session and has_reported else None,
                "Shell_Path_List": self.shell or None,
                "jobdir": self._home() if has_reported else None,
                "substate": str(self.substate),
                "Variable_List": printed(self.variables),
                "comment": self.comment or None,
                "etime": _time(self.etime),
                "run_count": str(self.run_count) if self.run_count else None,
            }
        )

    def _how_it_went(self) -> dict[str, Attribute]:
        executable = f"<jsdl-hpcpa:Executable>{self.executable}</jsdl-hpcpa:Executable>" if self.executable else None
        return _present(
            {
                "Stageout_status": None if self.stageout_status is None else str(self.stageout_status),
                "Exit_status": None if self.exit_status is None else str(self.exit_status),
                "Submit_arguments": self.arguments or None,
                "executable": executable,
                "estimated": self._estimated(),
                "history_timestamp": None if self.history_time is None else str(self.history_time),
                "project": self.project,
                "Submit_Host": self.server,
            }
        )

    def _estimated(self) -> dict[str, str] | None:
        if self.estimated_start is None or self.state != "Q":
            return None
        return {"exec_vnode": self.estimated_vnode, "start_time": time.ctime(self.estimated_start)}

    def _used(self) -> dict[str, str] | None:
        if (used := self.usage) is None:
            return None
        host = json.dumps({self.hosts[0]: "Cgroup mem limit exceeded"}) if used.killed_for_memory else "{}"
        return {
            "cpupercent": str(used.cpu_percent),
            "cput": duration_text(used.cpu_seconds),
            **({"diag_messages": f"'{host}'"} if self.with_cgroups else {}),
            "mem": f"{used.memory_kb}kb",
            "ncpus": str(self.request.ncpus),
            "vmem": f"{used.virtual_kb}kb",
            "walltime": duration_text(used.walltime_seconds),
        }

    def _home(self) -> str:
        prefix = "PBS_O_HOME="
        return next((text.removeprefix(prefix) for text in self.variables if text.startswith(prefix)), "/")

    def save(self, folder: Path) -> None:
        """Write the job where a restarted server finds it."""
        text = json.dumps({name: value for name, value in asdict(self).items() if name != "_printed"})
        written = folder / f"{self.number}.new"
        written.write_text(text, errors="surrogateescape")
        written.replace(folder / f"{self.number}.json")

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read what `save` has written."""
        kept = json.loads(path.read_text(errors="surrogateescape"))
        request = kept["request"]
        kept["request"] = Request(**(request | {"chunks": tuple(Chunk(**chunk) for chunk in request["chunks"])}))
        kept["places"] = [tuple(place) for place in kept["places"]]
        kept["usage"] = kept["usage"] and Usage(**kept["usage"])
        return cls(**{name: value for name, value in kept.items() if name != "_printed"})

    def renumbered(self, number: int) -> Job:
        """Return the same job with another number, printed already."""
        own, other = str(self.number), str(number)
        return replace(
            self,
            number=number,
            output_path=self.output_path.replace(own, other),
            error_path=self.error_path.replace(own, other),
            _printed=self.json_entry().replace(own, other),
        )


def run_comment(job: Job, now: int) -> str:
    """Return what the server says of a job that it has started."""
    return time.strftime("Job run at %a %b %d at %H:%M on ", time.localtime(now)) + job.exec_vnode


def vnode_text(places: list[tuple[str, int, int | None]]) -> str:
    """Return ``(node:ncpus=2:mem=1048576kb)+...``."""
    return "+".join(
        f"({node}:ncpus={cores}" + ("" if memory_kb is None else f":mem={memory_kb}kb") + ")"
        for node, cores, memory_kb in places
    )


def _present(attributes: dict[str, Attribute | None]) -> dict[str, Attribute]:
    return {name: value for name, value in attributes.items() if value is not None}


def _time(epoch: int | None) -> str | None:
    return None if epoch is None else time.ctime(epoch)
