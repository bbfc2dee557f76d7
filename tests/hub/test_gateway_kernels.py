"""Which kernel a Dask cluster runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from swotvre_hub.errors import KernelUnavailableError
from swotvre_hub.gateway_config import kernel_variables
from swotvre_hub.gateway_kernels import find_cluster_kernel
from swotvre_hub.settings import Settings, load_settings
from swotvre_hub.state import State

# With ``--import-mode=importlib`` tests have no package to import their neighbours from.
sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
from dask_kernels import ACTIVE, BROKEN, EMPTY, NAME, OLDER, describe_kernel, link_kernel

DASK = {"distributed": "1", "dask_gateway": "1"}


@pytest.fixture
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Return a state folder with four versions of a kernel."""
    prefix = tmp_path / ".vre" / "kernels"
    for version, packages in ((ACTIVE, DASK), (OLDER, DASK), (EMPTY, {}), (BROKEN, DASK)):
        environment = prefix / f"{NAME}-{version}"
        describe_kernel(environment, version, packages)
        (environment / "pyvenv.cfg").touch()
        if version != BROKEN:
            (environment / "bin").mkdir()
            (environment / "bin" / "python").symlink_to(sys.executable)
    link_kernel(prefix)
    return State(tmp_path / ".vre")


def test_without_a_wish_it_is_the_active_version_of_the_default_kernel(settings: Settings, state: State) -> None:
    found = find_cluster_kernel("", "", settings, state)
    assert (found.name, found.version) == (NAME, ACTIVE)
    assert found.python == state.kernels(settings) / f"{NAME}-{ACTIVE}" / "bin" / "python"
    assert kernel_variables(found) == {"OF_THE_KERNEL": ACTIVE}


def test_it_is_exactly_the_version_of_the_notebook(settings: Settings, state: State) -> None:
    found = find_cluster_kernel(NAME, OLDER, settings, state)
    assert found.version == OLDER
    assert found.python.parents[1].name == f"{NAME}-{OLDER}"


@pytest.mark.parametrize(
    ("name", "version", "reason"),
    [
        (NAME, "1999.1", f"version 1999.1 of kernel '{NAME}' is not installed.* Installed: 2026.11, 2026.3, 2026.5"),
        (NAME, BROKEN, "is broken: no cluster can run in it"),
        (NAME, EMPTY, "holds no distributed and no dask-gateway"),
        ("swot-ocaen", "", "did you mean 'swot-ocean'"),
        ("swot-ocaen", ACTIVE, "did you mean 'swot-ocean'"),
        ("../kernels/swot-ocean", ACTIVE, "is not installed here"),
        (NAME, "../../x", "is not installed"),
        (7, "", "received '7' as kernel"),
        ("a\nb", "", "as kernel"),
    ],
)
def test_another_one_is_refused_in_words(
    settings: Settings, state: State, name: object, version: object, reason: str
) -> None:
    with pytest.raises(KernelUnavailableError, match=reason):
        find_cluster_kernel(name, version, settings, state)
