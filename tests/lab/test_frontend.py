"""The front end's own tests, run by Node on the compiled files."""

import shutil
import subprocess
from pathlib import Path

import pytest

EXTENSION = Path(__file__).parents[2] / "extensions" / "swotvre-lab"


def test_texts_and_times_of_the_front_end():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH")
    if not (EXTENSION / "lib" / "timeLeft.js").exists():
        pytest.skip("the front end is not compiled: npm ci && npm run build:lib in extensions/swotvre-lab")
    tests = sorted(str(path) for path in (EXTENSION / "test").glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
