from __future__ import annotations

import re
from pathlib import Path

import pytest

from swotvre_kernels.definitions import ENVIRONMENTS, available_environments, find_environment
from swotvre_kernels.errors import LockError, UnknownKernelError
from swotvre_kernels.lock import check_lock, parse_lock, read_lock, unsatisfied
from swotvre_kernels.models import LOCK_FILE, read_definition
from swotvre_kernels.project import open_project

CHECKOUT = Path(__file__).parents[2]
HASH = f"--hash=sha256:{'0' * 64}"


def test_shipped_lock_satisfies_its_definition_and_the_project() -> None:
    folder = find_environment("swot-ocean")
    definition = read_definition(folder)
    assert definition.project_extra
    project = open_project(definition.project_extra, CHECKOUT)
    pins = check_lock(folder, definition.requirements + project.requirements)
    assert {pin.name for pin in pins} >= {"xarray", "intake", "files-collections", "ipykernel"}


def test_shipped_lock_names_no_address_and_no_folder() -> None:
    text = (ENVIRONMENTS / "swot-ocean" / LOCK_FILE).read_text()
    assert not re.search(r"://|--index-url|--find-links|@ file|/tmp/", text)


def test_lock_folder_points_to_the_lock_of_the_package() -> None:
    link = CHECKOUT / "locks" / "swot-ocean.txt"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (ENVIRONMENTS / "swot-ocean" / LOCK_FILE).resolve()


def test_requirement_outside_the_lock_is_named(environments: Path) -> None:
    with pytest.raises(LockError) as caught:
        check_lock(environments / "tiny", ("ipykernel>=1000", "xarray", "tornado"))
    assert "'ipykernel>=1000' is asked for, but the lock holds ipykernel" in str(caught.value)
    assert "'xarray' is asked for, but the lock does not hold it" in str(caught.value)
    assert "tornado" not in str(caught.value)
    assert "swot-vre kernels lock tiny" in str(caught.value)


def test_pin_of_another_platform_satisfies_nothing_here() -> None:
    pins = parse_lock(f"pywin32==1 ; sys_platform == 'win32' \\\n    {HASH}\n")
    assert unsatisfied(("pywin32",), pins) == ["'pywin32' is asked for, but the lock does not hold it"]
    assert unsatisfied(("pywin32; sys_platform == 'win32'",), pins) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--index-url https://example.org/simple\n", "line 1 of the lock"),
        ("attrs @ https://example.org/attrs.whl\n", "line 1 of the lock"),
        (f"# made by uv\nattrs>=1 \\\n    {HASH}\n", "line 2 of the lock"),
        ("attrs==1\n", "no hash for attrs==1"),
    ],
)
def test_lock_of_another_form_is_refused(text: str, words: str) -> None:
    with pytest.raises(LockError, match=words):
        parse_lock(text)


def test_missing_lock_says_how_to_make_it(environments: Path) -> None:
    (environments / "tiny" / LOCK_FILE).unlink()
    with pytest.raises(LockError, match="swot-vre kernels lock tiny"):
        read_lock(environments / "tiny")


def test_unknown_kernel_lists_those_that_exist() -> None:
    assert "swot-ocean" in available_environments()
    with pytest.raises(UnknownKernelError, match=r"expected one of: .*swot-ocean.*Did you mean 'swot-ocean'"):
        find_environment("swot-ocaen")
