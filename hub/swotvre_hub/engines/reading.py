"""What batch systems print, read without trust: sizes, clocks, JSON whose types change from one answer to the next."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

#: Largest number that is believed: beyond it, a size or a duration is a mistake of who prints it.
_LARGEST = 2**60
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_MEMORY = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*([kmgtp]?)i?([bw]?)", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d{1,9})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9})(?:\.\d{1,9})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,30}", re.ASCII)


def parse_memory(value: object) -> int | None:
    """Return the bytes of ``400gb``, ``7048kb``, ``123456b``, ``32G`` or a plain number; None: not a size.

    Units are binary, as in PBS and Slurm. A word (``kw``) is 8 bytes, as PBS prints none that is anything else.
    """
    if isinstance(value, bool):
        return None
    found = _MEMORY.fullmatch(str(value).strip()) if isinstance(value, (int, str)) else None
    if found is None:
        return None
    size = float(found[1]) if "." in found[1] else int(found[1])
    size = int(size * _UNITS[found[2].lower()] * (8 if found[3].lower() == "w" else 1))
    return size if size <= _LARGEST else None


def parse_clock(value: object) -> timedelta | None:
    """Return the duration of ``HH:MM:SS``, ``D-HH:MM:SS`` or ``MM:SS``, or of a plain number of seconds; None: neither.

    Hours may exceed 24 and minutes 60, as they do in both schedulers.
    """
    seconds = parse_integer(value)
    if seconds is None:
        found = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            return None
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    try:
        return timedelta(seconds=seconds) if seconds >= 0 else None
    except OverflowError:
        return None


def parse_integer(value: object) -> int | None:
    """Return the whole number that ``value`` is or spells; None: neither. ``True`` is not 1."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, str):
        value = int(value) if _INTEGER.fullmatch(value := value.strip()) else None
    return value if isinstance(value, int) and abs(value) <= _LARGEST else None


def parse_json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds; control characters inside its strings are accepted.

    Raises:
        ValueError: when it is no JSON, is cut, nests beyond all measure, or is not an object.
    """
    try:
        value = json.loads(text, strict=False)
    except RecursionError as error:
        raise ValueError("JSON that nests too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("JSON that is not an object")
    return value


def text_of(value: object) -> str:
    """Return a scalar of JSON as text: a list joined with commas, nothing for None or an object."""
    if isinstance(value, list):
        return ",".join(text_of(item) for item in value)
    if isinstance(value, bool):
        return "True" if value else "False"
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


def object_of(value: object) -> Mapping[str, Any]:
    """Return ``value`` when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def count(number: int, unit: str) -> str:
    """Return ``number`` with its unit: ``1 core``, ``16 cores``."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def describe_memory(size: int) -> str:
    """Return ``size`` bytes in words: ``40 GiB``, ``1.5 GiB``, ``512 MiB``, ``7 KiB``; below, in bytes."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        # 1024 GiB stay GiB unless they are whole TiB: a limit of 1100 GiB is not 1.1 TiB to those who read it.
        if size >= factor and (unit != "TiB" or size % factor == 0):
            return f"{round(size / factor, 1):g} {unit}" if size < 1000 * factor else f"{round(size / factor)} {unit}"
    return count(size, "byte")
