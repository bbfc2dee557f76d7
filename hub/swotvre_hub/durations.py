"""Durations as people read them."""

from __future__ import annotations

from datetime import timedelta


def describe_hours(hours: float) -> str:
    """Return ``hours`` in words: ``30 minutes``, ``1 hour``, ``4 hours``, ``1 hour 30 minutes``, ``2 days``."""
    return describe_duration(timedelta(hours=hours))


def describe_minutes(minutes: float) -> str:
    """Return ``minutes`` in words, as `describe_hours` does."""
    return describe_duration(timedelta(minutes=minutes))


def describe_duration(duration: timedelta) -> str:
    """Return ``duration`` in words, rounded to minutes; in whole days from two days on, when it is a whole number."""
    minutes = round(duration / timedelta(minutes=1))
    if minutes < 1:
        return "less than a minute"
    if minutes >= 48 * 60 and minutes % (24 * 60) == 0:
        return f"{minutes // (24 * 60)} days"
    hours, minutes = divmod(minutes, 60)
    parts = [_count(number, unit) for number, unit in ((hours, "hour"), (minutes, "minute")) if number]
    return " ".join(parts)


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
