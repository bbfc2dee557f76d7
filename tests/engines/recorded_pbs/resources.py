"""Sizes, durations and select statements as PBS reads and writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_SIZE = re.compile(r"(\d+)([kmgtp]?)([bw]?)", re.IGNORECASE)
_DURATION = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+)(?:\.\d+)?")
_CHUNK_RESOURCES = {"ncpus", "mem", "mpiprocs", "ompthreads", "host", "vnode", "arch", "ngpus"}
_PLACES = {"free", "pack", "scatter", "vscatter", "excl", "exclhost", "shared"}


class RefusedError(Exception):
    """The server refuses a request: the exit code of the command, and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Chunk:
    """One part of a select statement, as often as it says."""

    count: int
    ncpus: int
    #: None when the statement asks for no memory.
    memory_kb: int | None
    host: str | None
    mpiprocs: int | None


@dataclass(frozen=True)
class Request:
    """What a job asks for, in PBS' words and in numbers."""

    chunks: tuple[Chunk, ...]
    select: str
    place: str
    walltime_seconds: int | None

    def single_chunks(self) -> list[Chunk]:
        """Return every chunk once for each time that it is asked for."""
        return [chunk for chunk in self.chunks for _ in range(chunk.count)]

    @property
    def ncpus(self) -> int:
        """All cores."""
        return sum(chunk.count * chunk.ncpus for chunk in self.chunks)

    @property
    def memory_kb(self) -> int | None:
        """All memory, or None when none is asked for."""
        sizes = [chunk.count * chunk.memory_kb for chunk in self.chunks if chunk.memory_kb is not None]
        return sum(sizes) if sizes else None

    def resource_list(self) -> dict[str, str]:
        """Return ``Resource_List`` as ``qstat -f`` prints it."""
        processes = [chunk.count * chunk.mpiprocs for chunk in self.chunks if chunk.mpiprocs]
        listed = {
            "mem": None if self.memory_kb is None else size_text(self.memory_kb),
            "mpiprocs": str(sum(processes)) if processes else None,
            "ncpus": str(self.ncpus),
            "nodect": str(sum(chunk.count for chunk in self.chunks)),
            "place": self.place,
            "select": self.select,
            "walltime": None if self.walltime_seconds is None else duration_text(self.walltime_seconds),
        }
        return {name: value for name, value in listed.items() if value is not None}


def size_kb(text: str, name: str) -> int:
    """Return a size such as ``4gb`` in KiB, rounded up; bytes when it has no unit."""
    if not (match := _SIZE.fullmatch(text)):
        raise RefusedError(166, f"Illegal attribute or resource value {name}")
    number, unit, word = match.groups()
    size_bytes = int(number) * 1024 ** _UNITS[unit.lower()] * (8 if word.lower() == "w" else 1)
    return -(-size_bytes // 1024)


def size_text(kilobytes: int) -> str:
    """Return a size in the largest unit that divides it."""
    for unit in ("kb", "mb", "gb"):
        if kilobytes == 0 or kilobytes % 1024:
            return f"{kilobytes}{unit}"
        kilobytes //= 1024
    return f"{kilobytes}tb"


def duration_seconds(text: str, name: str = "Resource_List.walltime") -> int:
    """Return a duration such as ``1:30:00`` or ``5400`` in seconds."""
    if not (match := _DURATION.fullmatch(text)):
        raise RefusedError(166, f"Illegal attribute or resource value {name}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def duration_text(seconds: float) -> str:
    """Return a duration as PBS prints it: ``HH:MM:SS``, hours without an end."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def parse_request(resources: dict[str, str], default_walltime: str | None) -> Request:
    """Return what the ``-l`` options ask for.

    Raises:
        RefusedError: with the code and the words of the server.
    """
    known = {"select", "place", "walltime", "nodes", "ncpus", "mem", "mpiprocs", "cput", "pmem", "vmem"}
    for name in resources:
        if name not in known:
            raise RefusedError(187, f"Unknown resource: {name}")
    walltime = resources.get("walltime", default_walltime)
    walltime_seconds = None if walltime is None else duration_seconds(walltime)
    select, place = _select_and_place(resources)
    for word in place.split(":"):
        if word not in _PLACES and not word.startswith("group="):
            raise RefusedError(166, "Illegal attribute or resource value Resource_List.place")
    chunks, completed = zip(*(_chunk(part) for part in select.split("+")), strict=True)
    return Request(chunks, "+".join(completed), place, walltime_seconds)


def _select_and_place(resources: dict[str, str]) -> tuple[str, str]:
    if "select" in resources or "place" in resources:
        for name in ("ncpus", "mem", "mpiprocs", "pmem", "vmem"):
            if name in resources:
                text = f'"-lresource=" cannot be used with "select" or "place", resource is: {name}'
                raise RefusedError(5, text)
        if "nodes" in resources:
            raise RefusedError(6, "Cannot be used with select or place: nodes")
        if "select" not in resources:
            raise RefusedError(7, 'Cannot have "place" without "select"')
        return resources["select"], resources.get("place", "free")
    if "nodes" in resources:
        return _select_of_nodes(resources), "scatter"
    wanted = [f"{name}={resources[name]}" for name in ("ncpus", "mem", "mpiprocs") if name in resources]
    return ":".join(["1", *wanted]), "pack"


def _select_of_nodes(resources: dict[str, str]) -> str:
    """Return the select statement of Torque's ``nodes=2:ppn=4``."""
    count, _, rest = resources["nodes"].partition(":")
    cores = next((part[4:] for part in rest.split(":") if part.startswith("ppn=")), "1")
    memory = ""
    if "mem" in resources:
        memory = f":mem={size_kb(resources['mem'], 'Resource_List.mem') // int(count)}kb"
    return f"{count}:ncpus={cores}{memory}:mpiprocs={cores}"


def _chunk(text: str) -> tuple[Chunk, str]:
    """Return a chunk and its text with the default that the server adds."""
    count, *parts = text.split(":") if text[:1].isdigit() else ["1", *text.split(":")]
    wanted: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not count.isdigit():
            raise RefusedError(166, "Illegal attribute or resource value select")
        if name not in _CHUNK_RESOURCES:
            raise RefusedError(187, f"Unknown resource: {name}")
        wanted[name] = value
    for name in ("ncpus", "mpiprocs", "ompthreads", "ngpus"):
        if name in wanted and not wanted[name].isdigit():
            raise RefusedError(166, f"Illegal attribute or resource value select.{name}")
    memory_kb = size_kb(wanted["mem"], "select.mem") if "mem" in wanted else None
    processes = int(wanted["mpiprocs"]) if "mpiprocs" in wanted else None
    host = wanted.get("host", wanted.get("vnode"))
    chunk = Chunk(int(count), int(wanted.get("ncpus", "1")), memory_kb, host, processes)
    return chunk, text if "ncpus" in wanted else f"{text}:ncpus=1"
