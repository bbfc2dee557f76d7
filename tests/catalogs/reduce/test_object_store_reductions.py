"""Reductions over an S3 bucket: moto's server in a process of its own, files uploaded as they are."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import s3fs

from swotvre_catalogs import MissingGranuleError, open_catalog
from swotvre_catalogs.object_store import ReplacedFileError
from swotvre_catalogs.reduce import reduce

from .test_reductions import HOWS, assert_same, by_xarray

SERVER = os.environ.get("SWOTVRE_MOTO_SERVER")

pytestmark = [
    pytest.mark.skipif(SERVER is None, reason="SWOTVRE_MOTO_SERVER does not name a moto_server program"),
]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = int(listening.getsockname()[1])
    # The server is of another environment than the tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS"))}
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        # No configuration of the account that runs the tests.
        patch.setenv("AWS_CONFIG_FILE", log.name + "-none")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = subprocess.Popen(
            [str(SERVER), "-H", "127.0.0.1", "-p", str(port)], env=environment, stdout=log, stderr=log
        )
        try:
            for _ in range(300):
                assert server.poll() is None, Path(log.name).read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.2)
            yield {"endpoint_url": f"http://127.0.0.1:{port}", "key": "reader", "secret": "not-a-secret"}
        finally:
            server.terminate()
            server.wait(20)


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
    entry.mean("ssha_karin_2")  # the cube is built
    path, _ = full_lake.files[3, 1]
    key = f"reductions/lake/{path.relative_to(full_lake.root)}"
    store = s3fs.S3FileSystem(**options)
    content = store.cat(key)
    try:
        store.pipe(key, content[:-1] + b"x")
        with pytest.raises(ReplacedFileError, match=path.name):
            entry.mean("ssha_karin_2")
        store.rm(key)
        with pytest.raises(MissingGranuleError, match=path.name):
            entry.mean("ssha_karin_2", over="cycle_number")
    finally:
        store.pipe(key, content)
