"""Which kernel's programs a Dask cluster runs: the version that the notebook runs, or none at all."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from swotvre_hub.errors import KernelUnavailableError
from swotvre_hub.settings import Settings
from swotvre_hub.state import State
from swotvre_kernels.install import environment_python
from swotvre_kernels.kernelspec import KERNELS
from swotvre_kernels.models import Manifest
from swotvre_kernels.registry import KernelState, has_kernel, list_kernels

#: What a kernel must hold for a cluster to run in it.
NEEDED = ("distributed", "dask-gateway")
USABLE = frozenset({KernelState.ACTIVE, KernelState.OLD})


@dataclass(frozen=True)
class ClusterKernel:
    """A kernel that clusters can run."""

    name: str
    #: Empty: it does not say.
    version: str
    #: Its interpreter, absolute.
    python: Path


def find_cluster_kernel(name: object, version: object, settings: Settings, state: State) -> ClusterKernel:
    """Return the kernel ``name`` in ``version``.

    Args:
        name: as its kernelspec; empty: the site's default kernel.
        version: of the kernel, ``2026.11``; empty: the one that new notebooks run.
        settings: the site's settings.
        state: where kernels are built unless the settings say otherwise.

    Raises:
        KernelUnavailableError: when it is not installed, broken, or holds no Dask Gateway.
        SetupError: when the site's default kernel is not built.
    """
    for what, value in (("kernel", name), ("kernel_version", version)):
        if not isinstance(value, str) or len(value) > 100 or not value.isprintable():
            raise KernelUnavailableError(
                f"received {str(value)[:60]!r} as {what}; expected the name that Jupyter shows"
            )
    kernel, wanted = str(name) or settings.kernels.default, str(version)
    if not wanted:
        return _active(kernel, settings, state)
    installed = list_kernels(state.kernels(settings))
    named = [one for one in installed if one.manifest is not None and has_kernel(one.manifest, kernel)]
    if not named:
        manifests = [one.manifest for one in installed if one.manifest is not None]
        raise _unknown(kernel, {name for manifest in manifests for name in manifest.kernel_names})
    found = next((one for one in named if one.manifest is not None and one.manifest.version == wanted), None)
    if found is None or found.manifest is None:
        there = ", ".join(one.manifest.version for one in named if one.manifest and one.state in USABLE) or "none"
        raise KernelUnavailableError(
            f"version {wanted} of kernel {kernel!r} is not installed: workers would run other packages than the "
            f"notebook. Installed: {there}. Restart the notebook's kernel, which then runs an installed version"
        )
    if found.state not in USABLE:
        raise KernelUnavailableError(
            f"{found.path.name} is {found.state}: no cluster can run in it; choose another version, "
            f"or tell who runs this site"
        )
    _ensure_it_holds_dask(kernel, found.manifest)
    return ClusterKernel(kernel, wanted, environment_python(found.path))


def _active(kernel: str, settings: Settings, state: State) -> ClusterKernel:
    specs = state.kernels(settings) / KERNELS
    if kernel != settings.kernels.default and not (specs / kernel / "kernel.json").is_file():
        raise _unknown(kernel, {spec.parent.name for spec in specs.glob("*/kernel.json")})
    python = state.kernel_python(settings, kernel)
    manifest = Manifest.read(python.parents[1]) if len(python.parents) > 1 else None
    if manifest is None:
        return ClusterKernel(kernel, _version_of_spec(specs / kernel / "kernel.json"), python)
    _ensure_it_holds_dask(kernel, manifest)
    return ClusterKernel(kernel, manifest.version, python)


def _version_of_spec(spec: Path) -> str:
    try:
        return str(json.loads(spec.read_text(encoding="utf-8"))["metadata"]["swot_vre"]["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _ensure_it_holds_dask(kernel: str, manifest: Manifest) -> None:
    names = {name.lower().replace("_", "-") for name in manifest.packages}
    if missing := [name for name in NEEDED if name not in names]:
        raise KernelUnavailableError(
            f"kernel {kernel!r} {manifest.version} cannot run a Dask cluster: it holds no {' and no '.join(missing)}; "
            "choose another kernel"
        )


def _unknown(kernel: str, installed: set[str]) -> KernelUnavailableError:
    near = difflib.get_close_matches(kernel, sorted(installed), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return KernelUnavailableError(
        f"kernel {kernel!r} is not installed here; installed: {', '.join(sorted(installed)) or 'none'}{hint}"
    )
