"""What is kept about sessions, and the words for how they ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swotvre_hub.spawner.cores import choose_cores
from swotvre_hub.spawner.ending import SessionEnd, parse_end, read_end
from swotvre_hub.spawner.environment import base_environment, proxy_environment
from swotvre_hub.spawner.forkserver import ForkServer, ForkServerError, environment_fingerprint
from swotvre_hub.spawner.identity import ProcessIdentity
from swotvre_hub.spawner.records import History, LiveSession, SessionRecords
from swotvre_hub.spawner.runtime import LONGEST_FOLDER_BYTES, make_runtime_folder, remove_runtime_folder
from swotvre_hub.state import State


def live_session(pid: int) -> LiveSession:
    return LiveSession("0a1b", "ada", "", ProcessIdentity.of(pid), 4321, [0], "", "small")


@pytest.fixture
def records(tmp_path: Path) -> SessionRecords:
    return SessionRecords(State(tmp_path))


def test_a_session_is_live_until_its_process_ends(records: SessionRecords) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    records.add(live_session(process.pid))
    assert [session.port for session in records.live()] == [4321]
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert list(records.live()) == [], "a process that only waits to be collected is not alive"
    process.communicate()
    assert list(records.live()) == []
    assert len(list(records.noted())) == 1


def test_a_session_that_an_older_hub_noted_is_found(records: SessionRecords) -> None:
    content = live_session(os.getpid()).to_json()
    del content["runtime_folder"]
    assert LiveSession.from_json(content) == live_session(os.getpid())
    assert LiveSession.from_json({**content, "unknown": 1}) is None


def test_records_are_for_their_owner_only(records: SessionRecords) -> None:
    records.add(live_session(os.getpid()))
    assert records.folder.stat().st_mode & 0o077 == 0


def test_a_process_of_another_boot_is_not_the_same() -> None:
    own = ProcessIdentity.of(os.getpid())
    assert own.is_alive()
    assert not replace(own, boot="another").is_alive()
    assert not replace(own, start_ticks=own.start_ticks + 1).is_alive()


@pytest.mark.parametrize(
    "content", [None, [], {"pid": 1, "start_ticks": 1, "boot": ""}, {"pid": "7", "start_ticks": 1, "boot": ""}]
)
def test_what_is_no_identity_is_none(content: object) -> None:
    assert ProcessIdentity.from_json(content) is None


def test_a_damaged_history_is_an_empty_one(records: SessionRecords) -> None:
    records.update_history("ada", options={"size": "small"}, last_end="it was stopped")
    assert records.history("ada") == History({"size": "small"}, "it was stopped")
    (file,) = records.folder.glob("*.history.json")
    file.write_text('{"options": "small", "last_end": 7')
    assert records.history("ada") == History()


def test_users_with_similar_names_have_histories_of_their_own(records: SessionRecords) -> None:
    names = ["ada", "a/da", "..", "ada+", "a%da"]
    for name in names:
        records.update_history(name, last_end=name)
    assert [records.history(name).last_end for name in names] == names
    assert {path.parent for path in records.folder.glob("*")} == {records.folder}


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (SessionEnd("walltime", 0, 0, None), "its duration was over"),
        (SessionEnd("stopped", 0, 0, None), "it was stopped"),
        (SessionEnd("memory", -9, 1, None), "it used more than its 8 GiB of memory; choose a larger size"),
        (SessionEnd("ended", 3, 0, None), "JupyterLab ended by itself with exit code 3"),
        (SessionEnd("ended", -11, 0, None), "JupyterLab was killed by SIGSEGV"),
        (SessionEnd("walltime", 0, 2, None), "2 processes had been killed for using more than 8 GiB of memory"),
        (SessionEnd("lost", 1, 0, None), "is gone; why could not be seen"),
    ],
)
def test_an_end_is_told_in_words(end: SessionEnd, words: str) -> None:
    assert words in end.describe("Small", 1, 8)


def test_who_stopped_a_session_is_told_when_known() -> None:
    words = SessionEnd("stopped", 0, 0, None).describe("Small", 1, 8, "nothing ran in it for 2 hours")
    assert words.endswith("it was stopped: nothing ran in it for 2 hours.")


def test_the_end_names_the_kernels_that_were_killed_for_memory() -> None:
    record = {"cause": "walltime", "status": 0, "memory_kills": 2, "ended": 0.0}
    record["killed_kernels"] = ["rings.ipynb", "bé.ipynb"]
    end = parse_end(json.dumps(record))
    assert end.killed_kernels == ("rings.ipynb", "bé.ipynb")
    words = "the kernels of rings.ipynb, bé.ipynb had been killed for using more than 8 GiB of memory"
    assert words in end.describe("Small", 1, 8)


@pytest.mark.parametrize("content", ["", "{}", '{"cause": "x", "status": 0, "memory_kills": 0, "ended": 0}', "[1]"])
def test_a_damaged_end_record_is_a_lost_session(tmp_path: Path, content: str) -> None:
    path = tmp_path / "end.json"
    path.write_text(content)
    assert read_end(path).cause == "lost"


def test_the_least_used_cores_are_chosen() -> None:
    assert choose_cores(2, {0, 1, 2, 3}, [[0, 1], [2]]) == [0, 3]
    assert choose_cores(1, {4, 5}, []) == [4]


@given(st.integers(1, 12), st.sets(st.integers(0, 15), min_size=1), st.lists(st.lists(st.integers(0, 20), max_size=8)))
def test_cores_are_different_allowed_and_as_many_as_there_are(
    count: int, allowed: set[int], in_use: list[list[int]]
) -> None:
    chosen = choose_cores(count, allowed, in_use)
    assert len(set(chosen)) == len(chosen) == min(count, len(allowed))
    assert set(chosen) <= allowed


def test_the_fingerprint_changes_with_what_is_installed(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    python = tmp_path / "bin" / "python"
    before = environment_fingerprint(python)
    (packages / "jupyterlab-4.6.7.dist-info").mkdir()
    assert environment_fingerprint(python) != before


def test_nothing_secret_of_the_hub_reaches_the_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "secret")
    assert "secret" not in base_environment(Path(sys.executable)).values()


def test_a_session_knows_the_proxy_of_the_site_and_reaches_the_hub_without_it() -> None:
    site = {"https_proxy": "http://proxy:3128", "HTTP_PROXY": "http://proxy:3128", "no_proxy": "a.org, localhost"}
    assert proxy_environment({**site, "OTHER": "x"}) == {
        "https_proxy": "http://proxy:3128",
        "HTTP_PROXY": "http://proxy:3128",
        "no_proxy": "a.org,localhost,127.0.0.1",
        "NO_PROXY": "a.org,localhost,127.0.0.1",
    }
    assert proxy_environment({"no_proxy": "a.org", "http_proxy": ""}) == {}


def test_the_proxy_of_the_site_reaches_programs_of_the_lab_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    environment = base_environment(Path(sys.executable))
    assert environment["https_proxy"] == "http://proxy:3128"
    assert {"127.0.0.1", "localhost"} <= set(environment["no_proxy"].split(","))


def test_a_runtime_folder_is_private_short_and_goes(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    folders = [make_runtime_folder(), make_runtime_folder(deep)]
    for folder in folders:
        (folder / "kernel-ipc-1").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(folder)) <= LONGEST_FOLDER_BYTES
        remove_runtime_folder(folder)
        assert not folder.exists()


def test_only_a_runtime_folder_is_removed_as_one(tmp_path: Path) -> None:
    remove_runtime_folder(tmp_path)
    assert tmp_path.is_dir()


ANSWERS = """#!{python}
import socket, sys
hub = socket.socket(fileno=int(sys.argv[-1]))
hub.sendall(b'{{"ready": true}}\\n')
while hub.recv(65536):
    hub.sendall(b'{answer}\\n')
"""


async def ask(folder: Path, answer: str) -> ProcessIdentity:
    """Return what the hub makes of a fork server's answer."""
    program = folder / "bin" / "python"
    program.parent.mkdir()
    program.write_text(ANSWERS.format(python=sys.executable, answer=answer))
    program.chmod(0o755)
    server = ForkServer(program, folder / "log", {})
    try:
        await server.wait_until_ready(20)
        return await server.start({})
    finally:
        server.stop()


async def test_a_session_is_the_process_that_the_fork_server_saw_not_a_later_one_of_its_number(tmp_path: Path) -> None:
    started = await ask(tmp_path, f'{{"pid": {os.getpid()}, "start_ticks": 7}}')
    assert (started.pid, started.start_ticks) == (os.getpid(), 7)
    assert not started.is_alive()


@pytest.mark.parametrize("answer", ['{"pid": 7}', '{"pid": "x", "start_ticks": 7}', '{"pid": 1, "start_ticks": 7}'])
async def test_an_answer_that_names_no_process_is_a_failure_of_the_fork_server(tmp_path: Path, answer: str) -> None:
    with pytest.raises(ForkServerError):
        await ask(tmp_path, answer)
