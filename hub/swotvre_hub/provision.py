"""What ``swot-vre up`` installs beside the hub: session environment, proxy, Lab extension, kernels, sample datalake."""

from __future__ import annotations

from collections.abc import Callable

from swotvre_hub.bootstrap import BootstrapError, ensure_environment, ensure_uv
from swotvre_hub.catalog_program import prepare_sample_datalake
from swotvre_hub.errors import SetupError
from swotvre_hub.front_end import ensure_lab_extension, ensure_node, ensure_proxy
from swotvre_hub.sample_datalake import write_sample_datalake
from swotvre_hub.settings import Settings
from swotvre_hub.state import State
from swotvre_kernels.build import build_kernel

#: Called with what is done now and with the share that is done, 0 to 1.
Progress = Callable[[str, float], None]


def ensure_session_parts(state: State, progress: Progress) -> None:
    """Make the session environment, the proxy and the Lab extension.

    Raises:
        SetupError: when one cannot be made, with the end of what its installer said.
    """
    try:
        progress("JupyterLab", 0.0)
        ensure_environment("lab", state.root, ensure_uv(state.root), state.log / "setup.log")
        progress("proxy", 0.4)
        node = ensure_node(state)
        ensure_proxy(state, node)
        progress("Lab extension", 0.5)
        ensure_lab_extension(state, node)
    except BootstrapError as error:
        raise SetupError(str(error)) from error
    progress("ready", 1.0)


def ensure_kernels(settings: Settings, state: State, progress: Progress) -> None:
    """Build the kernels of the settings; one that is built and verified already costs nothing."""
    names = settings.kernels.install
    for number, name in enumerate(names):

        def report(step: str, fraction: float, number: int = number) -> None:
            progress(step, (number + fraction) / len(names))

        build_kernel(name, state.kernels(settings), progress=report)
    progress("ready", 1.0)


def ensure_datalake(settings: Settings, state: State, progress: Progress) -> None:
    """Write the sample datalake and its indexes and cubes, unless the settings name another one.

    Raises:
        SetupError: with what the program that writes it said.
    """
    if settings.datalake.url:
        progress(settings.datalake.url, 1.0)
        return
    sample = state.root / "datalake"
    if write_sample_datalake(settings, state, sample, progress):
        prepare_sample_datalake(settings, state, sample, progress)
    progress("ready", 1.0)
