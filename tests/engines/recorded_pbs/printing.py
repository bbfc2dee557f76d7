"""How PBS prints: JSON by cJSON with every value parsed anew, and attributes wrapped at 80 columns."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

#: A value as PBS knows it: always text. An attribute has one, or several named resources, or several variables.
type Attribute = str | dict[str, str]

_NUMBER = re.compile(r"-?(?:\d+\.?\d*|(?<=-)\.\d+)(?:[eE][+-]?\d+)?")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f]')
_LINE_LIMIT = 78


def json_text(value: object, depth: int = 0) -> str:
    """Print a value as cJSON does: tabs, a tab after each colon, arrays on one line; text is parsed first."""
    if isinstance(value, dict):
        if not value:
            return "{\n" + "\t" * depth + "}"
        lines = (f"{json_key(key, depth + 1)}{json_text(item, depth + 1)}" for key, item in value.items())
        return "{\n" + ",\n".join(lines) + "\n" + "\t" * depth + "}"
    if isinstance(value, Printed):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(quoted(str(item)) for item in value) + "]"
    return _parsed(value) if isinstance(value, str) else _number(float(str(value)))


def json_key(key: str, depth: int) -> str:
    """Print a key with its indent and colon."""
    return "\t" * depth + quoted(key) + ":\t"


def quoted(text: str) -> str:
    """Print text as text, even if it is a number."""
    return '"' + _TO_ESCAPE.sub(lambda match: _ESCAPES.get(match[0], f"\\u{ord(match[0]):04x}"), text) + '"'


class Printed(str):
    """Text that is printed already."""

    __slots__ = ()


def full_text(name: str, attributes: dict[str, Attribute], *, kind: str, wide: bool) -> str:
    """Print what ``qstat -f`` says of one object."""
    lines = [f"{kind}: {name}\n"]
    for attribute, resource, value in _flat(attributes):
        label = f"{attribute}.{resource}" if resource else attribute
        printed = value.replace("\n", "\\n").replace("\f", "\\f") if wide else _wrapped(value, len(label) + 7)
        lines.append(f"    {label} = {printed}\n")
    return "".join(lines) + "\n"


def split_variables(text: str) -> dict[str, str]:
    """Split ``Variable_List`` as ``qstat -F json`` does: at commas, of which an escaped one loses its backslash."""
    marked = text.replace("\\,", "\0")
    pairs = (part.partition("=") for part in marked.split(","))
    return {name.replace("\0", ","): value.replace("\0", ",") for name, _, value in pairs}


def _flat(attributes: dict[str, Attribute]) -> Iterator[tuple[str, str, str]]:
    for name, value in attributes.items():
        if isinstance(value, dict):
            yield from ((name, resource, text) for resource, text in value.items())
        else:
            yield name, "", value


def _wrapped(value: str, start: int) -> str:
    """Break a value at commas where it can, inside words where it cannot, a tab on each next line."""
    printed: list[str] = []
    parts = [part for part in value.split(",") if part]
    for number, part in enumerate(parts):
        if len(part) + start < _LINE_LIMIT:
            printed.append(part)
            start += len(part)
        else:
            if number:
                printed.append("\n\t")
                start = 9
            for letter in part:
                printed.append(letter)
                start += 1
                if start > _LINE_LIMIT:
                    start = 8
                    printed.append("\n\t")
        if number + 1 < len(parts):
            printed.append(",")
    return "".join(printed)


def _parsed(text: str) -> str:
    """Print a value that is JSON as what it is: ``005`` as 5, ``[]`` as an array; anything else as text."""
    stripped = text.strip(" \t\r\n")
    if not stripped or not (stripped[0] in '-[{"tfn' or stripped[0].isdigit()):
        return quoted(text)
    if _NUMBER.fullmatch(stripped) and len(stripped) < 64:
        return _number(float(stripped))
    if stripped[0] in '[{"tfn':
        try:
            return _reprinted(json.loads(stripped, parse_constant=_refuse_constant))
        except ValueError:
            return quoted(text)
    return quoted(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _reprinted(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "null"
    short = f"{value:.15g}"
    return short if float(short) == value else f"{value:.17g}"
