"""The environment of a session: what the spawner adds to JupyterHub's own variables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from swotvre_hub.errors import SetupError
from swotvre_hub.sessions import SessionRequest
from swotvre_hub.settings import Settings
from swotvre_hub.state import State

#: Libraries that otherwise start a thread for each core of the machine.
THREAD_VARIABLES = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
#: What a session keeps of the hub's environment.
KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
#: How the site reaches other hosts; programs look for either spelling.
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
NO_PROXY = ("no_proxy", "NO_PROXY")
#: Where the programs of a node's system are.
NODE_PATH = "/usr/local/bin:/usr/bin:/bin"
#: A session reaches the hub and itself without a proxy, whatever the site says.
NEVER_BY_PROXY = ("127.0.0.1", "localhost")


def resource_environment(settings: Settings, request: SessionRequest, ends_at: datetime | None) -> dict[str, str]:
    """Return what a session is told of its resources, its duration and its end (UTC; None: it will know itself)."""
    cores = str(request.size.cores)
    environment = {
        "SWOTVRE_SIZE": request.size_name,
        "SWOTVRE_WALLTIME_SECONDS": f"{request.walltime.total_seconds():.0f}",
        **({} if ends_at is None else {"SWOTVRE_SESSION_END": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")}),
        "CPU_LIMIT": str(float(request.size.cores)),
        "MEM_LIMIT": str(request.size.memory_bytes),
        **dict.fromkeys(THREAD_VARIABLES, cores),
    }
    if settings.idle.enabled:
        environment["SWOTVRE_IDLE_TIMEOUT_SECONDS"] = f"{settings.idle.timeout_minutes * 60:.0f}"
        environment["SWOTVRE_IDLE_WARNING_SECONDS"] = f"{settings.idle.warning_minutes * 60:.0f}"
    return environment


def data_environment(settings: Settings, state: State) -> dict[str, str]:
    """Return where kernels and data are."""
    return {
        "JUPYTER_PATH": str(state.kernels(settings) / "share" / "jupyter"),
        "SWOTVRE_DEFAULT_KERNEL": settings.kernels.default,
        "SWOTVRE_DATALAKE": state.datalake(settings),
        "SWOTVRE_DATALAKE_OPTIONS": json.dumps(settings.datalake.storage_options),
        "SWOTVRE_INDEX": settings.datalake.index or "",
    }


def batch_environment(settings: Settings, python: Path, end_record: Path) -> dict[str, str]:
    """Return what only a session on a node needs: its programs, its ports, where it says how it ended."""
    return {
        "LANG": "C.UTF-8",
        "PATH": _node_path(python, settings.batch.commands),
        "SWOTVRE_PORTS": settings.batch.ports,
        "SWOTVRE_END_RECORD": str(end_record),
    }


def _node_path(python: Path, commands: str) -> str:
    """Return the folders of programs on a node, the scheduler's commands among them."""
    folders = NODE_PATH.split(os.pathsep)
    return os.pathsep.join([str(python.parent), *([] if commands in folders else [commands]), *folders])


def home_environment(workspace: Path, user_name: str) -> dict[str, str]:
    """Return what makes ``workspace`` the home of every program of a session."""
    share = workspace / ".local" / "share"
    return {
        "HOME": str(workspace),
        "USER": user_name,
        "LOGNAME": user_name,
        "SHELL": os.environ.get("SHELL", "/bin/sh"),
        "XDG_CACHE_HOME": str(workspace / ".cache"),
        "XDG_CONFIG_HOME": str(workspace / ".config"),
        "XDG_DATA_HOME": str(share),
        "JUPYTER_CONFIG_DIR": str(workspace / ".config" / "jupyter"),
        "JUPYTER_DATA_DIR": str(share / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(share / "jupyter" / "runtime"),
        "IPYTHONDIR": str(workspace / ".ipython"),
        "JUPYTERHUB_ROOT_DIR": str(workspace),
    }


def base_environment(lab_python: Path) -> dict[str, str]:
    """Return the little that programs of the lab environment need of the hub's own environment: no secret."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    system = os.environ.get("PATH", os.defpath)
    return {
        "LANG": "C.UTF-8",
        **kept,
        **proxy_environment(os.environ),
        "PATH": f"{lab_python.parent}{os.pathsep}{system}",
    }


def proxy_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ``environment`` that name a proxy, this machine excepted from it; without one nothing."""
    proxies = {name: environment[name] for name in PROXIES if environment.get(name)}
    if not proxies:
        return {}
    hosts = [host.strip() for name in NO_PROXY for host in environment.get(name, "").split(",") if host.strip()]
    return {**proxies, **dict.fromkeys(NO_PROXY, ",".join(dict.fromkeys([*hosts, *NEVER_BY_PROXY])))}


def kernel_path(settings: Settings, state: State, path: str) -> str:
    """Return ``path`` with the default kernel's programs first, so that a terminal and a notebook agree."""
    try:
        return f"{state.kernel_python(settings).parent}{os.pathsep}{path}"
    except SetupError:
        return path
