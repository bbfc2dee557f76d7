"""The clusters of a user, and their end."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from swotvre.errors import ClusterRefusedError

if TYPE_CHECKING:
    from dask_gateway.client import ClusterReport

    from swotvre.site_cluster import SiteCluster
    from swotvre.site_gateway import SiteGateway
    from swotvre.state import ClusterState

COLUMNS = ("name", "state", "size", "workers", "since", "dashboard")


class ClusterRow(NamedTuple):
    """One cluster of the user."""

    name: str
    state: str
    size: str
    workers: str
    since: datetime
    #: Address of its dashboard for a browser; empty: it has none yet.
    dashboard: str


class ClusterTable:
    """The clusters of this user that wait or run, as they were when the table was made."""

    def __init__(self, gateway: SiteGateway, rows: list[ClusterRow]) -> None:
        """Keep the gateway, which ends them."""
        self._gateway = gateway
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ClusterRow]:
        return iter(self._rows)

    def __getitem__(self, name: str) -> ClusterRow:
        return self._find(name)

    def stop(self, name: str) -> None:
        """End the cluster ``name``; the beginning of a name is enough if no other begins so."""
        self._gateway.stop(self._find(name).name)

    def stop_all(self) -> None:
        """End every cluster of the table."""
        for row in self._rows:
            self._gateway.stop(row.name)

    def connect(self, name: str) -> SiteCluster:
        """Return the running cluster ``name``, with its client ready; it outlives this kernel then."""
        from swotvre.site_cluster import SiteCluster

        return SiteCluster.open(self._gateway, self._find(name).name, ends_with_kernel=False)

    def _find(self, name: str) -> ClusterRow:
        found = [row for row in self._rows if name and row.name.startswith(name)]
        if len(found) != 1:
            names = ", ".join(row.name for row in self._rows) or "none"
            what = "more than one cluster begins so" if found else "no such cluster"
            raise ClusterRefusedError(f"{what}: {name!r}; clusters of the table: {names}")
        return found[0]

    def __repr__(self) -> str:
        if not self._rows:
            return "no Dask cluster waits or runs"
        lines = [COLUMNS, *map(_texts, self._rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        if not self._rows:
            return "<p>no Dask cluster waits or runs</p>"
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_html_row, self._rows))}</tbody></table>"


def clusters() -> ClusterTable:
    """Return the table of this user's clusters: ``.stop(name)``, ``.stop_all()``, ``.connect(name)``.

    Raises:
        NoGatewayError, GatewayUnreachableError, NotLetInError: when there is no gateway to ask.
    """
    from swotvre.site_gateway import SiteGateway

    gateway = SiteGateway()
    rows = []
    for report in sorted(gateway.reports(), key=lambda report: report.start_time):
        try:
            rows.append(_row(report, gateway.state(report.name)))
        except ClusterRefusedError:
            continue  # it ended a moment ago
    return ClusterTable(gateway, rows)


def _row(report: ClusterReport, state: ClusterState) -> ClusterRow:
    workers = ""
    if state.workers is not None:
        workers = f"{state.workers.running} of {state.workers.wanted}"
    said = f"{state.status}: {state.message}" if state.message else state.status
    return ClusterRow(report.name, said, state.size, workers, report.start_time, report.dashboard_link or "")


def _texts(row: ClusterRow) -> tuple[str, ...]:
    return (row.name, row.state, row.size, row.workers, f"{row.since:%Y-%m-%d %H:%M}", row.dashboard)


def _html_row(row: ClusterRow) -> str:
    *texts, link = _texts(row)
    cells = [html.escape(text) for text in texts]
    cells.append(f'<a href="{html.escape(link)}" target="_blank">open</a>' if link else "")
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
