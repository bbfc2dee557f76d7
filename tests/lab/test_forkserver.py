"""The fork server and the supervisor above each session, with real processes and no hub."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swotvre_lab.linux import start_ticks
from swotvre_lab.order import OrderError, SessionOrder

#: A program that supervises what its second argument says instead of a Jupyter server.
SUPERVISE = """
import json, os, subprocess, sys, time
from swotvre_lab.order import SessionOrder
from swotvre_lab.supervisor import supervise
def serve():
    exec(sys.argv[2], globals())
sys.exit(abs(supervise(SessionOrder.from_json(open(sys.argv[1]).read()), serve)))
"""


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    """Return the fields of an order that a machine with one core can carry out."""
    return {
        "environment": {"PATH": os.defpath, "SESSION_VARIABLE": "of the order"},
        "folder": str(tmp_path),
        "log": str(tmp_path / "session.log"),
        "cores": [min(os.sched_getaffinity(0))],
        "cgroup": "",
        "ends_at": time.time() + 60,
        "grace_seconds": 1.0,
        "end_record": str(tmp_path / "end.json"),
    }


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Run a piece of Python as the server of a session; end its supervisor after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(order: dict[str, Any], program: str) -> subprocess.Popen[bytes]:
        path = tmp_path / "order.json"
        path.write_text(json.dumps(order))
        started.append(subprocess.Popen([sys.executable, "-c", SUPERVISE, str(path), program]))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def end_record(order: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(Path(order["end_record"]).read_text())
    return record


def wait_for_file(path: Path, seconds: float = 20) -> str:
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path} was not written within {seconds:g} s"
        time.sleep(0.02)
    return path.read_text()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_session_has_the_environment_and_cores_of_its_order_and_nothing_else(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]]
) -> None:
    program = "print(json.dumps([dict(os.environ), sorted(os.sched_getaffinity(0)), os.getcwd()]))"
    assert supervise(order, program).wait(20) == 0
    environment, cores, folder = json.loads(Path(order["log"]).read_text())
    assert environment == order["environment"]
    assert cores == order["cores"]
    assert folder == order["folder"]
    assert Path(order["log"]).stat().st_mode & 0o777 == 0o600


def test_a_session_of_a_batch_system_stays_in_the_session_of_its_job(order: dict[str, Any]) -> None:
    # By that PBS knows which processes end with a job.
    program = f"""
import os
from swotvre_lab.order import SessionOrder
from swotvre_lab.supervisor import supervise
supervise(SessionOrder(**{order | {"log": ""}}), lambda: print(os.getsid(0)))
"""
    command = [sys.executable, "-c", program]
    assert int(subprocess.run(command, capture_output=True, check=True, timeout=20).stdout) == os.getsid(0)


def test_a_session_ends_at_its_walltime_even_when_it_ignores_sigterm(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]]
) -> None:
    order["ends_at"] = time.time() + 1
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    supervise(order, program).wait(20)
    record = end_record(order)
    assert (record["cause"], record["status"]) == ("walltime", -signal.SIGKILL)


def test_a_stop_ends_a_kernel_that_has_left_its_session(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    program = (
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True, env={})\n"
        "print(child.pid, file=open('pid', 'w')); time.sleep(300)"
    )
    supervisor = supervise(order, program)
    kernel = int(wait_for_file(tmp_path / "pid"))
    assert is_running(kernel)
    supervisor.terminate()
    supervisor.wait(20)
    assert not is_running(kernel)
    assert end_record(order)["cause"] == "stopped"


#: The same below a process of root, after giving up root: the first child cannot be killed by it.
SUPERVISE_AS_NOBODY = (
    """
import os, subprocess, sys
import swotvre_lab.supervisor, swotvre_lab.order, json, traceback
import encodings.ascii  # imported at the first use otherwise, when this account may not read it any more
child = subprocess.Popen(["sleep", "60"])
print(child.pid, file=open("pid", "w"), flush=True)
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
"""
    + SUPERVISE
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process that another account may not kill")
def test_a_process_that_cannot_be_killed_is_named_and_the_end_is_written_down(order: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        order |= {"folder": folder, "log": f"{folder}/session.log", "end_record": f"{folder}/end.json"}
        path = Path(folder) / "order.json"
        path.write_text(json.dumps(order))
        supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISE_AS_NOBODY, str(path), "pass"], cwd=folder)
        try:
            supervisor.wait(20)
            assert end_record(order)["cause"] == "ended"
            left = int((Path(folder) / "pid").read_text())
            assert f"could not be killed: {left}" in Path(order["log"]).read_text()
        finally:
            supervisor.kill()
            supervisor.wait()
            os.kill(int((Path(folder) / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize(("program", "status"), [("sys.exit(3)", 3), ("os.abort()", -signal.SIGABRT), ("1/0", 1)])
def test_a_server_that_ends_by_itself_leaves_its_status(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]], program: str, status: int
) -> None:
    supervise(order, program).wait(20)
    record = end_record(order)
    assert (record["cause"], record["status"]) == ("ended", status)


def test_the_names_of_kernels_that_were_killed_for_memory_are_in_the_end_record(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    order["environment"]["JUPYTER_RUNTIME_DIR"] = str(runtime)
    lines = ['"rings.ipynb"', '"b\\u00e9.ipynb"', '"rings.ipynb"', "not JSON", "7", "[" * 10_000, ""]
    program = f"print({chr(10).join(lines)!r}, file=open(os.environ['SWOTVRE_KERNEL_DEATHS'], 'a'))"
    supervise(order, program).wait(20)
    assert end_record(order)["killed_kernels"] == ["bé.ipynb", "rings.ipynb"]
    assert list(runtime.iterdir()) == []


def test_a_session_without_killed_kernels_has_none_in_its_end_record(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]]
) -> None:
    supervise(order, "pass").wait(20)
    assert end_record(order)["killed_kernels"] == []


def test_the_death_of_the_supervisor_ends_the_server(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervise(order, "print(os.getpid(), file=open('pid', 'w')); time.sleep(300)")
    server = int(wait_for_file(tmp_path / "pid"))
    supervisor.kill()
    supervisor.wait(20)
    deadline = time.monotonic() + 10
    while is_running(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(server)


def test_an_interrupt_works_although_the_starter_ignored_it(
    order: dict[str, Any], supervise: Callable[..., subprocess.Popen[bytes]]
) -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        program = (
            "import signal\n"
            "try: os.kill(os.getpid(), signal.SIGINT); time.sleep(30)\n"
            "except KeyboardInterrupt: sys.exit(9)"
        )
        supervise(order, program).wait(20)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert end_record(order)["status"] == 9


class ForkServerProcess:
    """A fork server and our end of its socket."""

    def __init__(self, folder: Path) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(60)
        with theirs, (folder / "forkserver.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "swotvre_lab.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=log,
                stderr=log,
            )
        self._lines = self.socket.makefile("rb")
        assert self.read() == {"ready": True}

    def read(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._lines.readline())
        return answer

    def ask(self, message: bytes) -> dict[str, Any]:
        self.socket.sendall(message + b"\n")
        return self.read()

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


@pytest.fixture
def fork_server(tmp_path: Path) -> Iterator[ForkServerProcess]:
    server = ForkServerProcess(tmp_path)
    yield server
    server.close()
    server.process.kill()
    server.process.wait()


def test_the_fork_server_refuses_what_is_no_order_and_starts_the_next(
    fork_server: ForkServerProcess, order: dict[str, Any]
) -> None:
    for message in (b"not JSON", b"[]", b'{"environment": {}}', json.dumps({**order, "cores": "all"}).encode()):
        assert "error" in fork_server.ask(message)
    answer = fork_server.ask(json.dumps(order).encode())
    # Without a hub's variables the single-user server ends at once, and says why in its log.
    assert answer["pid"] > 1
    deadline = time.monotonic() + 30
    while not Path(order["end_record"]).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert end_record(order)["cause"] == "ended"
    assert "JUPYTERHUB_SERVICE_URL" in Path(order["log"]).read_text()


def test_an_order_that_this_machine_cannot_carry_out_is_explained_in_the_log(
    fork_server: ForkServerProcess, order: dict[str, Any]
) -> None:
    fork_server.ask(json.dumps({**order, "cores": [4095]}).encode())
    assert "sched_setaffinity" in wait_for_file(Path(order["log"]))


def test_the_fork_server_keeps_no_zombies(
    fork_server: ForkServerProcess, order: dict[str, Any], tmp_path: Path
) -> None:
    answer = fork_server.ask(json.dumps({**order, "ends_at": time.time() - 1}).encode())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{answer['pid']}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert f"session with pid {answer['pid']} ended" in wait_for_file(tmp_path / "forkserver.log")


def test_the_fork_server_has_one_thread_and_answers_with_the_start_time(
    fork_server: ForkServerProcess, order: dict[str, Any]
) -> None:
    assert len(list(Path(f"/proc/{fork_server.process.pid}/task").iterdir())) == 1
    answer = fork_server.ask(json.dumps(order).encode())
    assert answer["start_ticks"] >= start_ticks(fork_server.process.pid)


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_the_fork_server_ends_with_its_hub_or_when_told(fork_server: ForkServerProcess, end: str) -> None:
    if end == "close":
        fork_server.close()
    else:
        fork_server.process.terminate()
    assert fork_server.process.wait(20) == 0


def test_an_order_with_a_wrong_type_names_the_field(order: dict[str, Any]) -> None:
    wrong = {"environment": {"A": 1}, "folder": "relative", "cores": [-1], "cgroup": "x", "ends_at": "now"}
    for name, value in wrong.items():
        with pytest.raises(OrderError, match=name):
            SessionOrder.from_json(json.dumps({**order, name: value}))


def test_the_stand_in_for_the_grammar_gives_the_answers_of_the_real_one() -> None:
    program = (
        "from swotvre_lab.trimmed_imports import import_server; import sys; import_server()\n"
        "assert 'lark' not in sys.modules and 'alembic' not in sys.modules\n"
        "from jsonschema import Draft7Validator as V\n"
        "check = lambda text: V({'format': 'iri'}, format_checker=V.FORMAT_CHECKER).is_valid(text)\n"
        "assert check('http://example.org/é') and not check('no iri at all')\n"
        "assert 'lark' in sys.modules\n"
        "import jupyterhub.orm, jupyterhub.handlers.pages\n"
        "assert jupyterhub.orm.User.__tablename__ == 'users' and jupyterhub.handlers.pages.SpawnHandler"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
