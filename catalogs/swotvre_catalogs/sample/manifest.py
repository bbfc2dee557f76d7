"""MANIFEST.json: what a sample datalake holds, and the proof that it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from swotvre_catalogs.sample.plan import GENERATOR_VERSION

MANIFEST = "MANIFEST.json"

#: Name of the generator in the manifest: what makes a folder ours.
_GENERATOR = "swotvre_catalogs.sample"


def read_manifest(destination: Path) -> dict[str, Any] | None:
    """Return the manifest of a sample datalake, or None when the folder holds none that is ours."""
    try:
        manifest = json.loads((destination / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and manifest.get("generator") == _GENERATOR
    return manifest if ours else None


def is_complete(destination: Path) -> bool:
    """Tell whether a folder holds the whole sample of this version, each file with its size."""
    manifest = read_manifest(destination)
    if manifest is None or manifest.get("version") != GENERATOR_VERSION:
        return False
    try:
        return all((destination / name).stat().st_size == entry["size"] for name, entry in manifest["files"].items())
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def write_manifest(root: Path, paths: Collection[str], simulated: Collection[str]) -> None:
    """Write the manifest of the files ``paths`` below ``root``, in one step: half a manifest never exists."""
    entries = {
        path: {
            "size": (root / path).stat().st_size,
            "sha256": hashlib.sha256((root / path).read_bytes()).hexdigest(),
            "simulated": path in simulated,
        }
        for path in sorted(paths)
    }
    manifest = {"generator": _GENERATOR, "version": GENERATOR_VERSION, "files": entries}
    partial = root / f".{MANIFEST}"
    partial.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    partial.replace(root / MANIFEST)
