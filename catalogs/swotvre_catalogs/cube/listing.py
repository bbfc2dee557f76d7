"""Which files belong into a cube now: the newest version of each cycle and pass, with what identifies the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy

from swotvre_catalogs.cube.errors import CubeError
from swotvre_catalogs.datalake import Datalake, StoredFile
from swotvre_catalogs.granules import Granule, is_of_version, parse_granule
from swotvre_catalogs.index.listing import stored_files
from swotvre_catalogs.index.scanning import has_cube
from swotvre_catalogs.products import Product


@dataclass(frozen=True)
class ListedFile:
    """One file of the datalake as its listing tells it."""

    cycle_number: int
    pass_number: int
    path: str
    size_bytes: int
    modified_ns: int
    etag: str
    begin: numpy.datetime64
    end: numpy.datetime64
    crid: str

    @property
    def identity(self) -> tuple[str, int, int, str]:
        """What changes when the file is replaced."""
        return (self.path, self.size_bytes, self.modified_ns, self.etag)


#: What a path told when it was listed before: cycle, pass, begin, end, crid.
Known = Mapping[str, tuple[int, int, numpy.datetime64, numpy.datetime64, str]]


def list_files(
    datalake: Datalake, product: Product, known: Known | None = None, version: str | None = None
) -> list[ListedFile]:
    """List the newest version of every granule, by cycle and pass.

    Args:
        datalake: Where the files lie.
        product: One with a cycle and a pass in its file names.
        known: What paths told before; their names are not taken apart again.
        version: A CRID such as ``PIC0`` or ``PIC0_01``: files of others are passed over.

    Raises:
        CubeError: If the product has no cycles and passes.
    """
    if not has_cube(product):
        raise CubeError(
            f"{product.name} has no cube: its {product.metadata.grid} grid has no lines that lie at the same place in "
            "every cycle; use .sel(...) or open the granules one by one"
        )
    groups: dict[tuple[int, int], list[StoredFile]] = {}
    parsed: dict[str, Granule] = {}
    known = known or {}
    for file in stored_files(datalake, product.glob({})):
        if file.path in known:
            key, crid = known[file.path][:2], known[file.path][4]
        else:
            granule = parse_granule(product, file)
            if granule is None:
                continue
            parsed[file.path] = granule
            key, crid = (granule.values["cycle_number"], granule.values["pass_number"]), granule.crid
        if version is None or is_of_version(crid, version):
            groups.setdefault(key, []).append(file)
    listed = []
    for key in sorted(groups):
        newest = groups[key][0]
        if len(groups[key]) > 1:
            versions = [(parsed.get(file.path) or parse_granule(product, file), file) for file in groups[key]]
            newest = max(versions, key=lambda version: version[0].rank if version[0] else ())[1]
        listed.append(_listed(datalake, newest, key, parsed.get(newest.path), known))
    return [file for file in listed if file is not None]


def _listed(
    datalake: Datalake, file: StoredFile, key: tuple[int, int], granule: Granule | None, known: Known
) -> ListedFile | None:
    size_bytes, modified_ns = file.size_bytes, 0
    if datalake.is_local:
        try:
            status = os.stat(f"{datalake.root}/{file.path}")  # noqa: PTH116  a Path costs more than the call
        except FileNotFoundError:  # it was removed while we listed
            return None
        size_bytes, modified_ns = status.st_size, status.st_mtime_ns
    if granule is None:
        _, _, begin, end, crid = known[file.path]
    else:
        begin, end = numpy.datetime64(granule.begin, "s"), numpy.datetime64(granule.end, "s")
        crid = granule.crid
    return ListedFile(*key, file.path, size_bytes, modified_ns, file.etag.strip('"'), begin, end, crid)
