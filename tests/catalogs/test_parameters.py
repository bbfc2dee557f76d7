"""What a user may ask: wrong names and values are refused in words, before a file is touched."""

import pytest

from swotvre_catalogs import CatalogError, ParameterValueError, UnknownParameterError, UnknownProductError
from swotvre_catalogs.parameters import known_names, near_miss


@pytest.mark.parametrize(
    ("name", "meant"), [("l2_lr_expert", "l2_lr_ssh_expert"), ("L2_LR_SSH_Basic", "l2_lr_ssh_basic")]
)
def test_an_unknown_product_is_refused_with_the_nearest(catalog, name, meant):
    with pytest.raises(UnknownProductError, match=f"did you mean '{meant}'") as refused:
        catalog[name]
    assert "duacs_l4" in str(refused.value)


def test_a_misspelt_parameter_is_refused_with_the_nearest(catalog):
    with pytest.raises(
        UnknownParameterError, match=r"expected: cycle_number, pass_number; .*did you mean 'pass_number'"
    ):
        catalog["l2_lr_ssh_expert"](cycle_number=1, pas_number=14)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"box": (1, 2, 3, 4)}, "did you mean 'bbox'"),
        ({"times": "2024"}, "did you mean 'time'"),
        ({"variable": "ssh_karin_2"}, r"variables are chosen of the result: sel\(...\)\[names\]"),
    ],
)
def test_a_selection_says_what_it_takes(catalog, asked, said):
    with pytest.raises(UnknownParameterError, match=f"for sel.. also bbox, time, version, clip; {said}"):
        catalog["l2_lr_ssh_expert"].sel(**asked)
    with pytest.raises(UnknownParameterError, match=r"bbox is one of sel\(\)"):
        catalog["l2_lr_ssh_expert"](bbox=(1, 2, 3, 4))


def test_the_beginning_of_a_name_tells_which_one_is_meant():
    names = ["ssh_karin", "ssha_karin_2", "ssha_karin", "Reach"]
    assert near_miss("ssha", names) == "; did you mean 'ssha_karin'?"
    assert near_miss("reahc", names) == "; did you mean 'Reach'?"
    assert near_miss("zzz", names) == near_miss(3, names) == ""


def test_of_many_names_the_nearest_are_told():
    assert known_names("x", ["a", "b"]) == "a, b"
    told = known_names("height_7", [f"height_{number}" for number in range(100)] + ["other"])
    assert "height_7," in told
    assert told.endswith("and 89 more")


def test_a_product_without_parameters_says_so(catalog):
    with pytest.raises(UnknownParameterError, match="has no parameters"):
        catalog["aoml_drifters"](cycle_number=1)


@pytest.mark.parametrize("value", [0, -1, 1000, 10**30])
def test_a_cycle_out_of_bounds_is_refused(catalog, value):
    with pytest.raises(ParameterValueError, match="from 1 to 999"):
        catalog["l2_lr_ssh_expert"](cycle_number=value)


@pytest.mark.parametrize("value", ["3", 3.0, True, "; rm -rf /", {"a": 1}, b"3", object(), ["3"], [1, None], [[1]]])
def test_a_cycle_that_is_not_an_integer_is_refused(catalog, value):
    with pytest.raises(ParameterValueError, match=r"cycle_number must be an integer"):
        catalog["l2_lr_ssh_expert"](cycle_number=value)


@pytest.mark.parametrize("value", [[], [14, 42], None])
def test_a_pass_is_one(catalog, value):
    with pytest.raises(ParameterValueError, match="pass_number takes one value"):
        catalog["l2_lr_ssh_expert"](pass_number=value)


def test_no_cycle_at_all_is_refused(catalog):
    with pytest.raises(ParameterValueError, match="cycle_number is empty"):
        catalog["l2_lr_ssh_expert"](cycle_number=[])


@pytest.mark.parametrize("name", ["l2_lr_ssh_unsmoothed", "l2_hr_pixc", "l2_hr_riversp"])
def test_cycles_of_a_product_without_a_fixed_grid_are_not_stacked(catalog, name):
    with pytest.raises(ParameterValueError, match="grid differs from cycle to cycle"):
        catalog[name](cycle_number=[1, 2])


@pytest.mark.parametrize("value", ["up", "../left", 1, ""])
def test_a_value_that_is_not_allowed_is_refused(catalog, value):
    with pytest.raises(ParameterValueError, match=r"side (=|must be a text)|left, right"):
        catalog["l2_lr_ssh_unsmoothed"](side=value)


@pytest.mark.parametrize("value", ["soon", 5, "2019-13-01", "1890-01-01"])
def test_a_day_that_is_none_or_too_early_is_refused(catalog, value):
    with pytest.raises(ParameterValueError, match=r"1993-01-01"):
        catalog["duacs_l4"](date=value)


def test_a_notebook_shows_the_message_without_a_traceback(catalog):
    with pytest.raises(CatalogError) as refused:
        catalog["l2_lr_ssh_expert"](cycle_number=0)
    (line,) = refused.value._render_traceback_()
    assert line.startswith("ParameterValueError: l2_lr_ssh_expert: cycle_number=0 is out of bounds")
