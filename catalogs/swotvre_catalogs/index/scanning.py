"""Look into a file of a product on the fixed grid once, for the granule index and for the cube."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.block_bounds import file_bounds
from swotvre_catalogs.cube.indexer import IndexedFile, Indexer
from swotvre_catalogs.cube.positions import positions_in
from swotvre_catalogs.index.footprint import swath_polygon
from swotvre_catalogs.index.inspection import Inspection, as_wkb
from swotvre_catalogs.index.positions import drawn_lines

if TYPE_CHECKING:
    from swotvre_catalogs.products import Product


class ListedFile(NamedTuple):
    """One file as the datalake lists it."""

    path: str
    size_bytes: int
    modified_ns: int
    etag: str
    #: Whether its name does not tell when it was measured.
    wants_times: bool
    #: Files of the same pass often hold the same positions; 0 where there are no passes.
    pass_number: int = 0


class ScannedBounds(NamedTuple):
    """Where the blocks of lines of a pass lie, and the file that was read for it."""

    identity: tuple[str, int, int, str]
    #: See ``block_bounds``: float32 (blocks, 4).
    bounds: NDArray[numpy.float32]


class Scanned(NamedTuple):
    """What was seen of one file."""

    #: None where another look has to tell where the granule lies.
    inspection: Inspection | None
    indexed: IndexedFile
    #: None where the positions were not read.
    bounds: ScannedBounds | None = None


class Scanner:
    """Looks into files one after the other; remembers the layouts that it met.

    Args:
        undeclared_fill_value: Fill value of integer variables whose file does not declare one.
    """

    def __init__(self, undeclared_fill_value: int | None) -> None:
        self._indexer = Indexer(undeclared_fill_value)

    def scan(
        self, source: str | IO[bytes], file: ListedFile, known: MutableMapping[int, bytes | None]
    ) -> Scanned | None:
        """Return what a file holds, and where; None for a file that is damaged: another look has to tell how.

        Args:
            source: A file name, or a file object.
            file: Which file it is.
            known: Footprints by fingerprint, to which this adds.
        """
        try:
            with open(source, "rb", buffering=0) if isinstance(source, str) else source as raw:  # noqa: PTH123
                opened = source if isinstance(source, str) else raw
                etag = file.etag.strip('"')
                indexed = self._indexer.index(opened, path=file.path, size_bytes=file.size_bytes, etag=etag)
                if not indexed.geometry:
                    return Scanned(None, indexed)
                if indexed.geometry in known:
                    footprint = known[indexed.geometry]
                    return Scanned(Inspection("ok", "", footprint, indexed.geometry), indexed)
                return _with_positions(raw, indexed, known)
        except Exception:  # the libraries fail on a damaged file in their own ways
            return None

    def recognise(self, source: str, file: ListedFile, known: Mapping[int, bytes | None]) -> Scanned | None:
        """Return the same of a local file that is like one that was looked into before; None for another.

        Neither the HDF5 library nor the positions are read, and several threads may ask at a time.
        """
        try:
            with open(source, "rb", buffering=0) as raw:  # noqa: PTH123  called for every file of a product
                indexed = self._indexer.recognise(raw, file.path)
        except OSError:
            return None
        if indexed is None or indexed.geometry not in known or indexed.identity != file[:4]:
            return None
        return Scanned(Inspection("ok", "", known[indexed.geometry], indexed.geometry), indexed)


def _with_positions(raw: IO[bytes], indexed: IndexedFile, known: MutableMapping[int, bytes | None]) -> Scanned:
    positions = positions_in(raw, indexed)
    if positions is None or len(positions[0]) <= 2:
        return Scanned(None, indexed)
    lines = drawn_lines(len(positions[0]))
    latitude, longitude = positions
    footprint = known[indexed.geometry] = as_wkb(swath_polygon(latitude[lines], longitude[lines]))
    bounds = ScannedBounds(indexed.identity, file_bounds(positions))
    return Scanned(Inspection("ok", "", footprint, indexed.geometry), indexed, bounds)


def has_cube(product: Product) -> bool:
    """Tell whether the files of a product have lines that lie at the same place in every cycle."""
    return {"cycle_number", "pass_number"} <= set(product.path_parameters) and product.metadata.grid == "fixed"
