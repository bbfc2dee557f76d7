"""The gateway's own process: settings -> Dask Gateway server, and its start as a service of the hub."""

from __future__ import annotations

import os
import sys

from dask_gateway_server.app import DaskGateway
from traitlets.config import Config

from swotvre_hub.errors import VreError
from swotvre_hub.gateway import read_gateway_port, service_prefix
from swotvre_hub.gateway_backend import GatewayBackend
from swotvre_hub.gateway_config import VreClusterConfig
from swotvre_hub.ports import LOOPBACK
from swotvre_hub.services import end_with_parent
from swotvre_hub.settings import Settings
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
    c.DaskGateway.address = f"{LOOPBACK}:0"
    c.Proxy.prefix = service_prefix(settings)
    c.KeptClusters.settings = settings
    c.KeptClusters.state = state
    c.KeptClusters.cluster_config_class = VreClusterConfig
    c.ClusterConfig.cluster_max_workers = settings.gateway.max_workers
    configure_local_clusters(c, state)


def configure_local_clusters(c: Config, state: State) -> None:
    """Run clusters as processes of this machine, all on loopback."""
    c.DaskGateway.backend_class = GatewayBackend
    c.Proxy.address = f"{LOOPBACK}:{read_gateway_port(state)}"
    c.GatewayBackend.clusters_directory = str(state.run / "dask-clusters")
    # Nothing of the hub's Python: the clusters run in the environment of the kernel.
    c.GatewayBackend.inherited_environment = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"]


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
