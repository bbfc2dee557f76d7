"""Settings: the defaults are whole, a site's block replaces one, every mistake is told in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from swotvre_hub.errors import SettingsError
from swotvre_hub.settings import Settings, examine_settings, load_settings, read_defaults


def _site_file(folder: Path, text: str) -> Path:
    path = folder / "vre.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _block(name: str, **changes: object) -> str:
    """Return the default block ``name`` as YAML, with ``changes``."""
    return yaml.safe_dump({name: {**read_defaults()[name], **changes}})


def test_the_defaults_are_valid_and_offer_four_sizes_in_order() -> None:
    settings = load_settings()
    assert [(size.cores, size.memory_gib) for size in settings.sizes.values()] == [(1, 8), (4, 32), (8, 64), (16, 128)]


def test_a_top_level_key_replaces_the_default_block_as_a_whole(tmp_path: Path) -> None:
    size = {"title": "Only", "cores": 2, "memory_gib": 4, "max_walltime_hours": 5, "good_for": "all"}
    path = _site_file(tmp_path, yaml.safe_dump({"sizes": {"small": size}}))
    settings = load_settings(path)
    assert list(settings.sizes) == ["small"]
    assert settings.sizes["small"].cores == 2
    assert settings.hub == load_settings().hub


def test_an_incomplete_block_is_refused_and_the_missing_key_named(tmp_path: Path) -> None:
    settings, problems = examine_settings(_site_file(tmp_path, "hub: {port: 8001}\n"))
    assert settings is None
    assert {problem.key for problem in problems} == {"hub.address", "hub.base_url"}
    assert "replaces the default block as a whole" in problems[0].expected


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.hub.port = 1  # type: ignore[misc]


def test_the_defaults_are_read_anew_each_time() -> None:
    read_defaults()["sizes"].clear()
    assert read_defaults()["sizes"]


#: A mistake in vre.yaml; the key that must be named; words that must stand in what is expected.
MISTAKES = {
    "an unknown block": ("seesions: {}\n", "seesions", "did you mean 'sessions'"),
    "an unknown key": (_block("hub", adress="127.0.0.1"), "hub.adress", "did you mean 'address'"),
    "a port out of range": (_block("hub", port=99999), "hub.port", "at most 65535"),
    "a port as text": (_block("hub", port="8000"), "hub.port", "a whole number"),
    "an address that is none": (_block("hub", address="localhst"), "hub.address", "an IP address"),
    "a base URL without its slash": (_block("hub", base_url="/vre"), "hub.base_url", "matches"),
    "an unknown engine": ("engine: lsf\n", "engine", "one of: 'local'"),
    "a default size that is none": (_block("sessions", default_size="tiny"), "(whole file)", "among the sizes"),
    "a size with no cores": (
        yaml.safe_dump({"sizes": {"small": {**read_defaults()["sizes"]["small"], "cores": 0}}}),
        "sizes.small.cores",
        "at least 1",
    ),
    "a size name with a space": (
        yaml.safe_dump({"sizes": {"very small": read_defaults()["sizes"]["small"]}}),
        "sizes.very small",
        "lower case letters",
    ),
    "a warning after the end": (_block("idle", warning_minutes=500), "idle", "below timeout_minutes"),
    "a default kernel that is not installed": (_block("kernels", default="hydro"), "kernels", "among install"),
    "a relative folder of kernels": (_block("kernels", prefix="kernels"), "kernels.prefix", "matches"),
    "a relative datalake": (_block("datalake", url="data/lake"), "datalake.url", "matches"),
    "a user name pattern that does not compile": (
        _block("auth", user_name_pattern="[a-"),
        "auth.user_name_pattern",
        "regular expression",
    ),
    "yes for a number": (_block("gateway", max_workers=True), "gateway.max_workers", "a whole number"),
    "no number": (_block("sessions", default_walltime_hours=float("nan")), "sessions.default_walltime_hours", "number"),
    "one workspace for all": (_block("sessions", workspace="/home/all"), "sessions.workspace", "{username}"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_file_key_received_and_expected(name: str, tmp_path: Path) -> None:
    text, key, words = MISTAKES[name]
    path = _site_file(tmp_path, text)
    settings, problems = examine_settings(path)
    assert settings is None
    problem = next(problem for problem in problems if problem.key == key)
    assert problem.source == str(path)
    assert words in problem.expected
    assert problem.received


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hub:\n  port: 1\n  port: 2\n", "a second time (first on line 2)"),
        ("hub: [1, 2\n", "line 2, column 1"),
        ("- a\n- b\n", "expected a mapping"),
        ("a\tb: {\n", "is not YAML"),
        ("? {a: 1}\n: 2\n", "expected a plain word"),
    ],
)
def test_what_is_no_settings_file_at_all_is_refused_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"vre\.yaml") as caught:
        load_settings(_site_file(tmp_path, text))
    assert words in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vre.yaml"
    path.write_bytes(b"site: {name: \xff}\n")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_settings(path)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(_site_file(tmp_path, "")) == load_settings()


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_TREES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


@given(block=st.sampled_from(sorted(Settings.model_fields)), value=_TREES)
def test_any_block_is_either_accepted_or_explained(
    block: str, value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = _site_file(tmp_path_factory.mktemp("fuzz"), yaml.safe_dump({block: value}, allow_unicode=True))
    try:
        settings, problems = examine_settings(path)
    except SettingsError:
        return  # not even YAML that can be read back
    assert (settings is None) == bool(problems)
    assert all(problem.expected and problem.received for problem in problems)
