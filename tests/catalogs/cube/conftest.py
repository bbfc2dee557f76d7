"""Lakes of small swath files that are stored like real ones, or otherwise where a test wants it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import netCDF4
import numpy
import pytest
import xarray

from swotvre_catalogs import Catalog, open_catalog
from swotvre_catalogs.s3_stores import container_prefix

LINES, PIXELS = 96, 23
FILL = 2**31 - 1


def positions(number: int, lines: int = LINES) -> tuple[Any, Any]:
    """Latitude and longitude of a pass, 2 km apart; pass 7 crosses the antimeridian."""
    along, across = numpy.meshgrid(numpy.arange(lines), numpy.arange(PIXELS) - PIXELS // 2, indexing="ij")
    west = 179.0 if number == 7 else 16.0 + number
    return -45 + along * 0.018 - across * 0.003, (west + along * 0.006 + across * 0.025) % 360


def heights(cycle: int, number: int) -> Any:
    """Packed heights, 0.1 mm, of which some are missing; a cycle of no data has none."""
    values = numpy.random.default_rng(1000 * cycle + number).integers(-20000, 20000, (LINES, PIXELS), dtype="int32")
    values[:, PIXELS // 2] = FILL
    values[5:9] = FILL
    return values


def write_swath(
    root: Path,
    cycle: int,
    number: int,
    *,
    lines: Any = slice(None),
    scale: float = 1e-4,
    fill: int = FILL,
    dtype: str = "i4",
    chunk_lines: int | None = None,
    shift_degrees: float = 0.0,
    signed: bool = False,
    units: str = "m",
    epoch: str = "2000-01-01 00:00:00.0",
    no_data: bool = False,
    fletcher32: bool = False,
    contiguous: bool = False,
    crid: str = "PGC0_01",
) -> Path:
    """Write one granule of L2_LR_SSH Basic."""
    name = f"SWOT_L2_LR_SSH_Basic_{cycle:03d}_{number:03d}_2024{cycle:02d}01T000000_2024{cycle:02d}01T000100_{crid}.nc"
    path = root / f"swot/l2_lr_ssh/basic/cycle_{cycle:03d}/{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    latitude, longitude = positions(number)
    if signed:
        longitude = (longitude + 180) % 360 - 180
    packed = heights(cycle, number)
    absent = (packed == FILL) | no_data
    height = numpy.where(absent, fill, numpy.round(packed * (1e-4 / scale))).astype(dtype)
    quality = numpy.where(no_data, 102, cycle % 3).astype("u1") * numpy.ones((LINES, PIXELS), "u1")
    time = cycle * 1.8e6 + number * 3000 + numpy.arange(LINES) * 0.3
    with netCDF4.Dataset(path, "w") as file:
        count = len(numpy.arange(LINES)[lines])
        file.createDimension("num_lines", count)
        file.createDimension("num_pixels", PIXELS)
        file.title = "a small swath"
        storage = {"contiguous": True} if contiguous else {"zlib": True, "complevel": 4, "shuffle": True}
        storage |= {"fletcher32": True} if fletcher32 else {}

        # All variables are defined before the first is written, as `nc_enddef` has it.
        defined: list[tuple[Any, Any]] = []

        def put(variable: str, kind: str, values: Any, own_fill: Any, **attributes: Any) -> None:
            dimensions = ("num_lines", "num_pixels")[: values.ndim]
            shape = values[lines].shape
            chunks = None if contiguous else (min(chunk_lines or count, count), *shape[1:])
            order = {"endian": "big"} if kind.startswith(">") else {}
            made = file.createVariable(
                variable, kind, dimensions, fill_value=own_fill, chunksizes=chunks, **storage, **order
            )
            made.set_auto_maskandscale(False)
            made.setncatts(attributes)
            defined.append((made, values[lines]))

        put("time", "f8", time, 9.969209968386869e36, units=f"seconds since {epoch}", calendar="gregorian")
        for one, values, unit in (
            ("latitude", latitude + shift_degrees, "degrees_north"),
            ("longitude", longitude, "degrees_east"),
        ):
            put(one, "i4", numpy.round(values * 1e6).astype("i4"), FILL, scale_factor=1e-6, units=unit)
        coordinates = "longitude latitude"
        put("ssha_karin_2", dtype, height, fill, scale_factor=scale, units=units, coordinates=coordinates)
        put(
            "ssha_karin_2_qual", "u1", quality, 255, flag_meanings="good suspect bad", coordinates=coordinates,
            flag_values=numpy.array([0, 1, 2], "u1"),
        )  # fmt: skip
        put("sig0_karin_2", "f4", (packed / 7).astype("f4"), 9.96921e36, units="1", coordinates=coordinates)
        for made, values in defined:
            made[:] = values
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three cycles of passes 3 and 7, without cycle 2 of pass 7."""
    folder = tmp_path / "lake"
    for cycle in (1, 2, 3):
        for number in (3, 7):
            if (cycle, number) != (2, 7):
                write_swath(folder, cycle, number)
    return folder


@pytest.fixture
def write(root: Path) -> Callable[..., Path]:
    """Write one more granule, or another one in its place."""
    return lambda cycle, number, **how: write_swath(root, cycle, number, **how)


@pytest.fixture
def entry(root: Path) -> Any:
    """The product, its cube not built yet."""
    return open_basic(root)


def open_basic(root: Path) -> Any:
    """Open the product anew, as another session would."""
    catalog: Catalog = open_catalog(root)
    return catalog["l2_lr_ssh_basic"]


@pytest.fixture
def reopen(root: Path) -> Callable[[], Any]:
    """Open the product anew, as another session would."""
    return lambda: open_basic(root)


def open_stock(entry: Any) -> xarray.Dataset:
    """Open the newest commit as anybody can: stock Icechunk, Zarr and xarray."""
    prefix = container_prefix(entry.datalake.address)
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(entry.place.cube_address(entry.name)),
        authorize_virtual_chunk_access=icechunk.containers_credentials(
            {prefix: icechunk.Credentials.LocalFileSystemAccess()}
        ),
    )
    store = repository.readonly_session("main").store
    return xarray.open_zarr(store, consolidated=False, chunks=None, decode_timedelta=False)


@pytest.fixture
def stock() -> Callable[[Any], xarray.Dataset]:
    """Open the newest commit as anybody can."""
    return open_stock


def compare(cube: xarray.Dataset, root: Path, *, tolerance: float = 0.0, passed_over: tuple[str, ...] = ()) -> int:
    """Compare a cube with every file of the lake, read by xarray alone; return the number of files."""
    middle = {number: positions(number)[0][:, PIXELS // 2] for number in (3, 7)}
    present = set()
    files = [path for path in sorted(root.glob("swot/**/*.nc")) if path.name not in passed_over]
    for path in files:
        cycle, number = path.name.split("_")[5:7]
        with xarray.open_dataset(path, engine="h5netcdf", decode_timedelta=False) as file:
            wanted = file.load()
        column = wanted["latitude"].to_numpy()[:, PIXELS // 2]
        lines = numpy.abs(middle[int(number)][None, :] - column[:, None]).argmin(axis=1)
        one = cube.sel(cycle_number=int(cycle), pass_number=int(number))
        present.add((int(cycle), int(number)))
        for name, variable in wanted.variables.items():
            values, expected = one[name].to_numpy(), variable.to_numpy()
            assert values.dtype.kind == expected.dtype.kind, (path.name, name)
            if expected.dtype.kind == "M":
                assert (values[lines] == expected).all(), (path.name, name)
            else:
                numpy.testing.assert_array_equal(numpy.isnan(values[lines]), numpy.isnan(expected), err_msg=str(name))
                apart = numpy.nanmax(numpy.abs(values[lines] - expected), initial=0)
                assert apart <= tolerance or name in ("latitude", "longitude"), (path.name, name, apart)
            rest = numpy.delete(values, lines, axis=0)
            assert name in ("latitude", "longitude") or numpy.isnat(rest).all() if rest.dtype.kind == "M" else True
            assert rest.dtype.kind != "f" or name in ("latitude", "longitude") or numpy.isnan(rest).all()
    for cycle in cube["cycle_number"].to_numpy():
        for number in cube["pass_number"].to_numpy():
            if (cycle, number) not in present:
                hole = cube["ssha_karin_2"].sel(cycle_number=cycle, pass_number=number)
                assert hole.isnull().all()
    return len(files)


@pytest.fixture
def equal_to_files(root: Path) -> Callable[..., int]:
    """Compare a cube with every file of the lake."""
    return lambda cube, **options: compare(cube, root, **options)
