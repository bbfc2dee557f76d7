"""Which granules the sample holds, when they were flown and how their files are named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: Version of what the generator writes: raise it whenever a file would come out different.
GENERATOR_VERSION = "2026.11.1"

#: Start of cycle 1 of the simulated mission: the day of the DUACS map that the sea is made of.
MISSION_START = datetime(2019, 1, 1, tzinfo=UTC)

#: Repeat period of the science orbit: 292 revolutions.
CYCLE_DURATION = timedelta(days=20.86455)

CYCLES = (1, 2, 3, 4, 5, 6)
PASSES = (14, 27, 42)

#: Cycles that also have an L3 and an Unsmoothed file: enough to learn the formats.
LEVEL3_CYCLES = (1, 2, 3)
UNSMOOTHED_CYCLES = (1, 2)
UNSMOOTHED_PASS = 14

#: The crop of every pass: degrees north of the nadir track.
LATITUDE_MIN, LATITUDE_MAX = -42.0, -28.0
UNSMOOTHED_LATITUDE_MIN, UNSMOOTHED_LATITUDE_MAX = -38.2, -37.0

#: As in life: a pass that never arrived, and one that was cut (share of the lines that are left).
MISSING_GRANULE = (4, 27)
CUT_GRANULE = (5, 42)
CUT_FRACTION = 0.6

CRID = "PGC0"
PRODUCT_COUNTER = 1
LEVEL3_VERSION = "2.0.1"


@dataclass(frozen=True)
class Granule:
    """One pass of one cycle, as a file of one product."""

    #: ``Basic``, ``Expert`` or ``Unsmoothed`` of L2_LR_SSH, or ``L3`` (its Expert file).
    product: str
    cycle_number: int
    pass_number: int

    @property
    def label(self) -> str:
        """What a person calls it."""
        level = "L3_LR_SSH Expert" if self.product == "L3" else f"L2_LR_SSH {self.product}"
        return f"{level} {self.cycle_number:03d}/{self.pass_number:03d}"

    @property
    def cut(self) -> bool:
        """Tell whether this pass was cut short."""
        return (self.cycle_number, self.pass_number) == CUT_GRANULE


def passes() -> tuple[tuple[Granule, ...], ...]:
    """Return the simulated granules, those of one pass of one cycle together, in the order of cycle and pass."""
    flown = [(cycle, number) for cycle in CYCLES for number in PASSES if (cycle, number) != MISSING_GRANULE]
    return tuple(tuple(Granule(product, *numbers) for product in _products(*numbers)) for numbers in flown)


def _products(cycle_number: int, pass_number: int) -> list[str]:
    products = ["Basic", "Expert"]
    if cycle_number in LEVEL3_CYCLES:
        products.append("L3")
    if cycle_number in UNSMOOTHED_CYCLES and pass_number == UNSMOOTHED_PASS:
        products.append("Unsmoothed")
    return products


def cycle_start(cycle_number: int) -> datetime:
    """Return the UTC start of a cycle; cycles count from 1."""
    return MISSION_START + (cycle_number - 1) * CYCLE_DURATION


def relative_path(granule: Granule, begin: datetime, end: datetime) -> str:
    """Return the path of a granule below the datalake; ``begin`` and ``end`` are its first and last measurement."""
    cycle, number = f"{granule.cycle_number:03d}", f"{granule.pass_number:03d}"
    span = f"{begin:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}"
    if granule.product == "L3":
        return f"swot/l3_lr_ssh/expert/cycle_{cycle}/SWOT_L3_LR_SSH_Expert_{cycle}_{number}_{span}_v{LEVEL3_VERSION}.nc"
    name = f"SWOT_L2_LR_SSH_{granule.product}_{cycle}_{number}_{span}_{CRID}_{PRODUCT_COUNTER:02d}.nc"
    return f"swot/l2_lr_ssh/{granule.product.lower()}/cycle_{cycle}/{name}"
