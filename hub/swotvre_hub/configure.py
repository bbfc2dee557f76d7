"""Settings -> JupyterHub's configuration: one function per block, which only assigns."""

from __future__ import annotations

from typing import Any

from traitlets.config import Config

from swotvre_hub.auth import configure_auth
from swotvre_hub.configure_batch import configure_batch
from swotvre_hub.gateway import gateway_roles, gateway_service, session_environment
from swotvre_hub.pages import configure_pages
from swotvre_hub.passwords import read_proxy_token
from swotvre_hub.ports import LOOPBACK, recorded_ports
from swotvre_hub.processes import SERVICE_ROLE, service_mark
from swotvre_hub.request_guards import guard_requests
from swotvre_hub.services import configure_idle, idle_roles, idle_service
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.local import LocalSpawner
from swotvre_hub.state import PORT_VARIABLE, State
from swotvre_hub.stop_requests import note_stop_requests

#: Time between two looks at the routes of a proxy that runs on its own.
ROUTES_SECONDS = 10


def configure(c: Config, settings: Settings, state: State) -> None:
    """Set everything that the settings decide."""
    configure_hub(c, settings, state)
    configure_proxy(c, settings, state)
    configure_auth(c, settings, state)
    configure_sessions(c, settings, state)
    if settings.is_batch:
        configure_batch(c, settings, state)
    configure_services(c, settings, state)
    configure_idle(c, settings, state)
    configure_pages(c, settings, state)


def configure_hub(c: Config, settings: Settings, state: State) -> None:
    """Say where the hub listens and where it keeps its database."""
    hub = c.JupyterHub
    hub.bind_url = f"{settings.hub.bind_origin}{settings.hub.base_url}"
    hub.hub_bind_url = f"http://{LOOPBACK}:{recorded_ports(settings, state).hub}"
    hub.db_url = f"sqlite:///{state.run / 'jupyterhub.sqlite'}"
    hub.upgrade_db = True
    # Ctrl-C ends what was started; a killed hub cleans nothing up, so its sessions live on.
    hub.cleanup_servers = True
    hub.cleanup_proxy = True
    # A user sees at the next page what ended meanwhile, not half a minute later.
    c.Spawner.poll_interval = 5


def configure_proxy(c: Config, settings: Settings, state: State) -> None:
    """Run the proxy that ``swot-vre up`` installed."""
    proxy = c.ConfigurableHTTPProxy
    proxy.command = [str(state.root / "node" / "proxy")]
    scheme = "https" if settings.uses_tls else "http"
    proxy.api_url = f"{scheme}://{LOOPBACK}:{recorded_ports(settings, state).proxy_api}"
    proxy.pid_file = str(state.run / "proxy.pid")
    if settings.proxy.external:
        proxy.should_start = False
        # A proxy that was restarted knows no route until the hub looks.
        c.JupyterHub.last_activity_interval = ROUTES_SECONDS
        proxy.auth_token = read_proxy_token(state)


def configure_sessions(c: Config, settings: Settings, state: State) -> None:
    """Run sessions by the engine of the settings."""
    c.JupyterHub.spawner_class = LocalSpawner
    c.JupyterHub.allow_named_servers = settings.sessions.per_user > 1
    c.JupyterHub.named_server_limit_per_user = settings.sessions.per_user - 1
    c.SessionMixin.settings = settings
    c.SessionMixin.state = state
    c.Spawner.start_timeout = settings.sessions.start_timeout_seconds
    c.Spawner.http_timeout = settings.sessions.start_timeout_seconds
    c.Spawner.environment = session_environment(settings, state)
    guard_requests()
    note_stop_requests()


def configure_services(c: Config, settings: Settings, state: State) -> None:
    """Start Dask Gateway and the watch over idle sessions beside the hub."""
    services: list[dict[str, Any]] = []
    roles: list[dict[str, Any]] = []
    if settings.has_gateway:
        services.append(gateway_service(settings, state))
        roles.extend(gateway_roles(settings, state))
    if settings.idle.enabled:
        services.append(idle_service(settings, state))
        roles.extend(idle_roles(settings, state))
    mark = {**service_mark(state, SERVICE_ROLE), PORT_VARIABLE: str(settings.hub.port)}
    c.JupyterHub.services = [
        {**service, "environment": {**service.get("environment", {}), **mark}} for service in services
    ]
    c.JupyterHub.load_roles = roles
