"""Settings of a batch site -> JupyterHub's configuration: how nodes reach the hub, TLS, queues that take their time."""

from __future__ import annotations

from ipaddress import ip_address

from traitlets.config import Config

from swotvre_hub.port_report import install_handler
from swotvre_hub.services import certificates_folder
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.pbs import PbsSessionSpawner
from swotvre_hub.spawner.slurm import SlurmSessionSpawner
from swotvre_hub.state import State

SPAWNERS = {"pbs": PbsSessionSpawner, "slurm": SlurmSessionSpawner}
#: The scheduler tells of an end at once; the hub's own rounds are for what it may have missed.
POLL_SECONDS = 60
#: What a start may take beside waiting and JupyterLab's own time: files, submission, a node made ready.
MARGIN_SECONDS = 300


def configure_batch(c: Config, settings: Settings, state: State) -> None:
    """Run sessions as jobs, reachable from and known to the hub."""
    batch = settings.batch
    scheme = "https" if batch.tls else "http"
    hub = c.JupyterHub
    hub.spawner_class = SPAWNERS[settings.engine]
    hub.hub_bind_url = f"{scheme}://0.0.0.0:{batch.hub_port}"
    hub.hub_connect_url = f"{scheme}://{batch.hub_address}:{batch.hub_port}"
    hub.internal_ssl = batch.tls
    hub.internal_certs_location = str(certificates_folder(settings, state))
    hub.trusted_alt_names = [_alternative_name(batch.hub_address)]
    # A hub that ends leaves sessions to the scheduler; the next one finds them.
    hub.cleanup_servers = False
    hub.cleanup_proxy = not settings.proxy.external
    # Who waits in the scheduler's queue keeps nobody else from waiting there too.
    hub.concurrent_spawn_limit = 0
    c.Spawner.poll_interval = POLL_SECONDS
    waiting_seconds = round(settings.scheduler.waiting_hours * 3600)
    c.Spawner.start_timeout = waiting_seconds + settings.sessions.start_timeout_seconds + MARGIN_SECONDS
    install_handler()


def _alternative_name(host: str) -> str:
    try:
        return f"IP:{ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"
