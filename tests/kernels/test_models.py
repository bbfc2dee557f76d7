from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swotvre_kernels.errors import DefinitionError
from swotvre_kernels.models import Manifest, read_definition


def test_unknown_key_is_refused_with_a_suggestion(environments: Path, change: Callable[[str, str], None]) -> None:
    change("requirements =", "requirments =")
    with pytest.raises(DefinitionError) as caught:
        read_definition(environments / "tiny")
    assert "unknown key 'requirments'; did you mean 'requirements'?" in str(caught.value)
    assert "the key 'requirements' is missing" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('version = "2026.11"', 'version = "latest"', "received 'latest'"),
        ('name = "tiny"', 'name = "../tiny"', "received '../tiny'"),
        ("space_gib = 0.2", "space_gib = -1", "received -1"),
        ('requirements = ["ipykernel"]', "requirements = []", "at least one entry"),
        ('"smoke.ipynb"', '"other.ipynb"', "names 'other.ipynb', but"),
        ('title = "Tiny"', 'title = "Tiny', "is not TOML"),
    ],
)
def test_wrong_value_is_refused_in_words(
    environments: Path, change: Callable[[str, str], None], old: str, new: str, words: str
) -> None:
    change(old, new)
    with pytest.raises(DefinitionError, match=r"environment\.toml") as caught:
        read_definition(environments / "tiny")
    assert words in str(caught.value)


def test_missing_definition_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot read the kernel definition"):
        read_definition(tmp_path)


def test_damaged_manifest_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "swot-vre-kernel.json").write_text('{"name": "tiny"')
    assert Manifest.read(tmp_path) is None
