"""The granules of the sample, found by product, cycle and pass."""

from collections.abc import Callable
from pathlib import Path

import pytest
import xarray


def find_granule(lake: Path, product: str, cycle: int, number: int) -> Path:
    """Return the one file of a product, cycle and pass."""
    level = "l3" if product == "L3" else "l2"
    folder = lake / f"swot/{level}_lr_ssh/{'expert' if product == 'L3' else product.lower()}/cycle_{cycle:03d}"
    (path,) = folder.glob(f"*_{cycle:03d}_{number:03d}_*.nc")
    return path


@pytest.fixture(scope="session")
def open_granule(sample_datalake: Path) -> Callable[..., xarray.Dataset]:
    """Open one granule of the sample, whole, in memory."""

    def load(product: str, cycle: int, number: int, **options: object) -> xarray.Dataset:
        return xarray.load_dataset(find_granule(sample_datalake, product, cycle, number), engine="netcdf4", **options)

    return load
