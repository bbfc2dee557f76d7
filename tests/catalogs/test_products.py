"""The entries: plain Intake v1 YAML that Intake itself opens, and mistakes in them are named."""

import copy
import datetime
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swotvre_catalogs import EntryError, ParameterValueError, UnknownParameterError, open_catalog
from swotvre_catalogs.datalake import StoredFile
from swotvre_catalogs.granules import parse_granule
from swotvre_catalogs.parameters import resolve_asked, resolve_parameters
from swotvre_catalogs.products import Product, load_products, parse_entries

ENTRIES = sorted(
    (file for file in (resources.files("swotvre_catalogs") / "entries").iterdir() if file.name.endswith(".yaml")),
    key=lambda file: file.name,
)

#: Names of files that the data centres distribute, and what they say.
NAMES = {
    "SWOT_L1B_LR_INTF_407_024_20230122T040505_20230122T045618_PIA0_01.nc": ("l1b_lr_intf", 407, 24),
    "SWOT_L2_LR_SSH_WindWave_016_510_20240616T091632_20240616T100759_PIC0_01.nc": ("l2_lr_ssh_windwave", 16, 510),
    "SWOT_L2_LR_SSH_Expert_003_069_20230920T003320_20230920T012450_PGC0_01.nc": ("l2_lr_ssh_expert", 3, 69),
    "SWOT_L3_LR_SSH_Unsmoothed_001_169_20230727T053653_20230727T062820_v2.0.1.nc": ("l3_lr_ssh_unsmoothed", 1, 169),
    "SWOT_L3_LR_SSH_Basic_533_026_20230407T051804_20230407T060909_v1.0.2.nc": ("l3_lr_ssh_basic", 533, 26),
    "SWOT_L2_HR_PIXC_049_058_137L_20260419T185249_20260419T185257_PID0_01.nc": ("l2_hr_pixc", 49, 58),
    "SWOT_L2_HR_PIXCVec_020_037_230R_20240821T232036_20240821T232047_PIC0_01.nc": ("l2_hr_pixcvec", 20, 37),
    "SWOT_L2_HR_Raster_100m_UTM22J_N_x_x_x_013_533_051F_20240415T150120_20240415T150141_PIC0_01.nc": (
        "l2_hr_raster",
        13,
        533,
    ),
    "SWOT_L2_HR_RiverSP_Node_032_166_SI_20250503T222433_20250503T222608_PIC2_01.zip": ("l2_hr_riversp", 32, 166),
    "SWOT_L2_HR_LakeSP_Obs_020_150_EU_20240825T234434_20240825T235245_PIC0_01.zip": ("l2_hr_lakesp", 20, 150),
    "SWOT_L2_HR_LakeSP_Unassigned_005_261_NA_20231022T000607_20231022T001305_PGC0_01.zip": ("l2_hr_lakesp", 5, 261),
    "SWOT_GPR_2PfP009_584_20240124_232805_20240125_001932.nc": ("l2_nalt_gdr", 9, 584),
    "SWOT_GPR_2PTP003_005_20111115_030538_20111115_035643.nc": ("l2_nalt_gdr", 3, 5),
}

PRODUCTS = load_products()

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


def _path(product: Product, values, name: str) -> str:
    """Put a file name into the folder that the product's entry gives to these values."""
    return f"{product.glob(values).rpartition('/')[0]}/{name}"


@pytest.mark.parametrize("name", NAMES)
def test_the_names_of_distributed_files_are_read(name):
    wanted, cycle, number = NAMES[name]
    found = {}
    for product in PRODUCTS.values():
        values = {"cycle_number": cycle, "pass_number": number}
        granule = parse_granule(product, StoredFile(_path(product, values, name), 1))
        if granule is not None:
            found[product.name] = granule
    assert list(found) == [wanted], "one product, and only one, knows the file"
    assert (found[wanted].values["cycle_number"], found[wanted].values["pass_number"]) == (cycle, number)


def test_the_parts_of_hydrology_names_are_told_apart():
    def values(product, name):
        return parse_granule(PRODUCTS[product], StoredFile(_path(PRODUCTS[product], {}, name), 1)).values

    names = list(NAMES)
    assert values("l2_hr_pixc", names[5]) | {"cycle_number": 49, "pass_number": 58} == {
        "cycle_number": 49,
        "pass_number": 58,
        "tile_number": 137,
        "tile_side": "L",
    }
    raster = values("l2_hr_raster", names[7])
    assert (raster["resolution"], raster["scene_number"]) == ("100m", 51)
    assert values("l2_hr_riversp", names[8])["feature"] == "Node"
    assert values("l2_hr_lakesp", names[10]) == {
        "feature": "Unassigned",
        "cycle_number": 5,
        "pass_number": 261,
        "continent": "NA",
    }


def _value(parameter):
    if parameter.allowed:
        return st.sampled_from(parameter.allowed)
    if parameter.type == "int":
        return st.integers(parameter.min, parameter.max)
    if parameter.type == "datetime":
        return st.dates(min_value=datetime.date(1993, 1, 1), max_value=datetime.date(2099, 12, 31))
    return st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=lambda product: product.name)
@given(data=st.data())
def test_what_a_pattern_finds_is_read_back_as_it_was_asked(product, data):
    values = {name: data.draw(_value(product.parameters[name]), label=name) for name in product.path_parameters}
    tail = data.draw(st.sampled_from(["20240101T000000_20240101T005000_PIC0_01", "x", "20251231"]))
    path = product.glob(values).replace("*", tail)
    granule = parse_granule(product, StoredFile(path, 1))
    assert granule is not None
    assert dict(granule.values) == resolve_asked(product, values)


def test_what_sel_takes_beside_the_parameters_is_described():
    for product in PRODUCTS.values():
        assert not product.metadata.filters.keys() & product.parameters.keys()
        assert set(product.metadata.variants) <= set(product.path_parameters)
    assert {"reach_id", "node_id"} <= PRODUCTS["l2_hr_riversp"].metadata.filters.keys()
    assert "tile" in PRODUCTS["l2_hr_pixc"].metadata.filters


def test_values_that_were_asked_for_are_checked_and_the_others_stay_open():
    product = PRODUCTS["l2_hr_pixc"]
    asked = {"cycle_number": (7, 5, 5), "tile_side": "L", "pass_number": None}
    assert resolve_asked(product, asked) == {"cycle_number": [5, 7], "tile_side": "L"}
    with pytest.raises(ParameterValueError, match="cycle_number is empty"):
        resolve_asked(product, {"cycle_number": []})
    with pytest.raises(ParameterValueError, match="from 1 to 308"):
        resolve_asked(product, {"tile_number": [1, 309]})
    with pytest.raises(UnknownParameterError, match=r"tile is one of sel\(\)"):
        resolve_parameters(product, {"tile": "163R"})


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("driver: netcdf", "driver: netcfd", "driver: "),
        ("level: L2, ", "", "metadata.level: Field required"),
        ("type: int", "type: integer", "parameters.cycle_number.type"),
        ("% cycle_number", "% cycle", "urlpath uses cycle, which parameters do not define"),
        ("'%03d' % cycle_number", "cycle_number | zfill", "a field of urlpath cannot be read"),
        ("grid: fixed", "grid: fixed, colour: red", "metadata.colour: Extra inputs"),
        ("grid: fixed", "grid: fixed, variants: [method]", "metadata.variants uses method, which parameters do not"),
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


def test_an_entry_says_all_that_sel_takes(catalog):
    for text in (repr(catalog["l2_hr_riversp"]), catalog["l2_hr_riversp"]._repr_html_()):
        for told in ("bbox", "time", "reach_id", "Reach of SWORD", "AF, AR, AS"):
            assert told in text


def test_a_product_is_an_attribute_and_completed_by_the_tabulator(catalog):
    assert catalog.l2_lr_ssh_expert.name == "l2_lr_ssh_expert"
    assert {"duacs_l4", "products"} <= set(dir(catalog))
    assert catalog._ipython_key_completions_() == list(catalog)
    with pytest.raises(AttributeError, match="did you mean 'l2_lr_ssh_expert'"):
        catalog.l2_lr_ssh_expertt  # noqa: B018
    assert not hasattr(copy.copy(catalog), "_ipython_display_")


def test_a_notebook_shows_places_below_the_datalake_on_unbroken_lines(catalog, lake):
    shown = catalog._repr_html_()
    assert shown.count(str(lake)) == 1
    assert ">swot/l2_lr_ssh/expert<" in shown
    assert "white-space: nowrap" in shown
    assert catalog.products()._repr_html_() == shown


def test_a_datalake_without_a_manifest_does_not_tell_whether_files_are_real(catalog):
    assert catalog.products().loc["l2_lr_ssh_expert", "origin"] == ""
