"""What a build of the index found: how many files, and by name what is damaged, double or missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swotvre_catalogs.granules import Granule, number_ranges
from swotvre_catalogs.index.records import DUPLICATE, FileRecord

#: Cycles from here on are those of the one-day calibration orbit, which has passes of its own.
_CALIBRATION_CYCLE = 400

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")

#: A report names so many of a kind; the index has them all.
_NAMED = 50


@dataclass(frozen=True)
class IndexReport:
    """What a build of the index found."""

    product: str
    #: Files in the index, the damaged among them.
    files: int
    #: Files that were looked into now; the others were as they had been.
    read: int
    #: Files that were in the index and are not on the datalake any more.
    gone: int
    size_bytes: int
    #: (path, status, reason) of files that cannot be used.
    damaged: tuple[tuple[str, str, str], ...]
    #: (path, reason) of files that are left out for another with the same granule and version.
    duplicates: tuple[tuple[str, str], ...]
    #: Passes that a cycle lacks and other cycles have, by cycle; cycles that are missing altogether have None.
    missing: Mapping[int, tuple[int, ...] | None]
    #: Whether there was an index that could not be read, so that all files were read anew.
    rebuilt: bool

    @property
    def is_sound(self) -> bool:
        """Tell whether no file is damaged."""
        return not self.damaged

    def lines(self) -> list[str]:
        """Return the report in words, for a person."""
        head = (
            f"{self.product}: {self.files} files, {written_size(self.size_bytes) or '0 B'}; "
            f"{self.read} read, {self.files - self.read} as they were, {self.gone} gone"
        )
        lines = [head]
        if self.rebuilt:
            lines.append("  the index that was there could not be read; it was built anew")
        lines += _some([f"  {status}: {path}: {reason}" for path, status, reason in self.damaged])
        lines += _some([f"  duplicate: {path}: {reason}" for path, reason in self.duplicates])
        if self.missing:
            lines.append("  not here, although other cycles have it (not every pass is measured in every cycle):")
            lines += _some(
                [
                    f"    cycle {cycle}: " + ("no file" if passes is None else f"pass {number_ranges(passes)}")
                    for cycle, passes in self.missing.items()
                ]
            )
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def reported(
    product_name: str,
    rows: Sequence[tuple[FileRecord, Granule]],
    *,
    read: int,
    gone: int,
    rebuilt: bool,
) -> IndexReport:
    """Return the report of these rows."""
    return IndexReport(
        product_name,
        len(rows),
        read,
        gone,
        sum(record.size_bytes for record, _ in rows),
        tuple(sorted((r.path, r.status, r.reason) for r, _ in rows if r.status not in ("ok", DUPLICATE))),
        tuple(sorted((r.path, r.reason) for r, _ in rows if r.status == DUPLICATE)),
        missing_passes((g.values["cycle_number"], g.values["pass_number"]) for _, g in rows if _has_pass(g)),
        rebuilt,
    )


def missing_passes(existing: Iterable[tuple[int, int]]) -> dict[int, tuple[int, ...] | None]:
    """Return by cycle the passes that it lacks and that other cycles of its orbit have.

    Before the first granule of the first cycle and after the last of the last, nothing is missing: the series begins
    and ends there. A cycle with no granule at all has None.

    Args:
        existing: (cycle, pass) of what there is.
    """
    by_orbit: dict[bool, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for cycle, number in existing:
        by_orbit[cycle >= _CALIBRATION_CYCLE][cycle].add(number)
    missing: dict[int, tuple[int, ...] | None] = {}
    for cycles in by_orbit.values():
        first, last = min(cycles), max(cycles)
        usual = set.union(*cycles.values())
        for cycle in range(first, last + 1):
            if cycle not in cycles:
                missing[cycle] = None
                continue
            expected = usual
            if cycle == first:
                expected = {number for number in expected if number >= min(cycles[cycle])}
            if cycle == last:
                expected = {number for number in expected if number <= max(cycles[cycle])}
            if absent := expected - cycles[cycle]:
                missing[cycle] = tuple(sorted(absent))
    return dict(sorted(missing.items()))


def written_size(size_bytes: int) -> str:
    """Write a size as a person does: ``35.2 GB``; nothing for none."""
    if not size_bytes:
        return ""
    power = min((len(str(size_bytes)) - 1) // 3, len(_UNITS) - 1)
    return f"{size_bytes / 1000**power:.{0 if power == 0 else 1}f} {_UNITS[power]}"


def _has_pass(granule: Granule) -> bool:
    return {"cycle_number", "pass_number"} <= granule.values.keys()


def _some(lines: list[str]) -> list[str]:
    if len(lines) <= _NAMED:
        return lines
    return [*lines[:_NAMED], f"  ... and {len(lines) - _NAMED} more of the kind"]
