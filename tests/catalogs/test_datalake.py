"""The datalake's address: from arguments or the environment, missing, unreadable, read-only."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swotvre_catalogs import DatalakeError, MissingDatalakeError, UnreadableDatalakeError, open_catalog


@pytest.fixture(autouse=True)
def no_address_in_the_environment(monkeypatch):
    monkeypatch.delenv("SWOTVRE_DATALAKE", raising=False)
    monkeypatch.delenv("SWOTVRE_DATALAKE_OPTIONS", raising=False)


def test_the_environment_gives_the_address(lake, monkeypatch):
    monkeypatch.setenv("SWOTVRE_DATALAKE", str(lake))
    assert len(open_catalog()["l2_lr_ssh_expert"].granules()) == 5


def test_an_argument_goes_before_the_environment(lake, monkeypatch):
    monkeypatch.setenv("SWOTVRE_DATALAKE", "/nowhere")
    monkeypatch.setenv("SWOTVRE_DATALAKE_OPTIONS", "broken")
    assert len(open_catalog(lake)["l2_lr_ssh_expert"].granules()) == 5


def test_no_address_is_refused_with_what_to_set():
    with pytest.raises(MissingDatalakeError, match="SWOTVRE_DATALAKE is not set"):
        open_catalog()


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(MissingDatalakeError, match=r"no datalake at .*gone.*does not exist"):
        open_catalog(tmp_path / "gone")


def test_a_file_is_not_a_datalake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingDatalakeError, match="is a file; expected a folder"):
        open_catalog(tmp_path / "file")


def test_an_unknown_protocol_is_refused():
    with pytest.raises(DatalakeError, match="expected a folder or an address such as s3://"):
        open_catalog("lake://swot")


@pytest.mark.parametrize(("options", "said"), [("{", "is not JSON"), ("[1]", "is a JSON list; expected an object")])
def test_options_that_are_no_object_are_refused(lake, monkeypatch, options, said):
    monkeypatch.setenv("SWOTVRE_DATALAKE", str(lake))
    monkeypatch.setenv("SWOTVRE_DATALAKE_OPTIONS", options)
    with pytest.raises(DatalakeError, match=said):
        open_catalog()


def test_a_read_only_datalake_is_only_read(lake):
    folders = [lake, *(path for path in lake.rglob("*") if path.is_dir())]
    before = sorted(lake.rglob("*"))
    for folder in folders:
        folder.chmod(0o555)
    try:
        catalog = open_catalog(lake)
        assert catalog.products().loc["l2_lr_ssh_expert", "granules"] == 5
        catalog["l2_lr_ssh_expert"](cycle_number=None, pass_number=14).read()
        assert sorted(lake.rglob("*")) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.fixture
def lake_of_another(lake) -> Iterator[Path]:
    """A datalake outside pytest's private folder, used by an ordinary user even when root runs the tests."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(lake, f"{folder}/datalake")
        root = os.geteuid() == 0
        if root:
            os.chown(f"{folder}/datalake", 65534, 65534)
            for path in Path(folder, "datalake").rglob("*"):
                os.chown(path, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(folder, "datalake")
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize("part", [".", "swot/l2_lr_ssh/expert"])
def test_an_unreadable_folder_is_refused_and_not_taken_for_an_empty_one(lake_of_another, part):
    (lake_of_another / part).chmod(0)
    try:
        with pytest.raises(UnreadableDatalakeError, match="may not be read"):
            open_catalog(lake_of_another)["l2_lr_ssh_expert"].to_dask()
    finally:
        (lake_of_another / part).chmod(0o755)


def test_the_storage_options_are_never_shown(lake):
    catalog = open_catalog(f"file://{lake}", storage_options={"auto_mkdir": False})
    assert "auto_mkdir" not in repr(catalog) + repr(catalog.datalake) + catalog._repr_html_()
