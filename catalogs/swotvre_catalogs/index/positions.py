"""The positions that one granule's file holds: which variables they are, their fingerprint and the footprint."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Any

import h5py
import imagecodecs
import numpy
from h5py import h5a, h5d, h5f, h5g, h5o, h5z
from numpy.typing import NDArray

from swotvre_catalogs.index.footprint import bounds_box, joined, points_box, swath_polygon, track_line

#: Names of latitude and longitude, and of the axes of a map that is not in degrees.
_NAMES = (("latitude", "longitude"), ("lat", "lon"))

#: How the corners of a tile or scene are called in the attributes of hydrology products, in order around it.
_CORNERS = (
    ("inner_first", "inner_last", "outer_last", "outer_first"),
    ("left_first", "left_last", "right_last", "right_first"),
)

#: Filters that end a chunk with a checksum of the data: a zlib stream with its Adler-32.
_TAIL_BYTES = 4

#: Lines of a half orbit that its footprint is drawn from, 16 km apart or less.
_MOST_LINES = 1250


def fingerprint(file: h5f.FileID, raw: IO[bytes]) -> int:
    """Return a number that is the same for the same positions on a swath, or 0 if it takes more than a few bytes.

    The low-level interface, because this is asked of every file of a product.

    Args:
        file: The file, open.
        raw: The same, as bytes.
    """
    checksum = 0
    for group in _groups_with_positions(h5g.open(file, b"/")):
        for name in (b"latitude", b"longitude"):
            dataset = h5d.open(group, name)
            tails = _tails(dataset, raw) if len(dataset.shape) == 2 else None
            if tails is None:
                return 0
            packing = [_packing(dataset, attribute) for attribute in (b"scale_factor", b"add_offset")]
            facts = repr((dataset.shape, dataset.dtype.str, packing))
            checksum = zlib.crc32(tails, zlib.crc32(facts.encode(), checksum))
    return checksum


def _groups_with_positions(root: h5g.GroupID) -> Iterator[h5g.GroupID]:
    if b"latitude" in root and b"longitude" in root:
        yield root
        return
    for name in root:
        child = h5o.open(root, name)
        if isinstance(child, h5g.GroupID) and b"latitude" in child and b"longitude" in child:
            yield child


def _tails(dataset: h5d.DatasetID, raw: IO[bytes]) -> bytes | None:
    """Return the last bytes of every chunk, None if they are no checksum of it."""
    creation = dataset.get_create_plist()
    if creation.get_layout() != h5d.CHUNKED or not creation.get_nfilters():
        return None
    if creation.get_filter(creation.get_nfilters() - 1)[0] not in (h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32):
        return None
    if creation.get_chunk() == dataset.shape:
        infos = [dataset.get_chunk_info_by_coord((0, 0))]
    else:
        infos = [dataset.get_chunk_info(number) for number in range(dataset.get_num_chunks())]
    tails = []
    for info in infos:
        if info.byte_offset is None or info.filter_mask or info.size < _TAIL_BYTES:
            return None
        raw.seek(info.byte_offset + info.size - _TAIL_BYTES)
        tails.append(raw.read(_TAIL_BYTES))
    return b"".join(tails)


def _packing(dataset: h5d.DatasetID, name: bytes) -> bytes | None:
    if not h5a.exists(dataset, name):
        return None
    attribute = h5a.open(dataset, name)
    value = numpy.empty(attribute.shape, attribute.dtype)
    attribute.read(value)
    return value.tobytes()


class Positions:
    """Latitude and longitude of an open HDF5 file."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._pairs = list(_pairs(file))

    def footprint(self) -> Any:
        """Return where the granule lies, None if the file does not say."""
        if corners := self._corners():
            return corners
        if not self._pairs:
            return None
        if len(self._pairs[0][0].shape) == 2:
            return joined([swath_polygon(edges(latitude), edges(longitude)) for latitude, longitude in self._pairs])
        # Groups at several rates hold the same track: the shortest draws it.
        latitude, longitude = min(self._pairs, key=lambda pair: int(pair[0].size))
        lats, lons = values(latitude), values(longitude)
        if latitude.ndim == 0 or latitude.size == 1 == longitude.size:
            return points_box(lats, lons)
        if self._is_map(latitude, longitude):
            return _map_box(lats, lons)
        return track_line(lats, lons)

    def _corners(self) -> Any:
        attributes = self._file.attrs
        for names in _CORNERS:
            if all(f"{name}_{axis}" in attributes for name in names for axis in ("latitude", "longitude")):
                points = [
                    [float(numpy.ravel(attributes[f"{name}_{axis}"])[0]) for name in names]
                    for axis in ("latitude", "longitude")
                ]
                # A swath's lines are more exact than its corners; a tile is small enough to be drawn by them.
                if numpy.isfinite(points).all() and not self._is_swath():
                    lats, lons = numpy.array(points)
                    return swath_polygon(lats[[[0, 3], [1, 2]]], lons[[[0, 3], [1, 2]]])
        return None

    def _is_swath(self) -> bool:
        return any(len(latitude.shape) == 2 and latitude.shape[0] > 2 for latitude, _ in self._pairs)

    def _is_map(self, latitude: h5py.Dataset, longitude: h5py.Dataset) -> bool:
        return bool(latitude.shape != longitude.shape or (latitude.is_scale and longitude.is_scale))


def values(dataset: h5py.Dataset) -> NDArray[numpy.float64]:
    """Read a variable, unpacked, NaN where it has no value."""
    return _unpacked(dataset, dataset[...])


def edges(dataset: h5py.Dataset) -> NDArray[numpy.float64]:
    """Read the first and the last pixel of the lines of a swath, unpacked: shape (lines, 2).

    Of a long swath every so many lines are taken, which is still closer than the footprint's tolerance.
    """
    count, across = dataset.shape
    lines = drawn_lines(count)
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    if dataset.chunks != dataset.shape or filters != [h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE]:
        return _unpacked(dataset, dataset[...][lines][:, [0, -1]])
    # The usual case by hand: inflated twice as fast, and only what is needed put together again.
    mask, packed = dataset.id.read_direct_chunk((0, 0))
    if mask:
        return _unpacked(dataset, dataset[...][lines][:, [0, -1]])
    inflated = imagecodecs.deflate_decode(packed, out=bytearray(dataset.nbytes), raw=False)
    planes = numpy.frombuffer(inflated, "uint8").reshape(dataset.dtype.itemsize, count, across)
    chosen = numpy.ascontiguousarray(planes[:, lines][:, :, [0, -1]].transpose(1, 2, 0))
    return _unpacked(dataset, chosen.view(dataset.dtype)[..., 0])


def drawn_lines(count: int) -> NDArray[numpy.int64]:
    """Return the lines that a footprint is drawn from, of ``count``."""
    return numpy.unique(numpy.append(numpy.arange(0, count, max(1, count // _MOST_LINES)), count - 1))


def _unpacked(dataset: h5py.Dataset, packed: NDArray[Any]) -> NDArray[numpy.float64]:
    unpacked = numpy.asarray(packed, dtype="float64").copy()
    for attribute in ("_FillValue", "missing_value"):
        fill = _number(dataset, attribute)
        if fill is not None:
            unpacked[packed == numpy.asarray(fill).astype(packed.dtype)] = numpy.nan
    scale, offset = _number(dataset, "scale_factor"), _number(dataset, "add_offset")
    return unpacked * (1.0 if scale is None else scale) + (0.0 if offset is None else offset)


def _pairs(file: h5py.File) -> Iterator[tuple[h5py.Dataset, h5py.Dataset]]:
    found = _pair(file)
    if found is not None:
        yield found
        return
    for child in file.values():
        if isinstance(child, h5py.Group) and (found := _pair(child)) is not None:
            yield found


def _pair(group: h5py.Group) -> tuple[h5py.Dataset, h5py.Dataset] | None:
    for latitude, longitude in _NAMES:
        if latitude in group and longitude in group:
            return group[latitude], group[longitude]
    return None


def _number(dataset: h5py.Dataset, name: str) -> Any:
    if name not in dataset.attrs:
        return None
    value = numpy.ravel(dataset.attrs[name])
    return value[0].item() if value.size and value.dtype.kind in "iuf" else None


def _map_box(lats: NDArray[Any], lons: NDArray[Any]) -> Any:
    """Return the box of a map to the edges of its cells."""
    half_lat, half_lon = (abs(axis[1] - axis[0]) / 2 if axis.size > 1 else 0.0 for axis in (lats, lons))
    south, north = max(lats.min() - half_lat, -90.0), min(lats.max() + half_lat, 90.0)
    return bounds_box(float(lons.min() - half_lon), float(south), float(lons.max() + half_lon), float(north))
