"""What the refusals of ``sbatch`` mean, in plain words with what to do. Its exit status is always 1."""

from __future__ import annotations

import re

from swotvre_hub.engines.base import CommandResult
from swotvre_hub.engines.pbs_answers import own_words
from swotvre_hub.engines.pbs_refusals import TELL

_SMALLER = "Choose a smaller size."
_OTHER = "Choose another partition."
_STOP = "Stop a session or a job that you do not need any more, or wait until one ends."

#: What Slurm says, what it means, what to do; the first that is found counts. ``{partition}`` is that of the request.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (r"invalid partition|partition name specified", "{partition} does not exist", _OTHER),
    (
        r"Required partition not available|partition is (?:in )?(?:an )?(?:inactive|down)",
        "{partition} takes no jobs at present",
        "Choose another partition, or try again later.",
    ),
    (
        r"time limit is invalid|exceeds? .*time limit",
        "it asks for more time than {partition} allows",
        "Choose a shorter duration, or another partition.",
    ),
    (
        r"Memory specification can not be satisfied|memory .*(?:not available|exceed)|MaxMemPerLimit",
        "no node of {partition} has, or may give to a job, as much memory",
        f"{_SMALLER[:-1]}, or another partition.",
    ),
    (
        r"generic resource|\(gres\)|\bgres\b.*(?:invalid|unknown)",
        "{partition} has no such GPUs",
        "Choose a size without GPUs, or another partition.",
    ),
    (
        r"More processors requested than permitted|CPU count (?:specification|per node) can not be satisfied",
        "no node of {partition} has as many cores",
        f"{_SMALLER[:-1]}, or another partition.",
    ),
    (
        r"group not permitted to use this partition|not permitted to use .*partition|partition.*access",
        "you may not use {partition}",
        "Choose another partition, or ask for access.",
    ),
    (
        r"not permitted to use (?:this|that) (?:account|partition)|Account .*not permitted|AccountNotAllowed",
        "your account of Slurm (the project) may not use {partition}",
        "Choose another project or partition.",
    ),
    (
        r"Invalid account or account/partition combination|invalid account",
        "the project is not one that you may use in {partition}",
        "Choose another project or partition; without any, ask to be added to one.",
    ),
    (r"Invalid qos|qos .*(?:invalid|not permitted)", "its quality of service is not one that you may use", f"{TELL}."),
    (
        r"MaxSubmitJob|SubmitJob.*limit|maximum number of jobs|AssocGrpSubmitJobs",
        "there are already as many jobs as a limit allows",
        _STOP,
    ),
    (
        r"violates accounting/QOS policy|job submit limit|exceeds? .*(?:QOS|association).*limit",
        "with its size and duration, or with your other jobs, it exceeds a limit of your project or quality of service",
        f"{_STOP} Or choose a smaller size or a shorter duration.",
    ),
    (
        r"node configuration is not available|Node count specification invalid|Requested nodes? .*not available",
        "no node of {partition} can hold it",
        f"{_SMALLER[:-1]}, or another partition.",
    ),
    (r"reservation", "it needs a reservation, or one that does not exist", f"{_OTHER} {TELL}."),
    (
        r"not authorized|access.*denied|permission denied|Invalid user id|user id is invalid",
        "you may not submit jobs",
        f"{TELL}: Slurm does not let your account submit.",
    ),
    (
        r"does not look like a batch script|batch script is empty|script .*(?:too large|exceeds)|Pathname .*too long",
        "its script is not one that Slurm takes",
        f"{TELL}.",
    ),
    (
        r"unrecognized option|invalid option|Invalid .*specification",
        "this Slurm does not know what it was asked",
        f"{TELL}.",
    ),
)
_TABLE = tuple((re.compile(said, re.IGNORECASE), why, advice) for said, why, advice in _REFUSALS)


def explain_refusal(result: CommandResult) -> str:
    """Return why ``sbatch`` refused, in words with what to do, and its own sentence."""
    partition = next((word.partition("=")[2] for word in result.arguments if word.startswith("--partition=")), "")
    named = f"partition '{partition}'" if partition else "the default partition"
    said = own_words(result)
    for text, meaning, advice in _TABLE:
        if text.search(said):
            return f"Slurm refused the session: {meaning.format(partition=named)} ({said}). {advice}"
    return f"Slurm refused the session, and says: {said}"
