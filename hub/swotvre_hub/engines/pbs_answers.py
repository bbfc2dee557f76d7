"""What the commands of PBS answer: whether they did, which jobs they name, and their JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from swotvre_hub.engines.base import CommandResult, SchedulerUnavailableError
from swotvre_hub.engines.reading import object_of, parse_json_object

JOB_ID = re.compile(r"\d+(?:\[\d*\])?(?:\.[A-Za-z0-9._-]+)?", re.ASCII)
#: The environment of a job in JSON: servers before 20 write it without escaping what it holds.
_ENVIRONMENT = re.compile(r'"Variable_List":\s*\{.*?\n\s*\}', re.DOTALL)
#: Longest text of PBS itself that a message repeats.
_LONGEST = 300

#: No answer: cannot connect (162, 255), internal error, batch protocol, no connections, no server, shutting down (163
#: to 212); and of any command: it ran out of time (124, 137), or is not there (126, 127).
_UNANSWERED_CODES = frozenset({124, 126, 127, 137, 162, 163, 183, 185, 186, 212, 255})
_UNANSWERED = re.compile(
    r"cannot connect to server|could ?n[o']t connect to|connection (?:refused|reset|timed out)|errno=15010|error=15010"
    r"|no free connections|no server specified|server connection table full|server shutting down|batch protocol error"
    r"|no route to host|network is unreachable|server internal error",
    re.IGNORECASE,
)


def ensure_answered(result: CommandResult) -> None:
    """Return when the PBS server answered, whatever it said.

    Raises:
        SchedulerUnavailableError: when it did not.
    """
    if result.exit_code < 0:
        raise SchedulerUnavailableError(f"PBS did not answer: the command was ended by signal {-result.exit_code}")
    if result.exit_code in _UNANSWERED_CODES or (result.exit_code and _UNANSWERED.search(result.stderr)):
        raise SchedulerUnavailableError(f"PBS did not answer: {own_words(result)}")


def own_words(result: CommandResult) -> str:
    """Return what the command itself said, on one line and not too long; never the environment of a job."""
    said = result.stderr if result.stderr.strip() or "{" in result.stdout else result.stdout
    text = " ".join(said.split())
    if not text:
        return f"exit status {result.exit_code}, without a word"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def is_same_job(one: str, other: str) -> bool:
    """Return whether two ids name one job: same number, servers that may be the same (``head``, ``head.site.fr``)."""
    (number, _, server), (other_number, _, other_server) = one.partition("."), other.partition(".")
    if number != other_number:
        return False
    if not server or not other_server or server == other_server:
        return True
    return server.startswith(f"{other_server}.") or other_server.startswith(f"{server}.")


def number(job_id: str) -> str:
    """Return the number of a job on its server, with the brackets of an array."""
    return job_id.partition(".")[0]


def checked_ids(job_ids: Sequence[str]) -> list[str]:
    """Return ``job_ids``; no other word must follow a command, as PBS would take it for an option or a queue."""
    for job_id in job_ids:
        if not JOB_ID.fullmatch(job_id):
            raise ValueError(f"{job_id!r} is no job id of PBS")
    return list(job_ids)


def read_ids(result: CommandResult) -> list[str]:
    """Return the job ids that ``qselect`` printed."""
    ensure_answered(result)
    if result.exit_code:
        raise SchedulerUnavailableError(f"PBS did not list its jobs: {own_words(result)}")
    lines = (line.strip() for line in result.stdout.splitlines())
    return [line for line in lines if JOB_ID.fullmatch(line)]


def read_jobs(result: CommandResult, *, silent_is_fine: bool) -> dict[str, Any]:
    """Return the entries of the jobs that ``qstat`` printed, by id."""
    if silent_is_fine and not result.stdout.strip():
        return {}
    try:
        answer = parse_json_object(result.stdout)
    except ValueError:
        try:
            answer = parse_json_object(_ENVIRONMENT.sub('"Variable_List": {}', result.stdout))
        except ValueError as error:
            raise SchedulerUnavailableError(f"qstat printed JSON that cannot be read: {own_words(result)}") from error
    return dict(object_of(answer.get("Jobs")))


def read_answer(result: CommandResult, nothing: str | None) -> dict[str, Any]:
    """Return the JSON object of an answer; ``nothing``: what the command says when there is none to list."""
    if nothing and re.search(nothing, result.stderr, re.IGNORECASE):
        return {}
    ensure_answered(result)
    if result.exit_code:
        raise SchedulerUnavailableError(f"PBS did not answer: {own_words(result)}")
    try:
        return parse_json_object(result.stdout)
    except ValueError as error:
        raise SchedulerUnavailableError(f"PBS printed JSON that cannot be read: {own_words(result)}") from error
