"""``Variable_List``: how qsub's ``-v`` and ``-V`` spoil quotes and backslashes, and what of it arrives in the job.

The steps are those of OpenPBS 23.06: qsub copies a value once or twice, the server decodes and encodes it.
"""

from __future__ import annotations

from .resources import RefusedError

_SPECIAL = "\"',\\"
_FROM_SUBMISSION = ("HOME", "LANG", "LOGNAME", "PATH", "MAIL", "SHELL", "TZ")
_REFUSAL = "cannot send environment with the job"


def split_names(text: str) -> list[str]:
    """Split the value of ``-v`` at the commas that are neither quoted nor escaped."""
    tokens, start, quote, index = [], 0, "", 0
    while index < len(text):
        letter = text[index]
        if letter in "'\"":
            quote = "" if letter == quote else letter
        elif letter == "," and not quote:
            tokens.append(text[start:index])
            start = index + 1
        elif letter == "\\" and index + 1 < len(text):
            index += 1
        index += 1
    return [*tokens, text[start:]] if start < len(text) else tokens


def copy_value(value: str, start: int = 0, *, quoted: bool) -> tuple[str, int]:
    """Copy one value as qsub does, from ``start``; return it and where it ended.

    ``quoted`` is how qsub copies a value of its own environment: quotes and commas are escaped. Else quotes enclose,
    and vanish, and a comma ends the value.
    """
    copied: list[str] = []
    quote, index = "", start
    while index < len(value):
        letter = value[index]
        if letter in "\"'":
            if quote == letter:
                quote = ""
            elif quote or quoted:
                copied.append("\\" + letter)
            else:
                quote = letter
        elif letter == "\\":
            copied.append("\\" if value[index + 1 : index + 2] == "," else "\\\\")
        elif letter == "," and (quote or quoted):
            copied.append("\\,")
        elif letter == "," and not (copied and copied[-1].endswith("\\")):
            return "".join(copied), index + 1
        else:
            copied.append(letter)
        index += 1
    if quote:
        raise RefusedError(1, _REFUSAL)
    return "".join(copied), index


def expand(option: str, environment: dict[str, str]) -> str:
    """Return the value of ``-v`` with the values of the environment, as qsub's first pass leaves it."""
    expanded = []
    for token in split_names(option):
        name, equals, value = token.partition("=")
        if equals:
            expanded.append(f"{name}={copy_value(value, quoted=False)[0]}")
        elif not name.startswith("PBS_O_"):
            if name not in environment:
                raise RefusedError(1, _REFUSAL)
            expanded.append(f"{name}={copy_value(environment[name], quoted=True)[0]}")
    return ",".join(expanded)


def variable_list(
    option: str | None, environment: dict[str, str], folder: str, queue: str, host: str, *, whole: bool
) -> list[str]:
    """Return ``NAME=value`` of every variable of a job as the server keeps them: with ``-v`` mangled."""
    basic = [f"PBS_O_{name}={environment[name]}" for name in _FROM_SUBMISSION if name in environment]
    basic += ["PBS_O_INTERACTIVE_AUTH_METHOD=resvport", "PBS_O_INTERACTIVE_ENCRYPT_METHOD="]
    basic += [f"PBS_O_WORKDIR={folder}", "PBS_O_SYSTEM=Linux"]
    sent = "" if option is None else expand(option, environment)
    passed, index = [], 0
    while index < len(sent):
        name, _, _ = sent[index:].partition("=")
        value, index = copy_value(sent, index + len(name) + 1, quoted=False)
        if not name.startswith("PBS_O_"):
            passed.append(f"{name}={value}")
    if whole:
        own = ((name, value) for name, value in environment.items() if not name.startswith("PBS_O_"))
        passed += [f"{name}={copy_value(value, quoted=True)[0]}" for name, value in own]
    return [*basic, *map(_decoded, passed), f"PBS_O_QUEUE={queue}", f"PBS_O_HOST={host}"]


def printed(variables: list[str]) -> str:
    """Return ``Variable_List`` as the server prints it: special characters escaped, commas between."""
    return ",".join("".join("\\" + letter if letter in _SPECIAL else letter for letter in text) for text in variables)


def _decoded(text: str) -> str:
    """Drop the escapes of special characters, as the server does, and with them what ``-v`` had doubled."""
    decoded, index = [], 0
    while index < len(text):
        following = text[index + 1 : index + 2]
        if text[index] == "\\" and following and following in _SPECIAL:
            index += 1
        decoded.append(text[index])
        index += 1
    return "".join(decoded).strip()
