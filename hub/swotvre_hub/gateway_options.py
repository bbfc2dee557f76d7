"""What a user may choose for a Dask cluster: validated once, by whichever way it came."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dask_gateway_server.options import Field, Options, Select

from swotvre_hub.errors import ClusterOptionError, SessionSizeUnavailableError
from swotvre_hub.gateway_kernels import ClusterKernel, find_cluster_kernel
from swotvre_hub.sessions import BatchChoices, Room, SessionRequest, parse_session_request, parse_size_name
from swotvre_hub.settings import Settings
from swotvre_hub.state import State


@dataclass(frozen=True)
class ClusterOffer:
    """What clusters of one user may be at this moment."""

    settings: Settings
    state: State
    #: Where workers run.
    room: Room
    #: Queues and projects of the user.
    choices: BatchChoices


@dataclass(frozen=True)
class ClusterRequest:
    """A cluster that may be started."""

    #: Size, duration, queue and project of each worker; without a duration of its own, a local cluster has none.
    worker: SessionRequest
    has_walltime: bool
    kernel: ClusterKernel
    #: Workers to begin with.
    workers: int
    #: Bounds of a cluster that scales itself; 0 and 0: it does not.
    minimum: int
    maximum: int
    idle_minutes: float


def parse_cluster_request(options: Any, offer: ClusterOffer) -> ClusterRequest:
    """Return the cluster that ``options``, a mapping of every option to its valid value, ask for.

    Raises:
        SessionRequestError: one of its kinds, in words for the user.
    """
    settings = offer.settings
    wanted = {name: options[name] for name in ("size", "queue", "project") if options[name]}
    if options["walltime_hours"]:
        wanted["walltime_hours"] = options["walltime_hours"]
    worker = parse_session_request(wanted, settings, offer.room, offer.choices)
    workers, minimum, maximum = options["workers"], options["minimum"], options["maximum"]
    if minimum and not maximum:
        maximum = settings.gateway.max_workers
    if minimum > maximum:
        raise ClusterOptionError(f"received minimum={minimum} and maximum={maximum}; expected the lower one first")
    if workers and maximum:
        raise ClusterOptionError(
            f"received workers={workers} and maximum={maximum}; expected workers for a cluster of one size, "
            "or minimum and maximum for one that scales itself"
        )
    return ClusterRequest(
        worker=worker,
        has_walltime=settings.is_batch or bool(options["walltime_hours"]),
        kernel=find_cluster_kernel(options["kernel"], options["kernel_version"], settings, offer.state),
        workers=workers or minimum,
        minimum=minimum,
        maximum=maximum,
        idle_minutes=options["idle_minutes"] or settings.gateway.idle_timeout_minutes,
    )


def option_fields(offer: ClusterOffer) -> list[Field]:
    """Return the options, as ``Gateway().cluster_options()`` shows them."""
    gateway = offer.settings.gateway
    most = gateway.max_workers
    return [
        WorkerSize(offer),
        Count("workers", most, "Workers to begin with"),
        Count("minimum", most, "Fewest workers of a cluster that scales itself"),
        Count("maximum", most, "Most workers of a cluster that scales itself"),
        Text("kernel", "Kernel"),
        Text("kernel_version", "Version of the kernel"),
        Text("queue", "Queue"),
        Text("project", "Project"),
        Amount("walltime_hours", 24.0 * 31, "Hours until the cluster ends"),
        Amount("idle_minutes", gateway.idle_timeout_minutes, "Minutes of idleness until it ends"),
    ]


def cluster_options(offer: ClusterOffer, configure: Any) -> Options:
    """Return the options; ``configure`` makes the configuration of a cluster from a `ClusterRequest`."""

    def handler(options: Any) -> Any:
        return configure(parse_cluster_request(options, offer))

    return Options(*option_fields(offer), handler=handler)


class WorkerSize(Select):
    """The option ``size``: a session size for each worker; one that does not fit is refused with the reason."""

    def __init__(self, offer: ClusterOffer) -> None:
        self._offer = offer
        sizes = offer.settings.sizes
        fitting = [name for name, size in sizes.items() if not offer.room.lacks(size.cores, size.memory_gib, size.gpus)]
        default = offer.settings.gateway.default_size
        # Where nothing fits there is still something to show, and to refuse.
        choices = fitting or [default]
        super().__init__("size", choices, default=default if default in choices else choices[0], label="Worker size")

    def validate(self, x: object) -> str:
        """Return ``x`` if it names a size that fits."""
        name = parse_size_name(x, self._offer.settings)
        size = self._offer.settings.sizes[name]
        if name not in self.options and (reason := self._offer.room.lacks(size.cores, size.memory_gib, size.gpus)):
            raise SessionSizeUnavailableError(f"worker size {name!r} {reason}; choose among: {', '.join(self.options)}")
        return name


class Text(Field):
    """An option that is a word; empty: the site's default."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name, default="", label=label)

    def validate(self, x: object) -> str:
        """Return ``x`` if it is one short line."""
        if x is None:
            return ""
        if not isinstance(x, str) or len(x) > 100 or not x.isprintable():
            raise ClusterOptionError(f"received {_show(x)} as {self.field}; expected a name")
        return x

    def json_type_spec(self) -> dict[str, Any]:
        """Return the kind of option, for clients."""
        return {"type": "string"}


class Count(Field):
    """An option that is a number of workers; 0: not said."""

    def __init__(self, name: str, most: int, label: str) -> None:
        self._most = most
        super().__init__(name, default=0, label=label)

    def validate(self, x: object) -> int:
        """Return ``x`` if a cluster may have so many workers."""
        if x is None:
            return 0
        if isinstance(x, bool) or not isinstance(x, int) or not 0 <= x <= self._most:
            raise ClusterOptionError(
                f"received {_show(x)} as {self.field}; expected a whole number from 0 to {self._most}, the most "
                "workers of a cluster here"
            )
        return x

    def json_type_spec(self) -> dict[str, Any]:
        """Return the kind of option and its bounds, for clients."""
        return {"type": "int", "min": 0, "max": self._most}


class Amount(Field):
    """An option that is a positive number; 0: the site's default."""

    def __init__(self, name: str, most: float, label: str) -> None:
        self._most = most
        super().__init__(name, default=0.0, label=label)

    def validate(self, x: object) -> float:
        """Return ``x`` if it is within the site's bounds."""
        if x is None:
            return 0.0
        if isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x) or not 0 <= x <= self._most:
            raise ClusterOptionError(f"received {_show(x)} as {self.field}; expected a number up to {self._most:g}")
        return float(x)

    def json_type_spec(self) -> dict[str, Any]:
        """Return the kind of option and its bounds, for clients."""
        return {"type": "float", "min": 0.0, "max": self._most}


def _show(value: object, limit: int = 60) -> str:
    text = ascii(value) if not isinstance(value, int) or abs(value) < 10**18 else "a very large number"
    return text if len(text) <= limit else f"{text[:limit]}..."
