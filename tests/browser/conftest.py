"""A trial hub and Debian's Chromium."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chromium import browser, page  # noqa: F401 - fixtures

from swotvre_hub.trial import Trial, trial_folder, trial_hub


@pytest.fixture(scope="module")
def hub(installed_state: Path) -> Iterator[Trial]:
    with trial_folder(installed_state) as state, trial_hub(state) as trial:
        yield trial


@pytest.fixture(scope="session")
def pictures(checkout: Path) -> Path | None:
    """Return the folder for the pictures of the README, when they are to be taken anew."""
    return checkout / "docs" / "_static" if os.environ.get("SWOTVRE_TAKE_PICTURES") else None
