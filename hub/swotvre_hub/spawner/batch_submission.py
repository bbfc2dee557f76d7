"""What becomes a batch session: the user's files made ready, a key, a script, a job."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from swotvre_hub.certificates import CertificateError, SessionAuthority
from swotvre_hub.engines.base import (
    JobRequest,
    SchedulerUnavailableError,
    SubmitRefusedError,
)
from swotvre_hub.session_files import DASK_LOG_FOLDER, end_path
from swotvre_hub.sessions import SessionRequest
from swotvre_hub.spawner.batch_records import BatchJob
from swotvre_hub.spawner.batch_script import render_session_script
from swotvre_hub.spawner.batch_stopping import EndingJob
from swotvre_hub.spawner.dask_jobs import jobqueue_environment
from swotvre_hub.spawner.environment import batch_environment
from swotvre_hub.spawner.session import refusal


class SubmittedJob(EndingJob):
    """Hands a session over to the scheduler, and keeps its id the moment it is known."""

    async def create_certs(self) -> dict[str, str]:
        """Make a key and a first certificate for the session, which travel in the script of its job.

        Raises:
            SpawnException: when the hub's own authority cannot sign.
        """
        lifetime = timedelta(hours=self.settings.scheduler.waiting_hours + 24 * 31)
        try:
            self._keys = SessionAuthority(Path(self.internal_certs_location)).begin(self._new_id(), lifetime)
        except CertificateError as error:
            raise refusal(f"{error}. Tell who runs this site.", "tls", 503) from error
        return {}

    async def _prepare_files(self) -> str:
        """Make the user's folder ready, as the user; return the log of the session."""
        folder = self.workspace
        days = str(self.settings.scheduler.log_days)
        answer = await self._files("begin", str(folder), days)
        if not isinstance(answer.get("log"), str):
            raise refusal(str(answer.get("error", f"the folder {folder} cannot be used")), "workspace", 503)
        return str(answer["log"])

    def _script(self, job: BatchJob, request: SessionRequest) -> str:
        folder = self.workspace
        base = batch_environment(self.settings, self._python, end_path(folder, job.session_id))
        environment = self.session_environment(request, None, base)
        if self._keys is not None:
            environment["SWOTVRE_TLS_KEY"] = self._keys.key
            environment["SWOTVRE_TLS_CERTIFICATE"] = self._keys.certificate
            bundle = Path(self.internal_trust_bundles["notebooks-ca"])
            environment["SWOTVRE_TLS_CA"] = bundle.read_text(encoding="ascii")
            if self.settings.has_gateway:
                authority = SessionAuthority(Path(self.internal_certs_location))
                environment["SWOTVRE_TLS_GATEWAY"] = authority.certificate
        environment["SWOTVRE_SESSION_ID"] = job.session_id
        jobs = jobqueue_environment(job.engine, request, str(folder / DASK_LOG_FOLDER), environment)
        environment = jobs | environment
        return render_session_script(job.session_id, self._python, str(folder), environment)

    async def _submit(self, job: BatchJob, request: SessionRequest, script: str) -> str:
        """Submit the job and keep its id the moment it is known; return it."""
        engine = self.runtime.engine
        wanted = JobRequest(
            name=job.job_name,
            cores=request.size.cores,
            memory_bytes=request.size.memory_bytes,
            walltime=request.walltime,
            log=job.log,
            gpus=request.size.gpus,
            queue=request.queue,
            project=request.project,
        )
        try:
            result = await self.runtime.runner.run_as(self.user.name, engine.submit_command(wanted), script)
            job_id = engine.parse_submitted(result)
        except (SubmitRefusedError, ValueError) as error:
            self._drop(job)
            raise refusal(str(error), "submit") from error
        except SchedulerUnavailableError as error:
            # Whether the job was taken is not known: it is looked for by its name, and ended.
            self._give_up(job)
            raise refusal(
                f"the scheduler does not answer ({error}). Nothing was started; try again in some minutes.",
                "scheduler-down",
                503,
            ) from error
        # It may have told its port before the hub came to read what the scheduler answered.
        self._keep((self._job or job).changed(job_id=job_id))
        self.log.info("Session %s of %s is job %s", job.session_id, self._log_name, job_id)
        self.runtime.reflector.watch(job_id, self._notice_end)
        return job_id
