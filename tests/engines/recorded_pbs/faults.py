"""Faults that a test asks for: how answers are spoiled on their way to the command."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from .wire import Answer

#: Attributes whose values change their type in a fault; a number in place of text, and text in place of a number.
_TYPE_CHANGES = (
    (re.compile(r'"Exit_status":\t(-?\d+)'), r'"Exit_status":\t"\1"'),
    (re.compile(r'"Job_Name":\t"[^"]*"'), '"Job_Name":\t5'),
    (re.compile(r'"session_id":\t(\d+)'), r'"session_id":\t"\1"'),
    (re.compile(r'"ncpus":\t(\d+)'), r'"ncpus":\t"\1"'),
    (re.compile(r'"walltime":\t"([^"]*)"'), '"walltime":\t3600'),
    (re.compile(r'"comment":\t"[^"]*"'), '"comment":\t[]'),
)
_ESTIMATED = re.compile(r',\n\t*"estimated":\t\{[^}]*\}')


@dataclass
class Faults:
    """Which faults are on: for each the commands that it befalls."""

    #: ``truncated``, ``types``, ``garbage``, ``hang`` (with seconds), ``no_estimate``.
    active: dict[str, tuple[list[str], float]] = field(default_factory=dict)
    #: Commands by name and second.
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)

    def seconds_to_hang(self, command: str) -> float:
        """Return for how long a command is not answered."""
        return self.active["hang"][1] if self._befalls("hang", command) else 0

    def spoil(self, command: str, answer: Answer) -> Answer:
        """Return the answer as the command gets it."""
        text = answer.stdout
        if self._befalls("no_estimate", command):
            text = _ESTIMATED.sub("", text)
        if self._befalls("types", command):
            for pattern, changed in _TYPE_CHANGES:
                text = pattern.sub(changed, text)
        if self._befalls("truncated", command):
            text = text[: len(text) // 2]
        raw = b"\x00\xff\xfe{]garbage\x1b[0m\n" if self._befalls("garbage", command) else b""
        return replace(answer, stdout=text, raw=raw)

    def _befalls(self, fault: str, command: str) -> bool:
        return fault in self.active and command in self.active[fault][0]
