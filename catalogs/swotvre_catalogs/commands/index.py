"""``swot-vre catalog index``: build the granule index of products, or bring it up to date."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from swotvre_catalogs.commands.choice import (
    add_build_arguments,
    chosen_products,
    each_product,
    open_chosen_catalog,
    parse_cycles,
    shown_progress,
)


def add_parser(commands: Any) -> None:
    """Add the command ``index``."""
    parser = commands.add_parser(
        "index",
        help="build the granule index of products, or bring it up to date",
        description="Build the granule index of products, or bring it up to date. Exit code 1: damaged files, named.",
    )
    add_build_arguments(parser)
    parser.add_argument("--cycles", type=parse_cycles, help="look only at these, such as 1-3,7; the others stay")
    parser.add_argument("--checksums", action="store_true", help="read every file as a whole for its SHA-256")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Build the indexes and print what was found."""
    entries = chosen_products(open_chosen_catalog(args, writing=True), args)

    def build(entry: Any) -> bool:
        with shown_progress(entry.name) as progress:
            report = entry.build_index(progress, jobs=args.jobs, checksums=args.checksums, cycles=args.cycles)
        out.write(f"{report}\n")
        out.flush()
        return bool(report.is_sound)

    return each_product(entries, build)
