"""The recorded answers of real schedulers, for the tests of the engines."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swotvre_hub.engines.base import CommandResult

HERE = Path(__file__).parent


def _load_reader() -> Callable[[Path], CommandResult]:
    """Load ``recordings.py`` by its file: with ``--import-mode=importlib`` tests have no package to import it from."""
    specification = importlib.util.spec_from_file_location("swotvre_engine_recordings", HERE / "recordings.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    reader: Callable[[Path], CommandResult] = module.read_recording
    return reader


_read_recording = _load_reader()


@pytest.fixture(scope="session")
def recording() -> Callable[[str], CommandResult]:
    """Return a reader of recordings: ``recording("pbs/qsub_ok")`` is ``recorded_pbs/qsub_ok.txt``."""

    def read(name: str) -> CommandResult:
        engine, _, file = name.partition("/")
        return _read_recording(HERE / f"recorded_{engine}" / f"{file}.txt")

    return read
