"""Put each file's lines where their position says: which line of the cube is line 0 of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.block_bounds import file_bounds
from swotvre_catalogs.cube.chunk_table import file_lines
from swotvre_catalogs.cube.layout import FileLayout
from swotvre_catalogs.cube.positions import Positions
from swotvre_catalogs.cube.table_streams import NOT_CONTIGUOUS
from swotvre_catalogs.cycles import EARTH_RADIUS_KM, TOLERANCE_KM, match_lines


@dataclass(frozen=True)
class PlacedFile:
    """What placing needs to know of a file, and gives back to the caller."""

    key: tuple[int, int]
    path: str
    geometry: int
    layout: FileLayout
    #: What reads its positions.
    source: Any

    @property
    def lines(self) -> int:
        """Number of lines."""
        return file_lines(self.layout)

    @property
    def pixels(self) -> int:
        """Number of pixels across."""
        return self.layout.variables["latitude"].shape[1]


@dataclass(frozen=True)
class PassPlacement:
    """Where the files of one pass lie."""

    #: The file that gives latitude and longitude.
    reference: PlacedFile
    #: By fingerprint of the geometry: first line and, if they are not one run, all lines; or why it does not fit.
    by_geometry: Mapping[int, tuple[int, tuple[int, ...]] | str]
    #: Of the blocks of lines of the reference (see ``block_bounds``).
    bounds: NDArray[numpy.float32]


def place_pass(
    files: Sequence[PlacedFile],
    read: Callable[[PlacedFile], Positions],
    known_bounds: Callable[[PlacedFile], NDArray[numpy.float32] | None],
) -> PassPlacement:
    """Place the files of one pass on the lines of the longest of them.

    Args:
        files: The files of the pass, of different cycles.
        read: Returns the positions of a file.
        known_bounds: Returns the bounds of a file whose positions were read before: nothing is read then of a pass
            that is the same in every cycle.
    """
    reference = max(files, key=lambda file: (file.lines, [-n for n in file.key]))
    bounds = known_bounds(reference)
    if bounds is not None and all(file.geometry == reference.geometry for file in files):
        return PassPlacement(reference, {reference.geometry: (0, ())}, bounds)
    positions = read(reference)
    reference_km = line_positions_km(*positions)
    placed: dict[int, tuple[int, tuple[int, ...]] | str] = {reference.geometry: (0, ())}
    for file in files:
        if file.geometry not in placed:
            placed[file.geometry] = _place(file, read(file), reference, positions, reference_km)
    return PassPlacement(reference, placed, file_bounds(positions))


def _place(
    file: PlacedFile,
    positions: Positions,
    reference: PlacedFile,
    reference_positions: Positions,
    reference_km: NDArray[numpy.float64],
) -> tuple[int, tuple[int, ...]] | str:
    pixels, expected = file.pixels, reference.pixels
    if pixels != expected:
        return f"it has {pixels} pixels across, {reference.path} has {expected}: not one grid"
    lines = match_lines(line_positions_km(*positions), reference_km)
    if lines is None:
        return f"it has lines where {reference.path}, the longest file of its pass, has none: not one grid"
    edges = [_edges_apart_km(positions, reference_positions, lines, pixel) for pixel in (0, -1)]
    if max(edges) > TOLERANCE_KM:
        return f"its lines lie {max(edges):.1f} km beside those of {reference.path} at the edge: not one grid"
    first = int(lines[0])
    if (lines == numpy.arange(first, first + len(lines))).all():
        return first, ()
    return NOT_CONTIGUOUS, tuple(lines.tolist())


def _edges_apart_km(positions: Positions, reference: Positions, lines: NDArray[numpy.int64], pixel: int) -> float:
    one = unit_vectors(positions[0][:, pixel], positions[1][:, pixel])
    other = unit_vectors(reference[0][lines, pixel], reference[1][lines, pixel])
    apart = numpy.linalg.norm(one - other, axis=1) * EARTH_RADIUS_KM
    finite = apart[numpy.isfinite(apart)]
    return float(finite.max()) if len(finite) else 0.0


def line_positions_km(latitude: NDArray[numpy.float64], longitude: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """Return the position of the middle pixel of each line in km, shape (num_lines, 3)."""
    middle = latitude.shape[1] // 2
    return EARTH_RADIUS_KM * unit_vectors(latitude[:, middle], longitude[:, middle])


def unit_vectors(latitude: NDArray[numpy.float64], longitude: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """Return the directions of points given in degrees, shape (n, 3)."""
    lat, lon = numpy.deg2rad(latitude), numpy.deg2rad(longitude)
    return numpy.stack([numpy.cos(lat) * numpy.cos(lon), numpy.cos(lat) * numpy.sin(lon), numpy.sin(lat)], axis=1)
