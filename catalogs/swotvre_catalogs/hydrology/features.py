"""River reaches, nodes and lakes: the features of all granules, by name, place and time, in the order of time."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import geopandas
import numpy
import pandas
import pyogrio
import shapely

from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import MissingGranuleError, ParameterValueError, UnreadableGranuleError
from swotvre_catalogs.granules import Granule, number_ranges
from swotvre_catalogs.hydrology.errors import EmptySelectionError, SelectionWarning, UnknownFeatureError
from swotvre_catalogs.hydrology.request import PACKAGE_FOLDER, Request, tell_damaged
from swotvre_catalogs.index.bbox import Box
from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.reading import SHAPEFILE_FILL

#: Fill values of integers and of texts (Product Description L2_HR_RiverSP and L2_HR_LakeSP, section 5).
INTEGER_FILLS = (-999, -99999999)
TEXT_FILL = "no_data"

#: The epoch of the column ``time``, seconds in UTC.
EPOCH = numpy.datetime64("2000-01-01", "ns")

#: First digit of an identifier of SWORD and of the prior lake database: the continent of its basin (Pfafstetter).
CONTINENTS = {"1": "AF", "2": "EU", "3": "SI", "4": "AS", "5": "AU", "6": "SA", "7": "NA", "8": "AR", "9": "GR"}

#: Identifiers that start with the continent's digit.
_OF_CONTINENT = ("reach_id", "node_id", "lake_id")

#: How zip archives and shapefiles say that they are damaged.
_DAMAGE = (
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    RuntimeError,
)

#: A lake can belong to several reaches, an observed object to several lakes.
_SEPARATOR = re.compile(r"[;,]\s*")

#: Granules that are read at a time.
_READERS = 8


def select_features(request: Request) -> geopandas.GeoDataFrame:
    """Return the features of a request over all its granules, fill values as NaN, None and NaT.

    A feature lies in the box when its shape meets it; one that was not observed and has no shape, when its position in
    the prior database does. A damaged granule is left out, with a warning that names it.

    Returns:
        The columns of the product with ``time`` as datetime64 (NaT where nothing was measured) after ``cycle_number``,
        ``pass_number`` and ``crid`` of the granule.

    Raises:
        UnknownFeatureError: If no granule holds a feature of that name.
        EmptySelectionError: If nothing lies in the box and the period.
        UnreadableGranuleError: If every granule is damaged.
    """
    names = {column: _names(column, value) for column, value in request.filters.items()}
    granules = _of_their_continent(request.granules, names)
    with ThreadPoolExecutor(_READERS) as readers:
        results = list(readers.map(lambda granule: _features_of(request, granule, names), granules))
    tell_damaged(request, [str(result) for result in results if isinstance(result, Exception)], len(granules))
    found = [result for result in results if not isinstance(result, Exception) and result is not None and len(result)]
    if not found:
        raise _nothing(request, granules, names)
    together = found[0] if len(found) == 1 else pandas.concat(found, ignore_index=True)
    _tell_missing(request, together, names)
    return geopandas.GeoDataFrame(together.reset_index(drop=True), geometry="geometry", crs=found[0].crs)


def _names(column: str, value: Any) -> tuple[str, ...]:
    """Return the texts that a filter asks for; identifiers may be given as integers."""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    texts = tuple(str(one).strip() for one in (value if several else [value]))
    if not texts:
        raise ParameterValueError(f"{column} is empty; expected a name or several")
    for text in texts:
        if column.endswith("_id") and not re.fullmatch(r"\w+", text):
            raise ParameterValueError(f"{column}={text!r:.100} is no identifier; expected digits, as text or integer")
    return texts


def _of_their_continent(granules: Sequence[Granule], names: dict[str, tuple[str, ...]]) -> list[Granule]:
    """Leave out the granules of continents that none of the identifiers lies in."""
    kept = list(granules)
    for column in _OF_CONTINENT:
        wanted = {CONTINENTS.get(name[0]) for name in names.get(column, ())}
        if wanted and None not in wanted:
            kept = [granule for granule in kept if granule.values.get("continent") in wanted]
    return kept


def _features_of(
    request: Request, granule: Granule, names: dict[str, tuple[str, ...]]
) -> geopandas.GeoDataFrame | UnreadableGranuleError | None:
    """Return what one granule holds, None for nothing, or why it cannot be read."""
    try:
        source = _source(request.datalake, granule.path)
        if not _may_hold(source, names):
            return None
        return _labelled(granule, _read(request, granule, source, names))
    except UnreadableGranuleError as error:
        return error
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = request.datalake.url(granule.path)
        return UnreadableGranuleError(f"cannot read {where}: {reason:.300}; the file may be damaged")


def _may_hold(source: str | bytes, names: dict[str, tuple[str, ...]]) -> bool:
    """Tell whether the names occur in the table at all: its bytes are searched many times faster than read."""
    if not names:
        return True
    with zipfile.ZipFile(source if isinstance(source, str) else io.BytesIO(source)) as archive:
        tables = [name for name in archive.namelist() if name.lower().endswith(".dbf")]
        if not tables:
            return True
        content = archive.read(tables[0])
    # A name that is not plain ASCII may be stored in another encoding.
    return all(any(not name.isascii() or name.encode() in content for name in wanted) for wanted in names.values())


def _read(
    request: Request, granule: Granule, source: str | bytes, names: dict[str, tuple[str, ...]]
) -> geopandas.GeoDataFrame:
    """Read what the request asks of one granule; names and box go down into the reader."""
    fields = set(pyogrio.read_info(source)["fields"])
    for column in names:
        if column not in fields:
            raise ParameterValueError(f"{granule.path} has no column {column!r}{near_miss(column, fields)}")
    frame = pandas.concat(list(_parts(source, _where(names), request.box, fields)))
    frame = frame[~frame.index.duplicated()].sort_index()
    for column, wanted in names.items():
        members = (set(_SEPARATOR.split(str(text))) for text in frame[column])
        frame = frame[numpy.array([not texts.isdisjoint(wanted) for texts in members], dtype=bool)]
    return _in_period(_without_fills(geopandas.GeoDataFrame(frame, geometry="geometry")), request)


def _source(datalake: Datalake, path: str) -> str | bytes:
    opened = datalake.open(path)
    if isinstance(opened, str):
        return opened
    with opened:
        return opened.read()


def _where(names: dict[str, tuple[str, ...]]) -> str | None:
    clauses = []
    for column, wanted in names.items():
        quoted = (name.replace("'", "''") for name in wanted)
        clauses.append("(" + " OR ".join(f"{column} LIKE '%{name}%'" for name in quoted) + ")")
    return " AND ".join(clauses) or None


def _parts(
    source: str | bytes, where: str | None, box: Box | None, fields: set[str]
) -> Iterator[geopandas.GeoDataFrame]:
    """Yield the features that meet the box, by number: those with a shape, then those without."""

    def read(**options: Any) -> geopandas.GeoDataFrame:
        return pyogrio.read_dataframe(source, fid_as_index=True, **options)

    if box is None:
        yield read(where=where)
        return
    area = box.as_polygon()
    for west, south, east, north in box.parts:
        shapes = read(where=where, bbox=(west, south, east, north))
        yield shapes[shapely.intersects(shapes.geometry.values, area)]
        if {"p_lon", "p_lat"} <= fields:
            inside = f"p_lon >= {west!r} AND p_lon <= {east!r} AND p_lat >= {south!r} AND p_lat <= {north!r}"
            unobserved = read(where=f"{where} AND {inside}" if where else inside)
            yield unobserved[unobserved.geometry.isna() | unobserved.geometry.is_empty]


def _without_fills(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    columns: dict[str, Any] = {}
    for name in frame.columns.drop("geometry"):
        column = frame[name]
        if pandas.api.types.is_float_dtype(column):
            columns[name] = column.mask(column == SHAPEFILE_FILL)
        elif pandas.api.types.is_integer_dtype(column):
            # A nullable integer, so that a flag stays a whole number where another is missing.
            columns[name] = column.astype("Int32" if column.dtype.itemsize <= 4 else "Int64").mask(
                column.isin(INTEGER_FILLS)
            )
        else:
            columns[name] = column.mask(column == TEXT_FILL)
    clean = frame.assign(**columns)
    if "time" in clean:
        # Whole microseconds: a double holds no more of a time of today.
        clean["time"] = EPOCH + pandas.to_timedelta((clean["time"] * 1e6).round(), unit="us")
    return clean


def _in_period(frame: geopandas.GeoDataFrame, request: Request) -> geopandas.GeoDataFrame:
    """Keep what was measured in the period, and what was not measured at all."""
    if request.period is None or "time" not in frame:
        return frame
    begin, end = request.period
    return frame[frame["time"].isna() | frame["time"].between(begin, end)]


def _labelled(granule: Granule, frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    labels = {name: granule.values[name] for name in ("cycle_number", "pass_number", "continent")}
    for place, (name, value) in enumerate({**labels, "crid": granule.crid}.items()):
        frame.insert(place, name, value)
    return frame


def _tell_missing(request: Request, frame: geopandas.GeoDataFrame, names: dict[str, tuple[str, ...]]) -> None:
    for column, wanted in names.items():
        there = {part for text in frame[column].dropna() for part in _SEPARATOR.split(text)}
        if missing := [name for name in wanted if name not in there]:
            warnings.warn(
                f"{request.product.name}: no feature with {column} {', '.join(missing)} in what was selected",
                SelectionWarning,
                skip_file_prefixes=(PACKAGE_FOLDER,),
            )


def _nothing(request: Request, granules: list[Granule], names: dict[str, tuple[str, ...]]) -> MissingGranuleError:
    """Say what was looked at: the number of features, their granules, and names like the one asked for."""
    looked = granules or list(request.granules)
    where = "; ".join(
        f"{name} {number_ranges(granule.values[name] for granule in looked)}"
        for name in ("continent", "cycle_number", "pass_number")
    )
    number = f"{len(looked)} granule{'s' if len(looked) > 1 else ''} ({where})"
    for column, wanted in names.items():
        count, there = _known_names(request, looked, column)
        missing = [name for name in wanted if name not in there]
        if missing:
            return UnknownFeatureError(
                f"{request.product.name}: no feature with {column} {', '.join(missing)} among the {count} features of "
                f"{number}{near_miss(missing[0], there)}"
            )
    return EmptySelectionError(f"nothing for {request} in {number}: no feature lies in the box and the period")


def _known_names(request: Request, granules: list[Granule], column: str) -> tuple[int, set[str]]:
    """Return the number of features of the granules, and what stands in one column; damaged granules hold none."""
    count, there = 0, set[str]()
    for granule in granules:
        with suppress(*_DAMAGE):
            source = _source(request.datalake, granule.path)
            table = pyogrio.read_dataframe(source, columns=[column], read_geometry=False)
            count += len(table)
            there |= {part for text in table[column].dropna() for part in _SEPARATOR.split(str(text))}
    return count, there
