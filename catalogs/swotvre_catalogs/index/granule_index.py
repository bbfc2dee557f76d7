"""The granule index of a product: its granules by place, time, version and parameters, from one table in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import shapely
from numpy.typing import NDArray

from swotvre_catalogs.errors import ParameterValueError, UnreadableIndexError
from swotvre_catalogs.granules import Granule, check_version, is_of_version
from swotvre_catalogs.index.bbox import Box, parse_time
from swotvre_catalogs.index.stac import FIXED_MARGIN_DEGREES, FORMAT_VERSION, parameter_column, published_facts
from swotvre_catalogs.parameters import resolve_asked
from swotvre_catalogs.products import Product


@dataclass(frozen=True, eq=False)
class _Columns:
    """The table as arrays, one value per file, sorted by granule, then version."""

    parameters: Mapping[str, NDArray[Any]]
    begin: NDArray[numpy.datetime64]
    end: NDArray[numpy.datetime64]
    crid: NDArray[Any]
    rank: NDArray[numpy.int32]
    path: NDArray[Any]
    size_bytes: NDArray[numpy.int64]
    modified_ns: NDArray[numpy.int64]
    etag: NDArray[Any]
    checksum: NDArray[Any]
    status: NDArray[Any]
    reason: NDArray[Any]
    is_ok: NDArray[numpy.bool_]
    #: Number of the granule: the versions of one have the same.
    granule: NDArray[numpy.int64]
    #: Number of the footprint in ``footprints``; -1 where there is none.
    footprint: NDArray[numpy.int64]
    #: WKB of the footprints that differ.
    footprints: NDArray[Any]
    #: (west, south, east, north) of each footprint, west > east across the antimeridian.
    bounds: NDArray[numpy.float64]
    #: Geometries of the footprints that were asked for; filled by selections.
    shapes: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GranuleIndex:
    """Granules of one product, all of them or a selection."""

    product: Product
    _columns: _Columns
    #: Rows of this selection, in the order of the table.
    _rows: NDArray[numpy.int64]
    #: What the index says of itself: ``datalake``, ``built``.
    facts: Mapping[str, Any]
    #: Whether a version was chosen.
    version: str | None = None

    def select(self, bbox: Any = None, time: Any = None, version: str | None = None, **parameters: Any) -> GranuleIndex:
        """Select by place, time, version and parameters, all of which must hold.

        A granule counts when its footprint meets the box, within 0.02 degrees (0.07 on a native grid), and its period
        meets the time; one whose place or period is unknown is kept.

        Args:
            bbox: (west, south, east, north) in degrees, see :meth:`Box.parse`.
            time: A period, see :func:`parse_time`.
            version: A CRID or version, or its beginning: ``"PIC0_01"``, ``"PIC0"``, ``"v2.0"``.
            **parameters: Values, or lists of them, of the product's parameters; None is any.

        Raises:
            ParameterValueError: If a value cannot be one; if no granule has such a version.
            UnknownParameterError: If the product has no such parameter.
        """
        rows = self._rows
        for name, wanted in resolve_asked(self.product, parameters).items():
            if name in self._columns.parameters:
                column = self._columns.parameters[name][rows]
                rows = rows[numpy.isin(column, wanted) if isinstance(wanted, list) else column == wanted]
        if time is not None:
            first, last = parse_time(time)
            begin, end = self._columns.begin[rows], self._columns.end[rows]
            rows = rows[numpy.isnat(begin) | ((begin <= last) & (end >= first))]
        if version is not None:
            rows = rows[self._has_version(version)[rows]]
        if bbox is not None:
            rows = rows[self._meets(Box.parse(bbox), rows)]
        return replace(self, _rows=rows, version=self.version if version is None else version)

    def granules(self) -> list[Granule]:
        """Return the granules, the newest version of each that can be read."""
        columns, rows = self._columns, self._newest
        names = list(columns.parameters)
        values = [columns.parameters[name][rows].tolist() for name in names]
        begins, ends = (times[rows].astype("datetime64[us]").tolist() for times in (columns.begin, columns.end))
        return [
            Granule(dict(zip(names, of_one, strict=True)), begin, end, crid, path, size, (rank,))
            for of_one, begin, end, crid, path, size, rank in zip(
                zip(*values, strict=True) if names else [()] * len(rows),
                begins,
                ends,
                columns.crid[rows],
                columns.path[rows],
                columns.size_bytes[rows].tolist(),
                columns.rank[rows].tolist(),
                strict=True,
            )
        ]

    def __len__(self) -> int:
        """Return the number of granules."""
        return len(self._newest)

    @property
    def table(self) -> pandas.DataFrame:
        """One row per granule, the newest version of each: parameters, begin, end, crid, path, size_bytes, ..."""
        return self._frame(self._newest)

    @property
    def all_versions(self) -> pandas.DataFrame:
        """As ``table``, with every version of each granule."""
        return self._frame(self._rows[self._columns.is_ok[self._rows]])

    @property
    def damaged(self) -> pandas.DataFrame:
        """Files that are left out, because they are damaged or duplicates: path, status and reason."""
        rows = self._rows[~self._columns.is_ok[self._rows]]
        columns = ("path", "status", "reason")
        return pandas.DataFrame({name: getattr(self._columns, name)[rows] for name in columns})

    def identities(self) -> set[tuple[str, int, int, str]]:
        """Return path, size, time of change and etag of every file: what stays the same while a file does."""
        columns = self._columns
        arrays = (columns.path, columns.size_bytes, columns.modified_ns, columns.etag)
        return set(zip(*(array.tolist() for array in arrays), strict=True))

    def footprints(self) -> Any:
        """Return the table as a GeoDataFrame with the footprints as geometry."""
        import geopandas  # here, because most selections do without

        rows = self._newest
        shapes = [self._shape(number) if number >= 0 else None for number in self._columns.footprint[rows].tolist()]
        return geopandas.GeoDataFrame(self._frame(rows), geometry=shapes, crs="OGC:CRS84")

    @cached_property
    def _newest(self) -> NDArray[numpy.int64]:
        rows = self._rows[self._columns.is_ok[self._rows]]
        granule = self._columns.granule[rows]
        # Versions of one granule follow one another, the newest last.
        is_last = numpy.append(granule[1:] != granule[:-1], True) if len(rows) else numpy.zeros(0, dtype=bool)
        newest: NDArray[numpy.int64] = rows[is_last]
        return newest

    def _frame(self, rows: NDArray[numpy.int64]) -> pandas.DataFrame:
        columns = self._columns
        names = ("begin", "end", "crid", "path", "size_bytes", "modified_ns", "etag", "checksum")
        parameters = {name: column[rows] for name, column in columns.parameters.items()}
        return pandas.DataFrame({**parameters, **{name: getattr(columns, name)[rows] for name in names}})

    def _has_version(self, version: str) -> NDArray[numpy.bool_]:
        existing = pandas.unique(self._columns.crid)
        check_version(self.product, version)
        matching = [crid for crid in existing if is_of_version(crid, version)]
        if not matching:
            there = ", ".join(sorted(filter(None, existing))) or "none"
            raise ParameterValueError(f"{self.product.name}: no granule of version {version!r}; there are: {there}")
        return numpy.isin(self._columns.crid, matching)

    def _meets(self, box: Box, rows: NDArray[numpy.int64]) -> NDArray[numpy.bool_]:
        columns = self._columns
        grown = _grown(box, float(self.facts.get("margin_degrees", FIXED_MARGIN_DEGREES)))
        candidates = grown.meets(*columns.bounds.T)
        # The exact test only for footprints of these rows: those of other cycles and passes stay undrawn.
        asked = numpy.unique(columns.footprint[rows])
        asked = asked[asked >= 0]
        asked = asked[candidates[asked]]
        region = grown.as_polygon()
        shapely.prepare(region)
        meets = numpy.zeros(len(columns.footprints) + 1, dtype=bool)
        meets[asked] = shapely.intersects(region, [self._shape(number) for number in asked.tolist()])
        meets[-1] = True  # no footprint: it cannot be ruled out
        return meets[columns.footprint[rows]]

    def _shape(self, number: int) -> Any:
        shape = self._columns.shapes.get(number)
        if shape is None:
            shape = self._columns.shapes[number] = shapely.from_wkb(self._columns.footprints[number])
        return shape

    def __repr__(self) -> str:
        pinned = f" of version {self.version}" if self.version else ""
        return (
            f"<GranuleIndex of {self.product.name}: {len(self)} granules{pinned}, {len(self.damaged)} files left out>"
        )


def parse_index(data: bytes, product: Product, where: str) -> GranuleIndex:
    """Return the index in a GeoParquet file; ``where`` is its address, for messages.

    Raises:
        UnreadableIndexError: If it is damaged, or of a later version of this program.
    """
    remedy = f"build it anew with: swot-vre catalog index {product.name}"
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data), read_dictionary=["geometry", "crid", "status"])
        facts = published_facts(data)
        if facts["format_version"] > FORMAT_VERSION:
            raise UnreadableIndexError(f"{where} was written by a later version of swot-vre; update this one")
        columns = _columns(file, product)
    except (pyarrow.ArrowException, KeyError, ValueError, TypeError, OSError) as error:
        raise UnreadableIndexError(f"{where} cannot be read: {error!s:.300}; {remedy}") from error
    return GranuleIndex(product, columns, numpy.arange(len(columns.path)), facts)


def _columns(file: Any, product: Product) -> _Columns:
    parameters = {name: parameter_column(name) for name in product.path_parameters}
    plain = ("crid", "rank", "path", "size_bytes", "modified_ns", "etag", "checksum", "status", "reason")
    wanted = [*parameters.values(), *plain, "start_datetime", "end_datetime", "bbox", "geometry"]
    table = file.read(columns=wanted).combine_chunks()
    values: dict[str, Any] = {name: _array(table.column(name)) for name in plain}
    own = {name: _array(table.column(column)) for name, column in parameters.items()}
    times = [
        table.column(name).cast(pyarrow.timestamp("us")).to_numpy().astype("datetime64[us]")
        for name in ("start_datetime", "end_datetime")
    ]
    starts = numpy.zeros(len(table), dtype=bool)
    for column in own.values():
        starts[1:] |= column[1:] != column[:-1]
    footprint, footprints, bounds = _footprints(table)
    return _Columns(
        parameters=own,
        begin=times[0],
        end=times[1],
        **values,
        is_ok=values["status"] == "ok",
        granule=numpy.cumsum(starts),
        footprint=footprint,
        footprints=footprints,
        bounds=bounds,
    )


def _array(column: Any) -> NDArray[Any]:
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pyarrow.types.is_date(column.type):
        return numpy.array(column.to_pylist(), dtype=object)
    return numpy.asarray(column.to_numpy(zero_copy_only=False))


def _footprints(table: Any) -> tuple[NDArray[numpy.int64], NDArray[Any], NDArray[numpy.float64]]:
    geometry = table.column("geometry").unify_dictionaries().combine_chunks()
    numbers = geometry.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype("int64")
    footprints = numpy.array([*geometry.dictionary.to_pylist()], dtype=object)
    first = numpy.zeros(len(footprints), dtype="int64")
    there = numbers >= 0
    first[numbers[there]] = numpy.flatnonzero(there)
    edges = table.column("bbox").combine_chunks()
    bounds = [edges.field(edge).to_numpy(zero_copy_only=False) for edge in ("xmin", "ymin", "xmax", "ymax")]
    return numbers, footprints, numpy.stack(bounds, axis=1)[first] if len(footprints) else numpy.zeros((0, 4))


def _grown(box: Box, margin: float) -> Box:
    south, north = max(box.south - margin, -90.0), min(box.north + margin, 90.0)
    if box.width_degrees + 2 * margin >= 360:
        return Box(-180.0, south, 180.0, north)
    west, east = box.west - margin, box.east + margin
    west = west + 360.0 if west < -180 else west
    east = east - 360.0 if east > 180 else east
    return Box(west, south, east, north)
