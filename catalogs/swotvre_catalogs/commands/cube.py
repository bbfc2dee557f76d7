"""``swot-vre catalog cube``: build the cubes of products, or bring them up to date."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from swotvre_catalogs.commands.choice import (
    add_build_arguments,
    chosen_products,
    each_product,
    open_chosen_catalog,
    shown_progress,
)


def add_parser(commands: Any) -> None:
    """Add the command ``cube``."""
    parser = commands.add_parser(
        "cube",
        help="build the cubes of products on the fixed grid, or bring them up to date",
        description="Build the cubes of products on the fixed grid, or bring them up to date: one commit each. "
        "Exit code 1: damaged files, named.",
    )
    add_build_arguments(parser)
    parser.add_argument("--version", metavar="CRID", help="a cube of its own of this version, such as PIC0")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Build the cubes and print what was done."""
    entries = chosen_products(open_chosen_catalog(args, writing=True), args)
    if args.all:
        entries = [entry for entry in entries if entry.product.metadata.grid == "fixed"]
    options = {} if args.version is None else {"version": args.version}

    def build(entry: Any) -> bool:
        with shown_progress(entry.name) as progress:
            report = entry.build_cube(progress=progress, jobs=args.jobs, **options)
        out.write(f"{report}\n")
        out.flush()
        return not report.left_out

    return each_product(entries, build)
