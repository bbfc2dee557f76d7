"""Which granules the sample holds, when they were flown and how their files are named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

#: Version of what the generator writes: raise it whenever a file would come out different.
GENERATOR_VERSION = "2026.11.3"

#: Start of cycle 1 of the simulated mission. The DUACS map that the sea is made of is of five years before.
MISSION_START = datetime(2024, 1, 1, tzinfo=UTC)

#: Repeat period of the science orbit: 292 revolutions.
CYCLE_DURATION = timedelta(days=20.86455)

CYCLES = (1, 2, 3, 4, 5, 6)
PASSES = (14, 27, 42)

#: Cycles that also have a file of the other products: enough to learn the formats.
LEVEL3_CYCLES = (1, 2, 3)
LEVEL3_BASIC_CYCLES = (1, 2)
WIND_WAVE_CYCLES = (1, 2)
NADIR_CYCLES = (1, 2, 3)
UNSMOOTHED_CYCLES = (1, 2)
LEVEL3_UNSMOOTHED_CYCLES = (1,)
UNSMOOTHED_PASS = 14

#: Days of the L4 maps.
MAP_DAYS = (date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3))

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

    #: ``Basic``, ``WindWave``, ``Expert`` or ``Unsmoothed`` of L2_LR_SSH; ``L3`` (Expert), ``L3 Basic`` or
    #: ``L3 Unsmoothed``; ``Nadir``, the altimeter's data record.
    product: str
    cycle_number: int
    pass_number: int

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"{self.name} {self.cycle_number:03d}/{self.pass_number:03d}"

    @property
    def name(self) -> str:
        """The name of the product."""
        if self.product == "Nadir":
            return "L2_NALT_GDR"
        return f"L3_LR_SSH {self.subset}" if self.product.startswith("L3") else f"L2_LR_SSH {self.subset}"

    @property
    def subset(self) -> str:
        """The part of the product: ``Basic``, ``Expert``, ..."""
        return "Expert" if self.product == "L3" else self.product.removeprefix("L3 ")

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
    products += [
        product
        for product, cycles in (
            ("WindWave", WIND_WAVE_CYCLES),
            ("L3", LEVEL3_CYCLES),
            ("L3 Basic", LEVEL3_BASIC_CYCLES),
            ("Nadir", NADIR_CYCLES),
        )
        if cycle_number in cycles
    ]
    if pass_number == UNSMOOTHED_PASS and cycle_number in UNSMOOTHED_CYCLES:
        products.append("Unsmoothed")
    if pass_number == UNSMOOTHED_PASS and cycle_number in LEVEL3_UNSMOOTHED_CYCLES:
        products.append("L3 Unsmoothed")
    return products


def cycle_start(cycle_number: int) -> datetime:
    """Return the UTC start of a cycle; cycles count from 1."""
    return MISSION_START + (cycle_number - 1) * CYCLE_DURATION


def relative_path(granule: Granule, begin: datetime, end: datetime) -> str:
    """Return the path of a granule below the datalake; ``begin`` and ``end`` are its first and last measurement."""
    cycle, number = f"{granule.cycle_number:03d}", f"{granule.pass_number:03d}"
    if granule.product == "Nadir":
        span = f"{begin:%Y%m%d_%H%M%S}_{end:%Y%m%d_%H%M%S}"
        return f"swot/l2_nalt_gdr/cycle_{cycle}/SWOT_GPR_2P1P{cycle}_{number}_{span}.nc"
    level = "L3" if granule.product.startswith("L3") else "L2"
    version = f"v{LEVEL3_VERSION}" if level == "L3" else f"{CRID}_{PRODUCT_COUNTER:02d}"
    name = (
        f"SWOT_{level}_LR_SSH_{granule.subset}_{cycle}_{number}_{begin:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}_{version}.nc"
    )
    return f"swot/{level.lower()}_lr_ssh/{granule.subset.lower()}/cycle_{cycle}/{name}"


def map_path(day: date) -> str:
    """Return the path of the L4 map of a day below the datalake; it was made on the last day of the sample's year."""
    return f"swot/l4_karin/miost/dt_global_allsat_phy_l4_{day:%Y%m%d}_{day.year}1231.nc"
