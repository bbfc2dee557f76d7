"""The granule index of a datalake on S3: moto's server in a process of its own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import s3fs

from swotvre_catalogs import BuildRunningError, Entry, open_catalog
from swotvre_catalogs.index import Place, build_index


@pytest.fixture
def options(s3_options: dict[str, str]) -> dict[str, str]:
    return dict(s3_options)


def test_bucket_is_indexed_by_ranges_kept_up_to_date_and_locked(
    entry: Entry, options: dict[str, str], tmp_path: Path, write: Callable[..., Path]
) -> None:
    store = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    store.mkdir("granules")
    store.put(str(tmp_path / "lake/swot"), "granules/lake/swot", recursive=True)

    remote = open_catalog("s3://granules/lake", storage_options=options, index="s3://granules/place")["l2_lr_ssh_basic"]
    report = build_index(remote)
    assert (report.files, report.read, report.damaged) == (12, 12, ())
    assert build_index(remote).read == 0
    assert len(remote.index().select(bbox=(38, -1, 42, 1))) == 3
    assert all(remote.index().table["etag"])

    replaced = remote.index().table["path"][0]
    store.pipe(f"granules/lake/{replaced}", b"nothing like it")
    report = build_index(remote)
    assert report.read == 1
    assert [(path, status) for path, status, _ in report.damaged] == [(replaced, "corrupt")]

    place = Place("s3://granules/place", options)
    with place.lock("index-l2_lr_ssh_basic"), pytest.raises(BuildRunningError, match=f"pid {os.getpid()}"):
        build_index(remote)
    assert build_index(remote).files == 12
    assert not store.exists("granules/place/locks/index-l2_lr_ssh_basic.lock")
    store.rm("granules", recursive=True)
