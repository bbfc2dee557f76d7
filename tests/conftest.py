"""What every test is told by ``tests/run.py``; a test whose part is missing is skipped, and says what is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "notebooks"))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def installed_state() -> Path:
    """Return a state folder in which ``swot-vre up --only-install`` has put everything."""
    state = Path(os.environ.get("SWOTVRE_TEST_STATE", CHECKOUT / ".vre"))
    if not (state / "node" / "proxy").exists() or not (state / "datalake" / "MANIFEST.json").exists():
        pytest.skip(f"nothing is installed in {state}: run 'make test', or 'swot-vre up --only-install' first")
    return state
