"""Dask clusters as jobs of a batch system: they wait in its queue as long as they may, and outlive the gateway."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientTimeout, web
from dask_gateway_server.backends import db_base
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.db_base import Cluster, JobStatus, Worker
from dask_gateway_server.utils import timestamp
from traitlets import Unicode

from swotvre_hub.certificates import KeyPair, client_context
from swotvre_hub.durations import describe_duration
from swotvre_hub.engines.base import EndCause
from swotvre_hub.gateway_batch_state import describe_batch_cluster, why_it_waits
from swotvre_hub.gateway_clusters import KeptClusters, program_text
from swotvre_hub.gateway_config import VreClusterConfig, cluster_environment, run_program
from swotvre_hub.gateway_jobs import DaskJob, DaskJobs, NotSubmittedError, is_pending
from swotvre_hub.gateway_options import ClusterOffer, ClusterRequest
from swotvre_hub.gateway_proxy import LastingProxy
from swotvre_hub.gateway_state import ClusterState, option
from swotvre_hub.queue_choices import choices_of
from swotvre_hub.settings import SessionSize, Settings
from swotvre_hub.spawner.environment import NODE_PATH
from swotvre_hub.state import State

#: A scheduler whose node is not known yet is waited for so long, before its report is taken.
NODE_SECONDS = 10.0
#: Attempts to reach the scheduler of a cluster, and the pause between them.
ATTEMPTS, PAUSE_SECONDS = 3, 0.3
#: Workers are tried again so long after the scheduler refused one, twice as long each time.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 10.0, 300.0
#: A worker whose job begins before its scheduler's waits for it so long.
WORKER_PATIENCE_SECONDS = 300


class BatchGatewayBackend(KeptClusters):
    """Clusters whose scheduler and workers are jobs of PBS or Slurm, submitted as their user."""

    authorities = Unicode(help="Whom nodes trust as the gateway, PEM; empty: it is reached without TLS.", config=True)

    default_host = "0.0.0.0"  # noqa: S104 - of nodes; who has no certificate of the cluster gets no answer

    async def setup(self, app: web.Application) -> None:
        """Start; the clusters of the gateway before this one are found by the database."""
        # The base class makes the proxy itself, of this class.
        db_base.Proxy = LastingProxy
        self.jobs = DaskJobs(self.settings, self.state, self.log, self._job_ended)
        #: When workers may be tried again, and for how long they are not, by the name of their cluster.
        self._not_before: dict[str, tuple[float, float]] = {}
        #: What became of workers last, by the name of their cluster.
        self.worker_words: dict[str, str] = {}
        await super().setup(app)

    async def do_setup(self) -> None:
        """Take up the jobs of clusters that go on; end those that belong to none."""
        await super().do_setup()
        for cluster in self.db.name_to_cluster.values():
            if cluster.status >= JobStatus.STOPPED:
                continue
            for part in (cluster, *cluster.workers.values()):
                job = self.jobs.get(part.state.get("job"))
                if job is not None and part.status < JobStatus.STOPPED and not job.is_unwanted:
                    self.jobs.take_up(job)
        self.jobs.runtime.start_upkeep()

    async def do_cleanup(self) -> None:
        """End our questions; the clusters go on."""
        await self.jobs.stop()

    async def make_offer(self, user_name: str) -> ClusterOffer:
        """Return what the cluster can hold, and which queues and projects the user may choose."""
        view = self.jobs.runtime.view
        await view.refresh(patience_seconds=1.0 if view.age_seconds is None else 0.0)
        choices = choices_of(user_name, self.settings, view.state, "clusters")
        return ClusterOffer(self.settings, self.state, view.state, choices)

    def configuration(self, request: ClusterRequest) -> dict[str, Any]:
        """Return the configuration of a cluster that was asked for and granted."""
        return batch_configuration(request, self.settings, self.state)

    def describe(self, cluster: Cluster) -> ClusterState:
        """Return what the user is told of a cluster."""
        return describe_batch_cluster(cluster, self)

    # -- the scheduler ------------------------------------------------------------------------------------------------

    async def _cluster_to_submitted(self, cluster: Cluster) -> None:
        if cluster.name not in self._submissions:
            self.fail(cluster, "the gateway was restarted while it was submitted; start it again")
            self.db.update_cluster(cluster, status=JobStatus.SUBMITTED)
            return
        await super()._cluster_to_submitted(cluster)
        if cluster.target == JobStatus.RUNNING and cluster.config.workers:
            # They wait beside their scheduler, not behind it.
            self.db.update_cluster(cluster, count=cluster.config.workers)
            await super()._check_cluster_scale(cluster)

    async def do_start_cluster(self, cluster: Cluster) -> Any:
        """Submit the scheduler; it is on record before the batch system is asked."""
        config = cluster.config
        job = self.jobs.new(cluster.name, cluster.username, config.size, timedelta(seconds=config.walltime_seconds))
        yield {"job": job.session_id}
        try:
            job = await self.jobs.submit(
                job,
                self.scheduler_size,
                config,
                self.get_scheduler_command(cluster),
                self._environment(cluster, "scheduler"),
            )
        except NotSubmittedError as error:
            yield {"job": job.session_id, "failure": str(error).rstrip(".")}
            raise
        yield {"job": job.session_id, "job_id": job.job_id}

    @property
    def scheduler_size(self) -> SessionSize:
        """What the scheduler of a cluster gets."""
        gateway = self.settings.gateway
        return SessionSize(
            title="Scheduler",
            cores=gateway.scheduler_cores,
            memory_gib=gateway.scheduler_memory_gib,
            max_walltime_hours=24 * 31,
            good_for="",
        )

    def _environment(self, cluster: Cluster, program: str) -> dict[str, str]:
        """Return all that a job of a cluster is told; it travels in the body of the job's script."""
        config, batch = cluster.config, self.settings.batch
        order: dict[str, Any] = {"ports": batch.ports, "authorities": self.authorities}
        secret = {"SWOTVRE_DASK_CERTIFICATE": cluster.tls_cert.decode(), "SWOTVRE_DASK_KEY": cluster.tls_key.decode()}
        if program == "scheduler":
            order |= {name: option(config, name, 0) for name in ("workers", "minimum", "maximum")}
            secret |= {name: value for name, value in self.get_env(cluster).items() if name.startswith("DASK_GATEWAY")}
        else:
            order |= {
                "url": f"{self.api_url}/v1/clusters/{cluster.name}/scheduler",
                "patience_seconds": WORKER_PATIENCE_SECONDS,
            }
            secret["SWOTVRE_DASK_TOKEN"] = cluster.token
        return {
            "LANG": "C.UTF-8",
            **config.environment,
            "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
            "SWOTVRE_DASK": json.dumps(order),
            "SWOTVRE_PROGRAM": program_text(program),
            **secret,
        }

    async def on_cluster_heartbeat(self, cluster_name: str, msg: dict[str, Any]) -> None:
        """Take a cluster's report; where it runs, the batch system says: what it says of itself does not count."""
        cluster = self.db.get_cluster(cluster_name)
        if cluster is not None and cluster.status < JobStatus.RUNNING and cluster.target == JobStatus.RUNNING:
            job = self.jobs.get(cluster.state.get("job"))
            node = await self.jobs.node_of(job, NODE_SECONDS) if job is not None else ""
            if job is None or not node:
                raise web.HTTPServiceUnavailable(reason="the batch system does not say where this cluster runs")
            msg = {**msg, **self._addresses(node, msg)}
            self._note_running(cluster, job, node)
        await super().on_cluster_heartbeat(cluster_name, msg)

    def _addresses(self, node: str, msg: dict[str, Any]) -> dict[str, str]:
        """Return the addresses of a scheduler on a node, from the ports that it tells."""
        schemes = {"scheduler_address": "tls", "dashboard_address": "https", "api_address": "https"}
        told = {}
        for name, scheme in schemes.items():
            port = urlsplit(str(msg[name])).port if msg[name] else None
            if port is not None and port not in self.settings.batch.port_range:
                raise web.HTTPUnprocessableEntity(reason=f"port {port} is not one of {self.settings.batch.ports}")
            told[name] = f"{scheme}://{node}:{port}" if port else ""
        return told

    def _note_running(self, cluster: Cluster, job: DaskJob, node: str) -> None:
        status = self.jobs.look(job).status
        started = status.started.timestamp() if status is not None and status.started else time.time()
        times = {"started_at": started, "ends_at": started + job.walltime_seconds}
        self.db.update_cluster(cluster, state={**cluster.state, "node": node, **times})

    def dashboard_context(self, cluster: Cluster) -> ssl.SSLContext | None:
        """Return what shows the cluster that it is the gateway that asks."""
        return client_context(KeyPair(cluster.tls_key.decode(), cluster.tls_cert.decode()))

    async def forward_message_to_scheduler(self, cluster: Any, msg: dict[str, Any]) -> None:
        """Tell the scheduler of a cluster what its user wants; one that does not answer is not given up for it.

        Raises:
            PublicException: when it does not answer.
        """
        if cluster.status.name != "RUNNING":
            raise PublicException(f"Cluster {cluster.name} is not running")
        self.ensure_below_caps(cluster, msg)
        context = client_context(KeyPair(cluster.tls_key.decode(), cluster.tls_cert.decode()))
        trouble: Exception | None = None
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(PAUSE_SECONDS * attempt)
            try:
                async with self.session.post(
                    f"{cluster.api_address}/api/comm",
                    json=msg,
                    headers={"Authorization": f"token {cluster.token}"},
                    raise_for_status=True,
                    ssl=context,
                    timeout=ClientTimeout(total=10),
                ):
                    return
            except (ClientError, TimeoutError, OSError) as error:
                trouble = error
        self.log.warning("The scheduler of cluster %s does not answer: %s", cluster.name, trouble)
        raise PublicException(f"The scheduler of cluster {cluster.name} does not answer at present; try again")

    async def do_stop_cluster(self, cluster: Cluster) -> None:
        """End the scheduler's job, whatever is left of it."""
        self.forget(cluster)
        self._not_before.pop(cluster.name, None)
        self.worker_words.pop(cluster.name, None)
        await self.jobs.end(cluster.state, cluster.name, cluster.username)

    # -- workers ------------------------------------------------------------------------------------------------------

    async def do_start_worker(self, worker: Worker) -> Any:
        """Submit a worker; it is on record before the batch system is asked."""
        cluster = worker.cluster
        config = cluster.config
        seconds = config.walltime_seconds
        if ends_at := cluster.state.get("ends_at"):
            # A shorter job finds its place sooner; one that outlives its scheduler is of no use.
            seconds = min(seconds, max(ends_at - time.time(), 60.0))
        job = self.jobs.new(cluster.name, cluster.username, config.size, timedelta(seconds=seconds), worker.name)
        yield {"job": job.session_id}
        size = self.settings.sizes.get(config.size) or self.scheduler_size
        try:
            job = await self.jobs.submit(
                job, size, config, self.get_worker_command(cluster, worker.name), self._environment(cluster, "worker")
            )
        except NotSubmittedError as error:
            _, pause = self._not_before.get(cluster.name, (0.0, RETRY_SECONDS / 2))
            pause = min(pause * 2, LONGEST_RETRY_SECONDS)
            self._not_before[cluster.name] = (time.monotonic() + pause, pause)
            self.worker_words[cluster.name] = str(error).rstrip(".")
            asyncio.get_running_loop().call_later(pause, self._try_again, cluster)
            # It is the batch system that refuses, not the worker that fails.
            cluster.worker_start_failure_count -= 1
            raise
        self._not_before.pop(cluster.name, None)
        self.worker_words.pop(cluster.name, None)
        yield {"job": job.session_id, "job_id": job.job_id}

    def _try_again(self, cluster: Cluster) -> None:
        with suppress(Exception):
            self.queue.put(cluster)

    async def _check_cluster_scale(self, cluster: Cluster) -> None:
        if time.monotonic() >= self._not_before.get(cluster.name, (0.0, 0.0))[0]:
            await super()._check_cluster_scale(cluster)

    def get_worker_command(self, cluster: Cluster, worker_name: str, scheduler_address: str | None = None) -> list[str]:
        """Return what a worker runs; where its scheduler is, it asks the gateway."""
        nthreads, memory_limit = self.worker_nthreads_memory_limit_args(cluster)
        options = ["--name", worker_name, "--nthreads", nthreads, "--memory-limit", memory_limit]
        return [*cluster.config.worker_cmd, "--no-dashboard", *options]

    async def do_stop_worker(self, worker: Worker) -> None:
        """End a worker's job."""
        await self.jobs.end(worker.state, worker.cluster.name, worker.cluster.username)

    # -- ends and time-outs -------------------------------------------------------------------------------------------

    async def do_check_clusters(self, clusters: list[Cluster]) -> list[bool]:
        """Return that nothing is over: of an end the batch system tells, and a question without answer is none."""
        return [True] * len(clusters)

    async def do_check_workers(self, workers: list[Worker]) -> list[bool]:
        """Return that nothing is over, as `do_check_clusters` does."""
        return [True] * len(workers)

    async def _job_ended(self, job: DaskJob) -> None:
        """Take notice of the end of a job that nobody asked for."""
        cluster = self.db.get_cluster(job.server_name)
        if cluster is None or not cluster.is_active():
            return
        part = cluster.workers.get(job.worker) if job.worker else cluster
        if part is not None:
            update = self.db.update_worker if job.worker else self.db.update_cluster
            update(part, state={**part.state, "over": True})
        if not job.worker:
            end, words = await self.jobs.find_end(job, self.scheduler_size)
            lasted = describe_duration(timedelta(seconds=job.walltime_seconds))
            told = f"its duration of {lasted} was over" if end.cause is EndCause.WALLTIME else words
            self.fail(cluster, told if end.cause is EndCause.WALLTIME else f"the job of its scheduler is over: {told}")
            return
        worker = cluster.workers.get(job.worker)
        if worker is None or worker.target >= JobStatus.STOPPED:
            return
        end, words = await self.jobs.find_end(job, self.settings.sizes.get(job.size) or self.scheduler_size)
        self.log.info("Worker %s of cluster %s is over: %s", worker.name, cluster.name, words)
        self.worker_words[cluster.name] = f"a worker is over: {words}"
        if cluster.status == JobStatus.RUNNING and worker.status < JobStatus.RUNNING:
            cluster.worker_start_failure_count += 1
            if cluster.worker_start_failure_count >= self.worker_start_failure_limit:
                self.fail(cluster, f"{self.worker_start_failure_limit} workers in a row did not come up: {words}")
        self.db.update_worker(worker, target=JobStatus.FAILED)
        self.queue.put(worker)

    async def _check_timeouts(self) -> None:
        now = timestamp()
        patience = timedelta(hours=self.settings.scheduler.waiting_hours)
        for cluster in list(self.db.active_clusters()):
            if cluster.status == JobStatus.SUBMITTED:
                job = self.jobs.get(cluster.state.get("job"))
                if why := self._too_late(job, patience, "the scheduler of the cluster"):
                    self.fail(cluster, why)
            elif cluster.status == JobStatus.RUNNING:
                if cluster.last_heartbeat < now - self.cluster_heartbeat_timeout * 1000:
                    self.fail(cluster, f"its scheduler has not reported for {self.cluster_heartbeat_timeout:.0f} s")
                    continue
                for worker in list(cluster.active_workers()):
                    job = self.jobs.get(worker.state.get("job"))
                    if worker.status == JobStatus.SUBMITTED and (why := self._too_late(job, patience, "a worker")):
                        self.worker_words[cluster.name] = why
                        self.db.update_worker(worker, target=JobStatus.FAILED)
                        self.queue.put(worker)

    def _too_late(self, job: DaskJob | None, patience: timedelta, what: str) -> str:
        """Return why a part of a cluster is not waited for any more; empty: it is."""
        if job is None:
            return ""
        seen = self.jobs.look(job)
        if is_pending(seen):
            if seen.status is not None and seen.status.hopeless:
                return f"{seen.status.explanation}; it was taken back"
            if time.time() - job.submitted_at > patience.total_seconds():
                return f"{what} waited for {describe_duration(patience)} and was taken back: {why_it_waits(seen)}"
            return ""
        limit = self.settings.gateway.start_timeout_seconds
        started = seen.status.started if seen.status is not None else None
        if started is not None and time.time() - started.timestamp() > limit:
            return f"{what} ran for {limit} s without reporting (log: {job.log})"
        return ""


def batch_configuration(request: ClusterRequest, settings: Settings, state: State) -> dict[str, Any]:
    """Return the configuration of one cluster of jobs: programs of its kernel, workers of its size."""
    size = request.worker.size
    command = run_program(request.kernel.python)
    return {
        **VreClusterConfig.granted(request),
        "scheduler_cmd": command,
        "worker_cmd": command,
        "worker_cores": size.cores,
        "worker_threads": size.cores,
        "worker_memory": size.memory_bytes,
        "environment": {
            "PATH": f"{request.kernel.python.parent}:{NODE_PATH}",
            **cluster_environment(request, settings, state),
        },
    }
