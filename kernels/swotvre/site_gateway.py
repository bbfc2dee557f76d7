"""Dask Gateway as a session knows it; whatever fails, fails in words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from dask_gateway import Gateway, GatewayClusterError, GatewayServerError
from dask_gateway.client import ClusterReport

from swotvre.errors import (
    ClusterError,
    ClusterRefusedError,
    GatewayUnreachableError,
    NoGatewayError,
    NotLetInError,
)
from swotvre.state import ClusterState, read_state

#: A question that takes longer counts as unanswered.
QUESTION_SECONDS = 30.0
#: A request for a cluster may take longer: the gateway submits a job.
SUBMIT_SECONDS = 120.0
#: How the gateway says that the hub does not know a token.
_UNKNOWN_TO_HUB = "Permission failure verifying"


class ClosedOnceGateway(Gateway):
    """Dask's client of the gateway; its own ``close`` fails when Python collects it after it was closed."""

    def close(self) -> Any:
        """Close the connections, once."""
        if not self.asynchronous and not self._loop_runner.is_started():
            return None
        return super().close()


class SiteGateway:
    """The gateway that the session's environment names.

    Raises:
        NoGatewayError: when it names none.
    """

    def __init__(self) -> None:
        try:
            self.client = ClosedOnceGateway()
        except ValueError:
            raise NoGatewayError(
                "this session knows of no Dask Gateway (no address in the variable DASK_GATEWAY__ADDRESS, nor "
                "gateway.address in Dask's configuration): the site does not run one, or this is no session of it. "
                "Dask computes in the session itself: dask.distributed.Client()"
            ) from None
        self._tells_states = True

    def options(self) -> dict[str, Any]:
        """Return what a user may choose for a cluster: name -> default."""
        return dict(self._ask(lambda: self.client._cluster_options()))

    def submit(self, options: dict[str, Any]) -> str:
        """Ask for a cluster; return its name.

        One that is taken while the user interrupts is ended again.

        Raises:
            ClusterRefusedError: with the gateway's reason.
            KeyboardInterrupt: when there is no cluster any more, as far as the gateway answers.
        """
        submission = self._begin(lambda: self.client._submit(**options), SUBMIT_SECONDS)
        try:
            return str(self._answer(submission))
        except KeyboardInterrupt:
            name = str(submission.result(SUBMIT_SECONDS))
            self.stop(name)
            raise

    def report(self, name: str) -> ClusterReport:
        """Return the gateway's own report of a cluster."""
        return self._ask(lambda: self.client._cluster_report(name))

    def reports(self) -> list[ClusterReport]:
        """Return reports of all clusters of this user that wait or run."""
        found: list[ClusterReport] = self._ask(lambda: self.client._clusters())
        return found

    def state(self, name: str) -> ClusterState:
        """Return what the gateway knows about a cluster; a gateway of another make knows less.

        Raises:
            ClusterRefusedError: when there is no such cluster of this user.
        """
        if self._tells_states:
            try:
                return read_state(self._ask(lambda: self._state(name)))
            except ClusterRefusedError:
                # No such cluster, or no such question: the report tells which.
                report = self.report(name)
                self._tells_states = False
        else:
            report = self.report(name)
        size = (report.options or {}).get("size", "")
        return ClusterState(name=name, status=report.status.name.lower(), size=str(size))

    def scale(self, name: str, workers: int) -> str:
        """Ask for so many workers; return what the gateway has to say against it, empty: nothing."""
        return self._tell(name, "scale", {"count": workers})

    def adapt(self, name: str, minimum: int, maximum: int) -> str:
        """Let the cluster choose between so many workers; return what the gateway has to say against it."""
        return self._tell(name, "adapt", {"minimum": minimum, "maximum": maximum, "active": True})

    def stop(self, name: str) -> None:
        """End a cluster."""
        self._ask(lambda: self.client._stop_cluster(name))

    def stop_patiently(self, name: str, patience_seconds: float = 10.0) -> bool:
        """End a cluster, asking again while the gateway does not answer; return whether it took the order."""
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                self.stop(name)
            except GatewayUnreachableError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.5)
            except ClusterError:
                return False
            else:
                return True

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    async def _state(self, name: str) -> dict[str, Any]:
        answer = await self.client._request("GET", f"{self.client.address}/api/v1/clusters/{name}/state")
        content: dict[str, Any] = await answer.json()
        return content

    def _tell(self, name: str, verb: str, body: dict[str, Any]) -> str:
        async def tell() -> str:
            url = f"{self.client.address}/api/v1/clusters/{name}/{verb}"
            answer = await (await self.client._request("POST", url, json=body)).json()
            return "" if answer.get("ok", True) else str(answer.get("msg") or "")

        said: str = self._ask(tell)
        return said

    def _ask(self, question: Callable[[], Coroutine[Any, Any, Any]], seconds: float = QUESTION_SECONDS) -> Any:
        return self._answer(self._begin(question, seconds))

    def _begin(self, question: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> Any:
        async def ask() -> Any:
            return await asyncio.wait_for(question(), seconds)

        return asyncio.run_coroutine_threadsafe(ask(), self.client.loop.asyncio_loop)

    def _answer(self, future: Any) -> Any:
        try:
            return future.result()
        except Exception as error:
            told = in_words(error, self.client.address)
            if told is None:
                raise
            raise told from None


def in_words(error: Exception, address: str) -> ClusterError | None:
    """Return what to tell a user in place of an error of a request to the gateway at ``address``; None: a fault."""
    match error:
        case GatewayServerError() if _UNKNOWN_TO_HUB in str(error):
            return _not_let_in(address)
        case aiohttp.ClientResponseError(status=401):
            return _not_let_in(address)
        case aiohttp.ClientResponseError(status=403):
            return ClusterRefusedError(f"Dask Gateway refuses: {error.message}")
        case aiohttp.ClientResponseError():
            return _unreachable(address, f"HTTP {error.status} {error.message}")
        case GatewayServerError():
            return ClusterError(
                f"Dask Gateway failed: {error}. Try again; if that does not help, tell who runs this site"
            )
        case ValueError() | GatewayClusterError():
            return ClusterRefusedError(str(error))
        case TimeoutError():
            return _unreachable(address, "no answer in time")
        case aiohttp.ClientError() | OSError():
            return _unreachable(address, str(error) or type(error).__name__)
    return None


def _not_let_in(address: str) -> NotLetInError:
    return NotLetInError(
        f"Dask Gateway at {address} does not accept this session's token: the session has ended for the hub, or its "
        "token was revoked or has expired. Save your work, stop the session and start it again"
    )


def _unreachable(address: str, reason: str) -> GatewayUnreachableError:
    return GatewayUnreachableError(
        f"Dask Gateway at {address} does not answer ({reason}): it or the hub is being restarted, or is down. "
        "Try again in a minute; if that does not help, tell who runs this site"
    )
