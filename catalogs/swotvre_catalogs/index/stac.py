"""The published index: STAC items in GeoParquet, one row per file, with the columns that a selection needs.

Sources: STAC 1.1.0 (item, asset), its file extension 2.1.0, STAC GeoParquet 1.0.0, GeoParquet 1.1.0.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import shapely

from swotvre_catalogs.granules import Granule
from swotvre_catalogs.index.footprint import TOLERANCE_DEGREES, geographic_bounds
from swotvre_catalogs.index.record_table import SCHEMA
from swotvre_catalogs.index.records import FileRecord
from swotvre_catalogs.products import Product

#: Raised when an older program could not read the file any more.
FORMAT_VERSION = 1

#: How far a granule may reach beyond its footprint: the tolerance of the drawing, and on a native grid what the cycles
#: of a pass differ by.
FIXED_MARGIN_DEGREES = 2 * TOLERANCE_DEGREES
NATIVE_MARGIN_DEGREES = FIXED_MARGIN_DEGREES + 0.05

#: Key of what this program says of the index in the metadata of the Parquet file.
METADATA_KEY = b"swot-vre"

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

_UTC = pyarrow.timestamp("us", tz="UTC")
_BOUNDS = pyarrow.struct([(edge, pyarrow.float64()) for edge in ("xmin", "ymin", "xmax", "ymax")])
_LINK = pyarrow.struct([("href", pyarrow.string()), ("rel", pyarrow.string()), ("type", pyarrow.string())])
_ASSET = pyarrow.struct(
    [
        ("href", pyarrow.string()),
        ("type", pyarrow.string()),
        ("roles", pyarrow.list_(pyarrow.string())),
        ("file:size", pyarrow.int64()),
        ("file:checksum", pyarrow.string()),
    ]
)
_MEDIA_TYPES = {"nc": "application/netcdf", "zip": "application/zip"}
_PARAMETER_TYPES = {"int": pyarrow.int32(), "str": pyarrow.string(), "datetime": pyarrow.date32()}

#: Size of a row group: small enough to be skipped, large enough to be few.
_ROWS = 50_000

#: The footprints that differ are stored once as long as they fit: 584 passes take 1 MB.
_DICTIONARY_BYTES = 1 << 26


def publishable(
    product: Product, rows: Sequence[tuple[FileRecord, Granule]], address: str, facts: Mapping[str, Any]
) -> bytes:
    """Return the index as a GeoParquet file.

    Args:
        product: The product.
        rows: Files with what their names say; they are sorted by granule, then version.
        address: Where the datalake lies, for the links to the files.
        facts: What to keep beside the rows, such as when it was built.
    """
    ordered = sorted(rows, key=lambda row: (row[1].key, _sortable(row[1].rank), row[0].path))
    margin = FIXED_MARGIN_DEGREES
    if product.metadata.grid == "native":
        ordered, margin = _with_shared_footprints(ordered), NATIVE_MARGIN_DEGREES
    columns = {**_item_columns(product, ordered, address), **_own_columns(product, ordered)}
    table = pyarrow.table(columns)
    metadata = {
        "geo": json.dumps(_geo_metadata(columns["geometry"])),
        "stac-geoparquet": json.dumps({"version": "1.0.0"}),
        METADATA_KEY: json.dumps({**facts, "format_version": FORMAT_VERSION, "margin_degrees": margin}),
    }
    buffer = io.BytesIO()
    # Whoever reads it gets plain WKB, not that the column is one of shared values here: no ``store_schema``.
    options = {"compression": "zstd", "dictionary_pagesize_limit": _DICTIONARY_BYTES, "store_schema": False}
    with pyarrow.parquet.ParquetWriter(buffer, table.schema, **options) as writer:
        writer.write_table(table, row_group_size=_ROWS)
        writer.add_key_value_metadata(metadata)
    return buffer.getvalue()


def published_facts(data: bytes) -> dict[str, Any]:
    """Return what an index says of itself.

    Raises:
        KeyError: If it says nothing.
        ValueError: If it is no Parquet file or says nonsense.
    """
    facts = json.loads((pyarrow.parquet.read_schema(pyarrow.BufferReader(data)).metadata or {})[METADATA_KEY])
    if not isinstance(facts, dict):
        raise ValueError(f"{METADATA_KEY!r} is no JSON object")
    return facts


def _item_columns(product: Product, rows: Sequence[tuple[FileRecord, Granule]], address: str) -> dict[str, Any]:
    count = len(rows)
    records = [record for record, _ in rows]
    urls = [f"{address}/{record.path}" for record in records]
    begins, ends = _periods(rows)
    return {
        "type": pyarrow.array(["Feature"] * count, pyarrow.string()),
        "stac_version": pyarrow.array(["1.1.0"] * count, pyarrow.string()),
        "stac_extensions": pyarrow.array([[FILE_EXTENSION]] * count, pyarrow.list_(pyarrow.string())),
        "id": pyarrow.array([_item_id(record.path) for record in records], pyarrow.string()),
        "collection": pyarrow.array([product.name] * count, pyarrow.string()),
        "geometry": _geometry_column(records),
        "bbox": _bounds_column(records),
        # Null, as STAC asks where there is a period; the products without one have no time at all.
        "datetime": pyarrow.nulls(count, _UTC),
        "start_datetime": pyarrow.array(begins, _UTC),
        "end_datetime": pyarrow.array(ends, _UTC),
        "links": pyarrow.array([[]] * count, pyarrow.list_(_LINK)),
        "assets": _assets(records, urls),
    }


def _with_shared_footprints(rows: Sequence[tuple[FileRecord, Granule]]) -> list[tuple[FileRecord, Granule]]:
    """Give the cycles of a pass one footprint where theirs are nearly the same, as a native grid's are.

    The orbit repeats within a kilometre. Drawn anew for every cycle, the footprints would be most of the index and of
    the time of a selection.
    """
    allowed = NATIVE_MARGIN_DEGREES - FIXED_MARGIN_DEGREES
    drawn: dict[tuple[Any, ...], list[tuple[bytes, Any, Any]]] = {}
    shared: dict[bytes, bytes] = {}

    def share(record: FileRecord, granule: Granule) -> FileRecord:
        if record.geometry is None:
            return record
        if record.geometry not in shared:
            place = tuple(value for name, value in granule.values.items() if name != "cycle_number")
            known = drawn.setdefault(place, [])
            shape = shapely.from_wkb(record.geometry)
            bounds = shapely.bounds(shape)
            for geometry, around, its_bounds in known:
                # A pass that was cut lies within a whole one, but does not reach as far.
                if numpy.abs(bounds - its_bounds).max() <= allowed and around.contains(shape):
                    shared[record.geometry] = geometry
                    break
            else:
                shared[record.geometry] = record.geometry
                around = shapely.buffer(shape, allowed)
                shapely.prepare(around)
                known.append((record.geometry, around, bounds))
        return replace(record, geometry=shared[record.geometry])

    return [(share(record, granule), granule) for record, granule in rows]


def _own_columns(product: Product, rows: Sequence[tuple[FileRecord, Granule]]) -> dict[str, Any]:
    granules = [granule for _, granule in rows]
    ranks = {rank: number for number, rank in enumerate(sorted({granule.rank for granule in granules}, key=_sortable))}
    columns: dict[str, Any] = {
        parameter_column(name): pyarrow.array(
            [granule.values[name] for granule in granules], _PARAMETER_TYPES[product.parameters[name].type]
        )
        for name in product.path_parameters
    }
    columns["crid"] = pyarrow.array([granule.crid for granule in granules], pyarrow.string())
    columns["rank"] = pyarrow.array([ranks[granule.rank] for granule in granules], pyarrow.int32())
    for field in SCHEMA:
        if field.name not in ("geometry", "begin", "end"):
            columns[field.name] = pyarrow.array([getattr(record, field.name) for record, _ in rows], field.type)
    # As the file gave it, so that the next build need not ask again; the item's own period is above.
    columns["begin"] = pyarrow.array([record.begin for record, _ in rows], SCHEMA.field("begin").type)
    columns["end"] = pyarrow.array([record.end for record, _ in rows], SCHEMA.field("end").type)
    return columns


def parameter_column(name: str) -> str:
    """Return the column of a path parameter; a name that STAC uses for something else gets a prefix."""
    taken = {"id", "type", "links", "assets", "collection", "geometry", "bbox", "datetime", *SCHEMA.names}
    return f"swot:{name}" if name in taken else name


def _sortable(rank: tuple[Any, ...]) -> tuple[Any, ...]:
    # Ranks of one product have one form; the name of its class keeps others from being compared.
    return tuple((type(part).__name__, part) for part in rank)


def _periods(rows: Sequence[tuple[FileRecord, Granule]]) -> tuple[list[Any], list[Any]]:
    begins = [record.begin if granule.begin is None else granule.begin for record, granule in rows]
    ends = [record.end if granule.end is None else granule.end for record, granule in rows]
    return begins, ends


def _item_id(path: str) -> str:
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _assets(records: Sequence[FileRecord], urls: Sequence[str]) -> Any:
    media_types = [
        _MEDIA_TYPES.get(record.path.rsplit(".", 1)[-1].lower(), "application/octet-stream") for record in records
    ]
    # By column: a dictionary for each of 10,000 files takes as long as all the rest.
    columns: list[list[Any]] = [
        list(urls),
        media_types,
        [["data"]] * len(records),
        [record.size_bytes for record in records],
        [record.checksum or None for record in records],
    ]
    arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, _ASSET, strict=True)]
    data = pyarrow.StructArray.from_arrays(arrays, fields=list(_ASSET))
    return pyarrow.StructArray.from_arrays([data], fields=[pyarrow.field("data", _ASSET)])


def _geometry_column(records: Sequence[FileRecord]) -> Any:
    # The footprints that differ, once: written out for each of 10,000 files they are 90 MB.
    number: dict[bytes, int] = {}
    chosen = [None if one.geometry is None else number.setdefault(one.geometry, len(number)) for one in records]
    return pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(chosen, pyarrow.int32()), pyarrow.array(list(number), pyarrow.binary())
    )


def _bounds_column(records: Sequence[FileRecord]) -> Any:
    bounds: dict[bytes, dict[str, float]] = {}
    for geometry in {record.geometry for record in records if record.geometry is not None}:
        edges = geographic_bounds(shapely.from_wkb(geometry))
        bounds[geometry] = dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    return pyarrow.array([record.geometry and bounds[record.geometry] for record in records], _BOUNDS)


def _geo_metadata(geometry: Any) -> dict[str, Any]:
    shapes = shapely.from_wkb(numpy.array(geometry.drop_null().unique().to_pylist(), dtype=object))
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted({shape.geom_type for shape in shapes}),
        "edges": "planar",
    }
    # No "crs" means OGC:CRS84: longitude and latitude on WGS 84.
    if len(shapes):
        column["bbox"] = [float(edge) for edge in shapely.total_bounds(shapes)]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
