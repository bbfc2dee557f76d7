"""README.md of a sample datalake: every file, whether real or simulated, its credit and its licence."""

from __future__ import annotations

from collections.abc import Sequence

from swotvre_catalogs.sample.plan import (
    CUT_FRACTION,
    CUT_GRANULE,
    GENERATOR_VERSION,
    MISSING_GRANULE,
)
from swotvre_catalogs.sample.real_files import REAL_FILES

_SIMULATED_CREDIT = (
    "simulated by swot-vre from the SWOT science orbit (iuryt/swot_southbrazil_flooding, MIT), a DUACS map "
    "(Copernicus Marine, through CNES/swot_simulator, BSD-3-Clause), a mean sea surface (CNES CLS, through "
    "CNES/pangeo-pyinterp, BSD-3-Clause) and Natural Earth land (public domain)"
)


def render_readme(simulated: Sequence[str]) -> str:
    """Return the text of README.md for the paths of the simulated files."""
    missing, cut = ("cycle {} pass {}".format(*numbers) for numbers in (MISSING_GRANULE, CUT_GRANULE))
    lines = [
        "# Sample datalake of swot-vre",
        "",
        f"Written by `swotvre_catalogs.sample` {GENERATOR_VERSION}. It is laid out like the datalake of a site.",
        "",
        "**Simulated files are not measurements.** They have the grid, the names and the encoding of the products;",
        "what they hold was computed. Each says so in its attribute `source`. The region is the Agulhas, passes 14, 27",
        "and 42.",
        "",
        "As in life, not everything arrived:",
        "",
        f"- {missing} is missing: there is no file of it in any product;",
        f"- {cut} was cut: its files hold the first {CUT_FRACTION:.0%} of the lines.",
        "",
        "`SSHA = SSH - MSS` to the last digit: the simulated heights are already free of tides and of the pressure of",
        "the air, whose corrections are listed beside them. `height_cor_xover` is not applied: add it to remove roll",
        "and phase errors.",
        "",
        "## Real files",
        "",
        "| file | what it holds | credit | licence |",
        "|---|---|---|---|",
        *(f"| `{real.path}` | {real.content} | {real.credit} | {real.licence} |" for real in REAL_FILES),
        "",
        "## Simulated files",
        "",
        f"Credit of all: {_SIMULATED_CREDIT}. Licence: CC-BY-4.0.",
        "",
        *(f"- `{path}`" for path in sorted(simulated)),
        "",
    ]
    return "\n".join(lines)
