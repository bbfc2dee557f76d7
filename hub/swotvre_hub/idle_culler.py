"""jupyterhub-idle-culler, with one question to each session before its end: are you idle, and for how long?

What the hub knows of a session's activity is as old as the session's last report, hours after the hub was down. So the
session itself has the last word; one that does not answer is ended when it was silent for a whole time-out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from jupyterhub_idle_culler import IdleCuller
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.log import app_log

from swotvre_hub.durations import describe_minutes
from swotvre_hub.services import end_with_parent
from swotvre_hub.spawner.records import SessionRecords
from swotvre_hub.state import State, find_state

#: ``http://host:port`` of the hub's public port.
ADDRESS_VARIABLE = "SWOTVRE_LOCAL_ADDRESS"
#: A session answers from memory; one that takes longer has stopped to work.
ANSWER_TIMEOUT_SECONDS = 5.0


class IdleArbiter:
    """Decides which sessions end. Callable as ``IdleCuller.cull_arbiter_hook``."""

    def __init__(self, address: str, api_token: str, state: State) -> None:
        """Take where sessions are reached, the token that they let in, and where their ends are kept."""
        self._address = address
        self._state = state
        self._headers = {"Authorization": f"token {api_token}"}
        #: Since when (monotonic seconds) a session has not answered, by URL and start.
        self._silent_since: dict[tuple[str, str], float] = {}

    async def __call__(self, *, inactive: timedelta | None, inactive_limit: float, server: Mapping[str, Any]) -> bool:
        """Return whether the session is to be ended.

        Args:
            inactive: time since the last activity that the hub knows of, never shorter than the true one.
            inactive_limit: idle time-out in seconds.
            server: the hub's model of the session.
        """
        key = (server["url"], server["started"])
        if inactive is None or inactive.total_seconds() < inactive_limit:
            self._silent_since.pop(key, None)
            return False
        idle_seconds = await self._ask(server["url"])
        if idle_seconds is not None:
            self._silent_since.pop(key, None)
            if idle_seconds >= inactive_limit:
                self._note_reason(server, f"nothing ran in it for {describe_minutes(idle_seconds / 60)}")
            return idle_seconds >= inactive_limit
        now = time.monotonic()
        silent = now - self._silent_since.setdefault(key, now)
        app_log.warning("Session %s does not say whether it is idle, for %.0f s now", server["url"], silent)
        if silent >= inactive_limit:
            self._note_reason(server, f"it did not answer for {describe_minutes(silent / 60)}")
        return silent >= inactive_limit

    def _note_reason(self, server: Mapping[str, Any], reason: str) -> None:
        """Keep why the session ends, for the user's next launch page."""
        user_name = unquote(server["url"].rpartition("/user/")[2].partition("/")[0])
        try:
            SessionRecords(self._state).update_history(user_name, server["name"], stop_reason=reason)
        except OSError as error:
            app_log.warning("Why the session of %s ends could not be kept: %s", user_name, error)

    async def _ask(self, url: str) -> float | None:
        """Return for how many seconds the session has been idle, or None when it does not say."""
        try:
            answer = await AsyncHTTPClient().fetch(
                f"{self._address}{url}swotvre/session",
                headers=self._headers,
                connect_timeout=ANSWER_TIMEOUT_SECONDS,
                request_timeout=ANSWER_TIMEOUT_SECONDS,
                follow_redirects=False,
            )
            idle = json.loads(answer.body)["idle_seconds"]
        except (HTTPClientError, OSError, ValueError, LookupError, TypeError) as error:
            app_log.warning("Session %s did not answer: %s", url, error)
            return None
        return float(idle) if isinstance(idle, int | float) and not isinstance(idle, bool) else None


def main() -> None:
    """Run the culler until the hub ends it, or ends; its options are those of jupyterhub-idle-culler."""
    end_with_parent()
    arbiter = IdleArbiter(os.environ[ADDRESS_VARIABLE], os.environ["JUPYTERHUB_API_TOKEN"], find_state())
    # No file is read: the folder it would be looked for is whichever this process was started in.
    IdleCuller.launch_instance(config_file="", cull_arbiter_hook=arbiter)


if __name__ == "__main__":
    main()
