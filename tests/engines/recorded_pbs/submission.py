"""What a call of qsub asks for: its options, and the ``#PBS`` lines of its script."""

from __future__ import annotations

import getopt
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .resources import RefusedError
from .wire import Call

OPTIONS = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:q:r:R:S:u:v:VW:XzP:"
_NAME = re.compile(r"[A-Za-z0-9_+.-]+")
_NOT_STOOD_IN_FOR = {"I": "interactive jobs", "J": "job arrays", "a": "jobs that wait for a time"}


@dataclass
class Submission:
    """One job as it was asked for."""

    script: str
    name: str
    #: Every option but ``-l`` and ``-W``; those of the command line go before those of the script.
    options: dict[str, str]
    resources: dict[str, str]
    attributes: dict[str, str]
    #: As ``Submit_arguments`` shows them.
    arguments: str
    executable: list[str] = field(default_factory=list)

    @property
    def queue(self) -> str | None:
        """The queue that was asked for."""
        return self.options.get("q", "").partition("@")[0] or None


def parse_submission(call: Call) -> Submission:
    """Return what the call asks for.

    Raises:
        RefusedError: with the words of qsub, and its exit code.
    """
    try:
        options, operands = getopt.getopt(call.arguments, OPTIONS)
    except getopt.GetoptError as error:
        raise RefusedError(2, f"{error.msg}\nusage: qsub [-a date_time] ...") from error
    script = call.script.decode("utf-8", "surrogateescape")
    if "\r\n" in script:
        raise RefusedError(1, "script contains cr, lf")
    submission = Submission(script, "STDIN", {}, {}, {}, " ".join(call.arguments))
    if "--" in call.arguments:
        submission.executable, operands = operands, []
        submission.script = f"exec {shlex.join(submission.executable)}\n"
    elif operands and operands[0] != "-":
        submission.name = PurePosixPath(operands[0]).name[:230]
    _take(submission, options)
    for directive in directives(submission.script):
        _take(submission, _directive_options(directive))
    submission.name = submission.options.get("N", submission.name)
    _check(submission)
    return submission


def directives(script: str) -> list[str]:
    """Return the options of the ``#PBS`` lines above the first command."""
    found = []
    for line in script.replace("\\\n#PBS", "").splitlines():
        if line.startswith("#PBS"):
            found.append(line[4:])
        elif line.strip() and not line.startswith(("#", ":")):
            break
    return found


def output_path(submission: Submission, stream: str, number: int, folder: str, host: str) -> str:
    """Return ``Output_Path`` or ``Error_Path`` (``stream`` is ``o`` or ``e``)."""
    default = f"{submission.name[:15]}.{stream}{number}"
    if (given := submission.options.get(stream)) is None:
        return f"{host}:{PurePosixPath(folder) / default}"
    named_host, colon, path = given.rpartition(":")
    return f"{named_host if colon else 'localhost'}:{os.path.normpath(PurePosixPath(folder) / path)}" + (
        "/" if path.endswith("/") else ""
    )


def _directive_options(directive: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(directive, comments=True)
        return getopt.getopt(words, OPTIONS)[0]
    except (ValueError, getopt.GetoptError) as error:
        raise RefusedError(1, f"directive error: {directive.strip()} ") from error


def _take(submission: Submission, options: list[tuple[str, str]]) -> None:
    """Take options that were not given before; within one source the last of them counts."""
    own: dict[str, str] = {}
    resources: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for letter, value in options:
        if letter == "-l":
            resources |= _pairs(value)
        elif letter == "-W":
            attributes |= _pairs(value)
        else:
            own[letter[1:]] = value.strip()
    submission.options = own | submission.options
    submission.resources = resources | submission.resources
    submission.attributes = attributes | submission.attributes


def _pairs(value: str) -> dict[str, str]:
    """Split ``name=value,name=value``."""
    pairs = {}
    for part in value.split(","):
        name, equals, text = part.strip().partition("=")
        if not name or not equals:
            raise RefusedError(2, "illegal -l value")
        pairs[name.strip()] = text.strip()
    return pairs


def _check(submission: Submission) -> None:
    for letter, what in _NOT_STOOD_IN_FOR.items():
        if letter in submission.options:
            raise RefusedError(1, f"recorded PBS does not stand in for {what}")
    if not _NAME.fullmatch(submission.name):
        raise RefusedError(2, "illegal -N value")
    if submission.options.get("r", "y") not in {"y", "n"}:
        raise RefusedError(2, "illegal -r value")
    if submission.options.get("j", "n") not in {"oe", "eo", "n"}:
        raise RefusedError(2, "illegal -j value")
