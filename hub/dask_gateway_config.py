"""Configuration of ``dask-gateway-server``, for who starts it by hand; as a service, the hub starts it by itself."""

from swotvre_hub.gateway_server import configure_gateway_server
from swotvre_hub.state import find_state, load_installed_settings

state = find_state()
configure_gateway_server(get_config(), load_installed_settings(state), state)
