"""Look into one file: whether it is whole, where it lies on the globe, and when it was measured."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

import h5py
import numpy
import shapely
from h5py import h5f

from swotvre_catalogs.cube.indexer import file_access
from swotvre_catalogs.file_kinds import CLASSIC, HDF5, LENGTH, ZIP, reason_against
from swotvre_catalogs.index.footprint import bounds_box, points_box
from swotvre_catalogs.index.positions import Positions, fingerprint


@dataclass(frozen=True)
class Inspection:
    """What was found in one file."""

    #: ``ok``, ``truncated``, ``corrupt`` or ``unreadable``; later also ``duplicate``.
    status: str
    #: Why it is not ``ok``, in words.
    reason: str = ""
    #: The footprint as WKB, None where the file does not say.
    geometry: bytes | None = None
    #: Equal for the same positions; 0 if unknown.
    fingerprint: int = 0
    begin: datetime | None = None
    end: datetime | None = None


def inspect_file(
    source: str | IO[bytes], known: MutableMapping[int, bytes | None], *, wants_times: bool = False
) -> Inspection:
    """Look into a file, reading no more of it than its structure and, where they are new, its positions.

    Args:
        source: A file name, or a file object.
        known: Footprints by fingerprint, to which this adds.
        wants_times: Whether the file is asked for its period, since its name does not tell.
    """
    try:
        raw: IO[bytes] = open(source, "rb", buffering=0) if isinstance(source, str) else source  # noqa: PTH123, SIM115
    except OSError as error:
        return Inspection("unreadable", f"it cannot be opened: {error.strerror or error}")
    with raw:
        try:
            start = raw.read(LENGTH)
            if start == HDF5:
                return _inspect_hdf5(source if isinstance(source, str) else raw, raw, known, wants_times)
            if start[:4] == ZIP:
                raw.seek(0)
                return _inspect_zip(raw)
            if start[:4] in CLASSIC:
                raw.seek(0)
                return _inspect_classic(raw)
        except PermissionError as error:
            return Inspection("unreadable", str(error))
        except Exception as error:  # the libraries fail on a damaged file in their own ways
            return _damaged(error)
    return Inspection("truncated" if len(start) < LENGTH else "corrupt", reason_against(start))


def _inspect_hdf5(
    source: str | IO[bytes], raw: IO[bytes], known: MutableMapping[int, bytes | None], wants_times: bool
) -> Inspection:
    if isinstance(source, str):
        file = h5f.open(os.fsencode(source), h5f.ACC_RDONLY, fapl=file_access())
    else:
        file = h5py.File(source, "r").id
    try:
        found = fingerprint(file, raw)
        if found and found in known:
            geometry = known[found]
        else:
            geometry = as_wkb(Positions(h5py.File(file)).footprint())
            if found:
                known[found] = geometry
        begin, end = _times(h5py.File(file)) if wants_times else (None, None)
    finally:
        file.close()
    return Inspection("ok", "", geometry, found, begin, end)


def _inspect_classic(raw: IO[bytes]) -> Inspection:
    import xarray

    with xarray.open_dataset(io.BytesIO(raw.read()), engine="scipy") as dataset:
        named = {str(name).lower(): variable for name, variable in dataset.variables.items()}
        latitude = next((named[name] for name in ("latitude", "lat") if name in named), None)
        longitude = next((named[name] for name in ("longitude", "lon") if name in named), None)
        geometry = None
        if latitude is not None and longitude is not None:
            lats, lons = latitude.to_numpy().ravel(), longitude.to_numpy().ravel()
            count = max(lats.size, lons.size)
            box = points_box(numpy.resize(lats, count), numpy.resize(lons, count))
            geometry = as_wkb(box)
        begin, end = _extremes(named["time"].to_numpy()) if "time" in named else (None, None)
    return Inspection("ok", "", geometry, 0, begin, end)


def _inspect_zip(raw: IO[bytes]) -> Inspection:
    with zipfile.ZipFile(raw) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".shp")]
        if not names:
            return Inspection("corrupt", "the archive holds no shapefile (.shp)")
        with archive.open(names[0]) as shapes:
            header = shapes.read(100)
            if len(header) < 100 or struct.unpack(">i", header[:4])[0] != 9994:
                return Inspection("corrupt", f"{names[0]} is not a shapefile")
            west, south, east, north = struct.unpack("<4d", header[36:68])
            if struct.unpack(">i", header[24:28])[0] <= 50:
                return Inspection("ok", "")  # no shape in it
            if east - west > 180 or 0.0 in (west, east):
                # On both sides of the antimeridian, or widened by shapes without a place: each shape tells its own.
                return Inspection("ok", "", as_wkb(points_box(*_corners_of_shapes(header + shapes.read()))))
    return Inspection("ok", "", as_wkb(bounds_box(west, south, east, north)))


def _corners_of_shapes(content: bytes) -> tuple[Any, Any]:
    """Return latitudes and longitudes of two corners of every shape of a .shp file.

    Source: ESRI Shapefile Technical Description, July 1998, pages 4 to 12.
    """
    corners: list[tuple[float, ...]] = []
    at = 100
    while at + 12 <= len(content):
        words = struct.unpack(">i", content[at + 4 : at + 8])[0]
        kind = struct.unpack("<i", content[at + 8 : at + 12])[0] % 10
        if kind == 1:
            corners.append(struct.unpack("<2d", content[at + 12 : at + 28]))
        elif kind and words > 22:
            edges = struct.unpack("<4d", content[at + 12 : at + 44])
            corners += [edges[:2], edges[2:]]
        at += 8 + 2 * words
    lons, lats = numpy.array(corners, dtype="float64").reshape(-1, 2).T
    placed = (lons != 0) | (lats != 0)
    return lats[placed], lons[placed]


def _times(file: h5py.File) -> tuple[datetime | None, datetime | None]:
    for first, last in (("time_coverage_start", "time_coverage_end"),):
        if first in file.attrs and last in file.attrs:
            edges = [_instant(file.attrs[name]) for name in (first, last)]
            if None not in edges:
                return edges[0], edges[1]
    if "time" not in file or not file["time"].size:
        return None, None
    import xarray

    units = file["time"].attrs.get("units", "")
    attributes = {"units": units.decode() if isinstance(units, bytes) else str(units)}
    variable = xarray.Variable("time", numpy.ravel(file["time"][...]), attributes)
    try:
        decoded = xarray.decode_cf(xarray.Dataset({"time": variable}))["time"].to_numpy()
    except ValueError:
        return None, None
    return _extremes(decoded)


def _extremes(times: Any) -> tuple[datetime | None, datetime | None]:
    if times.dtype.kind != "M" or numpy.isnat(times).all():
        return None, None
    known = times[~numpy.isnat(times)].astype("datetime64[us]")
    return known.min().item(), known.max().item()


def _instant(text: Any) -> datetime | None:
    text = text.decode() if isinstance(text, bytes) else str(text)
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def _damaged(error: Exception) -> Inspection:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, zipfile.BadZipFile) and "not a zip" in reason:
        return Inspection("truncated", "the zip archive has no end")
    if "truncated" in reason.lower() or isinstance(error, EOFError):
        return Inspection("truncated", f"{reason:.300}")
    return Inspection("corrupt", f"{reason:.300}")


def as_wkb(geometry: Any) -> bytes | None:
    """Return a footprint as it is kept; None for none, or an empty one."""
    if geometry is None or shapely.is_empty(geometry):
        return None
    return bytes(shapely.to_wkb(geometry))
