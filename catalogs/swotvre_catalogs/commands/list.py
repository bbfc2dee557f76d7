"""``swot-vre catalog list``: the products and what of them the datalake holds."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from swotvre_catalogs.commands.choice import add_lake_arguments, open_chosen_catalog


def add_parser(commands: Any) -> None:
    """Add the command ``list``."""
    parser = commands.add_parser("list", help="show the products and what of them the datalake holds")
    add_lake_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Print the table of products."""
    table = open_chosen_catalog(args).products()
    columns = ["level", "grid", "period", "cycles", "granules", "volume", "where"]
    out.write(table[columns].to_string() + "\n")
    return 0
