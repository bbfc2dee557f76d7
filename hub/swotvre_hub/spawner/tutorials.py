"""The tutorials in a user's workspace: brought up to date, never over what the user changed."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

#: Remembers, in the copied folder, what each file was when it was copied.
RECORD = ".swotvre-copied.json"
#: Where an environment that is no checkout keeps them, below its prefix.
INSTALLED = Path("share/swot-vre/tutorials")
IGNORED = {".ipynb_checkpoints", "__pycache__"}


def find_tutorials() -> Path | None:
    """Return the folder of the tutorials that came with this installation, or None where it has none."""
    checkout = Path(__file__).resolve().parents[3] / "notebooks" / "tutorials"
    return next((folder for folder in (checkout, Path(sys.prefix) / INSTALLED) if folder.is_dir()), None)


def refresh_tutorials(source: Path, target: Path) -> list[Path]:
    """Copy what ``target`` lacks, and what changed in ``source`` while the user left it alone.

    A file that the user changed or deleted stays as the user wants it.

    Returns:
        the files written, relative to ``target``.

    Raises:
        OSError: when the target cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    copied = _read_record(target / RECORD)
    written = []
    for path in _files(source):
        name = path.relative_to(source).as_posix()
        content = path.read_bytes()
        if not _may_write(target / name, copied.get(name)):
            continue
        digest = hashlib.sha256(content).hexdigest()
        if copied.get(name) != digest:
            _replace(target / name, content)
            copied[name] = digest
            written.append(Path(name))
    if written:
        _replace(target / RECORD, json.dumps(copied, indent=1, sort_keys=True).encode("ascii"))
    return written


def _may_write(path: Path, copied: str | None) -> bool:
    """Return whether ``path`` is still what was copied, or never was there."""
    if path.is_symlink() or path.is_dir():
        return False
    if not path.exists():
        return copied is None
    return copied is not None and hashlib.sha256(path.read_bytes()).hexdigest() == copied


def _files(source: Path) -> list[Path]:
    return sorted(
        path for path in source.rglob("*") if path.is_file() and not IGNORED & set(path.relative_to(source).parts)
    )


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _read_record(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}
