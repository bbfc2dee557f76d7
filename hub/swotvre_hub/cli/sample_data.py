"""``swot-vre sample-data``: write the sample datalake."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TextIO

from swotvre_hub.cli.progress import show_progress
from swotvre_hub.sample_datalake import write_sample_datalake
from swotvre_hub.state import find_state, load_installed_settings


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the noun ``sample-data``."""
    parser = nouns.add_parser(
        "sample-data",
        help="write a folder that looks like the datalake",
        description="Write a sample datalake: real and simulated SWOT files, each with its credit.",
    )
    parser.add_argument(
        "destination", nargs="?", type=Path, help="folder to write (default: datalake in the state folder)"
    )
    parser.add_argument("--force", action="store_true", help="replace a folder that this program did not write")
    parser.add_argument("--state", help="state folder (default: $SWOTVRE_STATE or .vre)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Write the sample and say where it is."""
    state = find_state(args.state)
    settings = load_installed_settings(state)
    destination = Path(args.destination or state.root / "datalake").absolute()
    with show_progress(out) as part:
        written = write_sample_datalake(settings, state, destination, part("datalake"), force=args.force)
    print(f"{'Wrote' if written else 'Kept'} the sample datalake in {destination}", file=out)
    return 0
