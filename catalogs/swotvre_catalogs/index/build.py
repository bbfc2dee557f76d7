"""Build the granule index of a product, or bring it up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow

from swotvre_catalogs.cube.indexer import IndexedFile
from swotvre_catalogs.datalake import StoredFile
from swotvre_catalogs.granules import Granule, parse_granule
from swotvre_catalogs.index.listing import list_files
from swotvre_catalogs.index.place import Place, index_path
from swotvre_catalogs.index.record_table import read_records
from swotvre_catalogs.index.records import DUPLICATE, FileRecord
from swotvre_catalogs.index.report import IndexReport, reported
from swotvre_catalogs.index.scanning import ListedFile, Scanner, has_cube
from swotvre_catalogs.index.scans import Scans
from swotvre_catalogs.index.stac import FORMAT_VERSION, publishable, published_facts
from swotvre_catalogs.index.unfinished import Unfinished
from swotvre_catalogs.index.workers import Inspector, inspect_all

if TYPE_CHECKING:
    from swotvre_catalogs.entry import Entry

#: Told (files done, files in all) while a build runs.
Progress = Callable[[int, int], Any]


def build_index(
    entry: Entry,
    *,
    jobs: int = 1,
    checksums: bool = False,
    cycles: Iterable[int] | None = None,
    progress: Progress | None = None,
    on_the_way: bool = False,
) -> IndexReport:
    """Build the granule index of a product, or bring it up to date, and publish it as a whole.

    Files that are as they were are not read again; what an ended build had found is taken up. A file that is damaged
    gets its status and never ends the build.

    Args:
        entry: The product.
        jobs: Number of processes; 1 is this one.
        checksums: Whether every file is read as a whole for its SHA-256, and compared with a ``.md5`` file beside it.
        cycles: Look only at these cycles of the datalake; the others stay as they are in the index.
        progress: Called with the number of files done and in all.
        on_the_way: Whether it is built because somebody asks for it: it is then kept up to date the same way.

    Raises:
        BuildRunningError: If another process builds the same index.
        PlaceError: If the index cannot be written.
    """
    place = entry.place
    with place.lock(f"index-{entry.name}"):
        chosen = None if cycles is None else sorted(set(cycles))
        return _build(entry, place, jobs, checksums, chosen, progress, on_the_way)


def _build(
    entry: Entry,
    place: Place,
    jobs: int,
    checksums: bool,
    cycles: list[int] | None,
    progress: Progress | None,
    on_the_way: bool,
) -> IndexReport:
    before = _Published.read(place, entry.name)
    scans = Scans(place, entry.product)
    unfinished = Unfinished(place, entry.name, scans)
    known = {record.identity: record for record in (*before.records, *unfinished.records)}
    listed = list_files(entry, cycles)
    files = [file for file, _ in listed]
    new = [file for file in files if _is_new(known.get(file[:4]), checksums)]
    if progress is not None:
        progress(len(files) - len(new), len(files))
    footprints = {record.fingerprint: record.geometry for record in known.values() if record.fingerprint}
    scanner = Scanner(entry.product.metadata.undeclared_fill_value) if has_cube(entry.product) else None
    inspector = Inspector(entry.datalake, footprints, scanner, checksums=checksums)
    done = len(files) - len(new)
    as_before = set(new)
    like = next((f for f in reversed(files) if f not in as_before and known[f[:4]].status in ("ok", DUPLICATE)), None)
    shared = {footprint: footprint for footprint in footprints.values() if footprint is not None}
    for found in inspect_all(inspector, new, jobs, like):
        # The cycles of a pass have one footprint, also when they come from other processes.
        found.records[:] = [
            record if record.geometry is None
            else replace(record, geometry=shared.setdefault(record.geometry, record.geometry))
            for record in found.records
        ]  # fmt: skip
        known.update((record.identity, record) for record in found.records)
        unfinished.add(found)
        done += len(found.records)
        if progress is not None:
            progress(done, len(files))
    _keep_scans(scans, unfinished, listed)
    rows = [(known[file[:4]], granule) for file, granule in listed]
    if cycles is not None:
        rows += _of_other_cycles(entry, before.records, cycles)
    rows = _with_duplicates_marked(rows)
    facts = {"datalake": entry.datalake.address, "product": entry.name, "on_the_way": on_the_way}
    if not before.is_as(rows, facts):
        facts["built"] = datetime.now(UTC).isoformat(timespec="seconds")
        place.write_bytes(index_path(entry.name), publishable(entry.product, rows, entry.datalake.address, facts))
    unfinished.remove()
    gone = {record.path for record in before.records} - {record.path for record, _ in rows}
    return reported(entry.name, rows, read=len(new), gone=len(gone), rebuilt=before.is_damaged)


@dataclass(frozen=True)
class _Published:
    """The index as it is before a build."""

    #: As in the file, and with the marks of duplicates taken off: which of two counts is found anew.
    as_written: Mapping[str, FileRecord]
    records: Sequence[FileRecord]
    facts: Mapping[str, Any]
    is_damaged: bool = False

    @classmethod
    def read(cls, place: Place, product_name: str) -> _Published:
        try:
            data = place.read_bytes(index_path(product_name))
            written, facts = read_records(data), published_facts(data)
        except FileNotFoundError:
            return cls({}, [], {})
        except (pyarrow.ArrowException, KeyError, ValueError, TypeError):
            return cls({}, [], {}, is_damaged=True)
        unmarked = [replace(one, status="ok", reason="") if one.status == DUPLICATE else one for one in written]
        return cls({record.path: record for record in written}, unmarked, facts)

    def is_as(self, rows: Sequence[tuple[FileRecord, Granule]], facts: Mapping[str, Any]) -> bool:
        """Tell whether there is nothing to write."""
        same_facts = facts.items() <= self.facts.items() and self.facts.get("format_version") == FORMAT_VERSION
        return same_facts and self.as_written == {record.path: record for record, _ in rows}


def _is_new(known: FileRecord | None, checksums: bool) -> bool:
    if known is None or known.status == "unreadable":
        return True
    # An MD5 from a file beside it was not computed from the content.
    return checksums and not known.checksum.startswith("1220") and known.status == "ok"


def _keep_scans(scans: Scans, unfinished: Unfinished, listed: Sequence[tuple[ListedFile, Granule]]) -> None:
    cycle = {file.path: granule.values["cycle_number"] for file, granule in listed} if unfinished.scanned else {}
    by_cycle: dict[int, list[IndexedFile]] = {}
    for one in unfinished.scanned:
        if one.path in cycle:  # else it was removed since an ended build found it
            by_cycle.setdefault(cycle[one.path], []).append(one)
    scans.update(by_cycle, cycle)
    if unfinished.bounds:
        scans.add_bounds(unfinished.bounds)


def _of_other_cycles(
    entry: Entry, published: Iterable[FileRecord], cycles: Sequence[int]
) -> list[tuple[FileRecord, Granule]]:
    rows = []
    for record in published:
        granule = parse_granule(entry.product, StoredFile(record.path, record.size_bytes))
        if granule is not None and granule.values.get("cycle_number") not in cycles:
            rows.append((record, granule))
    return rows


def _with_duplicates_marked(rows: list[tuple[FileRecord, Granule]]) -> list[tuple[FileRecord, Granule]]:
    """Mark all but the last, by path, of the whole files that have the same granule and the same version."""

    def same(row: tuple[FileRecord, Granule]) -> tuple[Any, ...]:
        # Where the name has no version, only its path tells one file from another.
        return row[1].key, row[1].crid or row[0].path

    last = {same(row): row[0].path for row in sorted(rows, key=lambda row: row[0].path) if row[0].status == "ok"}

    def marked(row: tuple[FileRecord, Granule]) -> tuple[FileRecord, Granule]:
        used = last.get(same(row), row[0].path)
        if row[0].status != "ok" or used == row[0].path:
            return row
        return replace(row[0], status=DUPLICATE, reason=f"same granule and version as {used}"), row[1]

    return [marked(row) for row in rows]
