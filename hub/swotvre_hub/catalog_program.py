"""Run the catalogs' own program by the interpreter of the active kernel: the hub itself does not compute."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from swotvre_hub.errors import SetupError
from swotvre_hub.settings import Settings
from swotvre_hub.spawner.environment import data_environment
from swotvre_hub.state import State

#: Called with what is done now and with the share that is done, 0 to 1.
Progress = Callable[[str, float], None]

#: Exit code of a program that could not go on.
_FAILED = 2


def run_catalog_program(settings: Settings, state: State, arguments: Sequence[str], out: TextIO) -> int:
    """Run ``python -m swotvre_catalogs`` with these arguments; return its exit code.

    What it prints goes to ``out``, what it complains of to this process's standard error. The datalake of the settings
    is its default, unless the environment names another.

    Raises:
        SetupError: when there is no kernel yet.
    """
    command = [str(_interpreter(settings, state)), "-m", "swotvre_catalogs", *arguments]
    environment = {**data_environment(settings, state), **os.environ}
    if "SWOTVRE_DATALAKE" in os.environ:
        # Options and index of the settings are those of the settings' datalake.
        for name in ("SWOTVRE_DATALAKE_OPTIONS", "SWOTVRE_INDEX"):
            environment[name] = os.environ.get(name, "")
    passed_through = out is sys.stdout
    out.flush()
    with subprocess.Popen(
        command, env=environment, stdout=None if passed_through else subprocess.PIPE, text=True
    ) as process:
        while True:
            # Ctrl-C reaches the program as well, which ends itself and says how to go on.
            with suppress(KeyboardInterrupt):
                out.writelines(process.stdout or ())
                code = process.wait()
                break
    if code < 0:
        sys.stderr.write(f"swot-vre: the catalog program was ended by signal {-code}\n")
        return _FAILED
    return code


def prepare_sample_datalake(settings: Settings, state: State, datalake: Path, progress: Progress) -> bool:
    """Build indexes and cubes of the sample datalake, as an operator does for a site's; return whether that is done.

    What cannot be built now is built when it is first asked for: this raises nothing on that account.
    """
    for number, command in enumerate(("index", "cube")):
        progress(f"{command} of the sample data", number / 2)
        place = datalake / ".swot-vre"
        arguments = [command, "--all", "--jobs", "1", "--datalake", str(datalake), "--index", str(place)]
        done = subprocess.run(
            [str(_interpreter(settings, state)), "-m", "swotvre_catalogs", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            return False
    return True


def _interpreter(settings: Settings, state: State) -> Path:
    interpreter = state.kernel_python(settings)
    if not os.access(interpreter, os.X_OK):
        raise SetupError(f"the kernel's interpreter {interpreter} cannot be run; run 'swot-vre kernels build'")
    return interpreter
