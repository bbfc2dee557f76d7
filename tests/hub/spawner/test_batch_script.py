"""The script of a session: whatever its environment holds arrives as it is, and nothing of it is run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swotvre_hub.spawner.batch_script import ScriptError, render_session_script

#: Stands in the place of the session environment's interpreter: tells what it was given, as JSON.
DUMP = """#!{python} -IS
import json, os, sys
environment = {{os.fsdecode(name): os.fsdecode(value) for name, value in os.environb.items()}}
told = {{"environment": environment, "arguments": sys.argv[1:], "folder": os.getcwd(), "umask": os.umask(0)}}
print(json.dumps(told))
"""
SESSION_ID = "0123456789abcdef"
#: What bash sets itself, or does not let anybody set.
OF_BASH = frozenset(
    subprocess.run(
        ["/bin/bash", "--norc", "-c", "compgen -v"], env={}, capture_output=True, text=True, check=True
    ).stdout.split()
) | {"LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_COLLATE", "LC_MESSAGES", "LC_TIME", "LANG", "POSIXLY_CORRECT", "OLDPWD"}
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(
    lambda name: name not in OF_BASH and not name.startswith("BASH")
)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60) | st.text(
    "'\"\\$`()!{}%#~ \n\t\r;&|<>*?[]=", max_size=30
)
NASTY = {
    "QUOTES": "it's \"quoted\" ''' \\' \\",
    "COMMANDS": "$(touch pwned) `touch pwned` ; touch pwned & touch pwned\n touch pwned",
    "VARIABLES": "$HOME ${HOME} $$ $'x' !! ~ *",
    "TEMPLATE": "{{ session_id }} {% for a in b %} {# gone #} %% {{",
    "LINES": "a\nb\r\nc\r\n\nEOF\n#!/bin/sh\nexit 1\n",
    "LETTERS": "é 漢字 🛰 \u2028 \ufeff \x01\x1b\x7f",
    "EMPTY": "",
    "LONG": "x" * 100_000,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program that tells its environment."""
    path = tmp_path_factory.mktemp("programs") / "it's a python"
    path.write_text(DUMP.format(python=sys.executable), encoding="utf-8")
    path.chmod(0o755)
    return path


def run(script: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script as a scheduler does: read by bash from a file, in some folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.sh"
        path.write_bytes(script.encode())
        command = ["/bin/bash", "--norc", str(path)]
        return subprocess.run(
            command, env=environment or {}, cwd=folder, capture_output=True, text=True, errors="surrogateescape"
        )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(environment=st.dictionaries(NAMES, VALUES, max_size=12))
@example(environment=NASTY)
def test_any_environment_arrives_as_it_is(program: Path, environment: dict[str, str]) -> None:
    done = run(render_session_script(SESSION_ID, program, "/tmp", environment))
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert {name: told["environment"].get(name) for name in environment} == environment
    assert set(told["environment"]) - set(environment) <= {"PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=30))
@example(name="it's $(a) `folder` \\ \" \n")
def test_any_folder_is_entered(program: Path, name: str) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent).resolve() / f"-{name}"
        folder.mkdir()
        done = run(render_session_script(SESSION_ID, program, str(folder), {}))
        assert json.loads(done.stdout)["folder"] == str(folder)


def test_the_session_runs_isolated_and_makes_private_files(program: Path) -> None:
    told = json.loads(run(render_session_script(SESSION_ID, program, "/tmp", {})).stdout)
    assert told["arguments"] == ["-I", "-m", "swotvre_lab.batch"]
    assert told["umask"] == 0o077


def test_a_folder_that_cannot_be_entered_ends_the_job_with_a_status_of_its_own(program: Path) -> None:
    assert run(render_session_script(SESSION_ID, program, "/nowhere/at/all", {})).returncode == 70


def test_an_environment_that_is_not_there_ends_the_job_with_the_status_of_shells() -> None:
    assert run(render_session_script(SESSION_ID, Path("/nowhere/python"), "/tmp", {})).returncode == 127


def test_what_the_scheduler_exports_for_shells_does_not_reach_the_session(program: Path) -> None:
    script = render_session_script(SESSION_ID, program, "/tmp", {"WANTED": "1"})
    told = json.loads(run(script, {"ENV": "/etc/evil", "BASH_ENV": "/dev/null", "PBS_JOBID": "1.head"}).stdout)
    assert not {"ENV", "BASH_ENV"} & set(told["environment"])
    assert told["environment"]["PBS_JOBID"] == "1.head"


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A\n", "Ä", "A;touch x", "A\0", "BASH_FUNC_a%%"])
def test_a_name_that_no_shell_exports_is_refused(name: str) -> None:
    with pytest.raises(ScriptError, match="which a shell cannot export"):
        render_session_script(SESSION_ID, Path("/p"), "/tmp", {name: "value"})


def test_a_refusal_does_not_tell_the_value() -> None:
    with pytest.raises(ScriptError) as caught:
        render_session_script(SESSION_ID, Path("/p"), "/tmp", {"TOKEN": "secret\0"})
    assert "secret" not in str(caught.value)
    assert "'TOKEN'" in str(caught.value)


def test_a_value_that_no_encoding_knows_is_refused() -> None:
    with pytest.raises(ScriptError):
        render_session_script(SESSION_ID, Path("/p"), "/tmp", {"NAME": "\ud800"})
