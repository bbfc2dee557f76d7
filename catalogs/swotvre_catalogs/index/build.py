"""Build the granule index of a product, or bring it up to date."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow

from swotvre_catalogs.datalake import StoredFile
from swotvre_catalogs.errors import ParameterValueError
from swotvre_catalogs.granules import Granule, parse_granule
from swotvre_catalogs.index.inspection import file_identity
from swotvre_catalogs.index.place import Place, index_path
from swotvre_catalogs.index.records import DUPLICATE, FileRecord, read_records, write_records
from swotvre_catalogs.index.report import IndexReport, reported
from swotvre_catalogs.index.stac import FORMAT_VERSION, publishable, published_facts
from swotvre_catalogs.index.workers import Inspector, ListedFile, inspect_all

if TYPE_CHECKING:
    from swotvre_catalogs.entry import Entry

#: What is found is kept after this many files: a build that is ended goes on from there.
_KEPT_AFTER = 1000

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
    parts = f"index/.{entry.name}.parts"
    kept = [record for name in place.list(parts) for record in _read_part(place, f"{parts}/{name}")]
    known = {record.identity: record for record in (*before.records, *kept)}
    listed = list_files(entry, cycles)
    files = [file for file, _ in listed]
    new = [file for file in files if _is_new(known.get(file[:4]), checksums)]
    if progress is not None:
        progress(len(files) - len(new), len(files))
    if new:
        _inspect_new(entry, place, parts, new, known, jobs, checksums, len(files), progress)
    rows = [(known[file[:4]], granule) for file, granule in listed]
    if cycles is not None:
        rows += _of_other_cycles(entry, before.records, cycles)
    rows = _with_duplicates_marked(rows)
    facts = {"datalake": entry.datalake.address, "product": entry.name, "on_the_way": on_the_way}
    if not before.is_as(rows, facts):
        facts["built"] = datetime.now(UTC).isoformat(timespec="seconds")
        place.write_bytes(index_path(entry.name), publishable(entry.product, rows, entry.datalake.address, facts))
    for name in place.list(parts):
        place.remove(f"{parts}/{name}")
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


def list_files(entry: Entry, cycles: Sequence[int] | None = None) -> list[tuple[ListedFile, Granule]]:
    """List the product's files with what their names say: those of one pass after the other.

    Raises:
        ParameterValueError: If cycles are asked for and the product has none.
    """
    if cycles is not None and not entry.product.has_cycles:
        raise ParameterValueError(f"{entry.name} is not cut into cycles; leave --cycles away")
    if cycles is not None:
        stored: Iterable[StoredFile] = itertools.chain.from_iterable(
            entry.datalake.glob(entry.product.glob({"cycle_number": cycle})) for cycle in cycles
        )
    else:
        stored = entry.datalake.glob(entry.product.glob({}))
    listed = []
    for file in stored:
        granule = parse_granule(entry.product, file)
        if granule is None:
            continue
        size, modified_ns = file.size_bytes, 0
        if entry.datalake.is_local:
            try:
                size, modified_ns = file_identity(f"{entry.datalake.root}/{file.path}")
            except FileNotFoundError:  # removed since it was listed, or a link that leads nowhere
                continue
        listed.append((ListedFile(file.path, size, modified_ns, file.etag, granule.begin is None), granule))
    # The cycles of a pass often lie at the same place, which one worker then reads once.
    return sorted(listed, key=lambda one: (one[1].values.get("pass_number", 0), one[0].path))


def _read_part(place: Place, path: str) -> list[FileRecord]:
    try:
        return read_records(place.read_bytes(path))
    except (FileNotFoundError, pyarrow.ArrowException, ValueError):
        return []


def _is_new(known: FileRecord | None, checksums: bool) -> bool:
    if known is None or known.status == "unreadable":
        return True
    # An MD5 from a file beside it was not computed from the content.
    return checksums and not known.checksum.startswith("1220") and known.status == "ok"


def _inspect_new(
    entry: Entry,
    place: Place,
    parts: str,
    new: list[ListedFile],
    known: dict[tuple[str, int, int, str], FileRecord],
    jobs: int,
    checksums: bool,
    total: int,
    progress: Progress | None,
) -> None:
    footprints = {record.fingerprint: record.geometry for record in known.values() if record.fingerprint}
    inspector = Inspector(entry.datalake, footprints, checksums=checksums)
    waiting: list[FileRecord] = []
    done = total - len(new)
    part = itertools.count()
    for records in inspect_all(inspector, new, jobs):
        known.update((record.identity, record) for record in records)
        waiting += records
        done += len(records)
        if len(waiting) >= _KEPT_AFTER:
            place.write_bytes(f"{parts}/{os.getpid()}-{next(part)}.parquet", write_records(waiting))
            waiting = []
        if progress is not None:
            progress(done, total)


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
