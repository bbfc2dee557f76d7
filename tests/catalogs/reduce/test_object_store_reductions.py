"""Reductions over an S3 bucket: moto's server in a process of its own, files uploaded as they are."""

from typing import Any

import numpy
import pytest
import s3fs

from swotvre_catalogs import MissingGranuleError, open_catalog
from swotvre_catalogs.object_store import ReplacedFileError
from swotvre_catalogs.reduce import reduce

from .test_reductions import HOWS, assert_same, by_xarray


@pytest.fixture(scope="module")
def options(s3_options: dict[str, str]) -> dict[str, str]:
    return dict(s3_options)


@pytest.fixture(scope="module")
def bucket(options: dict[str, Any], full_lake) -> str:
    store = s3fs.S3FileSystem(**options)
    store.mkdir("reductions")
    store.put(f"{full_lake.root}/swot", "reductions/lake/swot", recursive=True)
    return "s3://reductions/lake"


@pytest.fixture(scope="module")
def entry(bucket: str, options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    index = tmp_path_factory.mktemp("index")
    return open_catalog(bucket, storage_options=options, index=index)["l2_lr_ssh_expert"]


def test_bucket_gives_the_numbers_of_xarray(entry, full_lake):
    array = full_lake.by_xarray("ssha_karin_2").where(full_lake.by_xarray("ssha_karin_2_qual") == 0)

    found = reduce(entry, HOWS, "ssha_karin_2", over=[None, "cycle_number", "pass_number"], quality="good")

    for one, over in zip(found, (None, "cycle_number", "pass_number"), strict=True):
        for how in HOWS:
            assert_same(one[how], by_xarray(array, how, over))


def test_series_and_grid_of_a_bucket_are_those_of_the_folder(entry, full_lake):
    here = full_lake.entry()
    box = (9, -46, 22, -42)
    numpy.testing.assert_array_equal(entry.series("ssha_karin_2", box), here.series("ssha_karin_2", box))
    numpy.testing.assert_array_equal(
        entry.grid("ssha_karin_2", 0.5, bbox=box), here.grid("ssha_karin_2", 0.5, bbox=box)
    )


def test_replaced_and_deleted_objects_are_named(entry, options, full_lake):
    commit = entry.mean("ssha_karin_2").attrs["commit"]  # pinned, since a cube of a few files follows them
    path, _ = full_lake.files[3, 1]
    key = f"reductions/lake/{path.relative_to(full_lake.root)}"
    store = s3fs.S3FileSystem(**options)
    content = store.cat(key)
    try:
        store.pipe(key, content[:-1] + b"x")
        with pytest.raises(ReplacedFileError, match=path.name):
            entry.mean("ssha_karin_2", at=commit)
        store.rm(key)
        with pytest.raises(MissingGranuleError, match=path.name):
            entry.mean("ssha_karin_2", over="cycle_number", at=commit)
    finally:
        store.pipe(key, content)
