"""A folder of a user's own files as a datalake: products are told by the names of the files, wherever they lie."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Mapping

from swotvre_catalogs.datalake import Datalake, StoredFile
from swotvre_catalogs.errors import MissingDatalakeError
from swotvre_catalogs.granules import parse_granule
from swotvre_catalogs.products import DATALAKE_PREFIX, Product


class Folder(Datalake):
    """A folder, flat or nested, that is searched by file name; hidden folders are left out."""

    is_told_by_names = True

    def glob(self, pattern: str) -> list[StoredFile]:
        """List the files whose last path components match ``pattern``, wherever they lie, by path."""
        patterns = pattern.split("/")

        def matches(path: str) -> bool:
            parts = path.rsplit("/", len(patterns))[-len(patterns) :]
            return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))

        return sorted(file for file in self._walk() if matches(file.path))

    def _walk(self) -> Iterator[StoredFile]:
        if not self.is_local:
            self._filesystem.invalidate_cache()
            for path, info in self._filesystem.find(self.root, detail=True).items():
                yield StoredFile(path[len(self.root) + 1 :], info["size"], str(info.get("ETag") or ""))
            return
        # Links to folders are followed, as people keep data behind them, but no folder is visited twice.
        visited = set()
        waiting = [("", self.root)]
        while waiting:
            relative, folder = waiting.pop()
            real = os.path.realpath(folder)
            if real in visited:
                continue
            visited.add(real)
            try:
                children = list(os.scandir(folder))
            except PermissionError:
                continue
            for child in children:
                if child.name.startswith("."):
                    continue
                if child.is_dir():
                    waiting.append((f"{relative}{child.name}/", child.path))
                elif child.is_file():
                    yield StoredFile(f"{relative}{child.name}", child.stat().st_size)


def products_of(folder: Folder, products: Mapping[str, Product]) -> dict[str, Product]:
    """Return those of the products of which the folder holds a file, to be found by file name alone.

    Raises:
        MissingDatalakeError: If it holds none.
    """
    files = folder.glob("*")
    claimed: set[str] = set()
    found = {}
    # A product that is told by folder and name goes before one that is told by the same name alone.
    for product in sorted(map(_anywhere, products.values()), key=lambda one: -one.template.count("/")):
        paths = {file.path for file in files if parse_granule(product, file) is not None} - claimed
        if paths:
            claimed |= paths
            found[product.name] = product
    if not found:
        raise MissingDatalakeError(
            f"{folder.address!r} holds no file of a known product ({len(files)} files); the names must be those of the "
            "product, such as SWOT_L2_LR_SSH_Basic_001_014_20240101T000000_20240101T005106_PIC0_01.nc"
        )
    return {name: found[name] for name in products if name in found}


def _anywhere(product: Product) -> Product:
    """Return the product with only as much of its template as holds every parameter."""
    parts = product.template.split("/")
    for count in range(1, len(parts) + 1):
        arguments = product.args.model_copy(update={"urlpath": DATALAKE_PREFIX + "/".join(parts[-count:])})
        shorter = product.model_copy(update={"args": arguments})
        if set(shorter.path_parameters) == set(product.path_parameters):
            return shorter
    return product
