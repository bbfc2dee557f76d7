"""Reaches, nodes and lakes by name, place and time: the rows and numbers of the files, in the order of time."""

import warnings

import geopandas
import numpy
import pandas
import pytest
import shapely

from swotvre_catalogs import (
    GranuleWarning,
    ParameterValueError,
    UnknownParameterError,
    UnreadableGranuleError,
    open_catalog,
)
from swotvre_catalogs.hydrology import EmptySelectionError, SelectionWarning, UnknownFeatureError
from swotvre_catalogs.index.build import build_index

GREY = "57203000041"
FILL = -999999999999.0


def _points(**columns):
    rows = len(columns["lon"])
    base = {"time": [8.3e8] * rows, "time_str": ["2026-04-19T19:08:16Z"] * rows, "wse": [1.0] * rows}
    table = base | {name: values for name, values in columns.items() if name not in ("lon", "lat")}
    return geopandas.GeoDataFrame(table, geometry=geopandas.points_from_xy(columns["lon"], columns["lat"]), crs=4326)


def test_a_reach_has_the_numbers_of_its_file(real, reaches):
    found = real["l2_hr_riversp"].sel(reach_id=GREY)
    assert len(found) == 1
    stored = reaches[reaches.reach_id == GREY].iloc[0]
    row = found.iloc[0]
    compared = 0
    for name in reaches.columns.drop(["time", "geometry"]):
        missing = stored[name] in (FILL, -999, -99999999, "no_data") or pandas.isna(stored[name])
        assert pandas.isna(row[name]) if missing else row[name] == stored[name], name
        compared += not missing
    assert compared > 50
    assert row.geometry.equals(stored.geometry)
    assert (row.cycle_number, row.pass_number, row.continent, row.crid) == (49, 58, "AU", "PID0_01")
    assert abs(row.time - pandas.Timestamp(stored.time_str.rstrip("Z"))) < pandas.Timedelta("1s")


def test_fill_values_of_every_kind_are_missing(real, reaches):
    found = real["l2_hr_riversp"].sel()
    assert len(found) == len(reaches) == 52
    assert found.wse.notna().sum() == (reaches.wse != FILL).sum() == 33
    assert found.n_good_nod.isna().sum() == (reaches.n_good_nod == -999).sum() == 18
    assert found.n_good_nod.dtype == "Int32"
    assert found.river_name.isna().sum() == (reaches.river_name == "no_data").sum() == 5
    assert found.time.isna().sum() == 18
    assert found.crs == reaches.crs


@pytest.mark.parametrize("name", [GREY, int(GREY), numpy.int64(GREY), [GREY], (GREY, "57203000033")])
def test_identifiers_may_be_texts_or_integers_one_or_several(real, name):
    found = real["l2_hr_riversp"].sel(reach_id=name)
    assert GREY in set(found.reach_id)
    assert len(found) == (2 if isinstance(name, tuple) else 1)


def test_an_unknown_reach_is_told_with_what_was_looked_at(real):
    with pytest.raises(UnknownFeatureError) as refused:
        real["l2_hr_riversp"].sel(reach_id="57203000042")
    message = str(refused.value)
    assert "no feature with reach_id 57203000042 among the 52 features of 1 granule" in message
    assert "continent AU; cycle_number 49; pass_number 58" in message
    assert "did you mean '572030000" in message


def test_of_several_reaches_those_that_are_not_there_are_named(real):
    with pytest.warns(SelectionWarning, match="no feature with reach_id 57203000042"):
        found = real["l2_hr_riversp"].sel(reach_id=[GREY, "57203000042"])
    assert found.reach_id.tolist() == [GREY]


def test_the_passes_of_a_reach_come_in_the_order_of_time(lake, add_features, reaches):
    for cycle, day, offset in ((51, "20260531", 2.0), (50, "20260510", 1.0)):
        # 21 days later, and higher by the number of cycles.
        moved = {"wse": offset, "time": offset * 21 * 86400.0}
        later = reaches.assign(**{n: reaches[n].where(reaches[n] == FILL, reaches[n] + by) for n, by in moved.items()})
        add_features(f"SWOT_L2_HR_RiverSP_Reach_{cycle:03d}_058_AU_{day}T185249_{day}T190852_PID0_01", later)
    entry = open_catalog(lake)["l2_hr_riversp"]
    found = entry.sel(reach_id=GREY)
    assert found.cycle_number.tolist() == [49, 50, 51]
    assert numpy.allclose(found.wse - found.wse.iloc[0], [0, 1, 2], atol=1e-4)
    assert entry.sel(reach_id=GREY, cycle_number=[49, 51]).cycle_number.tolist() == [49, 51]
    assert entry.sel(reach_id=GREY, time=("2026-05", "2026-05-20")).cycle_number.tolist() == [50]


def test_the_newest_version_counts_unless_another_is_pinned(lake, add_features, reaches):
    old = "SWOT_L2_HR_RiverSP_Reach_049_058_AU_20260419T185249_20260419T190852_PIC0_03"
    add_features(old, reaches.assign(wse=77.0))
    entry = open_catalog(lake)["l2_hr_riversp"]
    assert entry.sel(reach_id=GREY).crid.tolist() == ["PID0_01"]
    pinned = entry.sel(reach_id=GREY, version="PIC0_03")
    assert (pinned.crid.item(), pinned.wse.item()) == ("PIC0_03", 77.0)


def test_a_box_keeps_the_shapes_that_meet_it(real, reaches):
    box = (171.0, -43.0, 172.0, -42.0)
    expected = reaches[shapely.intersects(reaches.geometry.values, shapely.box(*box))]
    found = real["l2_hr_riversp"].sel(bbox=box)
    assert 0 < len(found) < len(reaches)
    assert found.reach_id.tolist() == expected.reach_id.tolist()


def test_lakes_without_a_shape_are_placed_by_the_prior_database(real, lakes):
    box = (120.0, 12.0, 122.0, 15.0)
    area = shapely.box(*box)
    shaped = lakes.geometry.notna()
    meets = shaped & shapely.intersects(lakes.geometry.values, area)
    placed = ~shaped & lakes.p_lon.between(box[0], box[2]) & lakes.p_lat.between(box[1], box[3])
    assert meets.any()
    assert placed.any()
    found = real["l2_hr_lakesp"].sel(bbox=box)
    assert found.lake_id.tolist() == lakes[meets | placed].lake_id.tolist()
    assert found.wse.notna().sum() == (lakes[meets].wse != FILL).sum()


def test_a_box_across_the_antimeridian_takes_both_sides(lake, add_features):
    table = _points(lon=[179.8, -179.7, 0.0], lat=[-17.0, -17.0, -17.0], reach_id=["511", "512", "513"])
    add_features("SWOT_L2_HR_RiverSP_Reach_002_100_AU_20230901T000000_20230901T001000_PIC0_01", table)
    entry = open_catalog(lake)["l2_hr_riversp"]
    assert entry.sel(bbox=(179, -18, -179, -16)).reach_id.tolist() == ["511", "512"]
    assert entry.sel(bbox=(179, -18, 181, -16)).reach_id.tolist() == ["511", "512"]
    assert entry.sel(bbox=(-180, -18, -179, -16)).reach_id.tolist() == ["512"]


def test_a_node_is_looked_for_in_the_files_of_nodes(lake, add_features):
    table = _points(lon=[171.0, 171.1], lat=[-42.5, -42.5], reach_id=[GREY] * 2, node_id=[f"{GREY}{n}" for n in "12"])
    add_features("SWOT_L2_HR_RiverSP_Node_049_058_AU_20260419T185249_20260419T190852_PID0_01", table)
    entry = open_catalog(lake)["l2_hr_riversp"]
    assert entry.sel(node_id=int(f"{GREY}2")).node_id.tolist() == [f"{GREY}2"]
    assert len(entry.sel(feature="Node", reach_id=GREY)) == 2
    assert len(entry.sel(reach_id=GREY)) == 1
    with pytest.raises(ParameterValueError, match="feature='Nodes' is unknown; expected one of: Reach, Node"):
        entry.sel(feature="Nodes")


def test_a_lake_is_found_by_each_of_its_reaches(lake, add_features):
    table = _points(
        lon=[121.0, 121.1], lat=[14.0, 14.0], lake_id=["5240012913", "5240012914"], reach_id=["571;572", "5711"]
    )
    add_features("SWOT_L2_HR_LakeSP_Obs_001_100_AU_20230901T000000_20230901T001000_PIC0_01", table)
    entry = open_catalog(lake)["l2_hr_lakesp"]
    assert entry.sel(feature="Obs", reach_id="572").lake_id.tolist() == ["5240012913"]
    assert entry.sel(feature="Obs", reach_id="571").lake_id.tolist() == ["5240012913"]


def test_a_river_is_found_by_its_name_even_with_a_quote(lake, add_features):
    table = _points(lon=[10.0, 11.0], lat=[50.0, 50.0], reach_id=["2311", "2312"], river_name=["L'Oise", "Oise"])
    add_features("SWOT_L2_HR_RiverSP_Reach_001_100_EU_20230901T000000_20230901T001000_PIC0_01", table)
    entry = open_catalog(lake)["l2_hr_riversp"]
    assert entry.sel(river_name="L'Oise").reach_id.tolist() == ["2311"]
    assert entry.sel(river_name="Oise").reach_id.tolist() == ["2312"]


def test_a_damaged_granule_is_named_and_the_rest_is_there(lake, reaches, add_features):
    later = add_features("SWOT_L2_HR_RiverSP_Reach_050_058_AU_20260510T185249_20260510T190852_PID0_01", reaches)
    entry = open_catalog(lake)["l2_hr_riversp"]
    build_index(entry)  # as the command does: the files are not looked at again
    later.write_bytes(later.read_bytes()[:30_000])
    with pytest.warns(GranuleWarning, match="SWOT_L2_HR_RiverSP_Reach_050_058"):
        assert entry.sel(reach_id=GREY).cycle_number.tolist() == [49]
    with pytest.raises(UnreadableGranuleError, match=r"no granule of .* can be read"):
        entry.sel(reach_id=GREY, cycle_number=50)


def test_granules_of_other_continents_are_not_opened(lake):
    broken = lake / "swot/l2_hr/riversp/SWOT_L2_HR_RiverSP_Reach_049_100_EU_20260419T185249_20260419T190852_PID0_01.zip"
    entry = open_catalog(lake)["l2_hr_riversp"]
    broken.write_bytes(next((lake / "swot/l2_hr/riversp").glob("*_AU_*.zip")).read_bytes())
    build_index(entry)  # as the command does: the files are not looked at again
    broken.write_bytes(b"no archive")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(entry.sel(reach_id=GREY)) == 1
    with pytest.warns(GranuleWarning, match="_EU_"):
        entry.sel(bbox=(170, -45, 173, -42))


def test_an_empty_selection_says_what_there_is(real):
    with pytest.raises(EmptySelectionError, match=r"the datalake holds 1 granule: .*2026-04-19.*; widen the box"):
        real["l2_hr_riversp"].sel(time="2020")
    with pytest.raises(EmptySelectionError, match="cycle_number 49"):
        real["l2_hr_riversp"].sel(cycle_number=3)
    with pytest.raises(EmptySelectionError, match="no feature lies in the box and the period"):
        real["l2_hr_riversp"].sel(bbox=(171.2, -44.9, 171.3, -44.8))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"reach": GREY}, "did you mean 'reach_id'"),
        ({"reach_id": "5720' OR 1=1"}, "is no identifier"),
        ({"reach_id": []}, "reach_id is empty"),
        ({"continent": "XX"}, "expected one of: AF"),
        ({"bbox": (171, -42, 172, -43)}, "the corners are swapped"),
    ],
)
def test_a_wrong_question_is_answered_in_words(real, asked, said):
    with pytest.raises((ParameterValueError, UnknownParameterError), match=said):
        real["l2_hr_riversp"].sel(**asked)
