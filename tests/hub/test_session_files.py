"""A user's files of batch sessions, handled by a program of its own as the hub runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from swotvre_hub.session_files import LOG_FOLDER, READ_BYTES, TOLD_LINES, end_path, log_path

SESSION, OTHER = "0123456789abcdef", "fedcba9876543210"
DAY = 86400


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the program; return its exit status and what it printed."""
    command = [sys.executable, "-I", "-m", "swotvre_hub.session_files", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env={"LANG": "C"})
    assert done.stderr == ""
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


def write(path: Path, content: bytes = b"", days_old: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - days_old * DAY,) * 2)
    return path


def test_a_folder_is_made_ready_for_a_session(tmp_path: Path) -> None:
    home = tmp_path / "it's a home"
    assert run("begin", SESSION, str(home), "30") == (0, {"log": str(home / LOG_FOLDER / f"{SESSION}.log")})
    assert log_path(home, SESSION).stat().st_mode & 0o777 == 0o600
    assert (home / LOG_FOLDER).stat().st_mode & 0o777 == 0o700
    assert home.stat().st_mode & 0o777 == 0o700


def test_beginning_twice_changes_nothing(tmp_path: Path) -> None:
    run("begin", SESSION, str(tmp_path), "30")
    log_path(tmp_path, SESSION).write_text("kept")
    assert run("begin", SESSION, str(tmp_path), "30")[0] == 0
    assert log_path(tmp_path, SESSION).read_text() == "kept"


def test_old_files_of_sessions_are_removed_and_all_others_kept(tmp_path: Path) -> None:
    logs = tmp_path / LOG_FOLDER
    old = [write(log_path(tmp_path, OTHER), days_old=31), write(end_path(tmp_path, OTHER), days_old=31)]
    kept = [
        write(log_path(tmp_path, "a" * 16), days_old=29),
        write(logs / "notes.txt", days_old=400),
        write(logs / "0123.log", days_old=400),
        write(tmp_path / "precious.nc", days_old=400),
    ]
    (logs / f"{'b' * 16}.log").mkdir()
    os.utime(logs / f"{'b' * 16}.log", (0, 0))
    run("begin", SESSION, str(tmp_path), "30")
    assert [path.exists() for path in old] == [False, False]
    assert all(path.exists() for path in kept)


def test_what_a_link_among_old_logs_points_to_is_kept(tmp_path: Path) -> None:
    precious = write(tmp_path / "precious.nc", days_old=400)
    link = tmp_path / LOG_FOLDER / f"{OTHER}.log"
    link.parent.mkdir(parents=True)
    link.symlink_to(precious)
    os.utime(link, (0, 0), follow_symlinks=False)
    run("begin", SESSION, str(tmp_path), "30")
    assert precious.exists()
    assert not link.is_symlink()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["begin"],
        ["begin", SESSION],
        ["begin", SESSION, "/tmp"],
        ["begin", SESSION, "/tmp", "x"],
        ["begin", SESSION, "/tmp", "-1"],
        ["begin", SESSION, "/tmp", "²"],
        ["begin", SESSION, "/tmp", "30", "more"],
        ["begin", "../../../etc/abc", "/tmp", "30"],
        ["begin", SESSION.upper(), "/tmp", "30"],
        ["begin", f"{SESSION}\n", "/tmp", "30"],
        ["begin", SESSION, "tmp", "30"],
        ["end", SESSION, "/tmp", "30"],
        ["end", "", "/tmp"],
        ["remove", SESSION, "/tmp"],
    ],
)
def test_other_arguments_are_refused_in_words(arguments: list[str]) -> None:
    status, answer = run(*arguments)
    assert status == 1
    assert set(answer) == {"error"}


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    status, answer = run("begin", SESSION, str(write(tmp_path / "home")), "30")
    assert status == 1
    assert "the folder of your files cannot be used" in answer["error"]


def test_a_file_in_the_place_of_the_logs_is_told(tmp_path: Path) -> None:
    write(tmp_path / LOG_FOLDER)
    status, answer = run("begin", SESSION, str(tmp_path), "30")
    assert status == 1
    assert "the log of a session cannot be kept" in answer["error"]


def test_a_folder_whose_name_is_too_long_is_told(tmp_path: Path) -> None:
    status, answer = run("begin", SESSION, str(tmp_path / ("x" * 300)), "30")
    assert status == 1
    assert "error" in answer


def test_a_folder_that_cannot_be_written_to_is_told() -> None:
    status, answer = run("begin", SESSION, "/proc/sys/home", "30")  # not even root can make a folder there
    assert status == 1
    assert "the folder of your files cannot be used" in answer["error"]


# -- the end ---------------------------------------------------------------------------------------------------------


def test_nothing_that_is_there_is_no_error(tmp_path: Path) -> None:
    assert run("end", SESSION, str(tmp_path)) == (0, {"end": None, "log": []})


def test_record_and_log_are_told(tmp_path: Path) -> None:
    write(end_path(tmp_path, SESSION), b'{"cause": "memory"}')
    write(log_path(tmp_path, SESSION), b"first\n\n  \nlast")
    assert run("end", SESSION, str(tmp_path))[1] == {"end": '{"cause": "memory"}', "log": ["first", "last"]}


def test_only_the_last_lines_of_a_long_log_are_told(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(100_000)]
    write(log_path(tmp_path, SESSION), "\n".join(lines).encode())
    assert run("end", SESSION, str(tmp_path))[1]["log"] == lines[-TOLD_LINES:]


def test_one_endless_line_is_told_in_part(tmp_path: Path) -> None:
    write(log_path(tmp_path, SESSION), b"x" * 10_000_000)
    assert run("end", SESSION, str(tmp_path))[1]["log"] == ["x" * READ_BYTES]


def test_a_log_of_any_bytes_is_told(tmp_path: Path) -> None:
    write(log_path(tmp_path, SESSION), b"before\n" + bytes(range(256)) * 4 + "\né漢\n".encode())
    assert run("end", SESSION, str(tmp_path))[1]["log"][-1] == "é漢"


@pytest.mark.parametrize("content", [b"\xff\xfe", "é".encode(), b"{" * 1_000_000])
def test_a_damaged_record_is_told_as_far_as_it_goes(tmp_path: Path, content: bytes) -> None:
    write(end_path(tmp_path, SESSION), content)
    end = run("end", SESSION, str(tmp_path))[1]["end"]
    assert end is None or end == "{" * READ_BYTES


def test_a_log_that_is_a_folder_is_an_empty_one(tmp_path: Path) -> None:
    log_path(tmp_path, SESSION).mkdir(parents=True)
    end_path(tmp_path, SESSION).mkdir()
    assert run("end", SESSION, str(tmp_path)) == (0, {"end": None, "log": []})


def test_a_log_that_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    log_path(tmp_path, SESSION).parent.mkdir(parents=True)
    os.mkfifo(log_path(tmp_path, SESSION))
    command = [sys.executable, "-I", "-m", "swotvre_hub.session_files", "end", SESSION, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, timeout=1).returncode == 0


def test_a_record_of_any_size_takes_little_memory(tmp_path: Path) -> None:
    write(end_path(tmp_path, SESSION), b"{")
    os.truncate(end_path(tmp_path, SESSION), 2**32)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30));"
        "from swotvre_hub.session_files import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "end", SESSION, str(tmp_path)]
    assert subprocess.run(command, capture_output=True).returncode == 0
