"""``swot-vre catalog``: everything is left to the kernel's program, and comes back from it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from swotvre_hub.catalog_program import prepare_sample_datalake
from swotvre_hub.cli import main
from swotvre_hub.settings import load_settings, read_defaults
from swotvre_hub.spawner.environment import data_environment
from swotvre_hub.state import State

PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" >> "{folder}/arguments"
printf '%s\\n' "$SWOTVRE_DATALAKE" "$SWOTVRE_DATALAKE_OPTIONS" "$SWOTVRE_INDEX" > "{folder}/environment"
{body}
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SWOTVRE_DATALAKE", "SWOTVRE_DATALAKE_OPTIONS", "SWOTVRE_INDEX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "state"


def _kernel(state: Path, body: str = "true") -> None:
    spec = state / "kernels/share/jupyter/kernels/swot-ocean/kernel.json"
    spec.parent.mkdir(parents=True)
    interpreter = state / "python"
    interpreter.write_text(PROGRAM.format(folder=state, body=body))
    interpreter.chmod(0o755)
    spec.write_text(json.dumps({"argv": [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"]}))


def _arguments(state: Path) -> list[str]:
    return (state / "arguments").read_text().splitlines()


def _environment(state: Path) -> list[str]:
    return (state / "environment").read_text().splitlines()


def test_arguments_options_and_output_go_through(state: Path) -> None:
    _kernel(state, "echo 'l2_lr_ssh_basic: 17 files'")
    out = io.StringIO()
    given = ["index", "l2_lr_ssh_basic", "--cycles", "1-3", "--checksums", "--jobs", "2"]
    assert main(["catalog", *given, "--state", str(state)], out) == 0
    assert out.getvalue() == "l2_lr_ssh_basic: 17 files\n"
    assert _arguments(state) == ["-m", "swotvre_catalogs", *given]


def test_help_is_the_programs_own(state: Path) -> None:
    _kernel(state)
    assert main(["catalog", "--help", f"--state={state}"], io.StringIO()) == 0
    assert _arguments(state) == ["-m", "swotvre_catalogs", "--help"]


@pytest.mark.parametrize("code", [1, 2])
def test_exit_code_is_the_programs_own(state: Path, code: int) -> None:
    _kernel(state, f"exit {code}")
    assert main(["catalog", "list", "--state", str(state)], io.StringIO()) == code


def test_program_ended_by_a_signal_is_a_failure_in_words(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _kernel(state, "kill -9 $$")
    assert main(["catalog", "list", "--state", str(state)], io.StringIO()) == 2
    assert "signal 9" in capsys.readouterr().err


def test_missing_kernel_is_named_with_the_remedy(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "list", "--state", str(state)], io.StringIO()) == 2
    assert "swot-vre kernels build" in capsys.readouterr().err


def test_program_gets_the_datalake_and_the_index_of_the_settings(state: Path, tmp_path: Path) -> None:
    lake = {"url": "s3://swot/lake", "storage_options": {"anon": True}, "index": "/indexes/swot"}
    (tmp_path / "vre.yaml").write_text(yaml.safe_dump({"datalake": lake}))
    _kernel(state)
    assert main(["catalog", "list", "--state", str(state)], io.StringIO()) == 0
    assert _environment(state) == ["s3://swot/lake", '{"anon": true}', "/indexes/swot"]


def test_datalake_of_the_environment_does_not_get_the_index_of_another(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vre.yaml").write_text(
        yaml.safe_dump({"datalake": {"url": "/lake", "storage_options": {}, "index": "/indexes/swot"}})
    )
    _kernel(state)
    monkeypatch.setenv("SWOTVRE_DATALAKE", "/my/lake")
    assert main(["catalog", "list", "--state", str(state)], io.StringIO()) == 0
    assert _environment(state) == ["/my/lake", "", ""]


def test_real_command_writes_to_its_own_output(state: Path) -> None:
    _kernel(state, "echo out; echo complaint >&2; exit 1")
    command = [sys.executable, "-m", "swotvre_hub.cli", "catalog", "list", "--state", str(state)]
    program = "import sys; from swotvre_hub.cli import main; sys.exit(main(sys.argv[1:]))"
    command[1:3] = ["-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "out\n", "complaint\n")


def test_sample_datalake_gets_its_indexes_then_its_cubes(state: Path, tmp_path: Path) -> None:
    _kernel(state)
    steps: list[str] = []
    settings = load_settings(None)
    assert prepare_sample_datalake(settings, State(state), tmp_path / "lake", lambda step, _: steps.append(step))
    commands = [line for line in _arguments(state) if line in ("index", "cube")]
    assert commands == ["index", "cube"]
    assert len(steps) == 2


def test_sample_datalake_whose_index_fails_is_left_for_later(state: Path, tmp_path: Path) -> None:
    _kernel(state, "exit 2")
    assert not prepare_sample_datalake(load_settings(None), State(state), tmp_path / "lake", lambda *_: None)
    assert "cube" not in _arguments(state)


@pytest.mark.parametrize(("given", "told"), [(None, ""), ("/indexes", "/indexes"), ("s3://b/x", "s3://b/x")])
def test_sessions_are_told_where_the_indexes_are(given: str | None, told: str, tmp_path: Path) -> None:
    site = tmp_path / "vre.yaml"
    site.write_text(yaml.safe_dump({"datalake": {**read_defaults()["datalake"], "index": given}}))
    assert data_environment(load_settings(site), State(tmp_path / "state"))["SWOTVRE_INDEX"] == told


def test_site_file_of_before_the_setting_is_still_good(tmp_path: Path) -> None:
    site = tmp_path / "vre.yaml"
    site.write_text("datalake: {url: /data/swot, storage_options: {}}\n")
    assert load_settings(site).datalake.index is None
