"""When this server was last used, as a rule that looks at kernels and not at open browsers.

Jupyter Server's own ``last_activity`` errs on both sides: JupyterLab reads kernels, sessions and terminals every few
seconds, and each read counts, so an open tab is active for ever; while a kernel that computes without printing shows
the time at which its cell started. ``watch_activity`` corrects the numbers where Jupyter Server keeps them
(``web_app.settings``, keys that end in ``_last_activity``), so that everything that reads them is right:
``/api/status``, the report of the single-user server to the hub, and the endpoints of this package.

Activity is: a kernel that runs or has run something, a terminal that was typed in or wrote something, and a request
that changes something (saving a file, starting a kernel, "keep my session"), but not a tab's record of its own layout.
"""

from datetime import UTC, datetime
from typing import Any

from tornado.ioloop import PeriodicCallback

from swotvre_lab.kernel_starts import call_at_kernel_start

#: Seconds between two looks at the kernels.
BUSY_CHECK_SECONDS = 15

#: HTTP methods with which a browser tab looks around by itself.
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Under this path (after the base URL) a tab keeps its own layout: JupyterLab writes it every 10 s, used or not.
TAB_STATE_PATH = "lab/api/"

#: Kernel messages that displays send by themselves, in addition to those that Jupyter Server leaves out.
DISPLAY_MESSAGES = ("usage_request", "usage_reply")

REQUESTS_KEY = "api_last_activity"
BUSY_KEY = "swotvre_busy_last_activity"


class Activity:
    """The activity of one Jupyter server."""

    def __init__(self, web_app: Any) -> None:
        self._web_app = web_app
        self._settings: dict[str, Any] = web_app.settings
        self._kernels = self._settings["kernel_manager"]
        self._user_request: datetime | None = self._settings.get(REQUESTS_KEY)
        self._log_request = self._settings.get("log_function")

    def count_busy_kernels(self) -> int:
        """Return how many kernels execute something now."""
        return sum(
            getattr(self._kernels.get_kernel(kernel_id), "execution_state", None) == "busy"
            for kernel_id in self._kernels.list_kernel_ids()
        )

    def idle_since(self) -> datetime | None:
        """Return when a user or a kernel did something last (UTC), or None while a kernel is busy."""
        if self.mark_busy():
            return None
        last: datetime = self._web_app.last_activity()
        return last.astimezone(UTC)

    def mark_busy(self) -> bool:
        """Record activity now if a kernel is busy; return whether one is."""
        busy = self.count_busy_kernels() > 0
        if busy:
            self._settings[BUSY_KEY] = datetime.now(UTC)
        return busy

    def look_at_kernels(self) -> None:
        """Do ``mark_busy`` from time to time, for those who read the settings and do not ask here."""
        self.mark_busy()

    def watch(self, kernel_id: str) -> None:
        """Take a kernel that dies for one that is starting.

        Jupyter starts it again on the same ports, and often misses the new process's first words while it still looks
        for the old one: a kernel that died at work would be taken for a busy one until somebody uses it.
        """
        kernel = self._kernels.get_kernel(kernel_id)
        kernel.add_restart_callback(lambda: setattr(kernel, "execution_state", "starting"), "restart")

    def record_user(self) -> None:
        """Record that the user did something now."""
        self._settings[REQUESTS_KEY] = self._user_request = datetime.now(UTC)

    def end_request(self, handler: Any) -> None:
        """Take a request that a tab makes by itself out of the record, then log it as before.

        Tornado calls this at the end of each request, right after Jupyter Server has recorded it.
        """
        if not self._is_by_itself(handler.request):
            self._user_request = self._settings.get(REQUESTS_KEY)
        elif self._user_request is None:
            self._settings.pop(REQUESTS_KEY, None)
        else:
            self._settings[REQUESTS_KEY] = self._user_request
        if self._log_request is not None:
            self._log_request(handler)

    def _is_by_itself(self, request: Any) -> bool:
        own_state = self._settings["base_url"] + TAB_STATE_PATH
        return request.method in READING_METHODS or request.path.startswith(own_state)


def watch_activity(web_app: Any) -> Activity:
    """Make the activity record of this server true, now and from now on.

    Args:
        web_app: the server's ``ServerWebApplication``; its event loop has to run for busy kernels to be seen.
    """
    activity = Activity(web_app)
    settings = web_app.settings
    settings["log_function"] = activity.end_request
    kernels = settings["kernel_manager"]
    kernels.untracked_message_types = [*kernels.untracked_message_types, *DISPLAY_MESSAGES]
    call_at_kernel_start(settings, activity.watch)
    PeriodicCallback(activity.look_at_kernels, BUSY_CHECK_SECONDS * 1000).start()
    return activity
