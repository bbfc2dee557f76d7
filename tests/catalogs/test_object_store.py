"""The same catalog on an S3 bucket: moto's server in a process of its own, files uploaded as they are."""

import io
import itertools
import pickle
import socket
import zipfile
from pathlib import Path
from typing import Any

import icechunk
import numpy
import pytest
import s3fs
import xarray
import zarr

from swotvre_catalogs import MissingDatalakeError, MissingGranuleError, UnreadableDatalakeError, open_catalog
from swotvre_catalogs.datalake import Datalake
from swotvre_catalogs.errors import BuildRunningError
from swotvre_catalogs.export import ExportTargetError, export_dataset, open_zcollection
from swotvre_catalogs.object_store import FileIdentity, RangeRequest, ReplacedFileError, open_reader
from swotvre_catalogs.s3_stores import icechunk_container, icechunk_credentials, icechunk_storage

BUCKETS = itertools.count()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def options(s3_options: dict[str, str]) -> dict[str, Any]:
    return dict(s3_options)


@pytest.fixture
def endpoint(options: dict[str, Any]) -> str:
    return str(options["endpoint_url"])


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


def test_byte_ranges_are_those_of_the_files(bucket, options, lake):
    datalake = Datalake(bucket, options)
    reader = open_reader(datalake)
    files = datalake.glob("swot/l2_lr_ssh/expert/*/*.nc")
    requests = [RangeRequest(file.path, 100, 1000, FileIdentity(file.size_bytes, etag=file.etag)) for file in files]
    read = list(reader.read_many(requests))
    assert len(read) == 5
    assert [bytes(data) for data in read] == [(lake / file.path).read_bytes()[100:1100] for file in files]
    sent = pickle.loads(pickle.dumps(reader))  # noqa: S301
    assert bytes(sent.read(files[0].path, 100, 1000)) == bytes(read[0])
    reader.close()


def test_an_object_replaced_or_removed_after_its_listing_is_refused(bucket, options):
    datalake = Datalake(bucket, options)
    reader = open_reader(datalake)
    file, other, *_ = datalake.glob("swot/l2_lr_ssh/expert/*/*.nc")
    store = s3fs.S3FileSystem(**options)
    store.pipe_file(datalake.url(file.path), bytes(file.size_bytes))
    with pytest.raises(ReplacedFileError, match="was replaced after it was indexed"):
        reader.read(file.path, 0, 10, expect=FileIdentity(file.size_bytes, etag=file.etag))
    store.rm_file(datalake.url(other.path))
    with pytest.raises(MissingGranuleError, match="the store answered 404"):
        reader.read(other.path, 0, 10)
    with pytest.raises(MissingGranuleError, match=r"does not exist \(404\)"):
        datalake.open("swot/never/was.nc")


def test_the_environment_of_aws_gives_endpoint_and_credentials(bucket, endpoint, options, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    datalake = open_catalog(bucket).datalake
    file = datalake.glob("swot/l2_lr_ssh/expert/*/*.nc")[0]
    assert open_reader(datalake).read(file.path, 1, 3) == b"HDF"


def test_a_pickled_datalake_lists_the_same_files(bucket, options):
    datalake = Datalake(bucket, options)
    sent = pickle.loads(pickle.dumps(datalake))  # noqa: S301
    assert sent.glob("swot/*/*/*/*.nc") == datalake.glob("swot/*/*/*/*.nc")


def test_a_repository_on_s3_refers_to_bytes_of_the_lake(bucket, options):
    datalake = Datalake(bucket, options)
    file = datalake.glob("swot/l2_lr_ssh/expert/*/*.nc")[0]
    settings = icechunk.RepositoryConfig.default()
    settings.set_virtual_chunk_container(icechunk_container(bucket, options))
    allowed = icechunk_credentials(bucket, options)
    place = icechunk_storage(f"{bucket}/.swot-vre/cube", options)
    repository = icechunk.Repository.create(place, config=settings, authorize_virtual_chunk_access=allowed)
    session = repository.writable_session("main")
    zarr.create_array(session.store, name="bytes", shape=8, chunks=8, dtype="u1", compressors=None)
    session.store.set_virtual_ref("bytes/c/0", datalake.url(file.path), offset=0, length=8)
    session.commit("the signature of HDF5")
    again = icechunk.Repository.open(icechunk_storage(f"{bucket}/.swot-vre/cube", options), None, allowed)
    stored = zarr.open_array(again.readonly_session("main").store, path="bytes", mode="r")
    assert stored[:].tobytes() == b"\x89HDF\r\n\x1a\n"


def _cube(cycles: int) -> xarray.Dataset:
    shape = (cycles, 2, 30, 5)
    dims = ("cycle_number", "pass_number", "num_lines", "num_pixels")
    height = (dims, numpy.arange(numpy.prod(shape)).reshape(shape) / 8.0)
    return xarray.Dataset(
        {"ssha_karin_2": height}, coords={"cycle_number": numpy.arange(cycles), "pass_number": [14, 42]}
    )


def test_a_copy_is_exported_to_s3_and_grows_there(bucket, options):
    target = f"{bucket}/copy"
    export_dataset(_cube(2), target, storage_options=options)
    report = export_dataset(_cube(3), target, storage_options=options)
    assert (report.written, report.kept) == ([2], [0, 1])
    xarray.testing.assert_equal(xarray.open_zarr(target, storage_options=options).load(), _cube(3))
    with pytest.raises(ExportTargetError, match="holds something else"):
        export_dataset(_cube(2), bucket, storage_options=options)


def test_a_second_export_to_the_same_prefix_is_kept_away(bucket, options):
    def second(done: int, total: int) -> None:
        if done == 1:
            with pytest.raises(BuildRunningError, match="is being built already"):
                export_dataset(_cube(2), f"{bucket}/copy", storage_options=options)

    export_dataset(_cube(2), f"{bucket}/copy", storage_options=options, progress=second)


def test_a_zcollection_is_opened_from_s3(bucket, options):
    packed = Path(__file__).parent / "export/zcollections.zip"
    store = s3fs.S3FileSystem(**options)
    with zipfile.ZipFile(packed) as archive:
        expected = dict(numpy.load(io.BytesIO(archive.read("by_pass.npz"))))
        for name in archive.namelist():
            if name.startswith("by_pass/"):
                store.pipe_file(f"{bucket}/{name}", archive.read(name))
    opened = open_zcollection(f"{bucket}/by_pass", options)
    for name, values in expected.items():
        numpy.testing.assert_array_equal(opened[name].to_numpy(), values)
