"""Commands of a batch system: as whom they run, what they are told, and that nothing of them is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import resource
import secrets
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import swotvre_hub
from swotvre_hub.batch_commands import AT_ONCE, RUNUSER, SUDO, CommandRunner, prefix_for
from swotvre_hub.engines.base import SchedulerUnavailableError

ACCOUNT = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def mark() -> str:
    """Return a word that finds the processes of one test among all others."""
    return f"mark-{secrets.token_hex(8)}"


def marked(mark: str) -> list[int]:
    """Return the living processes that have a word among their arguments."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if mark in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def all_gone(mark: str) -> bool:
    deadline = time.monotonic() + 20
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not marked(mark)


async def until_there(mark: str, count: int = 1) -> None:
    deadline = time.monotonic() + 20
    while len(marked(mark)) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_what_a_command_printed_and_how_it_ended_is_returned() -> None:
    result = await CommandRunner(5).run(["/bin/sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 7)


async def test_a_command_that_was_killed_tells_the_signal() -> None:
    assert (await CommandRunner(5).run(["/bin/sh", "-c", "kill -9 $$"])).exit_code == -9


async def test_output_that_is_no_text_is_told_all_the_same() -> None:
    assert (await CommandRunner(5).run(["/usr/bin/printf", r"a\377b"])).stdout == "a\ufffdb"


async def test_output_of_many_megabytes_is_whole() -> None:
    result = await CommandRunner(20).run(["/bin/sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x"])
    assert len(result.stdout) == 20_000_000


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
async def test_standard_input_arrives_whole(size: int) -> None:
    result = await CommandRunner(10).run_as(ACCOUNT, ["/usr/bin/wc", "-c"], "é" * size)
    assert result.stdout.strip() == str(2 * size)


async def test_a_command_that_does_not_read_its_input_is_no_fault() -> None:
    assert (await CommandRunner(10).run_as(ACCOUNT, ["/bin/true"], "x" * 3_000_000)).exit_code == 0


async def test_arguments_reach_no_shell() -> None:
    words = ["$(id)", "a b", "'", "`reboot`", ";", "*", "\n"]
    result = await CommandRunner(5).run(["/usr/bin/printf", "%s|", *words])
    assert result.stdout == "".join(f"{word}|" for word in words)


async def test_nothing_of_the_environment_of_the_hub_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "a-secret")
    monkeypatch.setenv("LD_PRELOAD_NOT", "a-secret")
    monkeypatch.setenv("TZ", "Europe/Paris")
    result = await CommandRunner(5).run([sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"])
    told = json.loads(result.stdout)
    assert set(told) - {"LC_CTYPE"} == {"PATH", "LANG", "HOME", "USER", "LOGNAME", "TZ"}
    assert (told["USER"], told["HOME"], told["TZ"]) == (ACCOUNT, pwd.getpwnam(ACCOUNT).pw_dir, "Europe/Paris")


async def test_a_command_runs_in_no_folder_that_may_vanish() -> None:
    assert (await CommandRunner(5).run(["/bin/pwd"])).stdout == "/\n"


@pytest.mark.parametrize("kind", ["missing", "folder", "not executable"])
async def test_a_program_that_cannot_be_run_is_a_scheduler_that_does_not_answer(kind: str, tmp_path: Path) -> None:
    program = tmp_path / "qstat"
    if kind == "folder":
        program.mkdir()
    elif kind == "not executable":
        program.write_text("#!/bin/sh\n")
    with pytest.raises(SchedulerUnavailableError, match=r"qstat cannot be run: \w+"):
        await CommandRunner(5).run([str(program)])


@pytest.mark.parametrize("spare", range(5))
async def test_a_hub_without_free_descriptors_says_so_and_keeps_none(spare: int) -> None:
    await CommandRunner(5).run(["/bin/true"])
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = next(number for number in range(1024) if str(number) not in before)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, limits[1]))
    try:
        # Needed are standard input, and two ends for each of the outputs.
        with pytest.raises(SchedulerUnavailableError, match="true cannot be run: Too many open files"):
            await CommandRunner(5).run(["/bin/true"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (await CommandRunner(5).run(["/bin/true"])).exit_code == 0
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# -- nothing is left -------------------------------------------------------------------------------------------------


async def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(mark: str) -> None:
    script = f"sh -c 'sleep 60; :' {mark} & sh -c 'sleep 60; :' {mark} & wait"
    began = time.monotonic()
    with pytest.raises(SchedulerUnavailableError, match=r"^sh did not answer within 0\.5 s"):
        await CommandRunner(0.5).run(["/bin/sh", "-c", script, mark])
    assert time.monotonic() - began < 30
    assert all_gone(mark)


async def test_a_command_that_ignores_signals_is_ended(mark: str) -> None:
    with pytest.raises(SchedulerUnavailableError):
        await CommandRunner(0.3).run(["/bin/sh", "-c", "trap '' TERM INT HUP; while :; do sleep 0.1; done", mark])
    assert all_gone(mark)


async def test_what_a_command_left_behind_with_its_output_is_ended_too(mark: str) -> None:
    script = f"sh -c 'sleep 20; :' {mark} & exit 0"
    with pytest.raises(SchedulerUnavailableError):
        await CommandRunner(0.3).run(["/bin/sh", "-c", script, "first"])
    left = marked(mark)
    for pid in left:  # whatever the outcome, nothing of this test stays
        os.killpg(os.getpgid(pid), 9)
    assert left == []


async def test_a_question_that_is_not_waited_for_any_more_leaves_no_process(mark: str) -> None:
    task = asyncio.ensure_future(CommandRunner(60).run(["/bin/sh", "-c", "sleep 60 & wait", mark]))
    await until_there(mark)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all_gone(mark)


@pytest.mark.parametrize("turns", range(12))
async def test_a_hub_can_end_at_any_moment_of_a_question(mark: str, turns: int) -> None:
    others = asyncio.all_tasks()
    task = asyncio.ensure_future(CommandRunner(60).run(["/bin/sh", "-c", "sleep 60; :", mark]))
    for _ in range(turns):
        await asyncio.sleep(0)
    for one in asyncio.all_tasks() - others:  # as JupyterHub does, also those that asyncio made
        one.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    assert done == {task}
    assert task.cancelled()
    assert all_gone(mark)


async def test_a_hundred_starts_are_no_hundred_processes(mark: str) -> None:
    runner = CommandRunner(20)
    command = ["/bin/sh", "-c", "sleep 0.15; :", mark]
    tasks = [asyncio.ensure_future(runner.run_as(ACCOUNT, command)) for _ in range(2 * AT_ONCE)]
    most = 0
    while not all(task.done() for task in tasks):
        most = max(most, len(marked(mark)))
        await asyncio.sleep(0.02)
    await asyncio.gather(*tasks)
    assert 1 <= most <= AT_ONCE


async def test_text_that_no_encoding_knows_is_refused_and_leaves_no_process(mark: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        await CommandRunner(5).run_as(ACCOUNT, ["/bin/sh", "-c", "cat; sleep 60", mark], "\ud800")
    assert all_gone(mark)


# -- as whom ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "uid", "expected"),
    [
        ("ada", 1000, []),
        ("root", 0, [RUNUSER, "-u", "ada", "--"]),
        ("vrehub", 1000, [SUDO, "-n", "-u", "ada", "--"]),
    ],
)
def test_a_command_of_a_user_runs_as_him_by_what_the_hub_may_do(account: str, uid: int, expected: list[str]) -> None:
    assert prefix_for("ada", account, uid) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run commands as another account without sudo")
async def test_root_runs_a_command_as_another_account() -> None:
    result = await CommandRunner(5).run_as("nobody", ["/bin/sh", "-c", "id -un; echo $USER $HOME"])
    assert result.stdout.split() == ["nobody", "nobody", pwd.getpwnam("nobody").pw_dir]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run commands as another account without sudo")
async def test_a_time_out_names_the_program_and_not_what_runs_it(mark: str) -> None:
    with pytest.raises(SchedulerUnavailableError, match=r"^sh did not answer"):
        await CommandRunner(0.3).run_as("nobody", ["/bin/sh", "-c", "sleep 60", mark])
    assert all_gone(mark)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
def test_the_account_of_the_hub_is_not_what_its_environment_says() -> None:
    # The module is read before the account changes: that one may not be able to read the checkout.
    code = (
        "import os; from swotvre_hub import batch_commands; os.setgid(65534); os.setuid(65534);"
        "print(batch_commands._account())"
    )
    environment = {"LOGNAME": "ada", "USER": "ada", "PYTHONPATH": str(Path(swotvre_hub.__file__).parents[1])}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == pwd.getpwuid(65534).pw_name
