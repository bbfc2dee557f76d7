"""Verify a built environment: its packages fit, its modules can be imported, its smoke notebook runs to the end."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from swotvre_kernels.commands import clean_environment, last_words
from swotvre_kernels.errors import VerificationError
from swotvre_kernels.install import environment_python
from swotvre_kernels.interpreter import find_uv
from swotvre_kernels.models import EnvironmentDefinition

_IMPORT_CHECK = Path(__file__).with_name("import_check.py")
#: Longest time of all imports together, in seconds.
IMPORTS_SECONDS = 300


def verify_environment(
    environment: Path,
    folder: Path,
    definition: EnvironmentDefinition,
    *,
    executed: Path,
    progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Check the packages, the imports and the smoke notebook of ``environment``.

    Args:
        environment: folder of the environment.
        folder: folder of the definition that it was built from.
        definition: what ``folder`` says.
        executed: where the smoke notebook is kept with its outputs when it fails.
        progress: called with the fraction done.

    Raises:
        VerificationError: the message lists everything that failed.
    """
    if not environment_python(environment).exists():
        raise VerificationError(f"{environment.name} does not work: {environment_python(environment)} leads nowhere")
    faults = _faults_of_packages(environment) + _faults_of_running(environment, folder, definition, executed, progress)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise VerificationError(f"{environment.name} does not work:\n{listed}")


def _faults_of_packages(environment: Path) -> list[str]:
    command = [find_uv(), "pip", "check", "--python", str(environment_python(environment))]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if answer.returncode == 0:
        return []
    conflicts = [line for line in answer.stderr.splitlines() if line.startswith("The package")]
    return conflicts or [last_words(answer.stderr)]


def _faults_of_running(
    environment: Path,
    folder: Path,
    definition: EnvironmentDefinition,
    executed: Path,
    progress: Callable[[float], None],
) -> list[str]:
    """Import everything and run the notebook at the same time: each is busy with one core."""
    check = [str(environment_python(environment)), str(_IMPORT_CHECK), *definition.imports]
    variables = clean_environment(definition.variables | {"PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"})
    children: list[subprocess.Popen[str]] = []
    scratch = partial(tempfile.TemporaryFile, "w+")
    with scratch() as answers, scratch() as said, scratch() as chatter:
        try:
            imports = subprocess.Popen(check, stdout=answers, stderr=said, text=True, env=variables)
            children.append(imports)
            faults = []
            if definition.smoke_notebook:
                smoke = [sys.executable, "-m", "swotvre_kernels.smoke", str(environment), str(folder), str(executed)]
                # What the kernel says goes to a file: nobody reads a second pipe meanwhile.
                children.append(subprocess.Popen(smoke, stdout=subprocess.PIPE, stderr=chatter, text=True))
                faults = _follow_smoke(children[-1], chatter, progress)
            imports.wait(timeout=IMPORTS_SECONDS)
        except subprocess.TimeoutExpired:
            return [f"the imports did not end within {IMPORTS_SECONDS} s", *faults]
        finally:
            for child in children:
                child.kill()
                child.communicate()
        return _faults_of_imports(definition, answers, said, imports.returncode) + faults


def _follow_smoke(smoke: subprocess.Popen[str], chatter: IO[str], progress: Callable[[float], None]) -> list[str]:
    faults = []
    for line in smoke.stdout or ():
        answer: dict[str, Any] = json.loads(line)
        if "done" in answer:
            progress(answer["done"])
        else:
            faults.append(f"the smoke notebook failed: {answer['fault']}")
    if smoke.wait() != 0 and not faults:
        chatter.seek(0)
        faults.append(f"the smoke notebook was not run to its end: {last_words(chatter.read(), 3)}")
    return faults


def _faults_of_imports(
    definition: EnvironmentDefinition, answers: IO[str], said: IO[str], returncode: int
) -> list[str]:
    answers.seek(0)
    said.seek(0)
    results: list[dict[str, Any]] = [json.loads(line) for line in answers]
    faults = [f"import {result['module']} failed: {result['error']}" for result in results if result["error"]]
    if len(results) < len(definition.imports):
        # A module in compiled code can end the whole process.
        died = definition.imports[len(results)]
        faults.append(f"import {died} ended the process (code {returncode}): {last_words(said.read(), 3)}")
    return faults
