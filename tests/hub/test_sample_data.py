"""``swot-vre sample-data``: the kernel's interpreter does the work, the command follows it."""

import io
import json
from pathlib import Path

import pytest

from swotvre_hub.cli import main

PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" > "{arguments}"
{body}
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _kernel(state: Path, body: str) -> Path:
    """Install a kernel whose interpreter is a program of ours; return the file in which it notes its arguments."""
    spec = state / "kernels/share/jupyter/kernels/swot-ocean/kernel.json"
    spec.parent.mkdir(parents=True)
    interpreter, arguments = state / "python", state / "arguments"
    interpreter.write_text(PROGRAM.format(arguments=arguments, body=body))
    interpreter.chmod(0o755)
    spec.write_text(json.dumps({"argv": [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"]}))
    return arguments


def test_progress_of_the_kernel_is_passed_on(state: Path) -> None:
    arguments = _kernel(state, "echo '1/2 first product'; echo '2/2 second product'; echo 'wrote it'")
    out = io.StringIO()
    assert main(["sample-data", "--state", str(state)], out) == 0
    assert out.getvalue().splitlines() == [
        "datalake   first product",
        "datalake   second product",
        f"Wrote the sample datalake in {state / 'datalake'}",
    ]
    assert arguments.read_text().split() == ["-m", "swotvre_catalogs.sample", str(state / "datalake")]


def test_kept_sample_is_said_to_be_kept_and_force_is_handed_on(state: Path, tmp_path: Path) -> None:
    arguments = _kernel(state, "echo kept it")
    out = io.StringIO()
    assert main(["sample-data", str(tmp_path / "lake"), "--force", "--state", str(state)], out) == 0
    assert out.getvalue() == f"Kept the sample datalake in {tmp_path / 'lake'}\n"
    assert arguments.read_text().split() == ["-m", "swotvre_catalogs.sample", str(tmp_path / "lake"), "--force"]


def test_refusal_reaches_the_user_as_one_sentence(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _kernel(state, "echo 'a warning of a worker' >&2; echo 'swot-vre sample data: the folder is taken' >&2; exit 2")
    assert main(["sample-data", "--state", str(state)], io.StringIO()) == 2
    assert capsys.readouterr().err == "swot-vre: the folder is taken\n"


def test_flood_of_complaints_does_not_block(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _kernel(
        state,
        "i=0; while [ $i -lt 4000 ]; do echo 'a line that nobody reads before the end' >&2; i=$((i+1)); done; exit 1",
    )
    assert main(["sample-data", "--state", str(state)], io.StringIO()) == 2
    assert "nobody reads" in capsys.readouterr().err


def test_missing_kernel_is_named_with_the_remedy(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample-data", "--state", str(state)], io.StringIO()) == 2
    complaint = capsys.readouterr().err
    assert "swot-ocean" in complaint
    assert "swot-vre kernels build" in complaint


def test_kernel_whose_interpreter_is_gone_is_refused(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _kernel(state, "true")
    (state / "python").unlink()
    assert main(["sample-data", "--state", str(state)], io.StringIO()) == 2
    assert "cannot be run" in capsys.readouterr().err
