"""What the commands of Slurm answer: whether they did, which jobs they name, and their times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from swotvre_hub.engines.base import CommandResult, SchedulerUnavailableError
from swotvre_hub.engines.pbs_answers import own_words

JOB_ID = re.compile(r"\d{1,19}", re.ASCII)
UNKNOWN_JOB = re.compile(r"Invalid job id specified", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)

#: Of any command: it ran out of time (124, 137), or is not there (126, 127).
_UNANSWERED_CODES = frozenset({124, 126, 127, 137})
#: The exit status of a Slurm command is 1 for nearly everything: the text decides.
_UNANSWERED = re.compile(
    r"unable to contact slurm controller|socket timed out|zero bytes were transmitted|connection (?:refused|reset)"
    r"|transport endpoint|message (?:send|receive) failure|communication (?:connection|shutdown) failure"
    r"|no route to host|network is unreachable|host is unreachable|controller in standby|standby mode"
    r"|could not establish a configuration source|unable to (?:establish|process) configuration"
    r"|auth_munge|munge .*fail|authentication (?:credential|error|failure)|resource temporarily unavailable"
    r"|temporarily unable to accept job|insane message length|header lengths|name or service not known",
    re.IGNORECASE,
)


def ensure_answered(result: CommandResult) -> None:
    """Return when Slurm's controller answered, whatever it said.

    Raises:
        SchedulerUnavailableError: when it did not.
    """
    if result.exit_code < 0:
        raise SchedulerUnavailableError(f"Slurm did not answer: the command was ended by signal {-result.exit_code}")
    if result.exit_code in _UNANSWERED_CODES or (result.exit_code and _UNANSWERED.search(result.stderr)):
        raise SchedulerUnavailableError(f"Slurm did not answer: {own_words(result)}")


def read_rows(result: CommandResult) -> list[str]:
    """Return the lines of a list.

    Raises:
        SchedulerUnavailableError: when Slurm did not answer, or the list is cut short.
    """
    ensure_answered(result)
    if result.exit_code:
        raise SchedulerUnavailableError(f"Slurm did not answer: {own_words(result)}")
    if result.stdout.strip() and not result.stdout.endswith("\n"):
        raise SchedulerUnavailableError("Slurm's answer is cut short")
    return [row for row in result.stdout.split("\n") if row.strip()]


def checked_ids(job_ids: Sequence[str]) -> list[str]:
    """Return ``job_ids``; Slurm would take another word for an option."""
    for job_id in job_ids:
        if not JOB_ID.fullmatch(job_id):
            raise ValueError(f"{job_id!r} is no job id of Slurm")
    return list(job_ids)


def parse_time(text: str) -> datetime | None:
    """Return a time of Slurm, which it writes in local time without saying so, in UTC; None: not a time."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
