"""The granules of a product: which files there are, for which cycle, pass and time."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas

from swotvre_catalogs.datalake import Datalake, StoredFile
from swotvre_catalogs.errors import ParameterValueError
from swotvre_catalogs.products import Product, as_date

#: The end of the name of a SWOT granule: first and last measurement, then composite release identifier and
#: product counter (level 2, such as PGC0_01) or version (level 3, such as v2.0.1).
_TAIL = re.compile(
    r"_(?P<begin>\d{8}T\d{6})_(?P<end>\d{8}T\d{6})_"
    r"(?:(?P<crid>[PD][A-Z][A-Z0-9]\w)_(?P<counter>\d\d)|v(?P<version>\d+(?:\.\d+)*))\.\w+$"
)

#: The same for the nadir altimeter: kind and version of the record before cycle and pass, times with an underscore.
_NADIR_TAIL = re.compile(
    r"_(?P<crid>\wP\w_2P(?P<letter>\w))P\d{3}_\d{3}_(?P<begin>\d{8}_\d{6})_(?P<end>\d{8}_\d{6})(_\w+)?\.nc$"
)


@dataclass(frozen=True)
class Granule:
    """One file of a product."""

    #: The parameters that its name gives, such as ``cycle_number``.
    values: Mapping[str, Any]
    #: Time of the first and of the last measurement, UTC; None where the name does not tell.
    begin: datetime.datetime | None
    end: datetime.datetime | None
    #: Composite release identifier and counter, or version: ``PGC0_01``, ``v2.0.1``; empty where there is none.
    crid: str
    #: Path below the datalake's address.
    path: str
    size_bytes: int
    #: Sorts the versions of the same granule, the latest last.
    rank: tuple[Any, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """What is the same for every version of this granule."""
        return tuple(self.values.values())


def parse_granule(product: Product, file: StoredFile) -> Granule | None:
    """Return the granule of a file, or None if its name is not one of the product's."""
    # A user's own files may lie in any folder: the template of their product has only the last parts of a path.
    matched = product.regex.fullmatch(path_tail(file.path, product.template.count("/") + 1))
    if matched is None:
        return None
    values: dict[str, Any] = {}
    parameters = product.parameters
    for name, text in matched.groupdict().items():
        kind = parameters[name].type
        values[name] = int(text) if kind == "int" else as_date(text) if kind == "datetime" else text
    tail = _TAIL.search(file.path, file.path.rfind("/") + 1)
    if tail is None:
        if nadir := _NADIR_TAIL.search(file.path):
            begin, end = (datetime.datetime.strptime(nadir[edge], "%Y%m%d_%H%M%S") for edge in ("begin", "end"))
            return Granule(values, begin, end, nadir["crid"], file.path, file.size_bytes, (nadir["letter"], file.path))
        day = values.get("date")
        midnight = datetime.datetime.combine(day, datetime.time()) if day else None
        return Granule(values, midnight, midnight, "", file.path, file.size_bytes, (file.path,))
    first, last, crid, counter, version = tail.groups()
    begin, end = datetime.datetime.fromisoformat(first), datetime.datetime.fromisoformat(last)
    called = f"{crid}_{counter}" if crid else f"v{version}"
    return Granule(values, begin, end, called, file.path, file.size_bytes, _rank(crid, counter, version))


def path_tail(path: str, parts: int) -> str:
    """Return the last ``parts`` components of a path."""
    return "/".join(path.rsplit("/", parts)[-parts:])


def _rank(crid: str | None, counter: str | None, version: str | None) -> tuple[Any, ...]:
    if not crid or not counter:
        return tuple(map(int, (version or "").split(".")))
    # Baseline first (PGC0 before PID0), then reprocessed (G) above forward (I), then minor version and counter.
    return (crid[2], "IG".find(crid[1]), crid[3], int(counter))


def find_granules(datalake: Datalake, product: Product, values: Mapping[str, Any] | None = None) -> list[Granule]:
    """List the granules for these values, every version of them, by their parameters, the latest version last.

    A value may be a list: any of its members will do. A parameter without a value, or None, matches all.
    """
    wanted = {name: v for name, v in (values or {}).items() if v is not None and name in product.path_parameters}
    single = {name: v for name, v in wanted.items() if not isinstance(v, list)}
    parsed = (parse_granule(product, file) for file in datalake.glob(product.glob(single)))
    found = [
        granule
        for granule in parsed
        if granule is not None
        and all(granule.values[n] in (v if isinstance(v, list) else [v]) for n, v in wanted.items())
    ]
    return sorted(found, key=lambda granule: (granule.key, granule.rank))


def is_of_version(crid: str, version: str) -> bool:
    """Tell whether a granule is of a version, named in whole or by its beginning: ``PIC0`` is ``PIC0_01`` as well."""
    asked = re.escape(version.strip().removeprefix("v"))
    return re.match(rf"v?{asked}(?:$|[._])", crid) is not None


def check_version(product: Product, version: Any) -> None:
    """Check that a version can be one.

    Raises:
        ParameterValueError: If it is no text of letters, digits, dots and underscores.
    """
    if not isinstance(version, str) or not re.fullmatch(r"[\w.]+", version):
        raise ParameterValueError(
            f"{product.name}: version is {version!r:.100}; expected a text such as 'PIC0', 'PIC0_01' or 'v2.0.1'"
        )


def absence(datalake: Datalake, product: Product, version: str | None = None) -> str:
    """Return in words that the datalake holds no granule of a product, or of a version of it."""
    if version is not None and (found := find_granules(datalake, product)):
        there = ", ".join(sorted({granule.crid for granule in found if granule.crid})) or "none"
        return f"{product.name}: no granule of version {version!r}; there are: {there}"
    where = datalake.url(product.glob({}))
    source = f"the product comes from {product.metadata.provider}"
    return f"the datalake holds no granule of {product.name}; looked for {where}; {source}"


def latest_versions(granules: Iterable[Granule]) -> list[Granule]:
    """Keep of each granule its latest version: highest baseline, reprocessed above forward, highest counter."""
    latest: dict[tuple[Any, ...], Granule] = {}
    for granule in granules:
        other = latest.get(granule.key)
        if other is None or granule.rank >= other.rank:
            latest[granule.key] = granule
    return list(latest.values())


def granule_table(product: Product, granules: Iterable[Granule]) -> pandas.DataFrame:
    """Return one row per granule: its parameters, begin, end, crid, path and size in bytes."""
    columns = [*product.path_parameters, "begin", "end", "crid", "path", "size_bytes"]
    rows = [(*g.key, g.begin, g.end, g.crid, g.path, g.size_bytes) for g in granules]
    table = pandas.DataFrame(rows, columns=columns)
    return table.astype({"begin": "datetime64[s]", "end": "datetime64[s]"})


def number_ranges(numbers: Iterable[Any]) -> str:
    """Write numbers shortly: ``1-3, 5``; values that are not integers are listed as they are."""
    ordered = sorted(set(numbers))
    if not all(isinstance(number, int) for number in ordered):
        return ", ".join(map(str, ordered))
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
