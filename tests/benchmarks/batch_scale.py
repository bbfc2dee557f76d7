"""Measure a hub whose sessions are a thousand batch jobs: swot-vre and stock batchspawner 1.3, on the same PBS.

Each hub is real, and so is every command that it runs. PBS is the stand-in of ``tests/engines``; its jobs are
*virtual*: it starts and ends them, but what a session would do is played by one light process (`_batch_farm`), which
listens on a port per session, reports it, and sends the hub what JupyterLab sends it. In turn, on each hub:

1. ``--starts`` sessions at once on the fresh hub: failures, time to the first, to the last;
2. more of them, ``AT_ONCE`` at a time, up to ``--sessions`` (``--stock-sessions`` for stock batchspawner);
3. a pause, until nothing is expected of any session; then for ``--seconds`` nobody asks the hub for anything:
   the scheduler's commands, the CPU time of the hub and of the commands that it starts, its memory;
4. pages, one after the other.

Then `_batch_overhead` starts real sessions on the stand-in's free cluster, and the same single-user program by hand.

Not as on a site: the users of the benchmark have no Unix accounts, so all commands and jobs of both hubs run as one
account (``runuser -u`` as ever where root runs this, else the own), each user's folder is below a temporary one, and
TLS is off. The stand-in's commands are Python programs; PBS' own take less CPU time, so the CPU time of commands is
shown apart; the hub's own does not contain it. Stock batchspawner comes without a culler, ours with it, and has an
administrator who has mended its expression for the names of nodes.

Run it on an installed state folder: ``env/dev/bin/python tests/benchmarks/batch_scale.py --state .vre``.
"""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from _batch_hubs import QUERY_SECONDS, BenchHub, Site, jupyterhub_version, our_hub, stock_hub, virtual_cluster
from _batch_load import (
    Idle,
    Pages,
    Starts,
    count_ready,
    make_users,
    median,
    percentile,
    read_pages,
    start_sessions,
    watch_idle,
)
from _batch_overhead import Overhead, measure_overhead

from swotvre_hub.cli.session_environment import everybody_can_reach

#: Sessions that are started side by side while the hub is filled.
AT_ONCE = 50
#: The hub asks often for so long after something has changed (`swotvre_hub.reflector.QUICK_SECONDS`), and a little.
SETTLE_SECONDS = 35
#: Stock batchspawner asks for each session at its own time, and never more often than usual once it runs.
STOCK_SETTLE_SECONDS = 5
#: Each session of stock batchspawner costs two commands a minute for good: a number that fits into a few minutes.
STOCK_SESSIONS = 300
#: Requests of each page.
PAGE_REQUESTS = 30
#: Warm starts on a free cluster.
ROUNDS = 5
#: The account of all jobs when root runs this: root's own jobs PBS refuses.
ACCOUNT = "vretest1"
#: Goals: share of a core, seconds above the single-user process.
CPU_GOAL_PERCENT, OVERHEAD_GOAL_SECONDS = 15.0, 1.5

type Running = Callable[[Site, Path, object], AbstractContextManager[BenchHub]]


@dataclass
class Result:
    """What was measured of one hub."""

    name: str
    sessions: int
    burst: Starts
    filling: Starts
    ready: int
    idle: Idle
    pages: Pages


def main() -> int:
    """Measure and print; return 0, also when a goal is missed: machines differ."""
    options = parse_options()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vre-scale-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        site = make_site(options, Path(folder))
        ours = measure(our_hub, site, Path(folder) / "ours", options.sessions, SETTLE_SECONDS, options)
        stock = measure(stock_hub, site, Path(folder) / "stock", options.stock_sessions, STOCK_SETTLE_SECONDS, options)
        print_comparison(ours, stock)
        (Path(folder) / "free").mkdir()
        print_overhead(measure_overhead(site, Path(folder) / "free", ROUNDS))
    print(f"\nmeasured in {(time.monotonic() - began) / 60:.1f} min on {os.cpu_count()} cores")
    return 0


def parse_options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=Path(".vre"), help="state folder (default: .vre)")
    parser.add_argument("--sessions", type=int, default=1000, help="running sessions of ours (default: 1000)")
    parser.add_argument("--stock-sessions", type=int, help=f"of stock batchspawner (default: {STOCK_SESSIONS} at most)")
    parser.add_argument("--starts", type=int, default=100, help="sessions started at once (default: 100)")
    parser.add_argument("--seconds", type=int, default=60, help="for so long the idle hub is watched (default: 60)")
    parser.add_argument("--lab", type=Path, help="session environment that every account can execute (default: made)")
    options = parser.parse_args()
    options.state = options.state.absolute()
    options.stock_sessions = options.stock_sessions or min(options.sessions, STOCK_SESSIONS)
    if not (options.state / "env" / "hub" / "bin" / "python").exists():
        parser.error(f"{options.state} has no hub environment; run 'make up' first, or name another state folder")
    if not 1 <= options.starts <= min(options.sessions, options.stock_sessions):
        parser.error(f"--starts {options.starts}: expected at least 1, and at most as many as sessions")
    if options.seconds < 1:
        parser.error(f"--seconds {options.seconds}: expected at least 1")
    return options


def make_site(options: argparse.Namespace, folder: Path) -> Site:
    """Return what both hubs share; as root, make a session environment that the account can execute."""
    if os.geteuid() != 0:
        account = pwd.getpwuid(os.geteuid()).pw_name
        return Site(options.state, options.lab or options.state / "env" / "lab", account, secrets.token_hex(16))
    lab: Path = options.lab or options.state / "env" / "lab"
    if options.lab is None and not everybody_can_reach((lab / "bin" / "python").resolve()):
        lab = folder / "lab"
        command = [options.state / "env" / "hub" / "bin" / "swot-vre", "session-environment", lab]
        subprocess.run([*command, "--state", options.state], check=True, stdout=subprocess.DEVNULL)
    return Site(options.state, lab, ACCOUNT, secrets.token_hex(16))


def measure(
    running: Running, site: Site, folder: Path, sessions: int, settle_seconds: float, options: argparse.Namespace
) -> Result:
    """Run a hub and its cluster, and measure it with ``sessions`` sessions."""
    folder.mkdir()
    names = [f"bench{number:04d}" for number in range(sessions)]
    with (
        virtual_cluster(folder, sessions, jupyterhub_version(site.state)) as cluster,
        running(site, folder, cluster) as hub,
    ):
        make_users(hub, names)
        burst = start_sessions(hub, names[: options.starts], options.starts)
        report(hub, f"{options.starts} starts at once", burst)
        if not burst.each:
            keep_log(hub)
            raise SystemExit(f"no session of {hub.name} started: {burst.failures[0]}")
        filling = start_sessions(hub, names[options.starts :], AT_ONCE)
        report(hub, f"{sessions - options.starts} more, {AT_ONCE} at a time", filling)
        time.sleep(settle_seconds)
        idle = watch_idle(hub, options.seconds)
        pages = read_pages(hub, names[0], PAGE_REQUESTS)
        result = Result(hub.name, sessions, burst, filling, count_ready(hub), idle, pages)
        keep_log(hub)
    shutil.rmtree(folder, ignore_errors=True)
    return result


def report(hub: BenchHub, what: str, starts: Starts) -> None:
    """Tell how far it is, and what went wrong."""
    failed = len(starts.failures)
    print(f"{hub.name}: {what}: {starts.seconds:.1f} s, {failed} failed", file=sys.stderr, flush=True)
    for failure in starts.failures[:3]:
        print(f"  {failure[:400]}", file=sys.stderr, flush=True)


def keep_log(hub: BenchHub) -> None:
    """Copy the hub's log to where ``BATCH_SCALE_LOGS`` names a folder, for who looks for the reason of a number."""
    if kept := os.environ.get("BATCH_SCALE_LOGS"):
        shutil.copy(hub.log, Path(kept) / f"{hub.name.replace(' ', '-')}.log")


def print_comparison(ours: Result, stock: Result) -> None:
    """Print what was measured of both, how many times more stock batchspawner takes, and the goals."""
    print(f"\n{'':<46}{ours.name:>12}{stock.name:>20}{'ratio':>8}  goal")
    row("sessions running and idle", ours.ready, stock.ready, digits=0, ratio=False)
    if ours.sessions != stock.sessions:
        print(f"  (measured at n={ours.sessions} and n={stock.sessions}; ratios compare the numbers as they stand)")
    limit = 60 / QUERY_SECONDS * 1.15 + 60 / ours.idle.seconds
    asked = sum(ours.idle.commands.values())
    goal = verdict(asked <= limit, f"one query per interval of {QUERY_SECONDS} s")
    row("scheduler commands per minute", asked, sum(stock.idle.commands.values()), goal)
    for name in sorted({*ours.idle.commands, *stock.idle.commands}):
        row(f"  {name}", ours.idle.commands.get(name, 0), stock.idle.commands.get(name, 0), ratio=False)
    goal = verdict(ours.idle.cpu_percent < CPU_GOAL_PERCENT, f"under {CPU_GOAL_PERCENT:.0f} % of a core")
    row("CPU of the idle hub, % of a core", ours.idle.cpu_percent, stock.idle.cpu_percent, goal)
    row("CPU of its commands, % of a core", ours.idle.children_cpu_percent, stock.idle.children_cpu_percent)
    row("memory of the hub, MiB", ours.idle.memory_mib, stock.idle.memory_mib, digits=0)
    for page in ours.pages.seconds:
        row(f"p95 of GET {page}, ms", 1000 * ours.pages.p95(page), 1000 * stock.pages.p95(page), digits=0)
    print_starts(ours, stock)


def print_starts(ours: Result, stock: Result) -> None:
    """Print how the sessions of both hubs started."""
    count = len(ours.burst.each) + len(ours.burst.failures)
    goal = verdict(not ours.burst.failures, "none fails")
    row(f"{count} starts at once: failed", len(ours.burst.failures), len(stock.burst.failures), goal, 0, ratio=False)
    for what, percent in {"first": 0, "half of them": 50, "95 %": 95, "last": 100}.items():
        seconds = percentile(ours.burst.ready_at, percent), percentile(stock.burst.ready_at, percent)
        row(f"  {what} ready after, s", *seconds)
    row(
        f"then {AT_ONCE} at a time: failed", len(ours.filling.failures), len(stock.filling.failures), "", 0, ratio=False
    )
    row("  median start, s", median(ours.filling.each), median(stock.filling.each))
    row("  p95 of starts, s", percentile(ours.filling.each, 95), percentile(stock.filling.each, 95))


def row(what: str, ours: float, stock: float, goal: str = "", digits: int = 1, *, ratio: bool = True) -> None:
    """Print one line of the table."""
    times = f"{stock / ours:.1f}x" if ratio and ours > 0 and stock >= 0 else ""
    print(f"{what:<46}{ours:>12.{digits}f}{stock:>20.{digits}f}{times:>8}  {goal}".rstrip())


def verdict(met: bool, goal: str) -> str:
    """Say whether a goal is met."""
    return f"{goal}: {'met' if met else 'MISSED'}"


def print_overhead(overhead: Overhead) -> None:
    """Print what a start takes beside the process that it starts."""
    print("\nstart on a free cluster, s                       first  median    best   worst  (of warm)")
    rows = {
        "from the request to the session being ready": overhead.totals,
        "the single-user process, started by hand": overhead.alone,
    }
    for what, (first, *warm) in rows.items():
        print(f"{what:<46}{first:>8.2f}{median(warm):>8.2f}{min(warm):>8.2f}{max(warm):>8.2f}")
    above = median(overhead.totals[1:]) - median(overhead.alone[1:])
    goal = verdict(above <= OVERHEAD_GOAL_SECONDS, f"at most {OVERHEAD_GOAL_SECONDS} s warm")
    print(f"{'above the process, median of warm starts':<46}{'':>8}{above:>8.2f}  {goal}")


if __name__ == "__main__":
    raise SystemExit(main())
