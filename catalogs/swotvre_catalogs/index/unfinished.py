"""What a build of the index has found so far: one that is ended goes on from there."""

from __future__ import annotations

import itertools
import os

import pyarrow

from swotvre_catalogs.cube.indexer import IndexedFile
from swotvre_catalogs.index.place import Place
from swotvre_catalogs.index.record_table import read_records, write_records
from swotvre_catalogs.index.records import FileRecord
from swotvre_catalogs.index.scanning import ScannedBounds
from swotvre_catalogs.index.scans import Scans
from swotvre_catalogs.index.workers import Inspected

#: What is found is kept after this many files.
_KEPT_AFTER = 1000


class Unfinished:
    """What this build, and the ended ones before it, found.

    Args:
        place: Where it is kept until the index is published.
        product_name: Of the index.
        scans: What writes and reads what the cube wants to know.
    """

    def __init__(self, place: Place, product_name: str, scans: Scans) -> None:
        self._place, self._scans = place, scans
        self._folder = f"index/.{product_name}.parts"
        self._waiting = Inspected([], [], {})
        self._numbers = itertools.count()
        self.records: list[FileRecord] = []
        self.scanned: list[IndexedFile] = []
        self.bounds: dict[int, ScannedBounds] = {}
        for name in place.list(self._folder):
            self._take_up(f"{self._folder}/{name}")

    def add(self, found: Inspected) -> None:
        """Add what was found in some files."""
        self.scanned += found.scans
        for fingerprint, bounds in found.bounds.items():
            # Two workers may have read the same pass: which of them was first must not matter.
            known = self.bounds.setdefault(fingerprint, bounds)
            self.bounds[fingerprint] = min(known, bounds, key=lambda one: one.identity)
        self._waiting.records.extend(found.records)
        self._waiting.scans.extend(found.scans)
        if len(self._waiting.records) >= _KEPT_AFTER:
            part = f"{self._folder}/{os.getpid()}-{next(self._numbers)}"
            self._place.write_bytes(f"{part}.arrow", self._scans.packed(self._waiting.scans))
            self._place.write_bytes(f"{part}.parquet", write_records(self._waiting.records))
            self._waiting = Inspected([], [], {})

    def remove(self) -> None:
        """Forget it all: the index is published."""
        for name in self._place.list(self._folder):
            self._place.remove(f"{self._folder}/{name}")

    def _take_up(self, path: str) -> None:
        try:
            written = self._place.read_bytes(path)
            if path.endswith(".arrow"):
                self.scanned += self._scans.unpacked(written)
            else:
                self.records += read_records(written)
        except (FileNotFoundError, pyarrow.ArrowException, ValueError):
            return
