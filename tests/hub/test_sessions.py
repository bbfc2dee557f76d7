"""What a user asks for is validated once, in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swotvre_hub.errors import (
    SessionRequestError,
    SessionSizeUnavailableError,
    UnknownSessionOptionError,
    UnknownSessionSizeError,
    UserNameError,
    WalltimeError,
)
from swotvre_hub.machine import Machine
from swotvre_hub.sessions import parse_session_request, unpack_form, validate_user_name
from swotvre_hub.settings import load_settings

SETTINGS = load_settings()
WORKSTATION = Machine(cores=8, memory_bytes=64 * 2**30)


def test_nothing_asked_means_the_defaults() -> None:
    request = parse_session_request({}, SETTINGS, WORKSTATION)
    assert (request.size_name, request.walltime) == ("small", timedelta(hours=4))


@pytest.mark.parametrize("walltime", [2, 2.0, "2", "2.0", " 2 "])
def test_hours_are_a_number_or_its_text(walltime: object) -> None:
    request = parse_session_request({"size": "medium", "walltime_hours": walltime}, SETTINGS, WORKSTATION)
    assert (request.size.cores, request.walltime) == (4, timedelta(hours=2))


@pytest.mark.parametrize(
    "walltime", [0, -1, 10**9, 10**400, "soon", "", "nan", "inf", True, [4], {"h": 4}, "1" * 10_000]
)
def test_a_duration_that_cannot_be_is_refused_with_the_range(walltime: object) -> None:
    with pytest.raises(WalltimeError, match="expected hours as a number between") as caught:
        parse_session_request({"size": "small", "walltime_hours": walltime}, SETTINGS, WORKSTATION)
    assert "and 12" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("size", ["smal", "Small", "", 3, ["small", "large"], "$(reboot)", "a\nb", "'\"", "x" * 10_000])
def test_an_unknown_size_is_refused_with_the_known_ones(size: object) -> None:
    with pytest.raises(UnknownSessionSizeError, match="expected one of: small, medium, large, xlarge") as caught:
        parse_session_request({"size": size}, SETTINGS, WORKSTATION)
    assert len(str(caught.value)) < 400


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(UnknownSessionSizeError, match="did you mean 'medium'"):
        parse_session_request({"size": "meduim"}, SETTINGS, WORKSTATION)


def test_a_size_that_the_machine_cannot_hold_is_refused_with_both_numbers() -> None:
    with pytest.raises(
        SessionSizeUnavailableError, match=r"needs 16 cores and 128 GiB of memory; this machine has 8 cores and 64 GiB"
    ):
        parse_session_request({"size": "xlarge"}, SETTINGS, WORKSTATION)


def test_a_machine_sold_with_8_gib_holds_a_small_session() -> None:
    assert Machine(cores=2, memory_bytes=int(7.6 * 2**30)).lacks(1, 8) is None
    assert (
        Machine(cores=2, memory_bytes=int(6.9 * 2**30)).lacks(1, 8)
        == "needs 8 GiB of memory; this machine has 7 GiB of memory"
    )


def test_an_option_that_no_session_knows_is_refused() -> None:
    with pytest.raises(UnknownSessionOptionError, match="unknown session option 'queue'"):
        parse_session_request({"queue": "#PBS -q other"}, SETTINGS, WORKSTATION)


@pytest.mark.parametrize("options", [None, [], "small", 5])
def test_options_that_are_no_mapping_are_refused(options: object) -> None:
    with pytest.raises(SessionRequestError, match="expected a mapping"):
        parse_session_request(options, SETTINGS, WORKSTATION)


def test_a_form_field_that_stands_once_is_unpacked_and_one_that_stands_twice_is_refused() -> None:
    options = unpack_form({"size": ["small"], "walltime_hours": ["1", "2"], "_xsrf": ["token"]})
    assert options == {"size": "small", "walltime_hours": ["1", "2"]}
    with pytest.raises(WalltimeError):
        parse_session_request(options, SETTINGS, WORKSTATION)


@pytest.mark.parametrize("name", ["maria", "m.curie-2", "a_b"])
def test_a_plain_user_name_is_taken(name: str) -> None:
    assert validate_user_name(name, SETTINGS) == name


@pytest.mark.parametrize(
    "name", ["", "..", ".", "a/b", "-a", "o'brien", "a b", "a\nb", "$(id)", "é", "a" * 10_000, "a\0"]
)
def test_a_user_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(UserNameError, match="expected one that matches"):
        validate_user_name(name, SETTINGS)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(options=st.dictionaries(st.sampled_from(["size", "walltime_hours"]) | st.text(), _VALUES) | _VALUES)
def test_anything_at_all_is_a_session_or_a_refusal_in_words(options: object) -> None:
    try:
        request = parse_session_request(options, SETTINGS, WORKSTATION)
    except SessionRequestError as error:
        assert "expected" in str(error) or "choose" in str(error)
        assert len(str(error)) < 500
    else:
        assert timedelta(minutes=1) <= request.walltime <= timedelta(hours=request.size.max_walltime_hours)
