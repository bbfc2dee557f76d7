"""Dask Gateway's proxy on a batch site: it outlives the gateway, so that nobody's computation is cut by a restart."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from dask_gateway_server.proxy import Proxy
from traitlets import Unicode

from swotvre_hub.spawner.identity import ProcessIdentity

#: Time between two looks whether the proxy runs.
LOOK_SECONDS = 2.0
#: A proxy that is to make place ends within this time.
END_SECONDS = 5.0


class LastingProxy(Proxy):
    """Finds the proxy of the gateway before it, or starts one that no end of a gateway takes along."""

    record = Unicode(
        help="File that says which process the proxy is, and its token; nobody else reads it.", config=True
    )
    log_file = Unicode(help="File that the proxy writes to.", config=True)
    mark = Unicode("{}", help="Environment that marks the proxy as part of the installation, JSON.", config=True)

    def start_proxy_process(self) -> None:
        """Take up the proxy that runs, if it does what this gateway wants, else start one."""
        command = [*self.get_start_command(is_child_process=False)]
        found = self._read()
        identity = ProcessIdentity.from_json(found.get("process"))
        if identity is not None and identity.is_alive():
            if found.get("command") == command:
                self.api_token = found["token"]
                self._identity = identity
                return
            _end(identity)
        self.api_token = secrets.token_hex(32)
        environment = {"PATH": os.environ.get("PATH", os.defpath), **json.loads(self.mark)}
        with Path(self.log_file).open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**environment, "DASK_GATEWAY_PROXY_TOKEN": self.api_token},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # Its end is noticed by its identity; as a child of ours it would stay a zombie.
        self.proxy_process = process
        self._identity = ProcessIdentity.of(process.pid)
        self._write({"process": self._identity.to_json(), "command": command, "token": self.api_token})
        self.log.info("Dask gateway proxy started, %s", self.address)

    async def monitor_proxy_process(self) -> None:
        """Start the proxy again when it has ended."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if (process := self.__dict__.get("proxy_process")) is not None:
                process.poll()
            if not self._identity.is_alive():
                self.log.warning("The proxy of Dask Gateway has ended, and is started again")
                try:
                    self.start_proxy_process()
                except OSError as error:
                    self.log.error("The proxy of Dask Gateway cannot be started: %s", error)

    async def cleanup(self) -> None:
        """Leave the proxy alone."""
        await self.task_pool.close()

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            content = json.loads(Path(self.record).read_text(encoding="ascii"))
            if isinstance(content, dict):
                return content
        return {}

    def _write(self, content: dict[str, Any]) -> None:
        path = Path(self.record)
        partial = path.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as stream:
            json.dump(content, stream)
        partial.replace(path)


def _end(identity: ProcessIdentity) -> None:
    identity.send(signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while identity.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    identity.send(signal.SIGKILL)
