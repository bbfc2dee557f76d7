"""What a user reads of a cluster: progress lines, where they are written, the kernel of the workers."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from swotvre.errors import KernelMismatchError
from swotvre.listing import ClusterRow, ClusterTable
from swotvre.progress_line import TerminalLine
from swotvre.running_kernel import RunningKernel, find_running_kernel, kernel_options
from swotvre.state import describe_seconds, describe_start, describe_workers, read_state

ROOM = "waiting for 16 free cores; 9 are free"


def state(**workers: Any) -> Any:
    return read_state({"name": "abc", "status": "running", "message": "", "workers": workers})


@pytest.mark.parametrize(
    ("connected", "wanted", "workers", "line"),
    [
        (2, 8, {"wanted": 8, "waiting": 6, "message": ROOM}, f"2 of 8 workers, 6 waiting: {ROOM}"),
        (2, 8, {"wanted": 8, "waiting": 5, "message": ROOM}, f"2 of 8 workers, 1 starting, 5 waiting: {ROOM}"),
        (0, 1, {"wanted": 1, "waiting": 0, "message": ""}, "0 of 1 worker, 1 starting"),
        (8, 8, {"wanted": 8, "waiting": 0, "message": "stale"}, "8 of 8 workers"),
        # The gateway's count is older than the scheduler's.
        (7, 8, {"wanted": 8, "waiting": 6, "message": ""}, "7 of 8 workers, 1 waiting"),
        (0, 2, {"wanted": "2", "waiting": None, "message": "come up"}, "0 of 2 workers, 2 starting"),
        # Withheld by a cap of the site.
        (4, 8, {"wanted": 4, "message": "16 cores\nin all"}, "4 of 8 workers, 4 waiting: 16 cores in all"),
    ],
)
def test_line_counts_what_computes_starts_and_waits(
    connected: int, wanted: int, workers: dict[str, Any], line: str
) -> None:
    assert describe_workers(connected, wanted, state(**workers)) == line


def test_gateway_that_counts_no_workers_still_gives_a_line() -> None:
    plain = read_state({"name": "abc", "status": "RUNNING"})
    assert describe_workers(1, 3, plain) == "1 of 3 workers, 2 starting"
    assert describe_start(read_state({"status": "pending"})) == "cluster: starting"
    assert describe_start(read_state({"status": "pending", "message": ROOM})) == f"cluster: {ROOM}"


@pytest.mark.parametrize(("seconds", "words"), [(4.9, "4 s"), (61, "1 min 1 s"), (3 * 3600 + 300, "3 h 5 min")])
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert describe_seconds(seconds) == words


def test_terminal_shows_one_line_that_is_written_over_and_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    main, side = pty.openpty()
    with os.fdopen(side, "w", encoding="utf-8") as stream:
        line = TerminalLine(stream)
        line.show("cluster: starting")
        line.show("cluster: starting")
        line.show("0 of 2 workers, 2 starting")
        line.finish("2 workers", "/services/dask-gateway/clusters/0123456789abcdef/status")
        written = os.read(main, 4096).decode()
    os.close(main)
    assert written.split("\r") == [
        "",
        "cluster: starting\x1b[K",
        "0 of 2 workers, 2 s\x1b[K",
        "2 workers; dashboard: /services/dask-gateway/clusters/0123456789abcdef/status\x1b[K",
        "\n",
    ]


def test_log_gets_one_line_for_each_change_and_none_for_passing_time() -> None:
    stream = io.StringIO()
    line = TerminalLine(stream)
    for text, passed in (("held (by you)", ""), ("held (by you)", "4 s"), ("held (by you)", "5 s"), ("0 of 2", "6 s")):
        line.show(text, passed)
    line.finish("2 workers")
    assert stream.getvalue() == "held (by you)\n0 of 2\n2 workers\n"


def test_kernel_is_known_by_its_kernelspec_and_in_a_terminal_by_its_environment(tmp_path: Path) -> None:
    named = {"SWOTVRE_KERNEL": "swot-hydro", "SWOTVRE_KERNEL_VERSION": "2026.11"}
    assert find_running_kernel({}, str(tmp_path)) is None
    (tmp_path / "swot-vre-kernel.json").write_text(json.dumps({"name": "swot-ocean", "version": "2026.11.1"}))
    assert find_running_kernel({}, str(tmp_path)) == RunningKernel("swot-ocean", "2026.11.1")
    assert find_running_kernel(named, str(tmp_path)) == RunningKernel("swot-hydro", "2026.11")
    (tmp_path / "swot-vre-kernel.json").write_text("[]")
    assert find_running_kernel({}, str(tmp_path)) is None


def test_workers_get_the_running_kernel_and_no_other() -> None:
    running = RunningKernel("swot-ocean", "2026.11")
    options = {"kernel": "swot-ocean", "kernel_version": "2026.11"}
    assert kernel_options(None, running) == kernel_options("swot-ocean", running) == options
    assert kernel_options(None, None) == {}
    assert kernel_options("swot-ocean", None) == {"kernel": "swot-ocean"}
    with pytest.raises(
        KernelMismatchError, match=r"'pangeo' were asked for, and this notebook runs swot-ocean 2026\.11"
    ):
        kernel_options("pangeo", running)


def test_table_escapes_what_a_gateway_says_and_links_the_dashboard() -> None:
    row = ClusterRow("0a1b", "failed: <b>", "small", "1 of 2", datetime(2026, 11, 30, 9, 5), "/clusters/0a1b/status")
    table = ClusterTable(None, [row])  # type: ignore[arg-type]
    page = table._repr_html_()
    assert "failed: &lt;b&gt;" in page
    assert '<a href="/clusters/0a1b/status" target="_blank">open</a>' in page
    assert repr(table).splitlines()[1].split() == [
        *("0a1b", "failed:", "<b>", "small", "1", "of", "2", "2026-11-30", "09:05", "/clusters/0a1b/status")
    ]
    assert table["0a"] == row


def test_importing_it_imports_nothing_of_dask() -> None:
    import subprocess

    code = "import sys, swotvre; print([name for name in sys.modules if name.split('.')[0] in ('dask', 'distributed')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
