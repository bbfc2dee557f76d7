"""Every test, with what it needs: ``make test``.  The speed comparisons: ``make bench``, ``make bench-data``.

Runs in the development environment. As root it installs the Debian packages that the browser tests need; otherwise
those tests are skipped, and say so. Prints at the end how many tests ran, and each skip with its reason.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from suites import CHECKOUT, Suite, Tally

BOOTSTRAP = CHECKOUT / "hub" / "swotvre_hub" / "bootstrap.py"
STATE = Path(os.environ.get("SWOTVRE_STATE", CHECKOUT / ".vre")).absolute()
#: Debian packages of the tests: program -> package. The browser; a real Slurm whose nodes are network namespaces.
DEBIAN = {
    "chromium": "chromium",
    "slurmctld": "slurm-wlm",
    "munged": "munge",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "sudo": "sudo",
}
#: What failed of so many faults is run once more, alone: two rows of real servers on two cores starve each other now
#: and then. More than that is no accident.
MOST_SECOND_TRIES = 5
#: Where they are; an ordinary account's PATH lacks the half of it.
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def install_debian_packages() -> None:
    """Install what the browser and the batch tests need and the machine lacks; only root can, others skip those."""
    missing = [package for program, package in DEBIAN.items() if shutil.which(program, path=SYSTEM_PATH) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"not root, or no Debian: {', '.join(missing)} cannot be installed; the tests that need it are skipped")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], env=environment, check=False, stdout=subprocess.DEVNULL)
    subprocess.run(
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
    )


def install_everything() -> None:
    """Install what ``make up`` installs, and the environment of the kernel's tests."""
    hub = STATE / "env" / "hub" / "bin"
    subprocess.run([sys.executable, str(BOOTSTRAP), "hub"], check=True)
    subprocess.run([str(hub / "swot-vre"), "up", "--only-install", "--state", str(STATE)], check=True)
    subprocess.run([sys.executable, str(BOOTSTRAP), "kernel-test"], check=True)


def kernel_python() -> Path:
    """Return the interpreter of the active kernel."""
    code = (
        "from swotvre_hub.state import find_state, load_installed_settings as s; "
        "state = find_state(); print(state.kernel_python(s(state)))"
    )
    python = STATE / "env" / "hub" / "bin" / "python"
    environment = {**os.environ, "SWOTVRE_STATE": str(STATE)}
    done = subprocess.run([python, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def zcollection_python() -> dict[str, str]:
    """Return the variable that names an interpreter with zcollection; empty until the tests of the kernels built it."""
    found = sorted((STATE / "kernels-under-test").glob("swot-zcollection-*/bin/python"))
    return {"SWOTVRE_ZCOLLECTION_PYTHON": str(found[-1])} if found else {}


def see_kernel_packages(kernel: Path) -> Path:
    """Show the checkout's catalogs and the kernel's packages to the kernel's tests; return their interpreter."""
    python = STATE / "env" / "kernel-test" / "bin" / "python"
    site = next((STATE / "env" / "kernel-test" / "lib").glob("python3.*/site-packages"))
    packages = next((kernel.parents[1] / "lib").glob("python3.*/site-packages"))
    lines = [str(CHECKOUT / "catalogs"), f"import site; site.addsitedir({str(packages)!r})"]
    (site / "kernel.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return python


def run_tests(arguments: list[str]) -> int:
    """Run the tests of every environment; return 0 when none failed."""
    install_debian_packages()
    install_everything()
    kernel = kernel_python()
    environment = {
        **os.environ,
        "SWOTVRE_TEST_STATE": str(STATE),
        "SWOTVRE_PROXY": str(STATE / "node" / "proxy"),
        "SWOTVRE_LAB_PYTHON": str(STATE / "env" / "lab" / "bin" / "python"),
        "SWOTVRE_KERNEL_PYTHON": str(kernel),
        "SWOTVRE_MOTO_SERVER": str(Path(sys.executable).parent / "moto_server"),
    }
    environment.pop("SWOTVRE_STATE", None)
    dev = Path(sys.executable)
    batch = Suite("the batch systems", dev, ("tests/engines",))
    rest = ("tests", "--ignore=tests/engines", "--ignore=tests/catalogs")
    others = Suite("the hub, the session, the kernel builder, the browser", dev, rest)
    catalogs = Suite("the catalogs, in the kernel", see_kernel_packages(kernel), ("tests/catalogs",))
    tally, codes = Tally(), []
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as rows:
        folder = Path(name)

        def run(suite: Suite, *, second: bool = False) -> int:
            return suite.run(folder, {**environment, **zcollection_python()}, arguments, second=second)

        def run_row(*suites: Suite) -> list[int]:
            return [run(suite) for suite in suites]

        # Most of a batch test is waiting: the others run beside it.
        for codes_of_row in [rows.submit(run_row, batch), rows.submit(run_row, others, catalogs)]:
            codes += codes_of_row.result()
        suites = (batch, others, catalogs)
        faults = sum(len(suite.faults(folder)) for suite in suites)
        if all(suite.has_ended(folder) for suite in suites) and 0 < faults <= MOST_SECOND_TRIES:
            codes = [
                run(suite, second=True) if suite.faults(folder) else code
                for suite, code in zip(suites, codes, strict=True)
            ]
        for suite in suites:
            tally.read(suite.report(folder), suite.report(folder, second=True))
    print()
    tally.print()
    return next((code for code in codes if code), 0)


def run_benchmarks() -> int:
    """Run every comparison; each prints its ratios."""
    install_everything()
    code = 0
    # Those whose names begin with an underscore are parts of others.
    for script in sorted((CHECKOUT / "tests" / "benchmarks").glob("[!_]*.py")):
        print(f"\n== {script.stem}", flush=True)
        code = subprocess.run([sys.executable, str(script), "--state", str(STATE)], check=False).returncode or code
    return code


def run_data_benchmark(arguments: list[str]) -> int:
    """Measure reductions over many files, in the interpreter of the kernel's tests."""
    install_everything()
    python = see_kernel_packages(kernel_python())
    command = [str(python), str(CHECKOUT / "tests" / "benchmarks" / "data"), "--state", str(STATE), *arguments]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def main() -> int:
    """Run the tests or, with ``--bench``, the speed comparisons."""
    parser = argparse.ArgumentParser(description="Run every test, with what it needs; more arguments go to pytest.")
    parser.add_argument("--bench", action="store_true", help="run the speed comparisons instead")
    parser.add_argument("--bench-data", action="store_true", help="measure reductions over many files instead")
    args, rest = parser.parse_known_args()
    try:
        if args.bench_data:
            return run_data_benchmark(rest)
        return run_benchmarks() if args.bench else run_tests(rest)
    except subprocess.CalledProcessError as error:
        print(f"tests/run.py: {' '.join(map(str, error.cmd))} ended with exit code {error.returncode}", file=sys.stderr)
        return int(error.returncode)


if __name__ == "__main__":
    sys.exit(main())
