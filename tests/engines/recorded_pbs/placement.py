"""The scheduler: where a job fits, why it does not, and when it might."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .job import Job, vnode_text
from .resources import Chunk, Request, size_text
from .site import NodeSettings

#: How long PBS takes a job without a walltime to last.
FOREVER_SECONDS = 5 * 365 * 24 * 3600


@dataclass
class NodeState:
    """A node, and what is free on it."""

    settings: NodeSettings
    is_down: bool = False
    free_cores: int = 0
    free_kb: int = 0
    slots: set[int] = field(default_factory=set)
    #: A job has the node for itself.
    is_exclusive: bool = False
    job_ids: dict[str, None] = field(default_factory=dict)

    @classmethod
    def empty(cls, settings: NodeSettings, *, is_down: bool = False) -> NodeState:
        """Return a node without jobs."""
        return cls(settings, is_down, settings.cores, settings.memory_kb)

    def copy(self) -> NodeState:
        """Return a node to try something on."""
        return replace(self, slots=set(self.slots))

    def fits(self, chunk: Chunk) -> bool:
        """Whether the node has room for a chunk now."""
        if self.is_down or self.is_exclusive or chunk.host not in {None, self.settings.name}:
            return False
        return chunk.ncpus <= self.free_cores and (chunk.memory_kb or 0) <= self.free_kb

    def take(self, cores: int, memory_kb: int) -> None:
        """Give something away."""
        self.free_cores -= cores
        self.free_kb -= memory_kb

    def next_slot(self) -> int:
        """Return the first slot that no chunk of a job has."""
        return next(slot for slot in range(len(self.slots) + 1) if slot not in self.slots)


type Place = tuple[str, int, int, int | None]


class Nodes:
    """All nodes, and what the running jobs have of them."""

    def __init__(self, settings: Iterable[NodeSettings]) -> None:
        self.states = {node.name: NodeState.empty(node) for node in settings}

    def occupy(self, job: Job) -> None:
        """Give a job its places."""
        for name, slot, cores, memory_kb in job.places:
            state = self.states[name]
            state.take(cores, memory_kb or 0)
            state.slots.add(slot)
            state.job_ids[job.job_id] = None
            state.is_exclusive = state.is_exclusive or "excl" in job.request.place

    def release(self, job: Job) -> None:
        """Take the places of a job back."""
        for name, slot, cores, memory_kb in job.places:
            state = self.states[name]
            state.take(-cores, -(memory_kb or 0))
            state.slots.discard(slot)
            state.job_ids.pop(job.job_id, None)
            state.is_exclusive = False

    def place(self, request: Request) -> list[Place] | None:
        """Return where a request fits now, or None."""
        return _placed(request, list(self.states.values()))

    def refusal(self, request: Request) -> str:
        """Return the comment of a job that does not fit now."""
        totals = [NodeState.empty(state.settings) for state in self.states.values()]
        up = [state for state in self.states.values() if not state.is_down]
        if (wanting := _lacks(request, totals, totals)) is not None:
            return f"Can Never Run: {wanting}"
        if _placed(request, totals) is None:
            return f"Can Never Run: {_chunk_lacks(request, totals) or 'Not enough total nodes available'}"
        if not any(state.free_cores and not state.is_exclusive for state in up):
            return "Not Running: Not enough free nodes available"
        if (wanting := _lacks(request, up, list(self.states.values()))) is not None:
            return f"Not Running: {wanting}"
        return f"Not Running: {_chunk_lacks(request, up) or 'Not enough free nodes available'}"

    def estimate(self, job: Job, running: Iterable[Job], now: int) -> tuple[int, str] | None:
        """Return when, and where, a waiting job would start if every job lasted as long as it may."""
        simulated = Nodes(state.settings for state in self.states.values())
        for name, state in self.states.items():
            simulated.states[name].is_down = state.is_down
        ends = sorted(running, key=lambda each: _end(each, now))
        for each in ends:
            simulated.occupy(each)
        for each in ends:
            simulated.release(each)
            if (places := simulated.place(job.request)) is not None:
                return max(now, _end(each, now)), vnode_text([(name, cores, kb) for name, _, cores, kb in places])
        return None


def _end(job: Job, now: int) -> int:
    return (job.stime or now) + (job.request.walltime_seconds or FOREVER_SECONDS)


def _placed(request: Request, states: list[NodeState]) -> list[Place] | None:
    """Return places for all chunks; None when one finds none."""
    words = request.place.split(":")
    chunks = request.single_chunks()
    if "pack" in words:
        for state in states:
            if (places := _chunks_placed(chunks, [state], set())) is not None:
                return places
        return None
    candidates = [state for state in states if "excl" not in request.place or not state.slots]
    return _chunks_placed(chunks, candidates, set() if {"scatter", "vscatter"} & set(words) else None)


def _chunks_placed(chunks: list[Chunk], states: list[NodeState], scattered: set[str] | None) -> list[Place] | None:
    places: list[Place] = []
    trial = [state.copy() for state in states]
    only_one = len(states) == 1
    for chunk in chunks:
        for state in trial:
            name = state.settings.name
            if state.fits(chunk) and (only_one or scattered is None or name not in scattered):
                break
        else:
            return None
        if scattered is not None:
            scattered.add(name)
        slot = state.next_slot()
        state.take(chunk.ncpus, chunk.memory_kb or 0)
        state.slots.add(slot)
        places.append((name, slot, chunk.ncpus, chunk.memory_kb))
    return places


def _lacks(request: Request, states: list[NodeState], all_states: list[NodeState]) -> str | None:
    """Return which resource all nodes together have too little of."""
    free_cores, total_cores = sum(s.free_cores for s in states), sum(s.settings.cores for s in all_states)
    if request.ncpus > free_cores:
        return _insufficient("ncpus", str(request.ncpus), str(free_cores), str(total_cores))
    wanted_kb = request.memory_kb or 0
    free_kb, total_kb = sum(s.free_kb for s in states), sum(s.settings.memory_kb for s in all_states)
    if wanted_kb > free_kb:
        return _insufficient("mem", *map(size_text, (wanted_kb, free_kb, total_kb)))
    return None


def _chunk_lacks(request: Request, states: list[NodeState]) -> str | None:
    """Return which resource the roomiest node has too little of for one chunk."""
    for chunk in request.chunks:
        cores = max((s.free_cores for s in states), default=0)
        if chunk.ncpus > cores:
            total = max((s.settings.cores for s in states), default=0)
            return _insufficient("ncpus", str(chunk.ncpus), str(cores), str(total))
        memory_kb = max((s.free_kb for s in states), default=0)
        if (chunk.memory_kb or 0) > memory_kb:
            total = max((s.settings.memory_kb for s in states), default=0)
            return _insufficient("mem", *map(size_text, (chunk.memory_kb or 0, memory_kb, total)))
    return None


def _insufficient(name: str, wanted: str, free: str, total: str) -> str:
    return f"Insufficient amount of resource: {name} (R: {wanted} A: {free} T: {total})"
