"""A Dask cluster of this site, with a client that is ready."""

from __future__ import annotations

import atexit
import time
import urllib.request
import warnings
from typing import Any

from dask_gateway import GatewayCluster
from distributed import Client

from swotvre.errors import ClusterError, ClusterLostError, ClusterTimeoutError, GatewayUnreachableError
from swotvre.progress_line import ProgressLine, open_line
from swotvre.site_gateway import ClosedOnceGateway, SiteGateway, in_words
from swotvre.state import ClusterState, describe_seconds, describe_start, describe_workers

#: The gateway is asked so often at first, and after some seconds.
FIRST_POLL_SECONDS, POLL_SECONDS = 0.2, 1.0
#: A gateway that is being restarted is waited for so long: its clusters survive that.
GATEWAY_PATIENCE_SECONDS = 120.0
#: From here on the line says how long it has been going on.
TELLING_SECONDS = 3.0


class Watch:
    """Asks the gateway about one cluster until something is so, and tells the user meanwhile."""

    def __init__(self, gateway: SiteGateway, name: str, line: ProgressLine, timeout_seconds: float | None) -> None:
        """Begin to count ``timeout_seconds``; None: as long as it takes."""
        self._gateway = gateway
        self._name = name
        self._line = line
        self._begun = time.monotonic()
        self._timeout_seconds = timeout_seconds
        self._silent_since: float | None = None

    def tell(self, text: str) -> None:
        """Show ``text``, and for how long it has been going on."""
        seconds = time.monotonic() - self._begun
        self._line.show(text, describe_seconds(seconds) if seconds >= TELLING_SECONDS else "")

    def look(self) -> ClusterState | None:
        """Return the state of the cluster; None while the gateway does not answer.

        Raises:
            ClusterLostError: when it is over.
            GatewayUnreachableError: when the gateway has not answered for two minutes.
        """
        try:
            state = self._gateway.state(self._name)
        except GatewayUnreachableError:
            now = time.monotonic()
            self._silent_since = self._silent_since or now
            if now - self._silent_since > GATEWAY_PATIENCE_SECONDS:
                raise
            self.tell("Dask Gateway does not answer at the moment; asking again")
            return None
        self._silent_since = None
        if state.is_over:
            raise lost(state)
        return state

    def pause(self, text: str) -> None:
        """Show ``text`` and wait until it is time to ask again.

        Raises:
            ClusterTimeoutError: when the time is up.
        """
        seconds = time.monotonic() - self._begun
        if self._timeout_seconds is not None and seconds >= self._timeout_seconds:
            raise ClusterTimeoutError(
                f"the cluster was not ready after {describe_seconds(seconds)} and was ended; last: {text}. "
                "Ask for fewer or smaller workers, give it more time with 'timeout', or do not wait for all: wait=2"
            )
        self.tell(text)
        time.sleep(FIRST_POLL_SECONDS if seconds < 5 else POLL_SECONDS)

    def wait_for_scheduler(self) -> ClusterState:
        """Wait until the cluster runs."""
        text = "cluster: starting"
        while True:
            state = self.look()
            if state is not None and not state.is_pending:
                return state
            text = describe_start(state) if state is not None else text
            self.pause(text)


class SiteCluster(GatewayCluster):
    """A Dask cluster of this site.

    It ends at the end of a ``with`` block, with :meth:`close`, or with the kernel; a cluster that computes nothing is
    ended after a time that the site sets. ``scale(n)`` and ``adapt(minimum=..., maximum=...)`` change its workers.
    """

    #: Computes on the cluster; Dask's default from its start on.
    client: Client
    #: Workers that were asked for last.
    wanted: int

    @classmethod
    def open(cls, gateway: SiteGateway, name: str, *, ends_with_kernel: bool) -> SiteCluster:
        """Connect to a cluster that runs.

        Raises:
            ClusterError: when it cannot be reached.
        """
        try:
            cluster: SiteCluster = cls.from_name(name, shutdown_on_close=ends_with_kernel)
            # Dask makes its own; Python would collect it with a traceback.
            cluster.gateway.__class__ = ClosedOnceGateway
            cluster.client = cluster.get_client()
        except Exception as error:
            told = in_words(error, gateway.client.address)
            if told is None:
                raise
            raise told from None
        cluster.wanted = 0
        return cluster

    @property
    def connected(self) -> int:
        """Number of workers that compute."""
        return len(self.client.nthreads())

    @property
    def cores(self) -> int:
        """Threads of all workers that compute."""
        return int(sum(self.client.nthreads().values()))

    def wait(self, workers: int, timeout: float | None = None) -> None:
        """Wait until so many workers compute, and say how far they are.

        Args:
            workers: number of workers.
            timeout: seconds; None: as long as it takes.

        Raises:
            ClusterTimeoutError: when they are not there in time; the cluster goes on.
            ClusterLostError: when the cluster ended meanwhile.
        """
        gateway = SiteGateway()
        try:
            line = open_line()
            self.wait_for_workers_of(Watch(gateway, self.name, line, timeout), workers)
            line.finish(self.describe())
        finally:
            gateway.close()

    def wait_for_workers_of(self, watch: Watch, workers: int) -> None:
        """Wait for so many workers, as ``watch`` sees them."""
        while (connected := self.connected) < workers:
            state = watch.look()
            if state is not None:
                # What was asked for is told, even where fewer are waited for.
                watch.pause(describe_workers(connected, max(workers, self.wanted), state))
            else:
                time.sleep(POLL_SECONDS)

    def describe(self, size: str = "") -> str:
        """Return in one line what the cluster has."""
        threads = self.client.nthreads()
        workers, cores = len(threads), sum(threads.values())
        line = f"{workers} worker{'' if workers == 1 else 's'}"
        if size:
            line += f" of size {size}"
        line += f", {cores} core{'' if cores == 1 else 's'}"
        return f"{line}; {self.wanted - workers} more to come" if self.wanted > workers else line

    async def _stop_internal(self, shutdown: bool | None = None) -> None:
        """End the cluster if that was agreed, and let go of it; a gateway that is away is told of in one line."""
        try:
            if (self.shutdown_on_close if shutdown is None else shutdown) and self.name is not None:
                await self.gateway._stop_cluster(self.name)
        except Exception as error:
            self._warn(in_words(error, self.gateway.address) or error)
        finally:
            await super()._stop_internal(shutdown=False)

    def end_at_exit(self) -> None:
        """End the cluster while Python ends, when event loops cannot look up names any more."""
        headers, _ = self.gateway.auth.pre_request(None)
        address = f"{self.gateway.address}/api/v1/clusters/{self.name}"
        request = urllib.request.Request(address, headers=headers, method="DELETE")  # noqa: S310 - the gateway's
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
                self.shutdown_on_close = False
        except OSError as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        warnings.warn(f"the cluster {self.name} may still run: {error}", stacklevel=3)

    def __enter__(self) -> SiteCluster:
        """Return the cluster, which the end of the block ends."""
        return self

    def __exit__(self, *args: Any) -> None:
        """End the cluster."""
        self.close(shutdown=True)


@atexit.register
def end_clusters_at_exit() -> None:
    """End the clusters of this process that end with it; called before Dask's own, which then only lets go."""
    for cluster in list(GatewayCluster._instances):
        if isinstance(cluster, SiteCluster) and cluster.shutdown_on_close and cluster.name is not None:
            cluster.end_at_exit()


def lost(state: ClusterState) -> ClusterError:
    """Return the error that tells of a cluster that is over."""
    what = "failed" if state.status == "failed" else "was ended"
    reason = state.message or "the gateway gave no reason; tell who runs this site its name"
    return ClusterLostError(f"the cluster {state.name} {what}: {reason}")
