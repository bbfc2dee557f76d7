"""The same catalog on an S3 bucket: moto's server in a process of its own, files uploaded as they are."""

import contextlib
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from swotvre_catalogs import MissingDatalakeError, MissingGranuleError, UnreadableDatalakeError, open_catalog

SERVER = os.environ.get("SWOTVRE_MOTO_SERVER")
BUCKETS = itertools.count()

pytestmark = [
    pytest.mark.skipif(SERVER is None, reason="SWOTVRE_MOTO_SERVER does not name a moto_server program"),
]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    address = f"http://127.0.0.1:{(port := _free_port())}"
    # The server is of another environment than the tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS"))}
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(SERVER), "-H", "127.0.0.1", "-p", str(port)], env=environment, stdout=log, stderr=log
        )
        try:
            for _ in range(300):
                assert server.poll() is None, Path(log.name).read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture
def options(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    # No configuration of the account that runs the tests.
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return {"endpoint_url": endpoint, "key": "reader", "secret": "not-a-secret"}


@pytest.fixture
def bucket(options: dict[str, Any], lake: Path) -> str:
    name = f"lake-{next(BUCKETS)}"
    store = s3fs.S3FileSystem(**options)
    store.mkdir(name)
    store.put(f"{lake}/", f"{name}/swot-data/", recursive=True)
    return f"s3://{name}/swot-data"


def test_cycle_and_pass_choose_the_object(bucket, options):
    entry = open_catalog(bucket, storage_options=options)["l2_lr_ssh_expert"]
    opened = entry(cycle_number=3, pass_number=42).to_dask()
    assert (opened.attrs["cycle_number"], opened.attrs["pass_number"]) == (3, 42)
    assert float(opened["ssh_karin_2"][0, 0].compute()) == pytest.approx(3.042, abs=1e-5)


def test_cycles_are_stacked_from_a_bucket(bucket, options):
    entry = open_catalog(bucket, storage_options=options)["l2_lr_ssh_expert"]
    stacked = entry(cycle_number=None, pass_number=14).read()
    assert stacked["ssh_karin_2"][:, 0, 0].to_numpy() == pytest.approx([1.014, 2.014, 3.014], abs=1e-5)


def test_the_environment_gives_address_and_options(bucket, options, monkeypatch):
    monkeypatch.setenv("SWOTVRE_DATALAKE", bucket)
    monkeypatch.setenv("SWOTVRE_DATALAKE_OPTIONS", str(options).replace("'", '"'))
    catalog = open_catalog()
    assert catalog.products().loc["l2_lr_ssh_expert", "granules"] == 5
    assert "not-a-secret" not in repr(catalog) + catalog._repr_html_()


def test_paths_are_below_the_prefix(bucket, options, lake):
    table = open_catalog(bucket, storage_options=options)["l2_lr_ssh_expert"].granules()
    assert all((lake / row.path).stat().st_size == row.size_bytes for row in table.itertuples())


def test_a_missing_object_is_refused_with_what_exists(bucket, options):
    entry = open_catalog(bucket, storage_options=options)["l2_lr_ssh_expert"]
    with pytest.raises(MissingGranuleError, match="cycle_number with pass_number=42: 1, 3"):
        entry(cycle_number=2, pass_number=42).to_dask()


def test_a_new_object_is_seen_at_once(bucket, options, add_pass, lake):
    entry = open_catalog(bucket, storage_options=options)["l2_lr_ssh_expert"]
    assert len(entry.granules()) == 5
    file = add_pass(7, 14)
    s3fs.S3FileSystem(**options, skip_instance_cache=True).put(str(file), f"{bucket}/{file.relative_to(lake)}")
    assert len(entry.granules()) == 6


def test_a_missing_bucket_is_refused(options):
    with pytest.raises(MissingDatalakeError, match="does not exist"):
        open_catalog("s3://no-such-bucket/prefix", storage_options=options)


def test_a_store_that_does_not_answer_is_refused(options):
    silent = {
        **options,
        "endpoint_url": f"http://127.0.0.1:{_free_port()}",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    with pytest.raises(UnreadableDatalakeError, match="does not answer"):
        open_catalog("s3://lake", storage_options=silent)
