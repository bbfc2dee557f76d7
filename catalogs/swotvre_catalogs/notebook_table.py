"""A table as a notebook shows it: left-aligned, lines unbroken where that is asked for."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any


def html_table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, unbroken: bool = False) -> str:
    """Return a table of HTML; nothing where there are no rows.

    Args:
        head: Names of the columns.
        rows: Cells, which are escaped.
        unbroken: Whether a cell stays on one line.
    """
    # JupyterLab aligns to the right; a stylesheet would not survive in a saved notebook.
    style = f'style="text-align: left; vertical-align: top{"; white-space: nowrap" if unbroken else ""}"'
    lines = ["".join(f"<td {style}>{html.escape(str(cell))}</td>" for cell in row) for row in rows]
    if not lines:
        return ""
    names = "".join(f"<th {style}>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
