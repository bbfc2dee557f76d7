"""The public accessor: products by name, granules by parameters, errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from swotvre_catalogs.datalake import Datalake, configured_datalake
from swotvre_catalogs.entry import Entry
from swotvre_catalogs.errors import MissingDatalakeError, UnknownProductError
from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.product_table import ProductTable
from swotvre_catalogs.products import Product, load_products

__all__ = ["Catalog", "Entry", "open_catalog", "open_folder"]


def open_catalog(
    datalake: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    entries: Traversable | None = None,
    index: str | os.PathLike[str] | None = None,
) -> Catalog:
    """Open the catalog of the products on the datalake.

    Args:
        datalake: A folder or ``s3://bucket/prefix``; the environment variable ``SWOTVRE_DATALAKE`` by default.
        storage_options: fsspec options of that address (``endpoint_url``, ``key``, ``secret``, ...); the JSON object in
            ``SWOTVRE_DATALAKE_OPTIONS`` when the address comes from the environment too.
        entries: A folder of Intake v1 YAML files instead of the package's own.
        index: The address of granule indexes and cubes; ``SWOTVRE_INDEX``, ``.swot-vre`` in the datalake, or the user's
            cache by default.

    Raises:
        DatalakeError: If no address is given, nothing lies there, or it may not be read.
        EntryError: If an entry is written wrongly.
    """
    return Catalog(configured_datalake(datalake, storage_options), load_products(entries), index)


def open_folder(folder: str | os.PathLike[str], index: str | os.PathLike[str] | None = None) -> Catalog:
    """Open a folder of one's own files, flat or nested, as a catalog of the products that their names tell.

    Args:
        folder: The folder; it may be read-only.
        index: As for :func:`open_catalog`.

    Raises:
        DatalakeError: If it does not exist, may not be read, or holds no file of a known product.
    """
    from swotvre_catalogs.index.folder import Folder, products_of

    address = os.fspath(folder)
    if not address:
        raise MissingDatalakeError("the address of the folder is empty; expected a folder, such as '.'")
    opened = Folder(address if "://" in address else str(Path(address).expanduser().absolute()))
    return Catalog(opened, products_of(opened, load_products()), index)


class Catalog(Mapping[str, Entry]):
    """The products by name; ``catalog["l2_lr_ssh_expert"]`` is one of them."""

    def __init__(
        self, datalake: Datalake, products: Mapping[str, Product], index: str | os.PathLike[str] | None = None
    ) -> None:
        self.datalake = datalake
        self._products = products
        self._index_address = index

    def __getitem__(self, name: str) -> Entry:
        if name not in self._products:
            there = f"{near_miss(str(name), self._products)}; there are: {', '.join(self._products)}"
            raise UnknownProductError(f"no product {name!r} in the catalog{there}")
        return Entry(self.datalake, self._products[name], self._index_address)

    def __getattr__(self, name: str) -> Entry:
        # As with Intake's catalogs: a product is an attribute as well.
        if name.startswith("_"):
            raise AttributeError(f"a catalog has no attribute {name!r}")
        if name not in self._products:
            raise AttributeError(f"a catalog has no attribute {name!r}{near_miss(name, [*self._products, 'products'])}")
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._products]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._products)

    def __contains__(self, name: object) -> bool:
        return name in self._products

    def __iter__(self) -> Iterator[str]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)

    def products(self) -> ProductTable:
        """Return one row per product: what it is, and what of it the datalake holds.

        The granule index answers where there is one, else the datalake is listed. ``where`` says where the files lie,
        or that this datalake has none; ``volume`` is the size of the newest version of each granule.
        """
        from swotvre_catalogs.index.summary import summarise

        return ProductTable.of(map(summarise, self.values()), self.datalake.address)

    def __repr__(self) -> str:
        lines = (f"  {name:<22} {product.metadata.title}" for name, product in self._products.items())
        return "\n".join((f"Catalog of {len(self)} products on {self.datalake.address}", *lines))

    def _repr_html_(self) -> str:
        return self.products()._repr_html_()
