"""A hub with a gateway on a cluster under test, and its users' notebooks: clients in the kernel's environment."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil
from batch_hub import BatchHub
from cluster import BatchCluster
from dask_kernels import ACTIVE, NAME

from swotvre_hub.ports import free_ports
from swotvre_hub.processes import SERVICE_ROLE, find_processes
from swotvre_hub.state import State

PREFIX = "/services/dask-gateway"
BEGIN = """
import json, os, sys, time, urllib.error, urllib.request
from dask_gateway import Gateway, GatewayClusterError

def state(name):
    url = f"{os.environ['DASK_GATEWAY__ADDRESS']}/api/v1/clusters/{name}/state"
    request = urllib.request.Request(url, headers={"Authorization": "jupyterhub " + os.environ["JUPYTERHUB_API_TOKEN"]})
    return json.load(urllib.request.urlopen(request))

def wait(happened, seconds=90):
    deadline = time.time() + seconds
    while not (found := happened()):
        assert time.time() < deadline, f"waited {seconds} s"
        time.sleep(0.1)
    return found

def refusal(action):
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""

gateway = Gateway()
"""


class LocalMachine:
    """This machine in the place of a batch cluster: clusters are processes of the hub's account."""

    title = "this machine"
    is_real = True
    engine = "local"
    commands = Path("/nowhere")
    environment: ClassVar[dict[str, str]] = {}
    hub_address = "127.0.0.1"
    node_names = (socket.gethostname(),)


@dataclass
class DaskSite:
    """A hub with a gateway."""

    hub: BatchHub
    kernels: Path
    gateway_port: int

    @property
    def cluster(self) -> BatchCluster:
        """The batch cluster."""
        return self.hub.cluster

    @property
    def state(self) -> State:
        """The state folder."""
        return State(self.hub.state)

    @property
    def python(self) -> Path:
        """The interpreter of the kernel."""
        return self.kernels / f"{NAME}-{ACTIVE}" / "bin" / "python"

    def environment(self, user: str) -> dict[str, str]:
        """Return the environment of a notebook of ``user``, as far as Dask Gateway is concerned."""
        api = self.hub.api
        assert api.post(f"/users/{user}").status_code in {201, 409}
        token = api.post(f"/users/{user}/tokens", json={}).json()["token"]
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "JUPYTERHUB_API_TOKEN": token,
            "DASK_GATEWAY__ADDRESS": self.address,
            "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://{self.cluster.hub_address}:{self.port}",
            "DASK_GATEWAY__PUBLIC_ADDRESS": PREFIX,
            "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
            **({} if self.is_local else {"SSL_CERT_FILE": str(self.authority)}),
        }

    @property
    def is_local(self) -> bool:
        """Whether clusters run on this machine."""
        return self.cluster.engine == "local"

    @property
    def port(self) -> int:
        """The port by which clients reach the schedulers of clusters."""
        return int((self.state.run / "dask-gateway.port").read_text()) if self.is_local else self.gateway_port

    @property
    def address(self) -> str:
        """Where clients reach the gateway."""
        origin = self.hub.url.rstrip("/") if self.is_local else f"https://{self.cluster.hub_address}:{self.port}"
        return f"{origin}{PREFIX}"

    def trust(self) -> ssl.SSLContext | bool:
        """Return how a client of the tests trusts the gateway."""
        return True if self.is_local else ssl.create_default_context(cafile=str(self.authority))

    @property
    def authority(self) -> Path:
        """Whom a session trusts as the gateway."""
        (found,) = self.state.run.glob("tls/*/notebooks-ca/notebooks-ca.crt")
        return found

    def start(self, user: str, code: str) -> subprocess.Popen[str]:
        """Start Python code of a notebook of ``user``."""
        return subprocess.Popen(
            [str(self.python), "-c", BEGIN + code],
            env=self.environment(user),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def finish(self, process: subprocess.Popen[str], seconds: float = 150) -> Any:
        """Return the object that such code prints last."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"waited {seconds:g} s\n{out}\n{err}\n{self.hub.log()[-6000:]}") from None
        assert process.returncode == 0, f"{out}\n{err}\n{self.hub.log()[-6000:]}"
        return json.loads(out.splitlines()[-1])

    def run(self, user: str, code: str, seconds: float = 150) -> Any:
        """Run Python code of a notebook of ``user``, and return the object that it prints last."""
        return self.finish(self.start(user, code), seconds)

    def gateway(self) -> psutil.Process:
        """Return the gateway's process."""
        (found,) = (
            process
            for process in find_processes(self.state, [SERVICE_ROLE])
            if "swotvre_hub.gateway_server" in process.cmdline()
        )
        return found

    def answers(self) -> bool:
        """Return whether the gateway answers."""
        try:
            return httpx.get(f"{self.address}/api/health", timeout=2, verify=self.trust()).is_success
        except httpx.TransportError:
            return False

    def wait_for_gateway(self) -> None:
        """Wait until the gateway answers."""
        self.hub.wait(self.answers, "the gateway to answer", 60)


def site_settings(kernels: Path, **gateway: Any) -> tuple[dict[str, Any], int]:
    """Return settings of a hub with a gateway, and the gateway's port."""
    port = free_ports(1)[0]
    block = {
        "enabled": True,
        "default_size": "small",
        "max_workers": 8,
        "port": port,
        "scheduler_memory_gib": 1,
        "start_timeout_seconds": 60,
        **gateway,
    }
    return {"gateway": block, "kernels": {"prefix": str(kernels)}}, port
