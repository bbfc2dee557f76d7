"""The kernels of the distribution: each environment built once per run from its lock, verified, its notebooks run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from swotvre_kernels.build import build_kernel
from swotvre_kernels.definitions import available_environments
from swotvre_kernels.registry import find_kernel, verify_kernel

STATE = os.environ.get("SWOTVRE_TEST_STATE")


@pytest.mark.skipif(STATE is None, reason="SWOTVRE_TEST_STATE is not set; tests/run.py sets it")
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", available_environments())
def test_kernels_work(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    # What `make up` installs is there already; the others are kept beside it, for the next run.
    prefix = Path(str(STATE)) / "kernels"
    if not (prefix / "share" / "jupyter" / "kernels" / name).exists():
        prefix = prefix.with_name("kernels-under-test")
    build = build_kernel(name, prefix)
    if build.reused:
        # A fresh one was verified by its build.
        verify_kernel(find_kernel(build.path.name, prefix))
    with capsys.disabled():
        kernels = ", ".join(build.manifest.kernel_names)
        sys.stdout.write(f"\n{build.path.name} was {'reused' if build.reused else 'built'} and verified: {kernels}\n")
    assert os.access(build.path / "bin/python", os.X_OK)
