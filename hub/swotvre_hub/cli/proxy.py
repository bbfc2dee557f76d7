"""``swot-vre proxy``: the proxy as a program of its own, which a restart or an upgrade of the hub does not touch."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TextIO

from swotvre_hub.bootstrap import CHECKOUT, ensure_state
from swotvre_hub.errors import SetupError
from swotvre_hub.passwords import ensure_passwords, read_proxy_token
from swotvre_hub.ports import LOOPBACK, ensure_port_is_free, recorded_ports
from swotvre_hub.processes import PROXY_ROLE, service_mark
from swotvre_hub.services import certificates_folder
from swotvre_hub.settings import Settings
from swotvre_hub.state import STATE_VARIABLE, State, find_state, load_installed_settings


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``proxy``."""
    parser = nouns.add_parser("proxy", help="run the proxy on its own, for settings with proxy.external")
    parser.add_argument("--state", help="state folder (default: $SWOTVRE_STATE or .vre)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Become the proxy: it runs until it is told to stop."""
    state = find_state(args.state)
    os.environ[STATE_VARIABLE] = str(state.root)
    settings = load_installed_settings(state)
    if not settings.proxy.external:
        raise SetupError("the hub runs its proxy itself; set 'proxy: {external: true}' in vre.yaml to run it here")
    program = state.root / "node" / "proxy"
    if not program.exists():
        raise SetupError(f"the proxy is not installed in {program}; run 'swot-vre up --only-install' first")
    ensure_state(state.root)
    ensure_passwords(state)
    ensure_port_is_free(settings.hub.address, settings.hub.port)
    command = [str(program), *proxy_arguments(settings, state)]
    print(f"proxy at {settings.hub.bind_origin}{settings.hub.base_url}", file=out, flush=True)
    environment = {
        **os.environ,
        **service_mark(state, PROXY_ROLE),
        "CONFIGPROXY_AUTH_TOKEN": read_proxy_token(state),
    }
    os.execve(program, command, environment)  # noqa: S606


def proxy_arguments(settings: Settings, state: State) -> list[str]:
    """Return the arguments with which the proxy does what JupyterHub would have it do."""
    hub = settings.hub
    # Ports of an earlier start are kept: the hub looks for the proxy there.
    ports = recorded_ports(settings, state)
    scheme = "https" if settings.uses_tls else "http"
    host, port = (settings.batch.hub_address, settings.batch.hub_port) if settings.is_batch else (LOOPBACK, ports.hub)
    return [
        *("--ip", hub.address, "--port", str(hub.port)),
        *("--api-ip", LOOPBACK, "--api-port", str(ports.proxy_api)),
        *("--error-target", f"{scheme}://{host}:{port}{hub.base_url}hub/error"),
        # The hub knows its routes and sends those that are missing: nothing is lost when this restarts.
        *("--log-level", "warn"),
        *(_tls_arguments(settings, state) if settings.uses_tls else ()),
    ]


def _tls_arguments(settings: Settings, state: State) -> list[str]:
    folder = certificates_folder(settings, state)
    if not (folder / "proxy-client" / "proxy-client.crt").exists():
        _make_certificates(state)
    arguments = []
    for option, name in (("api", "proxy-api"), ("client", "proxy-client")):
        arguments += [f"--{option}-ssl-key", str(folder / name / f"{name}.key")]
        arguments += [f"--{option}-ssl-cert", str(folder / name / f"{name}.crt")]
        arguments += [f"--{option}-ssl-ca", str(folder / f"{name}-ca_trust.crt")]
        arguments += [f"--{option}-ssl-request-cert", f"--{option}-ssl-reject-unauthorized"]
    return arguments


def _make_certificates(state: State) -> None:
    """Have JupyterHub make its authorities, as it would at its own first start."""
    command = [sys.executable, "-m", "jupyterhub", "--generate-certs"]
    command += ["-f", str(CHECKOUT / "hub" / "jupyterhub_config.py")]
    done = subprocess.run(command, cwd=state.run, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"the certificates of hub and proxy could not be made:\n{done.stderr.strip()[-2000:]}")
