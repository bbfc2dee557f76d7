"""The table of the next commit: what changed on the datalake is indexed and placed, the rest is carried on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.byte_ranges import ReplacedFileError
from swotvre_catalogs.cube.chunk_table import ChunkTable, file_lines
from swotvre_catalogs.cube.errors import CubeError, DamagedFileError
from swotvre_catalogs.cube.indexer import GEOMETRY, IndexedFile
from swotvre_catalogs.cube.layout import FileLayout
from swotvre_catalogs.cube.listing import ListedFile
from swotvre_catalogs.cube.parallel_indexing import index_files
from swotvre_catalogs.cube.placement import PassPlacement, PlacedFile, place_pass
from swotvre_catalogs.cube.positions import read_positions
from swotvre_catalogs.cube.table_streams import CubeGeometry, FileRow, LeftOutFile, cycle_to_bytes
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.index.scanning import ScannedBounds
from swotvre_catalogs.index.scans import Scans
from swotvre_catalogs.object_store import open_reader
from swotvre_catalogs.products import Product

Key = tuple[int, int]
Progress = Callable[[int, int], None]

_THREADS = 4


@dataclass(frozen=True)
class Changes:
    """What differs between the datalake and the table of the build before."""

    #: Files that are new or were replaced.
    added: list[ListedFile]
    #: Cycle and pass of files that are gone or were replaced.
    removed: list[Key]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def find_changes(listed: list[ListedFile], old: ChunkTable | None) -> Changes:
    """Compare the files of the datalake with those of the table."""
    before: dict[tuple[Any, ...], Key] = {}
    if old is not None:
        keys = zip(old.cycle_numbers[old.cycle_index].tolist(), old.pass_numbers[old.pass_index].tolist(), strict=True)
        identities = zip(old.path, old.size_bytes.tolist(), old.modified_ns.tolist(), old.etag, strict=True)
        before = dict(zip(identities, keys, strict=True))
        before |= {one.identity: (one.cycle_number, one.pass_number) for one in old.left_out}
    added = [file for file in listed if file.identity not in before]
    now = {file.identity for file in listed}
    return Changes(added, [key for identity, key in before.items() if identity not in now])


class TableBuilder:
    """Makes the table of the next commit: unchanged cycles are carried on as they are."""

    def __init__(self, datalake: Datalake, product: Product, old: ChunkTable | None, scans: Scans) -> None:
        self._datalake, self._product, self._old, self._scans = datalake, product, old, scans
        self._reader = open_reader(datalake)
        #: The cycles that are written anew.
        self.rows: dict[int, dict[int, FileRow]] = {}
        self.left_out: dict[int, dict[int, LeftOutFile]] = {}
        #: Variables of files that are NaN for everybody, and why.
        self.holes: list[str] = []
        self._placements: dict[int, PassPlacement] = {}

    def apply(self, changes: Changes, progress: Progress | None = None, jobs: int | None = None) -> ChunkTable:
        """Return the table with the changes; arguments as for ``index_files``."""
        for cycle, _ in changes.removed:
            self._unpack(cycle)
        for cycle, number in changes.removed:
            self.rows[cycle].pop(number, None)
            self.left_out[cycle].pop(number, None)
        indexed = self._indexed(changes.added, progress, jobs)
        units = self._units([one for one in indexed if isinstance(one, IndexedFile)])
        for listed, one in zip(changes.added, indexed, strict=True):
            self._unpack(listed.cycle_number)
            self._add(listed, one if isinstance(one, DamagedFileError) else self._without_other_units(one, units))
        self._place({number for _, number in changes.removed} | {file.pass_number for file in changes.added})
        return self._table()

    def _indexed(
        self, files: list[ListedFile], progress: Progress | None, jobs: int | None
    ) -> list[IndexedFile | DamagedFileError]:
        """Index the files that the granule index has not seen as they are now."""
        seen = self._scans.of_cycles(file.cycle_number for file in files)
        others = [file for file in files if file.identity not in seen]
        done = len(files) - len(others)
        if progress and done:
            progress(done, len(files))

        def shown(number: int, _: int) -> None:
            if progress:
                progress(done + number, len(files))

        fill = self._product.metadata.undeclared_fill_value
        found = iter(index_files(self._datalake, others, fill, shown, jobs))
        return [seen.get(file.identity) or next(found) for file in files]

    def _units(self, indexed: list[IndexedFile]) -> dict[str, str]:
        """Return the units of each variable in the files before, or else in most of the new ones."""
        counts: dict[str, Counter[str]] = {}
        for layout, count in Counter(one.layout for one in indexed).items():
            for name, variable in layout.variables.items():
                counts.setdefault(name, Counter())[variable.units] += count
        units = {name: found.most_common(1)[0][0] for name, found in counts.items()}
        for layout in () if self._old is None else self._old.layouts:
            units |= {name: variable.units for name, variable in layout.variables.items()}
        return units

    def _without_other_units(self, indexed: IndexedFile, units: dict[str, str]) -> IndexedFile:
        # Times are decoded file by file; metres and centimetres in one array would be wrong numbers.
        other = {
            name: variable.units
            for name, variable in indexed.layout.variables.items()
            if variable.units != units[name] and " since " not in variable.units
        }
        if not other:
            return indexed
        self.holes += [
            f"{indexed.path}, {name}: its units are {unit!r}, those of the cube {units[name]!r}"
            for name, unit in other.items()
        ]
        kept = {name: one for name, one in indexed.layout.variables.items() if name not in other}
        return replace(indexed, layout=FileLayout(kept))

    def _unpack(self, cycle: int) -> None:
        if cycle in self.rows:
            return
        self.rows[cycle], self.left_out[cycle] = {}, {}
        if self._old is not None and cycle in self._old.cycle_numbers:
            self.rows[cycle] = {row.pass_number: row for row in self._old.rows(cycle)}
            self.left_out[cycle] = {o.pass_number: o for o in self._old.left_out if o.cycle_number == cycle}

    def _add(self, listed: ListedFile, indexed: IndexedFile | DamagedFileError) -> None:
        key = (listed.cycle_number, listed.pass_number)
        if isinstance(indexed, DamagedFileError):
            self._leave_out(listed, key, indexed.reason)
            return
        variables = indexed.layout.variables
        if not all(name in variables and len(variables[name].shape) == 2 for name in GEOMETRY):
            self._leave_out(listed, key, "it has no latitude and longitude of lines and pixels")
            return
        self.rows[key[0]][key[1]] = FileRow(
            *key,
            listed.path,
            indexed.size_bytes,
            indexed.modified_ns or listed.modified_ns,
            listed.etag,
            indexed.layout,
            indexed.offsets,
            indexed.sizes,
            indexed.geometry,
            listed.begin,
            listed.end,
            listed.crid,
        )
        self.left_out[key[0]].pop(key[1], None)

    def _leave_out(self, file: ListedFile | FileRow, key: Key, reason: str) -> None:
        self.rows[key[0]].pop(key[1], None)
        self.left_out[key[0]][key[1]] = LeftOutFile(
            file.path, file.size_bytes, file.modified_ns, file.etag, *key, reason
        )

    def _place(self, passes: set[int]) -> None:
        self._leave_out_other_widths()
        by_pass: dict[int, list[FileRow]] = {number: [] for number in passes}
        for rows in self.rows.values():
            for number in rows.keys() & passes:
                by_pass[number].append(rows[number])
        unknown = [number for number in sorted(passes) if not self._place_as_before(number, by_pass[number])]
        for number in unknown:
            self._unpack_pass(number)
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(self._place_anew, unknown):
                pass

    def _leave_out_other_widths(self) -> None:
        rows = [row for rows in self.rows.values() for row in rows.values()]
        widths = Counter(row.layout.variables["latitude"].shape[1] for row in rows)
        width = self._old.num_pixels if self._old is not None else widths.most_common(1)[0][0] if widths else 0
        for row in rows:
            own = row.layout.variables["latitude"].shape[1]
            if own != width:
                reason = f"it has {own} pixels across, the others have {width}: not one grid"
                self._leave_out(row, (row.cycle_number, row.pass_number), reason)

    def _place_as_before(self, number: int, rows: list[FileRow]) -> bool:
        """Place the files of a pass by what is known of their geometry; False if that is not enough."""
        old = self._old
        if old is None or number not in old.pass_numbers:
            return False
        index = int(numpy.searchsorted(old.pass_numbers, number))
        reference = int(old.geometry_row[index])
        cycle = int(old.cycle_numbers[old.cycle_index[reference]])
        if cycle in self.rows:
            kept = self.rows[cycle].get(number)
            if kept is None or kept.identity != _identity(old, reference):
                return False
        known: dict[int, int] = {}
        for row in old.row[:, index]:
            if row >= 0:
                known.setdefault(int(old.fingerprint[row]), int(row))
        if any(row.geometry not in known for row in rows):
            return False
        for row in rows:
            like = known[row.geometry]
            lines = tuple(old.line_map(like).tolist()) if old.first_line[like] < 0 else ()
            placed = replace(row, first_line=int(old.first_line[like]), lines=lines)
            self.rows[row.cycle_number][number] = placed
        return True

    def _unpack_pass(self, number: int) -> None:
        if self._old is not None and number in self._old.pass_numbers:
            index = int(numpy.searchsorted(self._old.pass_numbers, number))
            for cycle in self._old.cycle_numbers[self._old.row[:, index] >= 0].tolist():
                self._unpack(cycle)

    def _known_bounds(self, file: PlacedFile) -> NDArray[numpy.float32] | None:
        # Of this very file: of one with the same fingerprint, the positions might still be corrupt.
        found = self._scanned_bounds.get(file.geometry)
        return found.bounds if found is not None and found.identity == file.source.identity else None

    @cached_property
    def _scanned_bounds(self) -> dict[int, ScannedBounds]:
        return self._scans.bounds()

    def _place_anew(self, number: int) -> None:
        files = []
        for cycle in sorted(self.rows):
            row = self.rows[cycle].get(number)
            if row is not None:
                files.append(PlacedFile((cycle, number), row.path, row.geometry, row.layout, row))
        while files:
            try:
                placement = place_pass(
                    files, lambda file: read_positions(self._datalake, self._reader, file.source), self._known_bounds
                )
                break
            except (DamagedFileError, ReplacedFileError) as error:
                files = [file for file in files if file.path not in str(error)]
                damaged = [row for rows in self.rows.values() if (row := rows.get(number)) and row.path in str(error)]
                if not damaged:
                    raise
                for row in damaged:
                    self._leave_out(row, (row.cycle_number, number), getattr(error, "reason", str(error)))
        else:
            return
        self._placements[number] = placement
        for file in files:
            place = placement.by_geometry[file.geometry]
            if isinstance(place, str):
                self._leave_out(file.source, file.key, place)
            else:
                self.rows[file.key[0]][number] = replace(file.source, first_line=place[0], lines=place[1])

    def _table(self) -> ChunkTable:
        old = self._old
        cycles = {} if old is None else old.to_bytes()
        for cycle, rows in self.rows.items():
            cycles.pop(cycle, None)
            if rows or self.left_out[cycle]:
                cycles[cycle] = cycle_to_bytes(rows.values(), self.left_out[cycle].values())
        if not any(self.rows[cycle] for cycle in self.rows) and not (set(cycles) - set(self.rows)):
            raise CubeError(f"none of the files of {self._product.name} can be in a cube; {self._reasons()}")
        return ChunkTable(self._geometry(), cycles)

    def _reasons(self) -> str:
        found = [f"{one.path}: {one.reason}" for left in self.left_out.values() for one in left.values()]
        return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")

    def _geometry(self) -> CubeGeometry:
        old = self._old
        present: dict[int, FileRow | None] = {}
        if old is not None:
            kept = ~numpy.isin(old.cycle_numbers, list(self.rows))
            with_file = (old.row[kept] >= 0).any(axis=0)
            present.update(dict.fromkeys(old.pass_numbers[with_file].tolist()))
        for rows in self.rows.values():
            for number, row in rows.items():
                present.setdefault(number, row)
        numbers = numpy.array(sorted(present), dtype=numpy.int32)
        sources, prints, lengths, widths = [], [], [], []
        for number in numbers.tolist():
            if old is None or number in self._placements:
                reference = self._placements[number].reference
                sources.append(reference.path)
                prints.append(reference.geometry)
                lengths.append(reference.lines)
                widths.append(reference.pixels)
            else:
                index = int(numpy.searchsorted(old.pass_numbers, number))
                layout = old.layouts[old.signature[old.geometry_row[index]]]
                sources.append(old.geometry.sources[index])
                prints.append(int(old.geometry.fingerprints[index]))
                lengths.append(file_lines(layout))
                widths.append(layout.variables["latitude"].shape[1])
        num_lines = max(lengths)
        bounds = [self._bounds(number) for number in numbers.tolist()]
        return CubeGeometry(
            numbers, num_lines, widths[0], tuple(sources), numpy.array(prints, numpy.int64), _stacked(bounds)
        )

    def _bounds(self, number: int) -> Any:
        if self._old is None or number in self._placements:
            return self._placements[number].bounds
        return self._old.block_bounds[int(numpy.searchsorted(self._old.pass_numbers, number))]


def _stacked(bounds: list[Any]) -> Any:
    stacked = numpy.full((len(bounds), max(map(len, bounds)), 4), numpy.nan, numpy.float32)
    for target, one in zip(stacked, bounds, strict=True):
        target[: len(one)] = one
    return stacked


def _identity(table: ChunkTable, row: int) -> tuple[str, int, int, str]:
    return (table.path[row], int(table.size_bytes[row]), int(table.modified_ns[row]), table.etag[row])
