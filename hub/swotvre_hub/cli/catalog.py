"""``swot-vre catalog``: indexes, cubes and copies of products; the kernel's interpreter does the work."""

from __future__ import annotations

import argparse
from typing import TextIO

from swotvre_hub.catalog_program import run_catalog_program
from swotvre_hub.errors import SetupError
from swotvre_hub.state import find_state, load_installed_settings


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the noun ``catalog``, which leaves all its arguments to the program of the kernel."""
    # With "-" as an ordinary character the options of that program, --help too, are left for it to read.
    parser = nouns.add_parser(
        "catalog", help="index products, build their cubes, copy them to Zarr", prefix_chars="\0", add_help=False
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Run the program of the active kernel; ``--state FOLDER`` is for this one."""
    state_folder, arguments = _without_state(list(args.arguments))
    state = find_state(state_folder)
    return run_catalog_program(load_installed_settings(state), state, arguments or ["--help"], out)


def _without_state(arguments: list[str]) -> tuple[str | None, list[str]]:
    for number, argument in enumerate(arguments):
        if argument.startswith("--state="):
            return argument.removeprefix("--state="), arguments[:number] + arguments[number + 1 :]
        if argument == "--state":
            if number + 1 == len(arguments):
                raise SetupError("--state: expected a folder")
            return arguments[number + 1], arguments[:number] + arguments[number + 2 :]
    return None, arguments
