"""Lake and cube on S3: built, brought up to date, read by the cube's own arrays and by stock Zarr."""

import pytest
import s3fs
import xarray

from swotvre_catalogs import open_catalog
from swotvre_catalogs.byte_ranges import ReplacedFileError
from swotvre_catalogs.cube import build_cube, open_cube, select_swath
from swotvre_catalogs.cube.opening import open_version
from swotvre_catalogs.errors import MissingGranuleError


@pytest.fixture
def options(s3_options: dict[str, str]) -> dict[str, str]:
    return dict(s3_options)


def test_a_cube_lives_on_s3(root, write, options, equal_to_files, tmp_path):
    store = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    store.mkdir("lake")
    store.put(f"{root}/", "lake/swot-data/", recursive=True)

    def upload(path):
        store.put(str(path), f"lake/swot-data/{path.relative_to(root)}")

    def entry():
        return open_catalog("s3://lake/swot-data", storage_options=options)["l2_lr_ssh_basic"]

    report = build_cube(entry())
    assert report.files == 5
    assert store.exists("lake/swot-data/.swot-vre/cube/l2_lr_ssh_basic/repo")
    assert equal_to_files(open_cube(entry())) == 5
    stock = xarray.open_zarr(open_version(entry()).store, consolidated=False, chunks=None, decode_timedelta=False)
    assert equal_to_files(stock) == 5
    assert select_swath(entry(), (179.2, -44.6, -179.9, -44.0))["ssha_karin_2"].notnull().any()

    before = open_cube(entry())
    upload(write(2, 3, no_data=True))
    upload(write(4, 3))
    with pytest.raises(ReplacedFileError, match="_002_003_"):
        before["ssha_karin_2"].mean().compute()
    second = build_cube(entry())
    assert (second.added, second.removed, second.files) == (2, 1, 6)
    assert equal_to_files(open_cube(entry())) == 6
    assert open_cube(entry(), at=report.commit).sizes["cycle_number"] == 3


def test_a_prefix_may_hold_what_a_url_encodes(root, options, equal_to_files, tmp_path):
    store = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    store.mkdir("odd-names")
    store.put(f"{root}/", "odd-names/my lake/50% caf\u00e9/", recursive=True)
    # The cube elsewhere: Icechunk itself cannot copy its own objects below such a prefix.
    catalog = open_catalog("s3://odd-names/my lake/50% caf\u00e9", options, index=tmp_path / "index")
    entry = catalog["l2_lr_ssh_basic"]
    entry.build_index()
    assert equal_to_files(entry.cube()) == 5
    stock = xarray.open_zarr(open_version(entry).store, consolidated=False, chunks=None, decode_timedelta=False)
    assert equal_to_files(stock) == 5
    assert entry.count("ssha_karin_2") == entry.cube()["ssha_karin_2"].count()


def test_a_replaced_object_is_named_also_where_a_variable_is_read_through_the_store(root, write, options):
    write(3, 3, dtype=">i4")
    store = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    store.mkdir("other-lake")
    store.put(f"{root}/", "other-lake/swot-data/", recursive=True)
    entry = open_catalog("s3://other-lake/swot-data", storage_options=options)["l2_lr_ssh_basic"]
    build_cube(entry)
    cube = open_cube(entry)["ssha_karin_2"]
    assert cube.notnull().any()
    path = write(2, 3, no_data=True)
    store.put(str(path), f"other-lake/swot-data/{path.relative_to(root)}")
    with pytest.raises(ReplacedFileError, match=f"{path.name} was replaced after it was indexed"):
        cube.mean().compute()
    store.rm(f"other-lake/swot-data/{path.relative_to(root)}")
    with pytest.raises(MissingGranuleError, match=f"{path.name} is not there any more"):
        cube.mean().compute()
