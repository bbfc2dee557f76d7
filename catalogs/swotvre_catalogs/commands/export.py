"""``swot-vre catalog export PRODUCT --to FOLDER``: a selection of a product's cube as sharded Zarr v3."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from swotvre_catalogs.commands.choice import add_lake_arguments, open_chosen_catalog


def add_parser(commands: Any) -> None:
    """Add the command ``export``."""
    parser = commands.add_parser(
        "export",
        help="copy a selection of a product to sharded Zarr, or add new cycles to a copy",
        description="Copy a selection of a product's cube to sharded Zarr v3, one cycle per shard. Run it again to go "
        "on after an interruption, or to add new cycles.",
    )
    parser.add_argument("product", help="name of the product, such as l2_lr_ssh_expert")
    parser.add_argument("--to", required=True, metavar="ADDRESS", help="a folder or s3://bucket/prefix")
    parser.add_argument(
        "--bbox",
        type=_bbox,
        metavar="WEST,SOUTH,EAST,NORTH",
        help="degrees; write --bbox=-20,... when west is negative; west > east goes across the antimeridian",
    )
    parser.add_argument(
        "--time",
        type=_time,
        metavar="BEGIN[,END]",
        help="a period such as 2024-06 or 2024-01,2024-06: whole cycles with a measurement in it",
    )
    parser.add_argument(
        "--variables", type=_names, metavar="NAME,NAME", help="variables to copy; all by default; coordinates always"
    )
    parser.add_argument("--shard", choices=["cycle"], default="cycle", help="what one shard holds")
    add_lake_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Make the copy and print its report.

    Raises:
        CatalogError: If it cannot be made.
    """
    from swotvre_catalogs.export import export_zarr

    entry = open_chosen_catalog(args)[args.product]
    with _shown_progress(args.product) as progress:
        report = export_zarr(entry, args.to, args.bbox, args.time, args.variables, progress=progress)
    out.write(f"{report}\n")
    return 0


@contextmanager
def _shown_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    # Nothing but the report where there is no terminal.
    with tqdm(desc=label, unit=" chunks", disable=None, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _bbox(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WEST,SOUTH,EAST,NORTH in degrees") from None


def _time(text: str) -> Any:
    begin, comma, end = text.partition(",")
    return (begin or None, end or None) if comma else begin


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
