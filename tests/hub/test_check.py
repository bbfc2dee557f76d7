"""``swot-vre check``: a good file is named good, a bad one is explained and the exit code is 2."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from swotvre_hub.cli import main
from swotvre_hub.settings import read_defaults

TEN_MISTAKES = """
site: {name: "", support: 5}
hub: {adress: 127.0.0.1, address: nowhere, port: 0, base_url: vre}
engine: cray
auth: {login: shared-password, user_name_pattern: "(", admins: maria}
idle: {enabled: "yes", timeout_minutes: -5, warning_minutes: 10, check_every_seconds: 60}
"""


def test_ten_planted_mistakes_are_all_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vre.yaml"
    path.write_text(TEN_MISTAKES, encoding="utf-8")
    assert main(["check", str(path)], io.StringIO()) == 2
    message = capsys.readouterr().err
    for key in (
        *("site.name", "site.support", "hub.adress", "hub.address", "hub.port", "hub.base_url", "engine"),
        *("auth.user_name_pattern", "auth.admins", "idle.enabled", "idle.timeout_minutes"),
    ):
        assert f"key:      {key}\n" in message
    assert message.count("expected:") == message.count("received:") == message.count(f"file:     {path}") == 11
    assert "Traceback" not in message
    assert "pydantic" not in message


def test_a_good_file_is_named_good(tmp_path: Path) -> None:
    path = tmp_path / "vre.yaml"
    path.write_text(yaml.safe_dump({"site": {**read_defaults()["site"], "name": "My centre"}}), encoding="utf-8")
    out = io.StringIO()
    assert main(["check", str(path)], out) == 0
    assert f"{path} is good" in out.getvalue()


def test_without_a_file_the_defaults_are_named(tmp_path: Path) -> None:
    out = io.StringIO()
    assert main(["check", "--state", str(tmp_path / ".vre")], out) == 0
    assert "the defaults apply" in out.getvalue()


def test_the_file_beside_the_state_folder_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vre.yaml").write_text("engine: cray\n", encoding="utf-8")
    assert main(["check", "--state", str(tmp_path / ".vre")], io.StringIO()) == 2
    assert str(tmp_path / "vre.yaml") in capsys.readouterr().err


def test_a_file_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.yaml")], io.StringIO()) == 2
    assert "cannot be read" in capsys.readouterr().err
