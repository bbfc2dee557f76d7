"""Datalakes of a part of the files, by hard links: the same bytes, other folders; and the S3 server over them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from files import file_paths
from trial import Job

#: 2x2 degrees of the South Atlantic, which several passes of a cycle cross, one or two of the 28 of the smaller lakes.
BOX = (-6.0, -34.0, -4.0, -32.0)
BUCKET = "bench"
_OPTIONS = {"key": "reader", "secret": "not-a-secret"}


@dataclass(frozen=True)
class Lake:
    """A datalake on this machine: ``folder/lake`` with the files, ``folder/place`` with index and cube."""

    folder: Path
    cycles: tuple[int, ...]
    passes: tuple[int, ...]

    @property
    def root(self) -> Path:
        """The datalake's address."""
        return self.folder / "lake"

    @property
    def place(self) -> Path:
        """Where its index and its cube lie."""
        return self.folder / "place"

    @property
    def job(self) -> Job:
        """What the works are told."""
        return Job(str(self.root), {}, self.cycles, self.passes, BOX, str(self.place))

    def paths(self) -> list[Path]:
        """Return its files."""
        return file_paths(self.root, self.cycles, self.passes)

    def forget(self) -> None:
        """Remove its index and its cube."""
        shutil.rmtree(self.place, ignore_errors=True)


def link_lake(data: Path, name: str, cycles: Sequence[int], passes: Sequence[int]) -> Lake:
    """Return a datalake of these cycles and passes of ``data``, made anew, without index and cube."""
    lake = Lake(data / "lakes" / name, tuple(cycles), tuple(passes))
    shutil.rmtree(lake.folder, ignore_errors=True)
    add_files(lake, data, cycles)
    return lake


def add_files(lake: Lake, data: Path, cycles: Sequence[int]) -> Lake:
    """Link the files of more cycles into a lake; return it with them."""
    for path in file_paths(data, cycles, lake.passes):
        target = lake.root / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.link(path, target)
    return replace(lake, cycles=tuple(sorted({*lake.cycles, *cycles})))


@contextlib.contextmanager
def served(lake: Lake, latency_ms: float) -> Iterator[Job]:
    """Serve a lake as ``s3://bench/lake``; yield the job of reading it from there, with index and cube of its own."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("s3_server.py")), str(lake.folder), "--latency-ms",
         str(latency_ms)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        options = {**_OPTIONS, "endpoint_url": f"http://127.0.0.1:{int(server.stdout.readline())}"}
        place = str(lake.folder / "place-s3")
        yield replace(lake.job, lake=f"s3://{BUCKET}/lake", storage_options=options, place=place)
    finally:
        server.communicate()


def requests_so_far(job: Job) -> int:
    """Return how many requests the server had."""
    with urllib.request.urlopen(f"{job.storage_options['endpoint_url']}/_requests") as answer:  # noqa: S310 - ours
        return int(answer.read())
