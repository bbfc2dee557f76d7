"""The command ``swot-vre``: one noun per module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from swotvre_hub.errors import VreError
from swotvre_kernels.errors import KernelError

#: Modules of this package, in the order of the help text.
NOUNS = ("up", "check", "proxy", "session_environment", "sudoers", "kernels", "sample_data", "catalog")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="swot-vre", description="Run and look after a virtual research environment for SWOT."
    )
    nouns = parser.add_subparsers(required=True, metavar="COMMAND")
    for noun in NOUNS:
        import_module(f"{__name__}.{noun}").add_parser(nouns)
    return parser


def main(argv: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Run the command line ``argv``; return the exit code (0 good, 1 found faults, 2 cannot go on)."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args, out or sys.stdout))
    except (VreError, KernelError) as error:
        print(f"swot-vre: {error}", file=sys.stderr)
        return 2


def run() -> None:
    """Run the console script."""
    sys.exit(main())
