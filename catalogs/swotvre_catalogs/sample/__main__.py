"""``python -m swotvre_catalogs.sample DEST``: write the sample datalake."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from swotvre_catalogs.sample.datalake import write_sample
from swotvre_catalogs.sample.errors import SampleError


def main(argv: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Write the sample and one line ``done/total label`` for each product; return 0, or 2 when it cannot be done."""
    stream = out or sys.stdout
    parser = argparse.ArgumentParser(
        prog="python -m swotvre_catalogs.sample", description="Write a sample datalake: real and simulated SWOT files."
    )
    parser.add_argument("destination", type=Path, help="folder to write; a complete one of this version is kept")
    parser.add_argument("--force", action="store_true", help="replace a folder that this program did not write")
    args = parser.parse_args(argv)

    def report(done: int, total: int, label: str) -> None:
        print(f"{done}/{total} {label}", file=stream, flush=True)

    try:
        new = write_sample(args.destination, force=args.force, progress=report)
    except SampleError as error:
        sys.stderr.write(f"swot-vre sample data: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("swot-vre sample data: stopped; nothing was left behind\n")
        return 130
    print(f"{'wrote' if new else 'kept'} {args.destination}", file=stream, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
