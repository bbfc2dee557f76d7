"""Reductions on a real Dask cluster of two processes."""

from collections.abc import Iterator
from typing import Any

import pytest
import xarray
from distributed import Client, LocalCluster

from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.errors import GranuleWarning
from swotvre_catalogs.reduce import ReductionError, reduce

from .conftest import SmallLake, Stored, heights
from .test_faults import corrupt
from .test_reductions import HOWS


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize(
    "over", [None, "cycle_number", "pass_number", ("pass_number", "num_lines", "num_pixels")], ids=str
)
def test_cluster_gives_the_numbers_of_one_machine(full_lake, client, over):
    entry = full_lake.entry()
    options: dict[str, Any] = {"over": [over, None], "quality": "good", "bbox": (5, -50, 25, -43.2)}
    alone = reduce(entry, HOWS, "ssha_karin_2", **options)

    found = reduce(entry, HOWS, "ssha_karin_2", client=client, **options)

    for one, other in zip(alone, found, strict=True):
        xarray.testing.assert_allclose(one, other, rtol=1e-14)


def test_series_and_grid_run_on_the_active_cluster(full_lake, client):
    entry = full_lake.entry()
    box = (9, -46, 22, -42)
    for call in (
        lambda **where: entry.series("ssha_karin_2", box, **where),
        lambda **where: entry.grid("ssha_karin_2", 0.5, bbox=box, **where),
    ):
        xarray.testing.assert_allclose(call(client="auto"), call(), rtol=1e-14)


def test_corrupt_chunk_on_a_worker_is_the_same_error(small_lake: SmallLake, client):
    for cycle in (1, 2, 3):
        for number in (1, 2):
            small_lake.write(cycle, number, {"ssha_karin_2": Stored(heights(cycle))})
    entry = small_lake.entry()
    entry.build_cube()
    path, _ = small_lake.files[2, 1]
    corrupt(path, "ssha_karin_2")

    with pytest.raises(DamagedFileError, match=path.name):
        entry.mean("ssha_karin_2", client=client)
    with pytest.warns(GranuleWarning, match=path.name):
        found = entry.mean("ssha_karin_2", client=client, skip_damaged=True)
    assert found.attrs["files"] == 5


def test_what_is_no_client_is_refused(full_lake):
    with pytest.raises(ReductionError, match=r"distributed\.Client"):
        full_lake.entry().mean("ssha_karin_2", client="here")
