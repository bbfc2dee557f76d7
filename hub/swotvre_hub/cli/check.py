"""``swot-vre check``: is the settings file of the site usable?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TextIO

from swotvre_hub.errors import SettingsError
from swotvre_hub.settings import Settings, examine_settings
from swotvre_hub.state import find_state


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``check``."""
    parser = nouns.add_parser("check", help="say what is wrong with the settings file (exit 2), or that it is good")
    parser.add_argument("file", nargs="?", type=Path, help="settings file (default: vre.yaml beside the state folder)")
    parser.add_argument("--state", help="state folder (default: $SWOTVRE_STATE or .vre)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Examine the file; print every fault as file, key, received, expected."""
    site_file: Path | None = args.file or find_state(args.state).site_file
    if site_file is None:
        print("no vre.yaml: the defaults apply, and they are good", file=out)
        examine_settings(None)
        return 0
    settings, problems = examine_settings(site_file)
    if settings is None:
        listing = "\n\n".join(str(problem) for problem in problems)
        count = f"{len(problems)} fault{'s' if len(problems) > 1 else ''}"
        raise SettingsError(f"{count} in {site_file}; nothing was changed\n\n{listing}")
    print(f"{site_file} is good: engine {settings.engine}, sizes {', '.join(settings.sizes)}", file=out)
    for note in notes_on(settings):
        print(f"note: {note}", file=out)
    return 0


def notes_on(settings: Settings) -> list[str]:
    """Return what is allowed, and will hardly be meant, in sentences."""
    if not settings.is_batch:
        return []
    notes = []
    if not settings.kernels.prefix:
        notes.append("kernels.prefix is empty: kernels lie in the state folder, which nodes and users cannot reach")
    if not settings.datalake.url:
        notes.append("datalake.url is empty: the sample lies in the state folder, which nodes and users cannot reach")
    caps = settings.gateway.caps.user
    if settings.has_gateway and caps.cores is None and caps.memory_gib is None:
        notes.append("gateway.caps.user has no cap: one user's Dask clusters may take whatever the scheduler gives")
    if not settings.batch.tls:
        notes.append("batch.tls is off: who listens on the network between hub and nodes reads every session")
    return notes
