"""Take outputs and counters out of the stored notebooks; ``--check`` only says which ones hold any."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

FOLDER = Path(__file__).resolve().parent


def strip(path: Path, *, write: bool) -> bool:
    """Return whether the notebook at ``path`` held outputs; take them out if ``write``."""
    document = nbformat.read(path, as_version=4)
    dirty = [cell for cell in document.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
    if dirty and write:
        for cell in dirty:
            cell.outputs, cell.execution_count = [], None
        nbformat.write(document, path)
    return bool(dirty)


def main(arguments: list[str]) -> int:
    """Strip every notebook of the gallery; with ``--check`` return 1 if one holds outputs."""
    check = "--check" in arguments
    dirty = [path for path in sorted(FOLDER.rglob("*.ipynb")) if strip(path, write=not check)]
    for path in dirty:
        print(f"{path.relative_to(FOLDER)}: {'holds' if check else 'stripped of'} outputs")
    return 1 if check and dirty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
