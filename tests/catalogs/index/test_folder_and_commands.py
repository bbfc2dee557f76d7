"""A user's own folder as a catalog; the command line of indexes; the table of products."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swotvre_catalogs import Entry, MissingDatalakeError, open_catalog, open_folder
from swotvre_catalogs.commands import main

Write = Callable[..., Path]


def _flat_copy(lake: Path, folder: Path) -> None:
    folder.mkdir()
    for path in lake.rglob("*.nc"):
        shutil.copy2(path, folder)


def test_flat_folder_is_a_catalog_of_what_its_names_tell(entry: Entry, tmp_path: Path) -> None:
    _flat_copy(tmp_path / "lake", tmp_path / "mine")
    (tmp_path / "mine/notes.txt").write_text("not a granule")
    catalog = open_folder(tmp_path / "mine")
    assert list(catalog) == ["l2_lr_ssh_basic"]
    index = catalog["l2_lr_ssh_basic"].index()
    assert len(index) == 12
    assert len(index.select(bbox=(38, -1, 42, 1))) == 3
    assert all("/" not in path for path in index.table["path"])
    opened = catalog["l2_lr_ssh_basic"](cycle_number=2, pass_number=13).to_dask()
    assert opened["latitude"].shape == (200, 9)


def test_nested_folder_links_and_hidden_folders(entry: Entry, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(tmp_path / "lake", mine / "deep/er")
    (mine / "again").symlink_to(mine)
    (mine / ".trash").mkdir()
    shutil.copy2(next(Path(tmp_path, "lake").rglob("*_001_001_*")), mine / ".trash")
    catalog = open_folder(mine)
    assert len(catalog["l2_lr_ssh_basic"].index()) == 12
    assert catalog["l2_lr_ssh_basic"].index().damaged.empty


def test_product_told_by_its_folder_is_not_taken_for_another_of_the_same_names(
    sample_datalake: Path, tmp_path: Path
) -> None:
    maps = next(sample_datalake.glob("duacs/*.nc"))
    (tmp_path / "mine/miost").mkdir(parents=True)
    shutil.copy2(maps, tmp_path / "mine/miost")
    assert list(open_folder(tmp_path / "mine")) == ["l4_karin"]
    shutil.move(tmp_path / "mine/miost" / maps.name, tmp_path / "mine")
    assert list(open_folder(tmp_path / "mine")) == ["duacs_l4"]


def test_empty_address_is_not_the_folder_where_one_is() -> None:
    for opened in (open_folder, open_catalog):
        with pytest.raises(MissingDatalakeError, match="is empty; expected a folder"):
            opened("")


def test_folder_of_nothing_known_says_what_names_are_expected(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"")
    with pytest.raises(MissingDatalakeError, match=r"no file of a known product \(1 files\).*SWOT_L2_LR_SSH_Basic_001"):
        open_folder(tmp_path)


def test_same_file_in_two_folders_counts_once(entry: Entry, tmp_path: Path) -> None:
    one = next(Path(tmp_path, "lake").rglob("*_001_001_*"))
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        shutil.copy2(one, tmp_path / "mine" / name)
    index = open_folder(tmp_path / "mine")["l2_lr_ssh_basic"]
    with pytest.warns(UserWarning, match="same granule and version as b/SWOT"):
        assert len(index.index()) == 1


def _run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(arguments, out), out.getvalue()


def test_command_builds_updates_and_names_damage(
    entry: Entry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = str(tmp_path / "lake")
    code, said = _run("index", "l2_lr_ssh_basic", "--datalake", lake, "--jobs", "1")
    assert (code, said.splitlines()[0].split(";")[1]) == (0, " 12 read, 0 as they were, 0 gone")
    broken = next(Path(lake).rglob("*_002_001_*"))
    broken.write_bytes(broken.read_bytes()[:1000])
    code, said = _run("index", "--all", "--datalake", lake, "--jobs", "1")
    assert code == 1
    assert "l2_lr_ssh_basic: 12 files" in said
    assert f"truncated: swot/l2_lr_ssh/basic/cycle_002/{broken.name}" in said
    assert _run("index", "l2_lr_ssh_basci", "--datalake", lake)[0] == 2
    assert "did you mean 'l2_lr_ssh_basic'" in capsys.readouterr().err
    assert _run("index", "--datalake", lake)[0] == 2
    assert _run("index", "--all", "--datalake", str(tmp_path / "nowhere"))[0] == 2
    with pytest.raises(SystemExit):
        _run("index", "l2_lr_ssh_basic", "--cycles", "first")


def test_index_elsewhere_leaves_the_datalake_alone(entry: Entry, tmp_path: Path) -> None:
    place = tmp_path / "place"
    assert (
        _run("index", "--all", "--datalake", str(tmp_path / "lake"), "--index", str(place), "--cycles", "1-2")[0] == 0
    )
    assert not (tmp_path / "lake/.swot-vre").exists()
    assert len(open_catalog(tmp_path / "lake", index=place)["l2_lr_ssh_basic"].index()) == 8


def test_module_is_the_program_and_workers_start_from_it(tmp_path: Path, write: Write) -> None:
    first = write(1, 1)
    for number in range(2, 500):
        os.link(first, first.with_name(first.name.replace("_001_001_", f"_001_{number:03d}_")))
    command = [sys.executable, "-m", "swotvre_catalogs", "index", "l2_lr_ssh_basic", "--jobs", "2"]
    environment = {**os.environ, "SWOTVRE_DATALAKE": str(tmp_path / "lake")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("l2_lr_ssh_basic: 499 files")


def test_list_says_where_products_are_and_which_are_not_here(entry: Entry, tmp_path: Path) -> None:
    code, said = _run("list", "--datalake", str(tmp_path / "lake"))
    assert code == 0
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert f"{tmp_path}/lake/swot/l2_lr_ssh/basic" in rows["l2_lr_ssh_basic"]
    assert "not on this datalake" in rows["l1b_lr_intf"]


def test_table_of_products_is_the_same_with_an_index_and_without(sample_datalake: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(sample_datalake, lake)
    before = open_catalog(lake).products()
    assert _run("index", "--all", "--datalake", str(lake), "--jobs", "1")[0] == 0
    after = open_catalog(lake).products()
    in_names = after["period"].where(before["period"] != "", "")  # some periods only the files tell
    assert before.drop(columns="period").equals(after.drop(columns="period"))
    assert in_names.equals(before["period"])
    assert after.loc["l2_lr_ssh_basic", "volume"].endswith("MB")


def test_entry_says_where_its_files_are_or_that_the_site_has_none(entry: Entry, tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "lake")
    assert f"Files: {tmp_path}/lake/swot/l2_lr_ssh/basic" in repr(entry)
    assert "Files: not on this datalake" in repr(catalog["l1b_lr_intf"])
    assert "not on this datalake" in catalog["l1b_lr_intf"]._repr_html_()


def test_relative_folder_stays_the_same_when_the_process_moves(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = open_folder("lake")
    monkeypatch.chdir("/")
    assert len(catalog["l2_lr_ssh_basic"].index()) == 12
