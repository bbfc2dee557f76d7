"""The public accessor: products by name, granules by parameters, errors in words."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

import pandas
import xarray

from swotvre_catalogs.datalake import Datalake, configured_datalake
from swotvre_catalogs.errors import UnknownProductError
from swotvre_catalogs.granules import find_granules, granule_table, latest_versions, number_ranges
from swotvre_catalogs.parameters import STACKED, near_miss, resolve_parameters
from swotvre_catalogs.products import Product, load_products
from swotvre_catalogs.selection import Selection

if TYPE_CHECKING:
    import geopandas


def open_catalog(
    datalake: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    entries: Traversable | None = None,
) -> Catalog:
    """Open the catalog of the products on the datalake.

    Args:
        datalake: A folder or ``s3://bucket/prefix``; the environment variable ``SWOTVRE_DATALAKE`` by default.
        storage_options: fsspec options of that address (``endpoint_url``, ``key``, ``secret``, ...); the JSON object in
            ``SWOTVRE_DATALAKE_OPTIONS`` when the address comes from the environment too.
        entries: A folder of Intake v1 YAML files instead of the package's own.

    Raises:
        DatalakeError: If no address is given, nothing lies there, or it may not be read.
        EntryError: If an entry is written wrongly.
    """
    return Catalog(configured_datalake(datalake, storage_options), load_products(entries))


class Catalog(Mapping[str, "Entry"]):
    """The products by name; ``catalog["l2_lr_ssh_expert"]`` is one of them."""

    def __init__(self, datalake: Datalake, products: Mapping[str, Product]) -> None:
        self.datalake = datalake
        self._products = products

    def __getitem__(self, name: str) -> Entry:
        if name not in self._products:
            there = f"{near_miss(str(name), self._products)}; there are: {', '.join(self._products)}"
            raise UnknownProductError(f"no product {name!r} in the catalog{there}")
        return Entry(self.datalake, self._products[name])

    def __contains__(self, name: object) -> bool:
        return name in self._products

    def __iter__(self) -> Iterator[str]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)

    def products(self) -> pandas.DataFrame:
        """Return one row per product: what it is, and what of it the datalake holds now."""
        return pandas.DataFrame([entry.summary() for entry in self.values()]).set_index("name")

    def __repr__(self) -> str:
        lines = (f"  {name:<22} {product.metadata.title}" for name, product in self._products.items())
        return "\n".join((f"Catalog of {len(self)} products on {self.datalake.address}", *lines))

    def _repr_html_(self) -> str:
        return f"<p>Catalog on <code>{html.escape(self.datalake.address)}</code></p>{self.products().to_html()}"


class Entry:
    """One product. Call it with parameters to choose granules; without, its defaults count."""

    def __init__(self, datalake: Datalake, product: Product) -> None:
        self.datalake = datalake
        self.product = product

    @property
    def name(self) -> str:
        """The name in the catalog."""
        return self.product.name

    def __call__(self, **parameters: Any) -> Selection:
        """Choose granules: an integer ``cycle_number``, a list of them, or None for all that exist.

        Raises:
            UnknownParameterError: If the product has no such parameter.
            ParameterValueError: If a value has the wrong type or is out of bounds.
        """
        return Selection(self.datalake, self.product, resolve_parameters(self.product, parameters))

    def to_dask(self) -> xarray.Dataset:
        """Open the default granule lazily."""
        return self().to_dask()

    def read(self) -> xarray.Dataset | geopandas.GeoDataFrame:
        """Read the default granule into memory."""
        return self().read()

    def granules(self, *, all_versions: bool = False) -> pandas.DataFrame:
        """Return every granule on the datalake: parameters, begin, end, crid, path below the datalake, size_bytes.

        Args:
            all_versions: Also those for which the datalake holds a later version.
        """
        found = find_granules(self.datalake, self.product)
        return granule_table(self.product, found if all_versions else latest_versions(found))

    def summary(self) -> dict[str, Any]:
        """Return the product's row of the products table."""
        found = latest_versions(find_granules(self.datalake, self.product))
        simulated = {granule.path in self.datalake.simulated_paths for granule in found}
        begins = [granule.begin for granule in found if granule.begin]
        ends = [granule.end for granule in found if granule.end]
        return {
            "name": self.name,
            "title": self.product.metadata.title,
            "level": self.product.metadata.level,
            "granules": len(found),
            "cycles": number_ranges(g.values[STACKED] for g in found if STACKED in g.values),
            "passes": number_ranges(g.values["pass_number"] for g in found if "pass_number" in g.values),
            "period": f"{min(begins):%Y-%m-%d} - {max(ends):%Y-%m-%d}" if begins else "",
            "size_mb": round(sum(g.size_bytes for g in found) / 1e6, 1),
            "origin": " and ".join("simulated" if one else "real" for one in sorted(simulated)),
        }

    @cached_property
    def _parameter_table(self) -> pandas.DataFrame:
        rows = [
            (name, p.type, p.default, "" if p.min is None else p.min, "" if p.max is None else p.max, p.description)
            for name, p in self.product.parameters.items()
        ]
        return pandas.DataFrame(rows, columns=["parameter", "type", "default", "min", "max", "description"])

    def __repr__(self) -> str:
        head = f"{self.name}: {self.product.metadata.title}\n{self.product.description}"
        if not self.product.parameters:
            return head
        return f"{head}\n" + "\n".join(
            f"  {name} ({p.type}, default {p.default}): {p.description}" for name, p in self.product.parameters.items()
        )

    def _repr_html_(self) -> str:
        metadata = self.product.metadata
        facts = f"{metadata.provider}. {metadata.licence}."
        return (
            f"<h4>{html.escape(metadata.title)} <code>{html.escape(self.name)}</code></h4>"
            f"<p>{html.escape(self.product.description)}</p><p><em>{html.escape(facts)}</em></p>"
            + (self._parameter_table.to_html(index=False) if self.product.parameters else "")
        )
