"""One line that is kept up to date: in a notebook, in a terminal, in a log."""

from __future__ import annotations

import html
import shutil
import sys
from typing import Any, Protocol, TextIO


class ProgressLine(Protocol):
    """Where a cluster's start is told."""

    def show(self, text: str, passed: str = "") -> None:
        """Replace the line by ``text``, and how much time has passed."""

    def finish(self, text: str, link: str = "") -> None:
        """Leave ``text``, and the address of a dashboard."""

    def clear(self) -> None:
        """Leave nothing."""


def open_line(stream: TextIO | None = None) -> ProgressLine:
    """Return the line for where this code runs: a notebook, else ``stream`` (default: standard output)."""
    if stream is None and _in_notebook():
        return NotebookLine()
    return TerminalLine(stream or sys.stdout)


class TerminalLine:
    """A line of a terminal, written over; of a file, one line for each change."""

    def __init__(self, stream: TextIO) -> None:
        """Take where to write."""
        self._stream = stream
        self._rewrites = stream.isatty()
        self._shown = ""

    def show(self, text: str, passed: str = "") -> None:
        """Replace the line; in a file the passing of time is no news."""
        text = _with_time(text, passed if self._rewrites else "")
        if text == self._shown:
            return
        self._shown = text
        if self._rewrites:
            # A longer line would wrap, and could not be written over.
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r{text[:width]}\x1b[K")
        else:
            self._write(f"{text}\n")

    def finish(self, text: str, link: str = "") -> None:
        """Leave the last line."""
        whole = f"{text}; dashboard: {link}" if link else text
        self._write(f"\r{whole}\x1b[K\n" if self._rewrites else f"{whole}\n")

    def clear(self) -> None:
        """Take the line away; what stands in a file stays."""
        if self._rewrites:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class NotebookLine:
    """One output of a cell, replaced in place."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = ""

    def show(self, text: str, passed: str = "") -> None:
        """Replace the output."""
        text = _with_time(text, passed)
        self._put(text, html.escape(text))

    def finish(self, text: str, link: str = "") -> None:
        """Leave the last output, with a link."""
        if not link:
            self.show(text)
            return
        anchor = f'<a href="{html.escape(link)}" target="_blank">dashboard</a>'
        self._put(f"{text}; dashboard: {link}", f"{html.escape(text)}; {anchor}")

    def clear(self) -> None:
        """Empty the output."""
        self._put("", "")

    def _put(self, text: str, marked: str) -> None:
        if marked == self._shown:
            return
        self._shown = marked
        # Figures of equal width: the line does not jiggle while it counts.
        box = f'<div style="font-variant-numeric: tabular-nums">{marked}</div>'
        data = {"text/plain": text, "text/html": box}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)


def _with_time(text: str, passed: str) -> str:
    return f"{text} ({passed})" if passed else text


def _in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this code."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
