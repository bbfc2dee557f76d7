"""Small lakes whose files are written chunk by chunk, and the same numbers by xarray alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest
import xarray

from swotvre_catalogs import open_catalog
from swotvre_catalogs.catalog import Entry

LINES, PIXELS = 96, 69
DIMS = ("cycle_number", "pass_number", "num_lines", "num_pixels")
FILL = 2**31 - 1


@dataclass(frozen=True)
class Stored:
    """How one variable is written; ``values`` are the packed numbers of all lines of the pass."""

    values: Any
    scale: float | None = 1e-4
    offset: float | None = None
    fill: float | None = FILL
    options: Mapping[str, Any] = field(
        default_factory=lambda: {"chunks": True, "compression": "gzip", "compression_opts": 4, "shuffle": True}
    )
    attributes: Mapping[str, Any] = field(default_factory=dict)


class SmallLake:
    """Files of L2_LR_SSH Expert in a folder, as netCDF-C writes them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        #: Path and lines of each file.
        self.files: dict[tuple[int, int], tuple[Path, slice]] = {}

    def write(
        self,
        cycle: int,
        number: int,
        variables: Mapping[str, Stored],
        *,
        lines: slice = slice(None),
        positions: Callable[[int], tuple[Any, Any]] | None = None,
        month: int | None = None,
    ) -> Path:
        """Write one granule; ``lines`` cuts the pass."""
        day = f"2024{month or (cycle - 1) % 12 + 1:02d}{number % 28 + 1:02d}"
        name = f"SWOT_L2_LR_SSH_Expert_{cycle:03d}_{number:03d}_{day}T000000_{day}T005000_PGC0_01.nc"
        path = self.root / f"swot/l2_lr_ssh/expert/cycle_{cycle:03d}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        latitude, longitude = (positions or pass_positions)(number)
        packed = {
            "latitude": Stored(numpy.round(latitude * 1e6).astype("i4"), 1e-6),
            "longitude": Stored(numpy.round(longitude * 1e6).astype("i4"), 1e-6),
            **variables,
        }
        with h5py.File(path, "w") as file:
            scales = {}
            for dim, size in (("num_lines", len(range(LINES)[lines])), ("num_pixels", PIXELS), ("num_sides", 2)):
                scales[dim] = file.create_dataset(dim, (size,), dtype=">f4")
                scales[dim].make_scale(f"This is a netCDF dimension but not a netCDF variable. {size:10d}")
            for variable, stored in packed.items():
                _write_variable(file, variable, stored, lines, scales)
        self.files[cycle, number] = (path, lines)
        return path

    def entry(self) -> Entry:
        """Return the product, its cube built beside the lake when first used."""
        return open_catalog(self.root, index=self.root.parent / "index")["l2_lr_ssh_expert"]

    def by_xarray(self, variable: str) -> xarray.DataArray:
        """Return the variable of all files as xarray decodes them one by one, put together along new dimensions."""
        cycles, passes = (sorted({key[axis] for key in self.files}) for axis in (0, 1))
        stacked: Any = None
        for (cycle, number), (path, lines) in self.files.items():
            with xarray.open_dataset(path, engine="h5netcdf", decode_timedelta=False) as file:
                if variable not in file:
                    continue
                values = file[variable].to_numpy().astype("float64")
            if stacked is None:
                shape = (len(cycles), len(passes), LINES, *values.shape[1:])
                stacked = numpy.full(shape, numpy.nan)
            stacked[cycles.index(cycle), passes.index(number), lines] = values
        dims = DIMS[: stacked.ndim]
        return xarray.DataArray(stacked, dims=dims, coords={"cycle_number": cycles, "pass_number": passes})


def _write_variable(file: Any, name: str, stored: Stored, lines: slice, scales: Mapping[str, Any]) -> None:
    values = numpy.asarray(stored.values)[lines]
    options = dict(stored.options)
    if options.get("chunks") is True:
        options["chunks"] = values.shape
    fill = None if stored.fill is None else values.dtype.type(stored.fill)
    dataset = file.create_dataset(name, data=values, fillvalue=fill, **options)
    if fill is not None:
        dataset.attrs["_FillValue"] = numpy.array([fill])
    for key, value in (("scale_factor", stored.scale), ("add_offset", stored.offset)):
        if value is not None:
            dataset.attrs[key] = value
    for key, value in {"units": "m", **stored.attributes}.items():
        dataset.attrs[key] = value
    for axis, size in enumerate(values.shape):
        dim = "num_lines" if axis == 0 else "num_pixels" if size == PIXELS else "num_sides"
        dataset.dims[axis].attach_scale(scales[dim])


def pass_positions(number: int) -> tuple[Any, Any]:
    """Return latitude and longitude (0 to 360 degrees) of a pass; passes lie ten degrees apart."""
    along, across = numpy.meshgrid(numpy.arange(LINES), numpy.arange(PIXELS) - PIXELS // 2, indexing="ij")
    return -45 + along * 0.02 - across * 0.003, (10.0 * number + along * 0.006 + across * 0.02) % 360


def heights(seed: int, *, missing: float = 0.2) -> Any:
    """Return packed heights around 0 with some fill values, int32."""
    rng = numpy.random.default_rng(seed)
    packed = rng.integers(-30_000, 30_000, (LINES, PIXELS)).astype("i4")
    packed[rng.random(packed.shape) < missing] = FILL
    return packed


@pytest.fixture
def small_lake(tmp_path: Path) -> SmallLake:
    """An empty lake."""
    return SmallLake(tmp_path / "lake")


@pytest.fixture(scope="session")
def full_lake(tmp_path_factory: pytest.TempPathFactory) -> SmallLake:
    """Four cycles of three passes: a hole, a short pass, one without data, two changes in mid-series; for reading."""
    small_lake = SmallLake(tmp_path_factory.mktemp("full") / "lake")
    for cycle in (1, 2, 3, 4):
        for number in (1, 2, 18):
            if (cycle, number) == (2, 2):
                continue
            packed = heights(10 * cycle + number)
            if (cycle, number) == (3, 18):
                packed[:] = FILL
            stored = Stored(packed)
            if cycle == 3:
                stored = Stored(packed, scale=2e-4, offset=0.5)
            if cycle == 4:
                narrow = {"chunks": (40, 32), "compression": "gzip", "compression_opts": 1, "shuffle": False}
                stored = Stored(numpy.where(packed == FILL, -1, packed + 30_000), fill=-1, options=narrow)
            flags = numpy.random.default_rng(cycle).choice(
                numpy.array([0, 0, 0, 32, 2**31, 2**32 - 1], "u4"), packed.shape
            )
            small_lake.write(
                cycle,
                number,
                {
                    "ssha_karin_2": stored,
                    "ssha_karin_2_qual": Stored(
                        flags,
                        None,
                        fill=2**32 - 1,
                        attributes={
                            "flag_meanings": "suspect degraded bad_not_usable",
                            "flag_masks": numpy.array([1, 32, 2**31], "u4"),
                        },
                    ),
                },
                lines=slice(20, 80) if (cycle, number) == (2, 1) else slice(None),
            )
    return small_lake
