"""A Dask worker of a batch cluster: Dask's own program, told by the gateway where the scheduler is.

The gateway sends this text in an environment variable; the kernel's interpreter runs it on the node. The job of the
worker may begin before that of the scheduler: Dask is imported meanwhile, and the address waited for.
"""

import json
import os
import random
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

ORDER = json.loads(os.environ.pop("SWOTVRE_DASK"))
#: The cluster's certificate and key, PEM.
CERTIFICATE, KEY = os.environ.pop("SWOTVRE_DASK_CERTIFICATE"), os.environ.pop("SWOTVRE_DASK_KEY")
TOKEN = os.environ.pop("SWOTVRE_DASK_TOKEN")
#: The gateway says that there is no such cluster (any more), or that this is none of it.
UNWANTED = frozenset({401, 403, 404, 410})
#: Exit status of a worker that nobody waits for, and of one that never learned where its scheduler is.
EXIT_UNWANTED, EXIT_NO_SCHEDULER = 71, 72


class Address:
    """The scheduler's address, asked for in the background."""

    def __init__(self) -> None:
        self.found = ""
        self.status = 0
        self.trouble = "the scheduler of the cluster has not begun"
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()

    def ask(self) -> None:
        """Ask until the gateway knows, or the patience is over."""
        context = ssl.create_default_context(cadata=ORDER["authorities"]) if ORDER["authorities"] else None
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        opener = urllib.request.build_opener(*handlers)
        request = urllib.request.Request(ORDER["url"], headers={"Authorization": f"token {TOKEN}"})  # noqa: S310
        deadline, pause = time.monotonic() + ORDER["patience_seconds"], 0.2
        while time.monotonic() < deadline:
            try:
                with opener.open(request, timeout=60) as answer:
                    self.found = json.load(answer)["address"]
            except urllib.error.HTTPError as error:
                if error.code in UNWANTED:
                    self.status, self.trouble = EXIT_UNWANTED, "the gateway does not know this cluster any more"
                    return
                self.trouble = f"HTTP {error.code} of the gateway"
            except (OSError, ValueError) as error:
                self.trouble = f"the gateway at {ORDER['url']} does not answer: {error}"
            if self.found:
                return
            time.sleep(pause)
            pause = min(pause * 2, 10.0)
        self.status = EXIT_NO_SCHEDULER


def own_address() -> str:
    """Return the address of this node in the network that leads to the gateway."""
    target = urlsplit(ORDER["url"])
    host, port = target.hostname or "localhost", target.port or 443
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)  # sends nothing
        return str(probe.getsockname()[0])


def port_windows(text: str, width: int = 100) -> tuple[str, str]:
    """Return two ranges ``FIRST:LAST`` of the range ``FIRST-LAST``, other ones on each call."""
    first, last = map(int, text.split("-"))
    width = max(1, min(width, (last - first + 1) // 2))
    start = random.randint(first, last + 1 - 2 * width)  # noqa: S311 - no secret
    return f"{start}:{start + width - 1}", f"{start + width}:{start + 2 * width - 1}"


if __name__ == "__main__":
    address = Address()
    import dask
    from distributed.cli.dask_worker import main

    place = "distributed.comm.tls"
    dask.config.set({f"{place}.ca-file": CERTIFICATE})
    dask.config.set({f"{place}.worker.key": KEY, f"{place}.worker.cert": CERTIFICATE})
    nanny_ports, worker_ports = port_windows(ORDER["ports"])
    options = ["--host", own_address(), "--nanny-port", nanny_ports, "--worker-port", worker_ports]
    address.thread.join()
    if not address.found:
        print(f"dask worker: {address.trouble}", file=sys.stderr, flush=True)  # noqa: T201
        sys.exit(address.status)
    sys.argv[1:] = [address.found, *options, *sys.argv[1:]]
    main(prog_name="dask worker")
