"""The gateway's own process: settings -> Dask Gateway server, and its start as a service of the hub."""

from __future__ import annotations

import os
import sys
from typing import Any

from dask_gateway_server.app import DaskGateway
from dask_gateway_server.options import Options, Select
from traitlets.config import Config

from swotvre_hub.errors import SessionSizeUnavailableError, VreError
from swotvre_hub.gateway import read_gateway_port, service_prefix
from swotvre_hub.gateway_backend import GatewayBackend
from swotvre_hub.machine import Machine, measure_machine
from swotvre_hub.ports import LOOPBACK
from swotvre_hub.processes import CLUSTER_ROLE, service_mark
from swotvre_hub.services import end_with_parent
from swotvre_hub.sessions import parse_size_name
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.environment import THREAD_VARIABLES, data_environment
from swotvre_hub.state import State, find_state, load_installed_settings


def configure_gateway_server(c: Config, settings: Settings, state: State) -> None:
    """Assign the gateway's configuration.

    Args:
        c: configuration of ``dask-gateway-server``.
        settings: the site's settings.
        state: where the hub reserved the gateway's port.

    Raises:
        SetupError: when no port was reserved.
    """
    c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
    c.DaskGateway.backend_class = GatewayBackend
    c.DaskGateway.address = f"{LOOPBACK}:0"
    c.Proxy.address = f"{LOOPBACK}:{read_gateway_port(state)}"
    c.Proxy.prefix = service_prefix(settings)
    c.GatewayBackend.state_folder = str(state.root)
    c.GatewayBackend.clusters_directory = str(state.run / "dask-clusters")
    # Nothing of the hub's Python: the clusters run in the environment of the kernel.
    c.GatewayBackend.inherited_environment = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"]
    c.GatewayBackend.cluster_options = lambda user: worker_options(settings, state, measure_machine())
    c.ClusterConfig.idle_timeout = settings.gateway.idle_timeout_minutes * 60
    c.ClusterConfig.cluster_max_workers = settings.gateway.max_workers


def worker_options(settings: Settings, state: State, machine: Machine) -> Options:
    """Return what a user may choose for a cluster, as ``machine`` allows it."""
    return Options(
        WorkerSize(settings, machine),
        handler=lambda options: cluster_configuration(options.size, settings, state, machine),
    )


class WorkerSize(Select):
    """The option ``size``: a session size for each worker; one that does not fit is refused with the reason."""

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self._settings = settings
        self._machine = machine
        fitting = [name for name, size in settings.sizes.items() if not machine.lacks(size.cores, size.memory_gib)]
        default = settings.gateway.default_size
        # Where nothing fits there is still something to show, and to refuse.
        choices = fitting or [default]
        super().__init__("size", choices, default=default if default in choices else choices[0], label="Worker size")

    def validate(self, x: object) -> str:
        """Return ``x`` if it names a size that this machine can hold."""
        name = parse_size_name(x, self._settings)
        size = self._settings.sizes[name]
        if name not in self.options and (reason := self._machine.lacks(size.cores, size.memory_gib)):
            raise SessionSizeUnavailableError(f"worker size {name!r} {reason}; choose among: {', '.join(self.options)}")
        return name


def cluster_configuration(size_name: str, settings: Settings, state: State, machine: Machine) -> dict[str, Any]:
    """Return the configuration of one cluster: programs of the kernel that is active now, workers of ``size_name``.

    Raises:
        SetupError: when the default kernel is not built.
    """
    size = settings.sizes[size_name]
    python = str(state.kernel_python(settings))
    cores = min(size.cores, machine.cores)
    return {
        "scheduler_cmd": [python, "-m", "distributed.cli.dask_scheduler"],
        # The scheduler's dashboard shows the workers; one in each would cost seconds of its start.
        "worker_cmd": [python, "-m", "distributed.cli.dask_worker", "--host", LOOPBACK, "--no-dashboard"],
        "worker_cores": cores,
        "worker_threads": cores,
        "worker_memory": min(size.memory_bytes, machine.memory_bytes),
        "environment": {
            # A worker's threads are its cores; a library that starts threads of its own in each would be too much.
            **dict.fromkeys(THREAD_VARIABLES, "1"),
            **data_environment(settings, state),
            **service_mark(state, CLUSTER_ROLE),
        },
    }


class GatewayServer(DaskGateway):
    """Dask Gateway, configured by the settings of the site in place of a file of its own."""

    def load_config_file(self, *args: object, **kwargs: object) -> None:
        """Take the configuration from ``vre.yaml`` and its defaults."""
        state = find_state()
        config = Config()
        configure_gateway_server(config, load_installed_settings(state), state)
        self.update_config(config)


def main() -> int:
    """Run the gateway until the hub ends it, or ends."""
    end_with_parent()
    os.umask(0o077)
    try:
        GatewayServer.launch_instance(argv=[])
    except VreError as error:
        print(f"dask-gateway: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
