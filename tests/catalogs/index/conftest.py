"""Passes that cross the globe, written small; a datalake of them."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy
import pytest

from swotvre_catalogs import Catalog, Entry, open_catalog

Write = Callable[..., Path]


def _write_half_orbit(path: Path, start: float, lines: int = 200, pixels: int = 9) -> None:
    """Write a swath of 120 km from 60 S to 60 N, eastwards by 60 degrees from ``start``, longitudes 0 to 360."""
    along = numpy.linspace(0, 1, lines)[:, None]
    across = numpy.linspace(-0.55, 0.55, pixels)[None, :]
    latitude = -60 + 120 * along - 0.4 * across
    longitude = (start + 60 * along + across / numpy.cos(numpy.deg2rad(latitude))) % 360
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in (("latitude", latitude), ("longitude", longitude)):
            packed = numpy.round(values * 1e6).astype("i4")
            stored = file.create_dataset(name, data=packed, chunks=packed.shape, compression=4, shuffle=True)
            stored.attrs["scale_factor"] = 1e-6
            stored.attrs["_FillValue"] = numpy.int32(2**31 - 1)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a Basic granule of cycle and pass: pass n begins at longitude 10 n."""

    def written(cycle: int, number: int, *, crid: str = "PGC0_01", second: int = 0, start: float | None = None) -> Path:
        begin = f"2024{cycle:02d}{number % 28 + 1:02d}T0000{second:02d}"
        name = f"SWOT_L2_LR_SSH_Basic_{cycle:03d}_{number:03d}_{begin}_{begin[:9]}005000_{crid}.nc"
        path = tmp_path / f"lake/swot/l2_lr_ssh/basic/cycle_{cycle:03d}/{name}"
        _write_half_orbit(path, 10.0 * number if start is None else start)
        return path

    return written


@pytest.fixture
def entry(tmp_path: Path, write: Write) -> Entry:
    """Three cycles of four passes, by themselves in a datalake."""
    for cycle in (1, 2, 3):
        for number in (1, 2, 13, 14):
            write(cycle, number)
    return _open_entry(tmp_path)


@pytest.fixture
def reopen(tmp_path: Path) -> Callable[[], Entry]:
    """Open the Basic product of the datalake anew, as another session does."""
    return lambda: _open_entry(tmp_path)


@pytest.fixture
def rewrite() -> Callable[[Path, bytes], None]:
    """Replace a file's content, a second later."""

    def replaced(path: Path, data: bytes) -> None:
        modified_ns = path.stat().st_mtime_ns + 1_000_000_000
        path.write_bytes(data)
        os.utime(path, ns=(modified_ns, modified_ns))

    return replaced


def _open_entry(tmp_path: Path) -> Entry:
    catalog: Catalog = open_catalog(tmp_path / "lake")
    return catalog["l2_lr_ssh_basic"]
