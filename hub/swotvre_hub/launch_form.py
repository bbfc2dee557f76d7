"""The launch page: session sizes as cards, the duration, and what ends a session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from swotvre_hub.cluster_view import Availability, ClusterState, describe_age
from swotvre_hub.durations import describe_duration, describe_hours, describe_minutes
from swotvre_hub.errors import SessionRequestError
from swotvre_hub.machine import Machine
from swotvre_hub.sessions import BatchChoices, SessionRequest, parse_session_request, parse_size_name, parse_walltime
from swotvre_hub.settings import SessionSize, Settings

#: Of a size that some node holds, while the scheduler does not say which of them are free.
SILENT = Availability("unknown", "Not known at present")


@dataclass(frozen=True)
class LaunchOffer:
    """What a batch system would do with a session that starts now, and what there is to choose beside its size."""

    #: By queue and name of the size; the only queue is empty where there is no choice of queues.
    availability: Mapping[str, Mapping[str, Availability]]
    #: Queues and projects that the scheduler would accept from this user, and the queues' longest durations.
    choices: BatchChoices
    #: Age of what is known of the cluster, in words; empty: nothing is known.
    age: str
    #: Whether the scheduler answered when it was asked last.
    answers: bool
    #: How people call the scheduler.
    scheduler: str

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues to choose from; an empty one where there is no choice."""
        return self.choices.queues or ("",)

    def reason(self, size_name: str, queue: str) -> str | None:
        """Return why no node of ``queue`` ever holds the size, a sentence, or None when one does or may."""
        found = self.availability[queue][size_name]
        return f"{found.words}." if found.kind == "never" else None

    def longest_hours(self, queue: str) -> float:
        """Return the longest duration of ``queue`` in hours, rounded down; infinite where it has no limit."""
        limit = self.choices.queue_walltimes.get(queue)
        return math.inf if limit is None else math.floor(limit / timedelta(hours=1) * 1000) / 1000


def make_offer(
    settings: Settings, cluster: ClusterState, choices: BatchChoices, scheduler: str, age_seconds: float | None
) -> LaunchOffer:
    """Return what the launch page offers on a cluster.

    Args:
        settings: the site's settings.
        cluster: as it was seen last.
        choices: what the user may choose.
        scheduler: how people call the scheduler.
        age_seconds: age of ``cluster``; None: it was never seen.
    """
    # What is older than this was asked for anew, without an answer.
    answers = age_seconds is not None and age_seconds < settings.scheduler.capacity_seconds

    def look(size: SessionSize, queue: str) -> Availability:
        found = cluster.availability(size, queue)
        return found if answers or found.kind == "never" else SILENT

    availability = {
        queue: {name: look(size, queue) for name, size in settings.sizes.items()} for queue in choices.queues or ("",)
    }
    return LaunchOffer(availability, choices, describe_age(age_seconds), answers, scheduler)


@dataclass(frozen=True)
class CardNow:
    """What a card says of this moment, in one queue."""

    #: ``now``, ``wait``, ``never`` or ``unknown``.
    kind: str
    #: ``Starts now``.
    words: str
    #: Why; empty: there is no more to say.
    detail: str
    #: Longest duration in this queue, in words.
    longest: str


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
    #: What would happen now in the queue that is preselected; None: nobody asked.
    now: CardNow | None = None
    #: The same for every queue, where there is a choice.
    by_queue: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One duration, queue or project as the launch page shows it."""

    #: As the form sends it; a duration in hours.
    value: str
    #: The same in words.
    label: str
    selected: bool
    #: Of a queue: its longest duration in hours and in words; empty: it has no limit.
    max_hours: str = ""
    longest: str = ""


def render_launch_form(
    settings: Settings,
    machine: Machine,
    last: Mapping[str, object] | None,
    last_end: str | None = None,
    memory_note: str | None = None,
    offer: LaunchOffer | None = None,
) -> str:
    """Return the launch form as HTML, with its Start button but without the ``<form>`` element around it.

    Args:
        settings: the site's settings.
        machine: where a session would run; sizes that it cannot hold are disabled and say why.
        last: the user's last ``user_options``; whatever of them is not valid today is ignored.
        last_end: how the user's last session ended, a sentence.
        memory_note: what the user has to know of the memory limit here, sentences.
        offer: what the batch system offers, in place of ``machine``; None: sessions run on this machine.
    """
    options = last if isinstance(last, Mapping) else {}
    queue = select_queue(settings, offer, options.get("queue"))
    reasons = reasons_against(settings, machine, offer, queue)
    limit = offer.longest_hours(queue) if offer else math.inf
    selected = select_size(settings, reasons, options.get("size"))
    hours = select_hours(settings, offer, selected, options.get("walltime_hours"), limit)
    return _template().render(
        cards=[
            SizeCard(
                name,
                size,
                describe_hours(min(size.max_walltime_hours, limit)),
                reasons[name],
                name == selected,
                card_now(offer, name, size, queue) if offer else None,
                {one: vars(card_now(offer, name, size, one)) for one in offer.queues}
                if offer and len(offer.queues) > 1
                else {},
            )
            for name, size in settings.sizes.items()
        ],
        durations=[
            Choice(f"{choice:g}", describe_hours(choice), choice == hours)
            for choice in offered_hours(settings, machine, offer)
        ],
        queues=queue_choices(offer, queue) if offer else [],
        projects=project_choices(offer, options.get("project")) if offer else [],
        offer=offer,
        again=last_request(settings, last, offer) if offer and last_end else None,
        startable=any(None in reasons_against(settings, machine, offer, one).values() for one in _queues(offer)),
        last_end=last_end,
        memory_note=memory_note,
        idle_timeout=describe_minutes(settings.idle.timeout_minutes) if settings.idle.enabled else None,
        idle_warning=describe_minutes(settings.idle.warning_minutes),
        support=settings.site.support,
        script=_script(),
    )


def card_now(offer: LaunchOffer, name: str, size: SessionSize, queue: str) -> CardNow:
    """Return what the card of a size says of this moment."""
    found = offer.availability[queue][name]
    words, _, detail = found.words.partition(": ")
    longest = min(size.max_walltime_hours, offer.longest_hours(queue))
    return CardNow(found.kind, words, f"{detail[:1].upper()}{detail[1:]}." if detail else "", describe_hours(longest))


def queue_choices(offer: LaunchOffer, selected: str) -> list[Choice]:
    """Return the queues, each with its longest duration."""
    walltimes = offer.choices.queue_walltimes
    return [
        Choice(
            name,
            name,
            name == selected,
            f"{offer.longest_hours(name):g}" if name in walltimes else "",
            describe_duration(walltimes[name]) if name in walltimes else "",
        )
        for name in offer.choices.queues
    ]


def project_choices(offer: LaunchOffer, wanted: object) -> list[Choice]:
    """Return the projects; the wanted one is selected, else the first."""
    projects = offer.choices.projects
    selected = wanted if wanted in projects else projects[0] if projects else ""
    return [Choice(name, name, name == selected) for name in projects]


def last_request(settings: Settings, last: object, offer: LaunchOffer) -> SessionRequest | None:
    """Return the session that the user asked for last, or None when it could not be started today."""
    try:
        request = parse_session_request(last, settings, _Anywhere(), offer.choices)
    except SessionRequestError:
        return None
    return request if offer.reason(request.size_name, request.queue) is None else None


class _Anywhere:
    """Room for everything: whether a size fits is the offer's to say."""

    def lacks(self, cores: int, memory_gib: int, gpus: int = 0, queue: str = "") -> str | None:
        return None


def reasons_against(
    settings: Settings, machine: Machine, offer: LaunchOffer | None, queue: str
) -> dict[str, str | None]:
    """Return for each size why it can never be started in ``queue``, a sentence, or None when it can."""
    return {
        name: why_too_large(size, machine) if offer is None else offer.reason(name, queue)
        for name, size in settings.sizes.items()
    }


def select_queue(settings: Settings, offer: LaunchOffer | None, wanted: object) -> str:
    """Return the queue to preselect: the wanted, else the first that holds a size; empty without a choice."""
    if offer is None:
        return ""
    holding = [one for one in offer.queues if any(offer.reason(name, one) is None for name in settings.sizes)]
    if isinstance(wanted, str) and wanted in holding:
        return wanted
    return (holding or list(offer.queues))[0]


def why_too_large(size: SessionSize, machine: Machine) -> str | None:
    """Return a sentence on what ``machine`` lacks for ``size``, or None when it holds it."""
    missing = []
    if machine.lacks(size.cores, 0):
        missing.append(f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}")
    if machine.lacks(0, size.memory_gib):
        missing.append(f"{machine.memory_gib:.0f} GiB of memory")
    return f"This machine has only {' and '.join(missing)}." if missing else None


def select_size(settings: Settings, reasons: Mapping[str, str | None], wanted: object) -> str | None:
    """Return the size to preselect: the wanted, else the default, else the first that fits; None when none fits."""
    fitting = [name for name in settings.sizes if reasons[name] is None]
    try:
        name = parse_size_name(wanted, settings)
    except SessionRequestError:
        name = settings.sessions.default_size
    for candidate in (name, settings.sessions.default_size):
        if candidate in fitting:
            return candidate
    return fitting[0] if fitting else None


def select_hours(
    settings: Settings, offer: LaunchOffer | None, size_name: str | None, wanted: object, limit: float
) -> float | None:
    """Return the duration to preselect for a size: the wanted if it is offered, else the default, else the longest.

    Args:
        settings: the site's settings.
        offer: what the batch system offers.
        size_name: the size; None: there is none.
        wanted: hours, as they came.
        limit: longest duration of the queue in hours.
    """
    if size_name is None:
        return None
    size = settings.sizes[size_name]
    offered = [hours for hours in _all_hours(settings, offer) if hours <= min(size.max_walltime_hours, limit)]
    try:
        hours = parse_walltime(wanted, size_name, size).total_seconds() / 3600
    except SessionRequestError:
        hours = settings.sessions.default_walltime_hours
    for candidate in (hours, settings.sessions.default_walltime_hours):
        if candidate in offered:
            return candidate
    return offered[-1]


def offered_hours(settings: Settings, machine: Machine, offer: LaunchOffer | None = None) -> list[float]:
    """Return the durations, in hours, that at least one size in one queue allows, in ascending order."""
    longest = [
        min(settings.sizes[name].max_walltime_hours, offer.longest_hours(queue) if offer else math.inf)
        for queue in _queues(offer)
        for name, reason in reasons_against(settings, machine, offer, queue).items()
        if reason is None
    ]
    return [hours for hours in _all_hours(settings, offer) if hours <= max(longest, default=0)]


def _all_hours(settings: Settings, offer: LaunchOffer | None) -> list[float]:
    """Return the choices of the settings, the default, and where a size or a queue allows none of them its longest."""
    hours = {*settings.sessions.walltime_choices_hours, settings.sessions.default_walltime_hours}
    longest = {size.max_walltime_hours for size in settings.sizes.values()}
    if offer is not None:
        longest |= {offer.longest_hours(queue) for queue in offer.queues}
    return sorted(hours | {limit for limit in longest if limit < min(hours)})


def _queues(offer: LaunchOffer | None) -> tuple[str, ...]:
    return offer.queues if offer else ("",)


@cache
def _template() -> Template:
    templates = Environment(loader=FileSystemLoader(str(files("swotvre_hub") / "templates")), autoescape=True)
    return templates.get_template("launch_form.html")


@cache
def _script() -> Markup:
    return Markup((files("swotvre_hub") / "static" / "launch_form.js").read_text(encoding="utf-8"))  # noqa: S704 - ours
