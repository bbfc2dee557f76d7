"""What the refusals of PBS mean, in plain words with what to do.

The exit status of a PBS command is the low byte of the error number (``src/include/pbs_error.h``): 188 of 15036.
As different errors share a byte with statuses of other programs, the text is read first.
"""

from __future__ import annotations

import re

from swotvre_hub.engines.base import CommandResult
from swotvre_hub.engines.pbs_answers import own_words

TELL = "Tell those who run this site"
#: That sudo did not run the command; its mere warnings (``unable to resolve host``) come with an answer of PBS.
_SUDO = re.compile(
    r"^sudo: .*(?:required|no tty present|unknown user|command not found|unable to execute|setuid|uid is not 0"
    r"|sudoers|account validation)|is not allowed to (?:execute|run)|not in the sudoers file|may not run sudo",
    re.IGNORECASE | re.MULTILINE,
)


def describe_sudo_fault(result: CommandResult, verb: str) -> str | None:
    """Return what to do when not PBS refused but ``sudo``, which was to run the command as its owner; None: it did not.

    Args:
        result: Of the command.
        verb: What failed: ``start`` or ``stop``.
    """
    if result.exit_code == 0 or not _SUDO.search(result.stderr):
        return None
    return (
        f"The hub may not {verb} sessions in your name ({own_words(result)}). This is a fault in the set-up of this "
        f"site, not of what you asked for: the hub's account needs a sudo rule without password. {TELL}."
    )


#: What PBS says, its exit status, what it means, what to do. ``{queue}`` is that of the request.
_REFUSALS: tuple[tuple[str, int, str, str], ...] = (
    (
        r"violates queue and/or server resource limits",
        188,
        "it asks for more than {queue} or the server allows",
        "Choose a smaller size or a shorter duration, or another queue.",
    ),
    (
        r"limit on resource",
        39,
        "with what your other jobs have, it exceeds a limit",
        "Stop a session or a job that you do not need any more, or choose a smaller size.",
    ),
    (
        r"would exceed .* limit|Maximum number of jobs",
        38,
        "there are already as many jobs as a limit allows",
        "Stop a session or a job that you do not need any more, or wait until one ends; another queue may have room.",
    ),
    (
        r"Maximum number of jobs",
        198,
        "there are already as many jobs as a limit allows",
        "Wait until one ends, or choose another queue.",
    ),
    (r"Unknown queue", 170, "{queue} does not exist", "Choose another queue."),
    (r"Queue is not enabled", 173, "{queue} takes no jobs at present", "Choose another queue, or try again later."),
    (r"Access to queue is denied", 174, "you may not use {queue}", "Choose another queue, or ask for access."),
    (
        r"No default queue specified",
        189,
        "no queue was chosen, and the server has no default",
        "Choose a queue.",
    ),
    (
        r"rejected by all possible destinations",
        191,
        "no queue behind {queue} takes a job of this size and duration",
        "Choose a smaller size or a shorter duration, or another queue.",
    ),
    (
        r"Unknown resource|Resource invalid in \"select\"",
        187,
        "it asks for a resource that this PBS does not know",
        f"Choose another size. {TELL}: a session size asks for what PBS does not have.",
    ),
    (
        r"Illegal attribute or resource value|illegal -\w value",
        166,
        "PBS cannot read one of its values",
        f"Choose another size or duration. {TELL}.",
    ),
    (
        r"\"-lresource=\" cannot be used with",
        5,
        "resources are asked for in two ways at once",
        f"{TELL}: a directive or a hook adds a resource outside of 'select'.",
    ),
    (
        r"Cannot be used with select or place",
        6,
        "resources are asked for in two ways at once",
        f"{TELL}: a directive or a hook adds 'nodes' to 'select'.",
    ),
    (r"Bad UID for job execution", 175, "your account may not run jobs", f"{TELL}: PBS refuses your account."),
    (r"Bad GID for job execution", 197, "your group may not run jobs", f"{TELL}: PBS refuses your group."),
    (r"Invalid Account", 201, "the project is not one that you may use", "Choose another project."),
    (r"Unauthorized Request", 159, "you may not submit jobs", f"{TELL}: PBS does not let your account submit."),
    (
        r"Access from host not allowed",
        160,
        "PBS takes no jobs from the host of this hub",
        f"{TELL}: the hub's host is not among the submission hosts.",
    ),
    (
        r"Invalid credential|Expired credential",
        171,
        "PBS did not accept the proof of who you are",
        f"{TELL}: authentication between the hub's host and PBS fails.",
    ),
    (
        r"jobscript size exceeded",
        71,
        "its script is larger than PBS allows",
        f"{TELL}: 'jobscript_max_size' is too small.",
    ),
    (
        r"hook|request rejected",
        32,
        "a rule of this site did not let it pass",
        "Read its reason and choose accordingly.",
    ),
)
_TABLE = tuple((re.compile(said, re.IGNORECASE), code, why, advice) for said, code, why, advice in _REFUSALS)


def explain_refusal(result: CommandResult) -> str:
    """Return why ``qsub`` refused, in words with what to do, and its own sentence."""
    queue = _argument(result, "-q")
    named = f"queue '{queue}'" if queue else "the default queue"
    said = own_words(result)
    by_text = [(meaning, advice) for text, _, meaning, advice in _TABLE if text.search(said)]
    # Low statuses are also those of a shell, of sudo and of a usage error: without the text they mean nothing.
    by_code = [(meaning, advice) for _, code, meaning, advice in _TABLE if code == result.exit_code and code > 127]
    for meaning, advice in by_text + by_code:
        return f"PBS refused the session: {meaning.format(queue=named)} ({said}). {advice}"
    return f"PBS refused the session, and says: {said}"


def _argument(result: CommandResult, option: str) -> str:
    """Return the value of ``option`` among the arguments of the command; empty: not given."""
    arguments = list(result.arguments)
    index = arguments.index(option) + 1 if option in arguments else len(arguments)
    return arguments[index] if index < len(arguments) else ""
