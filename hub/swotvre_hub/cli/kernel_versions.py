"""``swot-vre kernels rollback | diff | prune`` and ``list --licenses``: the versions of a kernel and their packages."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from swotvre_hub.cli.progress import show_progress
from swotvre_kernels.definitions import DEFAULT_KERNEL
from swotvre_kernels.errors import UnknownKernelError
from swotvre_kernels.licences import bill_of_materials, list_licences
from swotvre_kernels.prune import KEPT_VERSIONS, prune_kernels
from swotvre_kernels.registry import find_kernel
from swotvre_kernels.versions import compare_kernels, kernels_to_compare, rollback_kernel


def print_table(table: Table, out: TextIO) -> None:
    """Print a table as wide as the terminal, or 120 columns into a file."""
    width = Console(file=out).width if out.isatty() else 120
    Console(file=out, width=width, highlight=False).print(table)


def add_list_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``list`` takes."""
    parser.add_argument("name", nargs="?", metavar="NAME[-VERSION]", help="only this kernel")
    text = f"show the packages of a kernel and their licences (default: the active {DEFAULT_KERNEL})"
    parser.add_argument("--licenses", action="store_true", help=text)
    text = "cyclonedx: the packages of a kernel as a CycloneDX 1.6 bill of materials (JSON)"
    parser.add_argument("--format", choices=("table", "cyclonedx"), default="table", help=text)


def add_rollback_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``rollback`` takes."""
    parser.add_argument("name", metavar="NAME", help="name of the kernel, for example swot-ocean")
    parser.add_argument("version", nargs="?", metavar="VERSION", help="default: the version before the active one")


def add_diff_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``diff`` takes."""
    text = "two versions; default: the one before the active one, and the active one"
    parser.add_argument("names", nargs="*", metavar="NAME-VERSION", help=text)


def add_prune_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``prune`` takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the kernel; default: every kernel")
    text = f"newest versions kept (default: {KEPT_VERSIONS})"
    parser.add_argument("--keep", type=_count, default=KEPT_VERSIONS, metavar="N", help=text)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def show_packages(args: argparse.Namespace, out: TextIO, prefix: Path) -> int:
    """Show the packages of a kernel with their licences."""
    kernel = find_kernel(args.name or DEFAULT_KERNEL, prefix)
    if kernel.manifest is None:
        raise UnknownKernelError(f"{kernel.path.name} is {kernel.state}: it has no manifest that can be read")
    if args.format == "cyclonedx":
        print(json.dumps(bill_of_materials(kernel.path, kernel.manifest), indent=1), file=out)
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("PACKAGE", "VERSION", "LICENCE"):
        table.add_column(column, overflow="fold")
    for package in list_licences(kernel.path):
        table.add_row(package.name, package.version, package.licence)
    print_table(table, out)
    return 0


def rollback(args: argparse.Namespace, out: TextIO, prefix: Path) -> int:
    """Go back to an older version."""
    with show_progress(sys.stderr) as part:
        answer = rollback_kernel(args.name, prefix, version=args.version, progress=part(args.name))
    before = f" instead of {answer.before.path.name}, which stays beside it" if answer.before else ""
    print(f"{answer.now.path.name} is active{before}.", file=out)
    print("Sessions that run keep their kernel. The next 'swot-vre up' or 'swot-vre kernels build' takes", file=out)
    print("the version of the present definition again.", file=out)
    return 0


def diff(args: argparse.Namespace, out: TextIO, prefix: Path) -> int:
    """Show what differs between two versions."""
    if len(args.names) > 2:
        print(f"swot-vre: expected at most two kernels, received {len(args.names)}", file=sys.stderr)
        return 2
    before, after = kernels_to_compare(args.names, prefix, DEFAULT_KERNEL)
    differences = compare_kernels(before, after)
    if not differences:
        print(f"{before.path.name} and {after.path.name} have the same Python, variables and packages.", file=out)
        if before.manifest and after.manifest and before.manifest.identity != after.manifest.identity:
            print("What differs is swot-vre's own code, the smoke notebook, a logo or the interpreter.", file=out)
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("WHAT", "NAME", "CHANGE", before.path.name, after.path.name):
        table.add_column(column, overflow="fold")
    for found in differences:
        table.add_row(found.kind, found.name, found.change, found.before or "-", found.after or "-")
    print_table(table, out)
    return 0


def prune(args: argparse.Namespace, out: TextIO, prefix: Path) -> int:
    """Remove old versions."""
    with show_progress(sys.stderr) as part:
        answer = prune_kernels(
            prefix, args.name, keep=args.keep, dry_run=args.dry_run, progress=part(args.name or "kernels")
        )
    for path, processes in answer.used.items():
        listed = ", ".join(map(str, processes[:5])) + (", ..." if len(processes) > 5 else "")
        print(f"{path.name} stays: processes of this machine use it ({listed}).", file=out)
    for path in answer.removed:
        print(f"{path.name} {'would be' if args.dry_run else 'is'} removed.", file=out)
    if answer.removed:
        verb = "would be" if args.dry_run else "are"
        size = f"{answer.freed_bytes / 2**30:.2f} GiB"
        print(f"{size} of disk {verb} freed; files that other kernels or uv's cache link to free nothing.", file=out)
    elif not answer.used:
        print("Nothing to remove.", file=out)
    return 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, received {text!r}")
    return int(text)
