"""Verify a built environment: its packages fit, its modules can be imported, its smoke notebooks run to the end."""

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
from swotvre_kernels.definitions import KernelSource
from swotvre_kernels.errors import VerificationError
from swotvre_kernels.install import environment_python
from swotvre_kernels.interpreter import find_uv

_IMPORT_CHECK = Path(__file__).with_name("import_check.py")
#: Longest time of all imports together, in seconds.
IMPORTS_SECONDS = 300


def verify_environment(
    environment: Path,
    kernels: tuple[KernelSource, ...],
    *,
    log_folder: Path,
    progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Check the packages, the imports and the smoke notebooks of ``environment``.

    Args:
        environment: folder of the environment.
        kernels: the kernels that stand in it.
        log_folder: where a smoke notebook that fails is kept with its outputs.
        progress: called with the fraction done.

    Raises:
        VerificationError: the message lists everything that failed.
    """
    if not environment_python(environment).exists():
        raise VerificationError(f"{environment.name} does not work: {environment_python(environment)} leads nowhere")
    faults = _faults_of_packages(environment) + _faults_of_running(environment, kernels, log_folder, progress)
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
    kernels: tuple[KernelSource, ...],
    log_folder: Path,
    progress: Callable[[float], None],
) -> list[str]:
    """Import everything and run the notebooks, one after the other, at the same time: each is busy with one core."""
    modules = list(dict.fromkeys(module for kernel in kernels for module in kernel.definition.imports))
    variables = {name: value for kernel in reversed(kernels) for name, value in kernel.definition.variables.items()}
    check = [str(environment_python(environment)), str(_IMPORT_CHECK), *modules]
    private = clean_environment(variables | {"PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"})
    tested = [kernel for kernel in kernels if kernel.definition.smoke_notebook]
    scratch = partial(tempfile.TemporaryFile, "w+")
    with scratch() as answers, scratch() as said:
        imports = subprocess.Popen(check, stdout=answers, stderr=said, text=True, env=private)
        try:
            faults = []
            for number, kernel in enumerate(tested):
                share = partial(_report_share, progress, number, len(tested))
                faults += _faults_of_smoke(environment, kernel, log_folder, share)
            imports.wait(timeout=IMPORTS_SECONDS)
        except subprocess.TimeoutExpired:
            return [f"the imports did not end within {IMPORTS_SECONDS} s", *faults]
        finally:
            imports.kill()
            imports.wait()
        return _faults_of_imports(modules, answers, said, imports.returncode) + faults


def _report_share(progress: Callable[[float], None], number: int, count: int, part: float) -> None:
    progress((number + part) / count)


def _faults_of_smoke(
    environment: Path, kernel: KernelSource, log_folder: Path, progress: Callable[[float], None]
) -> list[str]:
    name = kernel.definition.name
    executed = log_folder / f"{environment.name}-{name}-smoke.ipynb"
    command = [sys.executable, "-m", "swotvre_kernels.smoke", str(environment), name]
    command += [str(kernel.folder / str(kernel.definition.smoke_notebook)), str(executed)]
    faults = []
    # What the kernel says goes to a file: nobody reads a second pipe meanwhile.
    with tempfile.TemporaryFile("w+") as chatter:
        smoke = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=chatter, text=True)
        try:
            for line in smoke.stdout or ():
                answer: dict[str, Any] = json.loads(line)
                if "done" in answer:
                    progress(answer["done"])
                else:
                    faults.append(f"the smoke notebook of {name} failed: {answer['fault']}")
            if smoke.wait() != 0 and not faults:
                chatter.seek(0)
                words = last_words(chatter.read(), 3)
                faults.append(f"the smoke notebook of {name} was not run to its end: {words}")
        finally:
            smoke.kill()
            smoke.communicate()
    return faults


def _faults_of_imports(modules: list[str], answers: IO[str], said: IO[str], returncode: int) -> list[str]:
    answers.seek(0)
    said.seek(0)
    results: list[dict[str, Any]] = [json.loads(line) for line in answers]
    faults = [f"import {result['module']} failed: {result['error']}" for result in results if result["error"]]
    if len(results) < len(modules):
        # A module in compiled code can end the whole process.
        died = modules[len(results)]
        faults.append(f"import {died} ended the process (code {returncode}): {last_words(said.read(), 3)}")
    return faults
