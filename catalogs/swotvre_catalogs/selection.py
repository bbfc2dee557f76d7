"""A product with its parameters resolved: which granules, and opening them."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas
import xarray

from swotvre_catalogs.cycles import stack_cycles
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import GranuleWarning, MissingGranuleError, ReaderError, UnreadableGranuleError
from swotvre_catalogs.granules import Granule, absence, find_granules, granule_table, latest_versions, number_ranges
from swotvre_catalogs.parameters import STACKED
from swotvre_catalogs.products import Product
from swotvre_catalogs.reading import open_dataset, read_shapes, with_accessor

if TYPE_CHECKING:
    import geopandas

#: A warning points at the first line outside this folder: the user's.
PACKAGE_FOLDER = str(Path(__file__).parent)


class Selection:
    """One product with its parameters resolved; nothing is opened before ``to_dask`` or ``read``."""

    def __init__(self, datalake: Datalake, product: Product, parameters: dict[str, Any]) -> None:
        self.datalake = datalake
        self.product = product
        #: The value of every parameter; a list of cycles, or None for all.
        self.parameters = parameters

    @property
    def is_stack(self) -> bool:
        """Tell whether several cycles were asked for."""
        return self.product.has_cycles and not isinstance(self.parameters[STACKED], int)

    def granules(self) -> pandas.DataFrame:
        """Return the granules that will be opened, one row each."""
        return granule_table(self.product, self._find())

    def to_dask(self) -> xarray.Dataset:
        """Open lazily, as dask arrays in the chunks of the files.

        Several cycles are stacked along ``cycle_number``; those that are missing or damaged are left out, with a
        warning that names them.

        Raises:
            MissingGranuleError: If there is none.
            UnreadableGranuleError: If the file is damaged.
            GridError: If the cycles do not lie on one grid.
            ReaderError: If the product is a table of features.
        """
        if self.product.is_vector:
            raise ReaderError(f"{self.product.name} is a table of features, not arrays; use .read() for a GeoDataFrame")
        granules = self._find()
        if not self.is_stack:
            return with_accessor(open_dataset(self.datalake, self.product, granules[-1].path, self.parameters))
        return with_accessor(stack_cycles(self._open_cycles(granules)))

    def read(self) -> xarray.Dataset | geopandas.GeoDataFrame:
        """Read into memory: a GeoDataFrame for features, a Dataset for all else; errors as for ``to_dask``."""
        if self.product.is_vector:
            return read_shapes(self.datalake, self._find()[-1].path)
        return self.to_dask().load()

    def _open_cycles(self, granules: list[Granule]) -> dict[int, xarray.Dataset]:
        opened: dict[int, xarray.Dataset] = {}
        damaged: list[str] = []
        for granule in granules:
            try:
                dataset = open_dataset(self.datalake, self.product, granule.path, self.parameters)
            except UnreadableGranuleError as error:
                damaged.append(str(error))
            else:
                opened[granule.values[STACKED]] = dataset
        if not opened:
            raise UnreadableGranuleError(f"no cycle of {self} can be read: {'; '.join(damaged)}")
        asked = self.parameters[STACKED] or []
        missing = [number for number in asked if number not in {g.values[STACKED] for g in granules}]
        if missing:
            cycles = number_ranges(missing)
            damaged.append(f"{self.product.name}: no granule for cycle_number {cycles} with {self._fixed()}")
        for reason in damaged:
            warnings.warn(f"left out: {reason}", GranuleWarning, skip_file_prefixes=(PACKAGE_FOLDER,))
        return opened

    def _find(self) -> list[Granule]:
        found = latest_versions(find_granules(self.datalake, self.product, self.parameters))
        if not found:
            raise MissingGranuleError(self._nothing_found())
        return found

    def _nothing_found(self) -> str:
        existing = find_granules(self.datalake, self.product)
        if not existing:
            return absence(self.datalake, self.product)
        asked = {n: v for n, v in self.parameters.items() if n in self.product.path_parameters and v is not None}
        lists = {n: v if isinstance(v, list) else [v] for n, v in asked.items()}
        hints = []
        for name in asked:
            others = {n: v for n, v in lists.items() if n != name}
            there = {g.values[name] for g in existing if all(g.values[n] in v for n, v in others.items())}
            if there:
                given = ", ".join(f"{n}={asked[n]}" for n in others)
                hints.append(f"{name}{f' with {given}' if given else ''}: {number_ranges(there)}")
        if not hints:
            hints = [f"{name}: {number_ranges(g.values[name] for g in existing)}" for name in asked]
        return f"no granule of {self}; there are {'; '.join(hints)}"

    def _fixed(self) -> str:
        return ", ".join(f"{n}={v}" for n, v in self.parameters.items() if n != STACKED)

    def __repr__(self) -> str:
        texts = {n: repr(str(v) if isinstance(v, datetime.date) else v) for n, v in self.parameters.items()}
        values = ", ".join(f"{name}={text}" for name, text in texts.items())
        return f"{self.product.name}({values})"
