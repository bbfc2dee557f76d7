"""What `batch_scale` does to a hub, and what it reads from clocks meanwhile."""

from __future__ import annotations

import http.cookiejar
import json
import math
import re
import statistics
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from _batch_hubs import ADMIN, PASSWORD, BenchHub

#: A session that is not ready after this long counts as failed.
START_SECONDS = 280.0
#: Users that the REST API makes in one request.
USERS_AT_ONCE = 100
#: Rows of the admin page's table, which it asks for by itself.
ADMIN_ROWS = 50


@dataclass
class Starts:
    """Sessions that were started side by side."""

    #: Seconds from the first request of all to the last session ready.
    seconds: float
    #: From the request of each session to its readiness.
    each: list[float]
    #: From the first request of all to the readiness of each.
    ready_at: list[float]
    failures: list[str]


@dataclass
class Idle:
    """A hub whose sessions do nothing."""

    seconds: float
    #: Commands of the scheduler per minute, by name.
    commands: dict[str, float]
    #: Of one core: the hub's own process, and the commands that it started.
    cpu_percent: float
    children_cpu_percent: float
    memory_mib: float


@dataclass
class Pages:
    """Seconds of single requests, by page."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def p95(self, page: str) -> float:
        """Return the time within which 95 of 100 requests were answered."""
        return percentile(self.seconds[page], 95)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that ``percent`` of all do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)] if ordered else math.nan


def ask(hub: BenchHub, method: str, path: str, content: object = None, timeout: float = 60) -> tuple[int, bytes]:
    """Return status and body of an answer of the REST API; status 0 when there is none."""
    body = None if content is None else json.dumps(content).encode()
    headers = {"Authorization": f"token {hub.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{hub.url}/hub/api{path}", body, headers, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - http on loopback
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


def make_users(hub: BenchHub, names: Sequence[str]) -> None:
    """Make users that do not exist yet."""
    for first in range(0, len(names), USERS_AT_ONCE):
        status, said = ask(hub, "POST", "/users", {"usernames": names[first : first + USERS_AT_ONCE]})
        if status != 201:
            raise SystemExit(f"users cannot be made: {status} {said[:500]!r}")


def start_sessions(hub: BenchHub, names: Sequence[str], at_once: int) -> Starts:
    """Start a session for each user, ``at_once`` of them at the same time, and wait until all are ready."""
    began = time.monotonic()
    each: list[float] = []
    ready_at: list[float] = []
    failures: list[str] = []

    def start(name: str) -> None:
        asked = time.monotonic()
        problem = start_session(hub, name)
        now = time.monotonic()
        if problem:
            failures.append(f"{name}: {problem}")
            return
        each.append(now - asked)
        ready_at.append(now - began)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(start, names))
    return Starts(time.monotonic() - began, each, ready_at, failures)


def start_session(hub: BenchHub, name: str) -> str:
    """Start a session and wait until it is ready; return why it is not, or nothing."""
    status, said = ask(hub, "POST", f"/users/{name}/server", timeout=START_SECONDS)
    if status == 201:
        return ""
    if status != 202:
        return f"HTTP {status} {said[:300].decode(errors='replace')}"
    # It takes longer than the hub likes to wait: what a browser reads tells when it is ready.
    status, said = ask(hub, "GET", f"/users/{name}/server/progress", timeout=START_SECONDS)
    events = [line.removeprefix(b"data:") for line in said.splitlines() if line.startswith(b"data:")]
    last = json.loads(events[-1]) if events else {}
    return "" if last.get("ready") else f"progress {status}: {last.get('message', said[-300:])!s}"


def stop_session(hub: BenchHub, name: str) -> None:
    """End a session and wait until the hub knows no more of it."""
    ask(hub, "DELETE", f"/users/{name}/server")
    wait_for(lambda: not json.loads(ask(hub, "GET", f"/users/{name}")[1]).get("servers"))


def wait_for(condition: Callable[[], object], seconds: float = 60, pause: float = 0.05) -> None:
    """Wait until ``condition()`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("what was waited for did not happen")
        time.sleep(pause)


def count_ready(hub: BenchHub) -> int:
    """Return how many sessions the hub takes for ready."""
    ready, offset = 0, 0
    while True:
        users = json.loads(ask(hub, "GET", f"/users?state=ready&limit=200&offset={offset}")[1])
        ready += len(users)
        offset += len(users)
        if len(users) < 200:
            return ready


def watch_idle(hub: BenchHub, seconds: float) -> Idle:
    """Ask nothing of the hub for ``seconds``, and return what it does by itself."""
    time.sleep(1 - time.time() % 1)  # the stand-in counts commands by seconds of the clock
    since, began, before = round(time.time()), time.monotonic(), hub.process.cpu_times()
    time.sleep(seconds)
    after, lasted = hub.process.cpu_times(), time.monotonic() - began
    commands = hub.queries(since, since + seconds)
    own = after.user + after.system - before.user - before.system
    theirs = after.children_user + after.children_system - before.children_user - before.children_system
    return Idle(
        seconds=lasted,
        commands={name: count * 60 / seconds for name, count in sorted(commands.items())},
        cpu_percent=100 * own / lasted,
        children_cpu_percent=100 * theirs / lasted,
        memory_mib=hub.process.memory_info().rss / 2**20,
    )


def read_pages(hub: BenchHub, user: str, times: int) -> Pages:
    """Read pages one after the other, as a browser that is logged in."""
    pages = Pages()
    logged_in = log_in(hub, user)
    admin = log_in(hub, ADMIN)
    table = f"/hub/api/users?include_stopped_servers=1&offset=0&limit={ADMIN_ROWS}"
    token = urllib.request.build_opener()
    token.addheaders = [
        ("Authorization", f"token {hub.token}"), ("Accept", "application/jupyterhub-pagination+json"),
    ]  # fmt: skip
    asked = {
        "/hub/home": (logged_in, "/hub/home"),
        "/hub/admin": (admin, "/hub/admin"),
        "/hub/api/users": (token, table),
    }
    for page, (browser, path) in asked.items():
        taken = pages.seconds.setdefault(page, [])
        for _ in range(times):
            began = time.perf_counter()
            with browser.open(hub.url + path, timeout=60) as answer:
                answer.read()
                if not urllib.parse.urlsplit(answer.url).path.startswith(page):
                    raise SystemExit(f"{page} answers as {answer.url}")
            taken.append(time.perf_counter() - began)
    return pages


def log_in(hub: BenchHub, name: str) -> urllib.request.OpenerDirector:
    """Return a browser of a user who is logged in."""
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(cookies)
    # As a browser says it: JupyterHub tells a page's own requests from others by it.
    browser.addheaders = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin"), ("Accept", "text/html")]
    with browser.open(f"{hub.url}/hub/login", timeout=60) as answer:
        found = re.search(r'name="_xsrf"\s+value="([^"]*)"', answer.read().decode())
    token = found[1] if found else ""
    form = urllib.parse.urlencode({"username": name, "password": PASSWORD, "_xsrf": token}).encode()
    with browser.open(f"{hub.url}/hub/login?next=%2Fhub%2Fhome", form, timeout=60) as answer:
        if not answer.url.endswith("/hub/home"):
            raise SystemExit(f"{name} cannot log in: {answer.url} {answer.status}")
    return browser


def median(values: Sequence[float]) -> float:
    """Return the median; NaN of none."""
    return statistics.median(values) if values else math.nan
