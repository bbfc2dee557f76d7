"""The program of the kernel's side, ``python -m swotvre_catalogs``: one module per command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from swotvre_catalogs.errors import CatalogError

#: Modules of this package, in the order of the help text.
COMMANDS = ("list", "index", "cube", "export")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole program."""
    parser = argparse.ArgumentParser(
        prog="swot-vre catalog", description="Granule indexes, cubes and copies of the products on a datalake."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        import_module(f"{__name__}.{command}").add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Run the command line; return the exit code (0 good, 1 found damaged files, 2 cannot go on)."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args, out or sys.stdout))
    except CatalogError as error:
        sys.stderr.write(f"swot-vre catalog: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("swot-vre catalog: interrupted; what was done is kept, run the same command to go on\n")
        return 2
