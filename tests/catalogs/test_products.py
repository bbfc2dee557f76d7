"""The entries: plain Intake v1 YAML that Intake itself opens, and mistakes in them are named."""

from importlib import resources

import pytest

from swotvre_catalogs import EntryError, open_catalog
from swotvre_catalogs.products import load_products, parse_entries

ENTRIES = sorted(
    (file for file in (resources.files("swotvre_catalogs") / "entries").iterdir() if file.name.endswith(".yaml")),
    key=lambda file: file.name,
)

GOOD = """
sources:
  heights:
    description: Heights
    driver: netcdf
    parameters:
      cycle_number: {description: Cycle, type: int, default: 1, min: 1, max: 9}
    metadata: {title: Heights, level: L2, grid: fixed, licence: none, provider: us, sample: real}
    args: {urlpath: "{{ env(SWOTVRE_DATALAKE) }}/heights_{{ '%03d' % cycle_number }}.nc"}
"""


@pytest.fixture
def intake(monkeypatch, lake):
    monkeypatch.setenv("SWOTVRE_DATALAKE", str(lake))
    return pytest.importorskip("intake", reason="Intake is part of the kernel environment")


@pytest.mark.parametrize("file", ENTRIES, ids=lambda file: file.name)
def test_intake_opens_the_entries_and_knows_their_parameters(intake, file):
    opened = intake.open_catalog(str(file))
    ours = parse_entries(file.read_text(encoding="utf-8"), file.name)
    assert list(opened) == list(ours)
    for name, product in ours.items():
        described = opened._entries[name].describe()
        assert [p["name"] for p in described["user_parameters"]] == list(product.parameters)
        assert described["metadata"]["title"] == product.metadata.title


def test_intake_and_the_accessor_open_the_same_file(intake, catalog):
    (file,) = (file for file in ENTRIES if file.name == "l2_lr_ssh.yaml")
    source = intake.open_catalog(str(file))._entries["l2_lr_ssh_expert"].get(cycle_number=3, pass_number=42)
    ours = catalog["l2_lr_ssh_expert"](cycle_number=3, pass_number=42).to_dask()
    assert source.to_dask().attrs["cycle_number"] == ours.attrs["cycle_number"] == 3


def test_every_parameter_is_described_and_its_default_is_valid(lake):
    for entry in open_catalog(lake).values():
        assert entry().parameters.keys() == entry.product.parameters.keys()
        assert all(parameter.description for parameter in entry.product.parameters.values())


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("driver: netcdf", "driver: netcfd", "driver: "),
        ("level: L2, ", "", "metadata.level: Field required"),
        ("type: int", "type: integer", "parameters.cycle_number.type"),
        ("% cycle_number", "% cycle", "urlpath uses cycle, which parameters do not define"),
        ("'%03d' % cycle_number", "cycle_number | zfill", "a field of urlpath cannot be read"),
        ("grid: fixed", "grid: fixed, colour: red", "metadata.colour: Extra inputs"),
        ("sources:", "source:", "is not an Intake catalog"),
        ("driver: netcdf", "driver: [", "is not an Intake catalog"),
    ],
)
def test_a_mistake_in_an_entry_is_named(written, instead, said):
    assert written in GOOD
    with pytest.raises(EntryError) as refused:
        parse_entries(GOOD.replace(written, instead), "site.yaml")
    assert "site.yaml" in str(refused.value)
    assert said in str(refused.value)


def test_a_name_in_two_files_is_refused(tmp_path):
    (tmp_path / "one.yaml").write_text(GOOD)
    (tmp_path / "two.yaml").write_text(GOOD)
    with pytest.raises(EntryError, match=r"two\.yaml: heights is already an entry"):
        load_products(tmp_path)


def test_a_site_brings_its_own_entries(tmp_path, lake):
    (tmp_path / "site.yaml").write_text(GOOD)
    (lake / "heights_004.nc").write_bytes(b"")
    catalog = open_catalog(lake, entries=tmp_path)
    assert catalog["heights"].granules().cycle_number.tolist() == [4]


def test_the_products_table_tells_what_the_datalake_holds(catalog):
    table = catalog.products()
    row = table.loc["l2_lr_ssh_expert"]
    assert (row.granules, row.cycles, row.passes) == (5, "1-3", "14, 42")
    assert row.period == "2024-01-01 - 2024-03-01"
    assert table.loc["l3_lr_ssh_expert", "granules"] == 0


def test_catalog_and_entries_describe_themselves(catalog):
    assert "l2_lr_ssh_expert" in repr(catalog)
    assert "<table" in catalog._repr_html_()
    entry = catalog["l2_lr_ssh_expert"]
    assert "cycle_number (int, default 1)" in repr(entry)
    assert "geographically fixed" in entry._repr_html_()
    assert repr(entry(cycle_number=3)) == "l2_lr_ssh_expert(cycle_number=3, pass_number=14)"
