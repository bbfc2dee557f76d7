"""The batch clusters under test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# With ``--import-mode=importlib`` tests have no package to import their neighbours from.
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
sys.path.insert(0, str(Path(__file__).parent))

from chromium import browser, page  # noqa: F401 - fixtures
from cluster import BatchCluster, ensure_accounts
from dask_kernels import make_kernels
from light_lab import make_light_lab
from node_network import ClusterUnavailableError
from openpbs_cluster import OpenPbsCluster, find_commands
from recorded_pbs_cluster import RecordedPbsCluster
from slurm_cluster import SlurmCluster

#: Title of each cluster that was tried, and whether it was a real one.
ENGINES: dict[str, bool] = {}


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """Return a real Slurm, in a folder that every user can enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="vre-slurm-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        cluster = SlurmCluster.start(folder)
    except ClusterUnavailableError as error:
        shutil.rmtree(folder)
        pytest.skip(f"no real Slurm: {error}")
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def recorded_pbs() -> Iterator[RecordedPbsCluster]:
    """Return the stand-in for OpenPBS, in a folder that every user can enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="vre-pbs-", dir="/tmp"))
    try:
        cluster = RecordedPbsCluster.start(folder)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def openpbs() -> Iterator[OpenPbsCluster]:
    """Return the real OpenPBS of this machine."""
    commands = find_commands()
    if commands is None:
        pytest.skip("no real OpenPBS here: 'qstat --version' does not name one, or its server does not answer")
    cluster = OpenPbsCluster(commands)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def dask_kernels(lab_everywhere: Path) -> Iterator[Path]:
    """Return kernels with Dask that every account can run."""
    source = os.environ.get("SWOTVRE_KERNEL_PYTHON")
    if not source:
        pytest.skip("SWOTVRE_KERNEL_PYTHON does not name the interpreter of a built kernel")
    folder = Path(tempfile.mkdtemp(prefix="vre-kernels-", dir="/tmp"))
    folder.chmod(0o755)
    yield make_kernels(folder, Path(source), lab_everywhere / "bin" / "python")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["recorded PBS", "Slurm", "OpenPBS"])
def cluster(request: pytest.FixtureRequest) -> BatchCluster:
    """Return each cluster in turn: one list of behaviours holds for all."""
    if os.geteuid() != 0:
        pytest.skip("only root can make the accounts that sessions run as")
    ensure_accounts()
    name = {"recorded PBS": "recorded_pbs", "Slurm": "slurm_cluster", "OpenPBS": "openpbs"}[request.param]
    found: BatchCluster = request.getfixturevalue(name)
    ENGINES[found.title] = found.is_real
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which batch systems the behaviours were tried on, and which of them were real."""
    for title, is_real in ENGINES.items():
        kind = "real" if is_real else "a stand-in that acts as recorded"
        terminalreporter.write_line(f"batch system: {title} ({kind})")


@pytest.fixture(scope="session")
def lab_everywhere(installed_state: Path) -> Iterator[Path]:
    """Return an environment of sessions that every account can run: the one of SWOTVRE_SHARED_LAB, or a new one."""
    if ready := os.environ.get("SWOTVRE_SHARED_LAB"):
        yield Path(ready)
        return
    folder = Path(tempfile.mkdtemp(prefix="vre-lab-", dir="/tmp"))
    folder.chmod(0o755)
    program = installed_state / "env" / "hub" / "bin" / "swot-vre"
    command = [str(program), "session-environment", str(folder / "lab"), "--state", str(installed_state)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    yield folder / "lab"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def light_lab(lab_everywhere: Path) -> Iterator[Path]:
    """Return an environment whose sessions start in a tenth of a second, for tests of many starts and ends."""
    ensure_accounts()
    folder = Path(tempfile.mkdtemp(prefix="vre-light-", dir="/tmp"))
    folder.chmod(0o755)
    yield make_light_lab(folder / "lab", lab_everywhere)
    shutil.rmtree(folder, ignore_errors=True)
