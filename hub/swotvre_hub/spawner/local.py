"""Sessions on this machine, all as the account that runs the hub: the engine of a laptop."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import random_port, url_path_join

from swotvre_hub.cgroups import end_cgroup
from swotvre_hub.sessions import SessionRequest
from swotvre_hub.spawner.cores import choose_cores
from swotvre_hub.spawner.ending import SessionEnd, read_end
from swotvre_hub.spawner.environment import base_environment
from swotvre_hub.spawner.forkserver import ForkServerError
from swotvre_hub.spawner.identity import SESSION_ID_VARIABLE, kill_session_processes
from swotvre_hub.spawner.records import LiveSession
from swotvre_hub.spawner.runtime import make_runtime_folder, remove_runtime_folder
from swotvre_hub.spawner.session import SessionMixin, end_of, refusal
from swotvre_hub.spawner.starter import SessionStarter, StartedSession, starter_of
from swotvre_hub.spawner.workspace import WorkspaceError, prepare_workspace

ADDRESS = "127.0.0.1"
#: Time that an ending session has to shut its kernels down, before it is killed.
GRACE_SECONDS = 10.0
#: Time beyond its grace in which the supervisor kills what is left and writes down how the session ended.
KILL_SECONDS = 10.0
#: Time between two looks at a starting session.
LOOK_SECONDS = 0.02
#: Lines of a session's log that a failed start shows.
SHOWN_LOG_LINES = 8
UNLIMITED_MEMORY = "This machine cannot enforce the memory limit; please stay below it. ({why})"


class LocalSpawner(SessionMixin, Spawner):
    """Runs a session as processes of this machine, with the cores and the memory that its size says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ip = ADDRESS
        self._session: LiveSession | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def starter(self) -> SessionStarter:
        """What starts sessions here; shared by all spawners of this hub."""
        return starter_of(self.state.environment("lab") / "bin" / "python", self.state, self.log)

    def render_form(self) -> str:
        """Return the launch form, and have the fork server ready when the user has read it."""
        if self.settings.sessions.fork_server:
            try:
                self.starter.warm_up()
            except (ForkServerError, OSError) as error:
                self.log.warning("No fork server: %s", error)
        return str(super().render_form())

    def memory_note(self) -> str | None:
        """Return that this machine cannot enforce the memory limit, and why; None: it can."""
        why = self.starter.why_unlimited(self.settings.sessions.fork_server)
        return None if why is None else UNLIMITED_MEMORY.format(why=why)

    # -- life of a session --------------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Start a session and wait until it answers; return its URL.

        Raises:
            SpawnException: with the reason in words, when it cannot be started.
        """
        request = self.accept_options(self.user_options)
        self.tell_beginning(request)
        try:
            await self._end_leftovers()
            await asyncio.to_thread(prepare_workspace, self.workspace)
            if self.settings.sessions.fork_server:
                await self.starter.prepare()
            log_file = await self._launch(request)
        except WorkspaceError as error:
            raise refusal(str(error), "workspace", 503) from error
        except OSError as error:
            raise refusal(
                f"the session could not be started: {error.strerror or error} ({error.filename or 'no file'}). "
                f"Tell who runs this site.",
                "start",
                503,
            ) from error
        await self._wait_for_answer(log_file)
        self.tell(90, "JupyterLab answers.")
        return f"http://{ADDRESS}:{self.port}"

    async def poll(self) -> int | None:
        """Return None while the session runs, else its exit status, once its end is noted."""
        if (noted := await self._noted_end()) is not None:
            return noted
        if self._session is None:
            return 0
        if self._session.process.is_alive():
            return None
        return await self._note_end(self._session)

    async def stop(self, now: bool = False) -> None:
        """End the session and everything in it; ``now``: without giving kernels time to shut down."""
        self.note_stop_request()
        session = self._session
        if session is None:
            await self._noted_end()
            return
        if session.process.send(signal.SIGKILL if now else signal.SIGTERM):
            # The supervisor kills by itself what has not ended after its grace.
            await self._wait_for_end(session, GRACE_SECONDS + KILL_SECONDS)
            session.process.send(signal.SIGKILL)
            await self._wait_for_end(session, 5)
        if self._session is session:
            await self._note_end(session, SessionEnd("stopped", -signal.SIGKILL, 0, datetime.now(UTC)))
        await self._noted_end()

    async def get_url(self) -> str:
        """Return where the session is, also when the hub was killed before it could write that down."""
        if self._session is None:
            return str(self.server.url)
        return str(url_path_join(f"http://{ADDRESS}:{self._session.port}", self.server.base_url))

    def get_state(self) -> dict[str, Any]:
        """Return what the next hub needs to find the session."""
        state: dict[str, Any] = super().get_state()
        if self._session is not None:
            state["session"] = self._session.to_json()
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Find the session that a hub before this one started."""
        super().load_state(state)
        self._session = LiveSession.from_json(state.get("session"))
        if self._session is not None:
            self.port = self._session.port

    def clear_state(self) -> None:
        """Forget the session."""
        super().clear_state()
        self._session = None
        self._child = None
        self.port = 0

    # -- start --------------------------------------------------------------------------------------------------------

    async def _launch(self, request: SessionRequest) -> Path:
        """Start the session's processes; return its log file."""
        session_id = secrets.token_hex(8)
        self.port = random_port()
        self.records.update_history(self.user.name, self.name, stop_reason=None)
        cgroup = self.starter.limit_memory(session_id, request.size.memory_bytes)
        self._tell_memory(request, cgroup)
        runtime_folder = None
        async with self.starter.choosing:
            try:
                runtime_folder = make_runtime_folder()
                order = self._order(session_id, request, cgroup, runtime_folder)
                started = await self.starter.start(order)
            except BaseException:
                if cgroup is not None:
                    end_cgroup(cgroup)
                if runtime_folder is not None:
                    remove_runtime_folder(runtime_folder)
                raise
            self._keep(session_id, request, order, started)
        self.log.info(
            "Session %s of %s: pid %d, size %s, cores %s, memory limit %s, started %s",
            session_id,
            self._log_name,
            started.process.pid,
            request.size_name,
            order["cores"],
            "enforced" if cgroup else "not enforced",
            "by the fork server" if started.child is None else "from scratch",
        )
        return Path(order["log"])

    def _keep(self, session_id: str, request: SessionRequest, order: dict[str, Any], started: StartedSession) -> None:
        """Save the session at once: a hub that is killed from here on finds it again."""
        self._child = started.child
        self._session = LiveSession(
            session_id=session_id,
            user_name=self.user.name,
            server_name=self.name,
            process=started.process,
            port=self.port,
            cores=order["cores"],
            cgroup=order["cgroup"],
            size=request.size_name,
            runtime_folder=order["environment"]["JUPYTER_RUNTIME_DIR"],
        )
        self.records.add(self._session)
        if self.orm_spawner is not None:
            self.orm_spawner.state = self.get_state()
            self.commit()

    def _order(
        self, session_id: str, request: SessionRequest, cgroup: Path | None, runtime_folder: Path
    ) -> dict[str, Any]:
        """Return what the starter is told of a session: the fields of ``swotvre_lab.order.SessionOrder``."""
        ends_at = end_of(request.walltime)
        environment = self.session_environment(request, ends_at, base_environment(self._lab_python))
        environment[SESSION_ID_VARIABLE] = session_id
        environment["JUPYTER_RUNTIME_DIR"] = str(runtime_folder)
        environment["SWOTVRE_MEMORY_ENFORCED"] = str(int(cgroup is not None))
        in_use = [session.cores for session in self.records.live()]
        self.records.ensure_folder()
        return {
            "environment": environment,
            "folder": str(self.workspace),
            "log": str(self._new_log_file()),
            "cores": choose_cores(request.size.cores, os.sched_getaffinity(0), in_use),
            "cgroup": str(cgroup or ""),
            "ends_at": ends_at.timestamp(),
            "grace_seconds": GRACE_SECONDS,
            "end_record": str(self.records.end_record(session_id)),
        }

    @property
    def _lab_python(self) -> Path:
        return self.state.environment("lab") / "bin" / "python"

    def _tell_memory(self, request: SessionRequest, cgroup: Path | None) -> None:
        if cgroup is not None:
            self.tell(20, f"More than {request.size.memory_gib} GiB of memory will not be given.")
            return
        why = self.starter.unlimited_because
        self.log.warning("Session of %s: memory limit not enforced: %s", self._log_name, why)
        self.tell(20, UNLIMITED_MEMORY.format(why=why))

    def _new_log_file(self) -> Path:
        folder = self.state.log / "sessions"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.user.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
        path.touch(mode=0o600)
        return path

    async def _wait_for_answer(self, log_file: Path) -> None:
        """Wait until the session's port accepts: the hub's first probe then succeeds, and its back-off never begins."""
        loop = asyncio.get_running_loop()
        limit = self.settings.sessions.start_timeout_seconds
        deadline = loop.time() + limit * 0.95
        while loop.time() < deadline:
            try:
                _, writer = await asyncio.open_connection(ADDRESS, self.port)
            except OSError:
                if (status := await self.poll()) is not None:
                    raise refusal(
                        f"the session ended while it started (status {status}). {_last_lines(log_file)}",
                        "ended-early",
                        503,
                    ) from None
                await asyncio.sleep(LOOK_SECONDS)
            else:
                writer.close()
                return
        raise refusal(
            f"the session did not answer within {limit} seconds and was ended. {_last_lines(log_file)}",
            "no-answer",
            503,
        )

    # -- end ----------------------------------------------------------------------------------------------------------

    async def _end_leftovers(self) -> None:
        """End a session of this user that the hub has lost sight of: there is one session at a time."""
        for session in self.records.noted():
            if (session.user_name, session.server_name) == (self.user.name, self.name):
                self.log.warning("Session %s of %s was left over; ending it", session.session_id, self._log_name)
                session.process.send(signal.SIGTERM)
                await self._wait_for_end(session, GRACE_SECONDS + KILL_SECONDS)
                session.process.send(signal.SIGKILL)
                await self._note_end(session)

    async def _wait_for_end(self, session: LiveSession, timeout_seconds: float) -> None:
        for _ in range(round(timeout_seconds / 0.05)):
            if not session.process.is_alive():
                return
            await asyncio.sleep(0.05)

    async def _note_end(self, session: LiveSession, otherwise: SessionEnd | None = None) -> int:
        """Keep how the session ended, and end whatever is left of it; return the exit status."""
        if self._session is not session:
            return await self._look_into_end(session, otherwise)
        self._session = None
        return await self._note_once(self._look_into_end(session, otherwise))

    async def _look_into_end(self, session: LiveSession, otherwise: SessionEnd | None) -> int:
        if self._child is not None:
            self._child.poll()
        await asyncio.to_thread(_clean_up, session)
        end = read_end(self.records.end_record(session.session_id))
        if end.cause == "lost" and otherwise is not None:
            end = otherwise
        size = self.settings.sizes.get(session.size)
        words = end.describe(size.title, size.cores, size.memory_gib, self.history.stop_reason) if size else None
        self.records.update_history(session.user_name, session.server_name, last_end=words, stop_reason=None)
        self.records.remove(session.session_id)
        self.log.info(
            "Session %s of %s is over: %s, status %d, %d killed for memory",
            session.session_id,
            self._log_name,
            end.cause,
            end.status,
            end.memory_kills,
        )
        return end.status


def _clean_up(session: LiveSession) -> None:
    if session.cgroup:
        end_cgroup(Path(session.cgroup))
    kill_session_processes(session.session_id, session.process)
    if session.runtime_folder:
        remove_runtime_folder(Path(session.runtime_folder))


def _last_lines(log_file: Path) -> str:
    try:
        lines = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-SHOWN_LOG_LINES:]
    except OSError as error:
        return f"Its log cannot be read: {error.strerror}."
    said = "It said: " + " / ".join(lines) if lines else "It said nothing."
    return f"{said} (log: {log_file})"
