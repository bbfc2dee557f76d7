"""Sessions are real: the resources, the life and the end of processes of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from jupyterhub.spawner import SpawnException

from swotvre_hub.spawner.environment import THREAD_VARIABLES
from swotvre_hub.spawner.identity import SESSION_ID_VARIABLE, session_processes
from swotvre_hub.spawner.local import LocalSpawner
from swotvre_hub.state import State

SpawnerFactory = Callable[..., LocalSpawner]


def server_process(spawner: LocalSpawner) -> psutil.Process:
    (server,) = psutil.Process(spawner.get_state()["session"]["process"]["pid"]).children()
    return server


async def ended(spawner: LocalSpawner, seconds: float = 60) -> int:
    for _ in range(round(seconds / 0.1)):
        status = await spawner.poll()
        if status is not None:
            return status
        await asyncio.sleep(0.1)
    raise AssertionError(f"the session still runs after {seconds:g} s")


async def test_whoever_sees_the_end_first_finds_it_told(make_spawner: SpawnerFactory) -> None:
    spawner = make_spawner()
    await spawner.start()
    server = server_process(spawner)
    supervisor = server.parent()
    assert supervisor is not None
    server.kill()
    supervisor.wait(60)
    looks = [asyncio.ensure_future(spawner.poll()) for _ in range(3)]
    done, _ = await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
    assert {look.result() for look in done} == {-signal.SIGKILL}
    assert "ended" in (spawner.last_end or "")
    assert set(await asyncio.gather(*looks)) == {-signal.SIGKILL}


@pytest.mark.parametrize("fork_server", [True, False])
async def test_a_session_answers_with_what_its_size_says(
    make_spawner: SpawnerFactory, state: State, fork_server: bool
) -> None:
    spawner = make_spawner(fork_server=fork_server)
    url = await spawner.start()
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/user/ada/api")
    assert answer.status_code == 200
    assert await spawner.poll() is None
    server = server_process(spawner)
    assert len(os.sched_getaffinity(server.pid)) == 1
    environment = server.environ() if not fork_server else {}
    assert {environment.get(name, "1") for name in THREAD_VARIABLES} == {"1"}
    assert url.startswith("http://127.0.0.1:")
    assert {connection.laddr.ip for connection in server.net_connections("tcp") if connection.status == "LISTEN"} == {
        "127.0.0.1"
    }
    (log,) = (state.log / "sessions").iterdir()
    assert log.stat().st_mode & 0o777 == 0o600
    assert state.workspace(spawner.settings, "ada").stat().st_mode & 0o777 == 0o700
    assert "not-a-real-token" not in " ".join(server.cmdline() + server.parent().cmdline())  # type: ignore[union-attr]


@pytest.mark.parametrize("fork_server", [True, False])
async def test_a_stopped_session_leaves_nothing_behind(
    make_spawner: SpawnerFactory, state: State, fork_server: bool
) -> None:
    spawner = make_spawner(fork_server=fork_server)
    await spawner.start()
    supervisor = psutil.Process(spawner.get_state()["session"]["process"]["pid"])
    server = server_process(spawner)
    await spawner.stop()
    assert await spawner.poll() == 0
    assert not server.is_running()
    assert not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE
    assert list((state.run / "sessions").glob("*.live.json")) == []
    assert "it was stopped" in str(spawner.last_end)


async def test_a_session_ends_at_its_walltime_and_says_so(make_spawner: SpawnerFactory, shortest_second: None) -> None:
    spawner = make_spawner(walltime_hours=6 / 3600)
    await spawner.start()
    assert await ended(spawner) == 0
    assert "its duration was over" in str(spawner.last_end)


async def test_the_next_hub_finds_a_session_and_notices_its_end(make_spawner: SpawnerFactory) -> None:
    before = make_spawner()
    await before.start()
    after = make_spawner()
    after.load_state(before.get_state())
    assert await after.poll() is None
    assert await after.get_url() == f"http://127.0.0.1:{before.port}/user/ada/"
    server_process(before).send_signal(signal.SIGKILL)
    assert await ended(after) == -signal.SIGKILL
    assert "JupyterLab was killed by SIGKILL" in str(after.last_end)


async def test_the_end_of_the_fork_server_does_not_end_sessions(make_spawner: SpawnerFactory) -> None:
    spawner = make_spawner()
    await spawner.start()
    spawner.starter.stop()
    assert await spawner.poll() is None
    await spawner.stop()
    assert "it was stopped" in str(spawner.last_end)


async def test_another_process_of_the_same_number_is_not_the_session(make_spawner: SpawnerFactory) -> None:
    spawner = make_spawner()
    await spawner.start()
    kept = spawner.get_state()
    kept["session"]["process"]["start_ticks"] -= 1
    other = make_spawner()
    other.load_state(kept)
    assert await other.poll() is not None
    assert other.last_end is not None


async def test_whatever_carries_the_session_ends_with_it(make_spawner: SpawnerFactory) -> None:
    spawner = make_spawner()
    await spawner.start()
    session_id = spawner.get_state()["session"]["session_id"]
    server = server_process(spawner)
    environment = {**os.environ, SESSION_ID_VARIABLE: session_id}
    escaped = await asyncio.create_subprocess_exec("sleep", "300", env=environment, start_new_session=True)
    await spawner.stop(now=True)
    assert await asyncio.wait_for(escaped.wait(), 5) == -signal.SIGKILL
    assert list(session_processes(session_id)) == []
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


async def test_two_sessions_get_different_cores(make_spawner: SpawnerFactory) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core only: two sessions have to share it")
    ada, bob = make_spawner("ada"), make_spawner("bob")
    await ada.start()
    await bob.start()
    cores = [os.sched_getaffinity(server_process(spawner).pid) for spawner in (ada, bob)]
    assert cores[0].isdisjoint(cores[1])


async def test_sessions_that_start_at_once_get_different_cores(make_spawner: SpawnerFactory) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core only: two sessions have to share it")
    ada, bob = make_spawner("ada"), make_spawner("bob")
    await asyncio.gather(ada.start(), bob.start())
    cores = [os.sched_getaffinity(server_process(spawner).pid) for spawner in (ada, bob)]
    assert cores[0].isdisjoint(cores[1])


async def test_a_reason_that_was_not_acted_upon_is_not_told_of_the_next_end(make_spawner: SpawnerFactory) -> None:
    spawner = make_spawner()
    spawner.records.update_history("ada", stop_reason="nothing ran in it for 2 hours")
    await spawner.start()
    await spawner.stop()
    assert str(spawner.last_end).endswith("it was stopped.")


async def test_the_launch_page_says_when_the_memory_limit_cannot_be_enforced(make_spawner: SpawnerFactory) -> None:
    spawner = make_spawner(fork_server=False)
    words = "This machine cannot enforce the memory limit; please stay below it. (no cgroup here)"
    spawner.starter.unlimited_because = "no cgroup here"
    assert words in spawner.render_form()
    spawner.starter.unlimited_because = ""
    assert "enforce" not in spawner.render_form()


async def test_a_broken_lab_environment_is_told_with_the_last_lines_of_the_log(
    make_spawner: SpawnerFactory, state: State, tmp_path: Path
) -> None:
    broken = tmp_path / "broken" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho 'No module named swotvre_lab' >&2\nexit 7\n")
    broken.chmod(0o755)
    state.environment("lab").unlink()
    state.environment("lab").symlink_to(broken.parent.parent)
    with pytest.raises(SpawnException) as caught:
        await make_spawner().start()
    assert "No module named swotvre_lab" in caught.value.message
    assert caught.value.status_code == 503


async def test_a_workspace_that_cannot_be_made_is_told(make_spawner: SpawnerFactory, state: State) -> None:
    (state.root / "home").write_text("a file where the folder of all workspaces should be")
    with pytest.raises(SpawnException) as caught:
        await make_spawner().start()
    assert "the folder of your files cannot be used" in caught.value.message


async def test_a_file_in_the_place_of_the_tutorials_refuses_no_session(
    make_spawner: SpawnerFactory, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    spawner = make_spawner()
    workspace = state.workspace(spawner.settings, "ada")
    workspace.mkdir(parents=True)
    (workspace / "tutorials").write_text("mine")
    await spawner.start()
    assert await spawner.poll() is None
    assert (workspace / "tutorials").read_text() == "mine"
    assert "The tutorials in" in caplog.text


@pytest.fixture
def full_workspace(state: State) -> Iterator[Path]:
    """Make the workspace of ada a file system without room for a notebook."""
    workspace = state.root / "home" / "ada"
    workspace.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(workspace)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no small file system can be mounted by this account")
    yield workspace
    subprocess.run(["umount", str(workspace)], check=True)


async def test_a_full_disk_is_told(make_spawner: SpawnerFactory, full_workspace: Path) -> None:
    with pytest.raises(SpawnException) as caught:
        await make_spawner().start()
    assert "No space left on device" in caught.value.message


async def test_progress_tells_what_was_asked_for_and_whether_memory_is_limited(make_spawner: SpawnerFactory) -> None:
    spawner = make_spawner(walltime_hours=1.5)
    await spawner.start()
    told = []
    async for event in spawner.progress():
        told.append(event["message"])
        if event["progress"] == 90:
            break
    assert told[0] == "Starting JupyterLab with 1 core and 1 GiB of memory, for 1 hour 30 minutes."
    assert "memory" in told[1]
    assert told[-1] == "JupyterLab answers."
