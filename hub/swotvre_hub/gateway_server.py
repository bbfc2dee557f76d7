"""The gateway's own process: settings -> Dask Gateway server, and its start as a service of the hub."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path

from dask_gateway_server.app import DaskGateway
from traitlets.config import Config

from swotvre_hub.certificates import KeyPair, SessionAuthority
from swotvre_hub.errors import SetupError, VreError
from swotvre_hub.gateway import node_origin, read_gateway_port, reserve_gateway_port, service_prefix
from swotvre_hub.gateway_backend import GatewayBackend
from swotvre_hub.gateway_batch import BatchGatewayBackend
from swotvre_hub.gateway_config import VreClusterConfig
from swotvre_hub.ports import LOOPBACK
from swotvre_hub.processes import PROXY_ROLE, SERVICE_ROLE, service_mark
from swotvre_hub.services import certificates_folder, end_with_parent
from swotvre_hub.settings import Settings
from swotvre_hub.state import State, find_state, load_installed_settings

#: A submission that takes longer has failed; the time in the queue is another matter.
SUBMISSION_SECONDS = 60.0
#: A running cluster that has not reported for so long is given up.
HEARTBEAT_SECONDS = 180.0
#: Time between two looks at what takes too long.
LOOK_SECONDS = 2.0
#: The proxy outlives gateways, and takes a new certificate only at its own start.
CERTIFICATE_LIFETIME = timedelta(days=5 * 365)


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
    if settings.is_batch:
        configure_batch_clusters(c, settings, state)
    else:
        configure_local_clusters(c, state)


def configure_local_clusters(c: Config, state: State) -> None:
    """Run clusters as processes of this machine, all on loopback."""
    c.DaskGateway.backend_class = GatewayBackend
    c.Proxy.address = f"{LOOPBACK}:{read_gateway_port(state)}"
    c.GatewayBackend.clusters_directory = str(state.run / "dask-clusters")
    # Nothing of the hub's Python: the clusters run in the environment of the kernel.
    c.GatewayBackend.inherited_environment = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"]


def configure_batch_clusters(c: Config, settings: Settings, state: State) -> None:
    """Run clusters as jobs that outlive the gateway, and have nodes reach it.

    Raises:
        SetupError: when the state folder cannot keep a key or a port.
        CertificateError: when the hub's authority cannot sign.
    """
    gateway, prefix = settings.gateway, service_prefix(settings)
    c.DaskGateway.backend_class = BatchGatewayBackend
    # The proxy, which outlives the gateway, finds the next one here.
    c.DaskGateway.address = f"{LOOPBACK}:{reserve_gateway_port(settings, state, 'api')}"
    c.KeptClusters.pages_port = read_gateway_port(state)
    c.Proxy.address = f"0.0.0.0:{gateway.port}"
    c.LastingProxy.record = str(state.run / "dask-gateway-proxy.json")
    c.LastingProxy.log_file = str(state.log / "dask-gateway-proxy.log")
    role = PROXY_ROLE if settings.proxy.external else SERVICE_ROLE
    c.LastingProxy.mark = json.dumps(service_mark(state, role))
    backend = c.BatchGatewayBackend
    backend.api_url = f"{node_origin(settings)}{prefix}/api"
    backend.db_url = f"sqlite:///{state.run / 'dask-gateway.sqlite'}"
    backend.db_encrypt_keys = [ensure_key(state)]
    backend.stop_clusters_on_shutdown = False
    backend.cluster_start_timeout = backend.worker_start_timeout = SUBMISSION_SECONDS
    backend.cluster_heartbeat_timeout = HEARTBEAT_SECONDS
    backend.check_timeouts_period = LOOK_SECONDS
    if settings.uses_tls:
        authority = SessionAuthority(certificates_folder(settings, state))
        pair = authority.serve(
            "dask-gateway", [settings.batch.hub_address, "localhost", LOOPBACK], CERTIFICATE_LIFETIME
        )
        c.Proxy.tls_cert, c.Proxy.tls_key = keep_pair(pair, state)
        backend.authorities = authority.certificate
        c.JupyterHubAuthenticator.tls_key = os.environ.get("JUPYTERHUB_SSL_KEYFILE", "")
        c.JupyterHubAuthenticator.tls_cert = os.environ.get("JUPYTERHUB_SSL_CERTFILE", "")
        c.JupyterHubAuthenticator.tls_ca = os.environ.get("JUPYTERHUB_SSL_CLIENT_CA", "")


def ensure_key(state: State) -> str:
    """Return the key that encrypts tokens and keys of clusters in the database; only the hub's account reads it.

    Raises:
        SetupError: when it cannot be kept or read.
    """
    path = state.run / "dask-gateway.key"
    try:
        if not path.exists():
            write_private(path, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii"))
        key = path.read_text(encoding="ascii").strip()
        if len(base64.urlsafe_b64decode(key)) != 32:
            raise ValueError("not 32 bytes in base64")
    except (OSError, ValueError) as error:
        raise SetupError(
            f"the key of Dask Gateway's database cannot be used: {path}: {error}; restore it from a backup, or remove "
            f"it together with {state.run / 'dask-gateway.sqlite'}: clusters that run are then ended"
        ) from error
    return key


def keep_pair(pair: KeyPair, state: State) -> tuple[str, str]:
    """Keep certificate and key of the gateway where only the hub's account reads them; return their files."""
    certificate, key = state.run / "dask-gateway.crt", state.run / "dask-gateway.pem"
    write_private(certificate, pair.certificate)
    write_private(key, pair.key)
    return str(certificate), str(key)


def write_private(path: Path, content: str) -> None:
    """Write a file that only this account reads, in place of what was there, at once."""
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as stream:
        stream.write(content)
    partial.replace(path)


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
