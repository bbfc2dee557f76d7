"""Build the cube of a product, or bring it up to date: one commit per build."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.chunk_table import ChunkTable
from swotvre_catalogs.cube.errors import CubeError
from swotvre_catalogs.cube.indexer import Indexer
from swotvre_catalogs.cube.listing import list_files
from swotvre_catalogs.cube.plan import ArrayPlan, plan_arrays
from swotvre_catalogs.cube.publication import Publication
from swotvre_catalogs.cube.repository import BRANCH, create_repository, cube_name, first_line, open_repository
from swotvre_catalogs.cube.table_building import Changes, TableBuilder, find_changes
from swotvre_catalogs.cube.table_streams import LeftOutFile
from swotvre_catalogs.cube.versions import CubeVersion
from swotvre_catalogs.errors import MissingGranuleError
from swotvre_catalogs.granules import absence
from swotvre_catalogs.index.place import Place, configured_place
from swotvre_catalogs.index.scans import Scans

if TYPE_CHECKING:
    from swotvre_catalogs.catalog import Entry

#: Global attributes of the files that the cube takes over.
_GLOBAL_ATTRIBUTES = ("Conventions", "title", "institution", "source", "references", "reference_document", "contact")

#: Version of the table's format; a cube of another one is built anew.
FORMAT = 1


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    product: str
    #: The commit (Icechunk snapshot) of the cube after the build.
    commit: str
    #: Whether this build made it; False where nothing had changed.
    is_new: bool
    #: Files in the cube, and cycles times passes without one.
    files: int
    missing: int
    added: int
    removed: int
    #: Files that are on the datalake, but not in the cube, each with the reason.
    left_out: tuple[LeftOutFile, ...]
    #: Chunks written into the repository because their file is stored otherwise than the most, and their size.
    native_chunks: int
    native_bytes: int
    #: Variables of files that are NaN, with the reason: for readers of the repository, or, in other units, for all.
    holes: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        what = f"commit {self.commit}" if self.is_new else f"nothing changed since commit {self.commit}"
        lines = [
            f"{self.product}: {what}; {self.files} files ({self.added} added or replaced, {self.removed} removed or "
            f"replaced), {self.missing} missing, {len(self.left_out)} left out; {self.seconds:.1f} s"
        ]
        if self.native_chunks:
            size = f"{self.native_bytes / 1e6:.1f} MB"
            lines.append(f"  {self.native_chunks} chunks of files stored otherwise were written anew ({size})")
        lines += [f"  left out: {one.path}: {one.reason}" for one in self.left_out]
        lines += [f"  NaN: {hole}" for hole in self.holes]
        return "\n".join(lines)


def build_cube(
    entry: Entry,
    progress: Callable[[int, int], Any] | None = None,
    *,
    version: str | None = None,
    message: str | None = None,
    jobs: int | None = None,
    on_the_way: bool = False,
) -> BuildReport:
    """Build the cube of a product, or bring it up to date, as one commit.

    New files are added, replaced ones are read anew, those that are gone become holes. Readers go on with the commit
    that they opened. A build that is killed leaves the last commit as it was, and the next build starts from there.

    Args:
        entry: The product.
        progress: Called with the number of files indexed and the number of those to index.
        version: A CRID (``PIC0``, ``PGC0_01``): a cube of its own, of the newest files of that version.
        message: The message of the commit.
        jobs: Number of processes that look into local files; the cores by default.
        on_the_way: Whether it is built because somebody asks for it: it is then kept up to date the same way.

    Raises:
        BuildRunningError: If somebody else builds it; it says who.
        CubeError: If the product has no fixed grid, or the place cannot be written.
        MissingGranuleError: If the datalake holds no file of it.
    """
    name = cube_name(entry.product, version)
    place = _writable_place(entry)
    with place.lock(f"cube-{name}"):
        return _Build(entry, place, name, version, on_the_way).run(progress, message, jobs)


def _writable_place(entry: Entry) -> Place:
    if entry.place.is_local and not entry.datalake.is_local:
        # An object store is asked whether it can be written only now.
        return configured_place(entry.datalake, getattr(entry, "_index_address", None), writing=True)
    return entry.place


class _Build:
    def __init__(self, entry: Entry, place: Place, name: str, version: str | None, on_the_way: bool) -> None:
        self._entry, self._datalake, self._product = entry, entry.datalake, entry.product
        self._place, self._name, self._version, self._on_the_way = place, name, version, on_the_way
        self._started = time.monotonic()

    def run(self, progress: Callable[[int, int], Any] | None, message: str | None, jobs: int | None) -> BuildReport:
        repository = open_repository(self._place, self._datalake, self._name)
        before = self._before(repository)
        old = before.chunk_table() if before is not None else None
        if before is not None and not before.is_of(self._datalake):
            old = None
        known = {} if old is None else _known(old)
        listed = list_files(self._datalake, self._product, known, self._version)
        if not listed:
            raise MissingGranuleError(absence(self._datalake, self._product, self._version))
        changes = find_changes(listed, old)
        if old is not None and before is not None and not changes:
            return self._report(old, before.commit, changes, None)
        builder = TableBuilder(self._datalake, self._product, old, Scans(self._place, self._product))
        table = builder.apply(changes, progress, jobs)
        if repository is None:
            repository = create_repository(self._place, self._datalake, self._name)
        with self._icechunk_in_words():
            session = repository.writable_session(BRANCH)
            publication = Publication(session, self._datalake, table, holes=builder.holes)
            self._publish(publication, before if old is not None else None, old, changes)
            told = message or _message(table, changes)
            commit = session.commit(told, self._metadata(table, changes), allow_empty=True)
        return self._report(table, commit, changes, publication)

    @contextmanager
    def _icechunk_in_words(self) -> Iterator[None]:
        import icechunk

        try:
            yield
        except icechunk.IcechunkError as error:
            where = self._place.cube_address(self._name)
            raise CubeError(f"the cube at {where} cannot be written: {first_line(error)}") from error

    def _before(self, repository: Any) -> CubeVersion | None:
        if repository is None:
            return None
        version = CubeVersion.open(repository, repository.lookup_branch(BRANCH), self._entry, self._place, self._name)
        return version if version.facts.get("format") == FORMAT else None

    def _publish(
        self, publication: Publication, before: CubeVersion | None, old: ChunkTable | None, changes: Changes
    ) -> None:
        import zarr

        table, store = publication.table, publication.store
        plans = plan_arrays(table)
        kept = _kept_arrays(before, old, table)
        if not kept:
            zarr.create_group(store, overwrite=True, zarr_format=3)
        every = numpy.arange(len(table))
        rows, emptied = _changed_rows(table, old, changes) if kept else (every, [])
        for name in kept.keys() - plans.keys():
            del zarr.open_group(store, mode="r+", zarr_format=3, use_consolidated=False)[name]
        samples: dict[str, dict[str, Any]] = {}
        for name, plan in plans.items():
            if kept.get(name) == repr(plan.key):
                publication.resize(plan)
                chosen, first = rows, emptied
            else:
                publication.create(plan, self._attributes(table, plan, samples))
                chosen, first = every, []
            if plan.is_geometry:
                self._write_geometry(publication, plan, old if kept.get(name) == repr(plan.key) else None)
            else:
                publication.write(plan, chosen, first)
        publication.write_coordinates()
        self._write_facts(publication, plans, None if not kept else _changed_cycles(table, old))

    def _write_geometry(self, publication: Publication, plan: ArrayPlan, old: ChunkTable | None) -> None:
        table = publication.table
        rows = table.geometry_row.astype(numpy.int64)
        if old is None:
            publication.write(plan, rows)
            return
        before = [_identity(old, int(row)) for row in old.geometry_row]
        changed = [index for index, row in enumerate(rows) if _identity(table, int(row)) != before[index]]
        publication.write(plan, rows[changed], [(index,) for index in changed])

    def _attributes(self, table: ChunkTable, plan: ArrayPlan, samples: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return the attributes of a variable as the first file with the array's layout has them."""
        signatures = [n for n, one in enumerate(table.layouts) if one.variables.get(plan.name) == plan.layout]
        row = int(numpy.flatnonzero(numpy.isin(table.signature, signatures))[0])
        path = table.path[row]
        if path not in samples:
            fill = self._product.metadata.undeclared_fill_value
            source = self._datalake.open(path)
            layout = Indexer(fill).index(source, path=path).layout
            samples[path] = {name: one.attributes for name, one in layout.variables.items()}
        return dict(samples[path][plan.name])

    def _write_facts(
        self, publication: Publication, plans: dict[str, ArrayPlan], cycle_numbers: list[int] | None
    ) -> None:
        import zarr

        table = publication.table
        facts = {
            "format": FORMAT,
            "datalake": self._datalake.address,
            "on_the_way": self._on_the_way,
            "arrays": {name: repr(plan.key) for name, plan in plans.items()},
            "holes": publication.holes,
        }
        group = zarr.open_group(publication.store, mode="r+", zarr_format=3, use_consolidated=False)
        group.attrs.update(
            {
                **self._global_attributes(table),
                "coordinates": "latitude longitude",
                "product": self._name,
                "files": len(table),
                "missing": int((table.row < 0).sum()),
                "left_out": len(table.left_out),
            }
        )
        publication.write_table(facts, cycle_numbers)

    def _global_attributes(self, table: ChunkTable) -> dict[str, Any]:
        import h5py

        with h5py.File(self._datalake.open(table.path[0]), "r") as file:
            found = {name: file.attrs[name] for name in _GLOBAL_ATTRIBUTES if name in file.attrs}
        texts = {n: v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for n, v in found.items()}
        return {"title": self._product.metadata.title, **texts}

    def _metadata(self, table: ChunkTable, changes: Changes) -> dict[str, Any]:
        return {
            "product": self._name,
            "files": len(table),
            "added": len(changes.added),
            "removed": len(changes.removed),
            "left_out": len(table.left_out),
            "datalake": self._datalake.address,
        }

    def _report(self, table: ChunkTable, commit: str, changes: Changes, publication: Publication | None) -> BuildReport:
        return BuildReport(
            product=self._name,
            commit=commit,
            is_new=publication is not None,
            files=len(table),
            missing=int((table.row < 0).sum()),
            added=len(changes.added),
            removed=len(changes.removed),
            left_out=tuple(table.left_out),
            native_chunks=publication.native_chunks if publication else 0,
            native_bytes=publication.native_bytes if publication else 0,
            holes=tuple(publication.holes) if publication else (),
            seconds=time.monotonic() - self._started,
        )


def _kept_arrays(before: CubeVersion | None, old: ChunkTable | None, table: ChunkTable) -> dict[str, str]:
    """Return the arrays that can be carried on, by name with their key; none if the axes changed but at their end."""
    if before is None or old is None:
        return {}
    same = (
        numpy.array_equal(old.pass_numbers, table.pass_numbers)
        and numpy.array_equal(old.cycle_numbers, table.cycle_numbers[: len(old.cycle_numbers)])
        and (old.num_lines, old.num_pixels) == (table.num_lines, table.num_pixels)
    )
    return dict(before.facts["arrays"]) if same else {}


def _changed_rows(
    table: ChunkTable, old: ChunkTable | None, changes: Changes
) -> tuple[NDArray[numpy.int64], list[tuple[int, int]]]:
    """Return the rows to write, and cycle and pass (as indices) whose chunks of the build before have to go."""
    if old is None:
        return numpy.arange(len(table)), []
    # A row is written anew when its file is another one, or lies elsewhere in the cube than before.
    before = {_identity(old, row): (int(old.first_line[row]), int(old.signature[row]) >= 0) for row in range(len(old))}
    changed = [
        row
        for row in range(len(table))
        if (placed := before.get(_identity(table, row))) is None or placed[0] != int(table.first_line[row])
    ]
    emptied = set()
    for cycle, number in changes.removed:
        if cycle in table.cycle_numbers and number in table.pass_numbers:
            emptied.add(
                (
                    int(numpy.searchsorted(table.cycle_numbers, cycle)),
                    int(numpy.searchsorted(table.pass_numbers, number)),
                )
            )
    known = len(old.cycle_numbers)
    emptied |= {
        (int(table.cycle_index[row]), int(table.pass_index[row])) for row in changed if table.cycle_index[row] < known
    }
    return numpy.array(changed, dtype=numpy.int64), sorted(emptied)


def _changed_cycles(table: ChunkTable, old: ChunkTable | None) -> list[int]:
    before = {} if old is None else old.to_bytes()
    return [number for number, written in table.to_bytes().items() if before.get(number) != written]


def _identity(table: ChunkTable, row: int) -> tuple[str, int, int, str]:
    return (table.path[row], int(table.size_bytes[row]), int(table.modified_ns[row]), table.etag[row])


def _known(old: ChunkTable) -> dict[str, Any]:
    cycles = old.cycle_numbers[old.cycle_index].tolist()
    passes = old.pass_numbers[old.pass_index].tolist()
    return {
        path: (cycle, number, begin, end, crid)
        for path, cycle, number, begin, end, crid in zip(
            old.path, cycles, passes, old.begin, old.end, old.crid, strict=True
        )
    }


def _message(table: ChunkTable, changes: Changes) -> str:
    now = datetime.datetime.now(datetime.UTC)
    return (
        f"{now:%Y-%m-%dT%H:%M:%SZ}: {len(changes.added)} files added or replaced, {len(changes.removed)} removed or "
        f"replaced; {len(table)} files of {len(table.cycle_numbers)} cycles"
    )
