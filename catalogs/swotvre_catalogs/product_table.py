"""The table of products, as a notebook and as a program have it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

import pandas

from swotvre_catalogs.notebook_table import html_table

#: Letters of a cell that a notebook shows.
_MOST_LETTERS = 40


class ProductTable(pandas.DataFrame):
    """A DataFrame of one row per product, by name; a notebook shows it on unbroken lines, places below the datalake."""

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], address: str) -> ProductTable:
        """Return the table of rows with a ``name``; ``address`` is that of the datalake."""
        table = cls(pandas.DataFrame(list(rows)).set_index("name"))
        table.attrs["datalake"] = address
        return table

    def _repr_html_(self) -> str:
        address = str(self.attrs.get("datalake", ""))
        shown = self.copy()
        if "where" in shown:
            shown["where"] = shown["where"].str.removeprefix(f"{address}/")
        if "granules" in shown:
            shown["granules"] = [f"{count:,}" if count else "" for count in shown["granules"]]
        rows = [[_short(cell) for cell in row] for row in shown.itertuples()]
        caption = f"<p>{len(self)} products; the datalake is <code>{html.escape(address)}</code></p>"
        return caption + html_table([str(self.index.name), *map(str, self.columns)], rows, unbroken=True)


def _short(cell: Any) -> str:
    text = str(cell)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]} ..."
