"""What the commands have in common: which datalake, which products, and how far a build is."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from swotvre_catalogs.errors import CatalogError, ParameterValueError

#: Where there is no terminal for a bar, a log gets a line this often.
_TOLD_EVERY_SECONDS = 10.0


def add_lake_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the files and what is made of them lie."""
    parser.add_argument("--datalake", help="folder or s3://bucket/prefix (default: $SWOTVRE_DATALAKE)")
    parser.add_argument("--index", help="place of indexes and cubes (default: $SWOTVRE_INDEX, or in the datalake)")
    parser.add_argument("--folder", action="store_true", help="the datalake is a folder of one's own files")


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of everything that is built per product."""
    parser.add_argument("products", nargs="*", metavar="PRODUCT", help="name in the catalog, such as l2_lr_ssh_basic")
    parser.add_argument("--all", action="store_true", help="every product of which the datalake holds files")
    parser.add_argument("--jobs", type=_positive, default=_cores(), help="processes (default: the cores)")
    add_lake_arguments(parser)


def open_chosen_catalog(args: argparse.Namespace, *, writing: bool = False) -> Any:
    """Open the catalog that the options name.

    Args:
        args: The options.
        writing: Whether something will be built: the place must then be one that can be written.
    """
    from swotvre_catalogs.catalog import Catalog, open_catalog, open_folder
    from swotvre_catalogs.datalake import ADDRESS_VARIABLE
    from swotvre_catalogs.index.place import configured_place

    if args.folder:
        catalog = open_folder(args.datalake or os.environ.get(ADDRESS_VARIABLE) or ".", index=args.index)
    elif args.datalake and args.datalake.rstrip("/") == os.environ.get(ADDRESS_VARIABLE, "").rstrip("/"):
        catalog = open_catalog(index=args.index)  # with the storage options of the environment
    else:
        catalog = open_catalog(args.datalake, index=args.index)
    if not writing:
        return catalog
    place = configured_place(catalog.datalake, args.index, writing=True)
    return Catalog(catalog.datalake, {name: catalog[name].product for name in catalog}, place.address)


def chosen_products(catalog: Any, args: argparse.Namespace) -> list[Any]:
    """Return the entries that the arguments name.

    Raises:
        ParameterValueError: If they name none.
        UnknownProductError: If the catalog has no product of a name.
    """
    if args.all and args.products:
        raise ParameterValueError("give products or --all, not both")
    if args.all:
        return [entry for entry in catalog.values() if entry.datalake.glob(entry.product.glob({}))]
    if not args.products:
        raise ParameterValueError(f"name a product, or --all; there are: {', '.join(catalog)}")
    return [catalog[name] for name in args.products]


def parse_cycles(text: str) -> list[int]:
    """Return the cycles of ``1-3,7``."""
    cycles: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"{text!r} are no cycles; expected such as 1-3,7")
        cycles.update(range(int(first), int(last or first) + 1))
    if not cycles:
        raise argparse.ArgumentTypeError(f"{text!r} are no cycles; expected such as 1-3,7")
    return sorted(cycles)


@contextmanager
def shown_progress(label: str) -> Iterator[Callable[..., None]]:
    """Show how many files are done: a bar on a terminal, a line now and then elsewhere."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        with tqdm(desc=label, unit=" files", file=sys.stderr) as bar:

            def show(done: int, total: int, *_: Any) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield show
        return
    told = time.monotonic()

    def tell(done: int, total: int, *_: Any) -> None:
        nonlocal told
        if time.monotonic() - told >= _TOLD_EVERY_SECONDS:
            told = time.monotonic()
            sys.stderr.write(f"{label}: {done}/{total}\n")
            sys.stderr.flush()

    yield tell


def each_product(entries: list[Any], build: Callable[[Any], bool]) -> int:
    """Build one product after the other; return the exit code: one that fails does not keep the others waiting."""
    code = 0
    for entry in entries:
        try:
            code = max(code, 0 if build(entry) else 1)
        except CatalogError as error:
            sys.stderr.write(f"swot-vre catalog: {entry.name}: {error}\n")
            code = 2
    return code


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes")
    return int(text)


def _cores() -> int:
    given = os.environ.get("CPU_LIMIT", "")
    try:
        return max(1, int(float(given)))
    except ValueError:
        return len(os.sched_getaffinity(0))
