"""The launch page: session sizes as cards, the duration, and what ends a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from swotvre_hub.durations import describe_hours, describe_minutes
from swotvre_hub.errors import SessionRequestError
from swotvre_hub.machine import Machine
from swotvre_hub.sessions import parse_size_name, parse_walltime
from swotvre_hub.settings import SessionSize, Settings


@dataclass(frozen=True)
class SizeCard:
    """One session size as the launch page shows it."""

    #: Name in the settings, and value of the radio button.
    name: str
    size: SessionSize
    #: Longest duration, in words.
    longest: str
    #: Why this machine cannot hold the size; None when it can.
    reason: str | None
    selected: bool


@dataclass(frozen=True)
class DurationChoice:
    """One duration as the launch page shows it."""

    #: Hours as the form sends them.
    value: str
    #: The same in words.
    label: str
    selected: bool


def render_launch_form(
    settings: Settings,
    machine: Machine,
    last: Mapping[str, object] | None,
    last_end: str | None = None,
    memory_note: str | None = None,
) -> str:
    """Return the launch form as HTML, with its Start button but without the ``<form>`` element around it.

    Args:
        settings: the site's settings.
        machine: where a session would run; sizes that it cannot hold are disabled and say why.
        last: the user's last ``user_options``; whatever of them is not valid today is ignored.
        last_end: how the user's last session ended, a sentence.
        memory_note: what the user has to know of the memory limit here, sentences.
    """
    options = last if isinstance(last, Mapping) else {}
    selected = select_size(settings, machine, options.get("size"))
    hours = select_hours(settings, selected, options.get("walltime_hours"))
    return _template().render(
        cards=[
            SizeCard(
                name, size, describe_hours(size.max_walltime_hours), why_too_large(size, machine), name == selected
            )
            for name, size in settings.sizes.items()
        ],
        durations=[
            DurationChoice(f"{choice:g}", describe_hours(choice), choice == hours)
            for choice in offered_hours(settings, machine)
        ],
        startable=selected is not None,
        last_end=last_end,
        memory_note=memory_note,
        idle_timeout=describe_minutes(settings.idle.timeout_minutes) if settings.idle.enabled else None,
        idle_warning=describe_minutes(settings.idle.warning_minutes),
        support=settings.site.support,
        script=_script(),
    )


def why_too_large(size: SessionSize, machine: Machine) -> str | None:
    """Return a sentence on what ``machine`` lacks for ``size``, or None when it holds it."""
    missing = []
    if machine.lacks(size.cores, 0):
        missing.append(f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}")
    if machine.lacks(0, size.memory_gib):
        missing.append(f"{machine.memory_gib:.0f} GiB of memory")
    return f"This machine has only {' and '.join(missing)}." if missing else None


def select_size(settings: Settings, machine: Machine, wanted: object) -> str | None:
    """Return the size to preselect: the wanted, else the default, else the first that fits; None when none fits."""
    fitting = [name for name, size in settings.sizes.items() if why_too_large(size, machine) is None]
    try:
        name = parse_size_name(wanted, settings)
    except SessionRequestError:
        name = settings.sessions.default_size
    for candidate in (name, settings.sessions.default_size):
        if candidate in fitting:
            return candidate
    return fitting[0] if fitting else None


def select_hours(settings: Settings, size_name: str | None, wanted: object) -> float | None:
    """Return the duration to preselect for a size: the wanted if it is offered, else the default, else the longest."""
    if size_name is None:
        return None
    size = settings.sizes[size_name]
    offered = [hours for hours in _all_hours(settings) if hours <= size.max_walltime_hours]
    try:
        hours = parse_walltime(wanted, size_name, size).total_seconds() / 3600
    except SessionRequestError:
        hours = settings.sessions.default_walltime_hours
    for candidate in (hours, settings.sessions.default_walltime_hours):
        if candidate in offered:
            return candidate
    return offered[-1]


def offered_hours(settings: Settings, machine: Machine) -> list[float]:
    """Return the durations, in hours, that at least one size of this machine allows, in ascending order."""
    longest = [size.max_walltime_hours for size in settings.sizes.values() if why_too_large(size, machine) is None]
    return [hours for hours in _all_hours(settings) if hours <= max(longest, default=0)]


def _all_hours(settings: Settings) -> list[float]:
    """Return the choices of the settings, the default, and for a size that allows none of them its longest."""
    hours = {*settings.sessions.walltime_choices_hours, settings.sessions.default_walltime_hours}
    longest = {size.max_walltime_hours for size in settings.sizes.values()}
    return sorted(hours | {limit for limit in longest if limit < min(hours)})


@cache
def _template() -> Template:
    templates = Environment(loader=FileSystemLoader(str(files("swotvre_hub") / "templates")), autoescape=True)
    return templates.get_template("launch_form.html")


@cache
def _script() -> Markup:
    return Markup((files("swotvre_hub") / "static" / "launch_form.js").read_text(encoding="utf-8"))  # noqa: S704 - ours
