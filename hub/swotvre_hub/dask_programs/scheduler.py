"""The Dask scheduler of a cluster: Dask's own program, with what Dask Gateway's part in it lacks.

The gateway sends this text in an environment variable; the kernel's interpreter runs it, wherever the cluster runs.
It begins with the wanted number of workers, counts no time as idle in which workers are waited for, and, when the
gateway says so, shows its pages and its API to nobody but the gateway, by TLS.
"""

import asyncio
import json
import os
import random
import socket
import ssl
import sys
import tempfile
from typing import Any

import dask
import dask_gateway.scheduler_preload as preload
import distributed.node
from distributed.cli.dask_scheduler import main
from tornado.httpclient import AsyncHTTPClient

ORDER = json.loads(os.environ.pop("SWOTVRE_DASK"))
#: The cluster's certificate and key, PEM; empty: in files that Dask's own variables name.
CERTIFICATE, KEY = os.environ.pop("SWOTVRE_DASK_CERTIFICATE", ""), os.environ.pop("SWOTVRE_DASK_KEY", "")
#: Workers that come up within this time are reported at once.
TOGETHER_SECONDS = 0.2


class Service(preload.GatewaySchedulerService):
    """Dask Gateway's part in the scheduler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count = ORDER["workers"]
        self.heartbeat_initial = 0.02
        self.last_change = self.loop.time()
        self.telling: asyncio.Future[None] | None = None

    def listen(self, address: tuple[str, int]) -> None:
        """Listen, and begin to scale where the user wants that."""
        super().listen(address)
        if ORDER["maximum"]:
            self.first_adapt = asyncio.ensure_future(self.adapt(ORDER["minimum"], ORDER["maximum"]))

    def worker_added(self, worker_address: str) -> None:
        """Take notice of a worker, and have the gateway know of it at once."""
        self.last_change = self.loop.time()
        super().worker_added(worker_address)
        if self.telling is None or self.telling.done():
            self.telling = asyncio.ensure_future(self.tell_soon())

    async def tell_soon(self) -> None:
        """Report within a moment, once for all workers that come up together."""
        await asyncio.sleep(TOGETHER_SECONDS)
        await self.waiter.interrupt()

    async def check_idle(self) -> None:
        """End the cluster when it has computed nothing for too long, while it had workers to do so."""
        while True:
            await asyncio.sleep(self.idle_timeout / 4)
            scheduler, now = self.scheduler, self.loop.time()
            waits_for_workers = self.count > 0 and not scheduler.workers
            if waits_for_workers or scheduler.unrunnable or any(one.processing for one in scheduler.workers.values()):
                self.last_change = now
                continue
            if scheduler.transition_log:
                self.last_change = max(self.last_change, scheduler.transition_log[-1][-1])
            if now - self.last_change > self.idle_timeout:
                preload.logger.warning("The cluster computed nothing for %.0f seconds and ends", self.idle_timeout)
                await self.gateway.shutdown()


def serve_the_gateway_alone(certificate: str, key: str, authorities: str) -> None:
    """Have every page and the API ask for the cluster's certificate, which the gateway has; trust the gateway's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as pair:  # nobody else reads it
        pair.write(f"{key}\n{certificate}")
        pair.flush()
        context.load_cert_chain(pair.name)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate)
    stock = distributed.node.HTTPServer
    distributed.node.HTTPServer = lambda application, ssl_options=None: stock(application, ssl_options=context)
    listen = preload.web.Application.listen

    def listen_by_tls(application: Any, port: int, address: str | None = None, **options: Any) -> Any:
        return listen(application, port, address, **{**options, "ssl_options": context})

    preload.web.Application.listen = listen_by_tls
    if authorities:
        trusting = ssl.create_default_context(cadata=authorities)
        AsyncHTTPClient.configure(None, defaults={"ssl_options": trusting})


def hold_ports(text: str, count: int) -> list[socket.socket]:
    """Return sockets that hold ``count`` free ports of the range ``FIRST-LAST`` until Dask listens at them.

    Clusters that begin at the same moment on one node take different ones.
    """
    first, _, last = text.partition("-")
    held: list[socket.socket] = []
    for port in random.sample(range(int(first), int(last) + 1), int(last) + 1 - int(first)):
        one = socket.socket()
        try:
            one.bind(("", port))
        except OSError:
            one.close()
            continue
        # Only now: it lets Dask take the port too, and nobody who asks for one that is free.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.append(one)
        if len(held) == count:
            return held
    sys.exit(f"dask scheduler: no {count} ports from {text} are free on {socket.gethostname()}")


def with_ports(arguments: list[str], ports: list[int]) -> list[str]:
    """Return the program's arguments with these ports: the scheduler's, the dashboard's and the API's."""
    done = list(arguments)
    for option, port in zip(("--port", "--dashboard-address", "--dg-api-address"), ports, strict=True):
        place = done.index(option) + 1
        host = done[place].rpartition(":")[0]
        done[place] = f"{port}" if option == "--port" else f"{host}:{port}"
    return done


if __name__ == "__main__":
    if CERTIFICATE:
        serve_the_gateway_alone(CERTIFICATE, KEY, ORDER["authorities"])
        place = "distributed.comm.tls"
        dask.config.set({f"{place}.ca-file": CERTIFICATE})
        dask.config.set({f"{place}.scheduler.key": KEY, f"{place}.scheduler.cert": CERTIFICATE})
    preload.GatewaySchedulerService = Service
    held = hold_ports(ORDER["ports"], 3) if ORDER["ports"] else []
    # Dask's programs take the preloads' options from here. Zero stands for any port.
    sys.argv[1:] = with_ports(sys.argv[1:], [one.getsockname()[1] for one in held] or [0, 0, 0])
    main(prog_name="dask scheduler")
