"""The front end's own tests, run by Node on the compiled files."""

import subprocess
from pathlib import Path


def test_texts_and_times_of_the_front_end(installed_state: Path) -> None:
    folder = installed_state / "build" / "swotvre-lab"
    # The program that runs the proxy names the Node that built the extension.
    node = (installed_state / "node" / "proxy").read_text(encoding="utf-8").split('"')[1]
    tests = sorted(str(path) for path in (folder / "test").glob("*.test.mjs"))
    assert tests
    done = subprocess.run([node, "--test", *tests], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
