"""Measure reductions over thousands of files where they lie, against xarray's ``open_mfdataset``: ``make bench-data``.

Writes realistic files once (35 GB in full), then measures each work in a process of its own with the page cache
evicted, prints ratios, and refuses numbers that differ between methods. Run by the interpreter of the kernel's tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from bench import SMALL_PASSES, WORKS, Bench, DifferentNumbersError
from files import CYCLES, DiskFullError, spread_passes, write_files
from ground_track import PASSES_PER_CYCLE
from lakes import link_lake
from table import as_markdown, describe_run, put_into_page
from trial import TrialError, run

CHECKOUT = Path(__file__).resolve().parents[3]
PAGE = CHECKOUT / "docs" / "explanation" / "data-speed.md"
#: The lines of one work stand on a page of their own as well.
PAGE_OF_COPIES = PAGE.with_name("copy-or-not.md")
QUICK_CYCLES = 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-data", description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".vre", help="folder below which the files lie")
    parser.add_argument("--data", type=Path, help="folder of the files; STATE/bench-data by default")
    parser.add_argument("--files", type=int, default=CYCLES * PASSES_PER_CYCLE, help="how many, over 18 cycles")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CYCLES} cycles of {SMALL_PASSES} passes")
    parser.add_argument("--only", action="append", choices=list(WORKS), metavar="WORK", help=", ".join(WORKS))
    parser.add_argument(
        "--baseline-files", type=int, default=CYCLES * PASSES_PER_CYCLE,
        help="files of open_mfdataset's mean; fewer than all are extrapolated, and the table says so",
    )  # fmt: skip
    parser.add_argument(
        "--zcollection-python", type=Path, default=os.environ.get("SWOTVRE_ZCOLLECTION_PYTHON"),
        help="an interpreter with zcollection, to measure that too; SWOTVRE_ZCOLLECTION_PYTHON by default",
    )  # fmt: skip
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/explanation")
    parser.add_argument("--remove", action="store_true", help="remove the files and everything made of them, and end")
    return parser.parse_args()


def _write(data: Path, cycles: range, passes: list[int]) -> None:
    begun = time.monotonic()

    def report(done: int, total: int) -> None:
        if sys.stdout.isatty() or done == total:
            print(f"\rwriting files: {done}/{total}", end="", flush=True)

    if count := write_files(data, cycles, passes, progress=report):
        print(f"\nwrote {count} files in {time.monotonic() - begun:.0f} s")


def main() -> int:
    """Run the benchmark; return 0, 1 when numbers differ or a work fails, or 2 when it cannot be run."""
    args = _arguments()
    data = (args.data or args.state / "bench-data").resolve()
    if args.remove:
        shutil.rmtree(data, ignore_errors=True)
        print(f"removed {data}")
        return 0
    cycles = range(1, (QUICK_CYCLES if args.quick else CYCLES) + 1)
    passes = spread_passes(SMALL_PASSES if args.quick else max(args.files // CYCLES, 1))
    bench = Bench(data, cycles, passes, args.baseline_files, args.zcollection_python)
    try:
        _write(data, cycles, passes)
        print(describe_run(), flush=True)
        # numba compiles a kernel once per installation; that is not what is measured.
        run("fast.warm_up", link_lake(data, "warm-up", cycles[:2], passes[:3]).job, data / "results")
        bench.run(args.only or list(WORKS))
    except DiskFullError as error:
        sys.stderr.write(f"bench-data: {error}\n")
        return 2
    except (TrialError, DifferentNumbersError) as error:
        sys.stderr.write(f"bench-data: {error}\n")
        return 1
    finally:
        shutil.rmtree(data / "lakes", ignore_errors=True)
    markdown = as_markdown(bench.lines)
    (data / "results" / "table.md").write_text(markdown, encoding="utf-8")
    if args.write_docs:
        put_into_page(PAGE, markdown)
        if "copies" in bench.lines_of:
            put_into_page(PAGE_OF_COPIES, as_markdown(bench.lines_of["copies"]))
    print(f"the table is in {data / 'results' / 'table.md'}; the files stay for the next run (--remove removes them)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
