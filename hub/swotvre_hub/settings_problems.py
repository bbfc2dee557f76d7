"""What is wrong with a settings file, in words."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

#: pydantic's error types, as what was expected instead; ``{...}`` are filled from the error's context.
EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping of 'key: value' lines",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "one of: {expected}",
    "missing": "this key; a block in vre.yaml replaces the default block as a whole, so it must be complete",
    "model_type": "a mapping of 'key: value' lines",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "string_type": "text (put it in quotes)",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
}


@dataclass(frozen=True)
class SettingsProblem:
    """One fault of a settings file."""

    #: The file that holds it.
    source: str
    #: Dotted path, ``sizes.small.cores``.
    key: str
    #: What stands there.
    received: str
    #: What should stand there, and what to do.
    expected: str

    def __str__(self) -> str:
        """Return four lines: file, key, received, expected."""
        return f"file:     {self.source}\nkey:      {self.key}\nreceived: {self.received}\nexpected: {self.expected}"


def problems_of(error: ValidationError, model: type[BaseModel], source: str) -> list[SettingsProblem]:
    """Return every fault that ``error`` holds, in the order of the file."""
    return [_problem(details, model, source) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails, model: type[BaseModel], source: str) -> SettingsProblem:
    path = [part for part in details["loc"] if part != "[key]"]
    kind = details["type"]
    received = "nothing" if kind == "missing" else _shorten(repr(details["input"]))
    if kind == "extra_forbidden":
        expected = _unknown_key(str(path[-1]), _known_keys(model, path[:-1]))
    elif kind == "value_error":
        expected = str(details["ctx"]["error"])
        received = "the block as it stands" if isinstance(details["input"], dict) else received
    else:
        expected = EXPECTED.get(kind, details["msg"]).format(**details.get("ctx", {}))
    if details["loc"] and details["loc"][-1] == "[key]":
        expected = f"a name in lower case letters, digits and dashes ({expected})"
    return SettingsProblem(source, ".".join(str(part) for part in path) or "(whole file)", received, expected)


def _unknown_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else "this key is not known; "
    return f"{hint}Known keys here: {', '.join(known)}"


def _known_keys(model: type[BaseModel], path: list[int | str]) -> list[str]:
    """Return the field names of the model that stands at ``path`` below ``model``."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[str(part)].annotation
        elif get_origin(current) is dict:
            current = get_args(current)[1]
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _shorten(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
