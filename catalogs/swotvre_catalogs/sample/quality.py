"""Which pixels are to be trusted: the bits of the quality flags and where the simulation sets them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.coast import Coast
from swotvre_catalogs.sample.swath import Swath

Booleans = npt.NDArray[np.bool_]

#: KaRIn sees nothing nearer than this to nadir, keeps its specification up to 60 km and ends at 64 km.
NEAR_EDGE_M, FAR_EDGE_M, OUTER_EDGE_M = 10e3, 60e3, 64e3

#: On land further than this from the sea there is no ocean retrieval at all.
INLAND_M = 10e3

#: Sea nearer than this to land sees it in its side lobes.
COASTAL_M = 4e3

#: Rain in mm/h from which it is probable, and certain.
PROBABLE_RAIN, RAIN = 0.5, 2.0


class Quality(IntFlag):
    """Bits of ``*_karin*_qual`` that the simulation sets."""

    SUSPECT_LARGE_SSH_STD = 1 << 1
    SUSPECT_PIXEL_USED = 1 << 7
    SUSPECT_NUM_PT_AVG = 1 << 8
    DEGRADED_MEDIA_DELAYS_MISSING = 1 << 16
    BAD_OUTSIDE_OF_RANGE = 1 << 29
    DEGRADED = 1 << 30
    BAD_NOT_USABLE = 1 << 31


@dataclass(frozen=True)
class Verdict:
    """What can be said of each pixel; every field has the shape of the swath."""

    #: KaRIn gave a value at all; elsewhere the measured variables are fill.
    observed: Booleans
    #: Values far from the truth: land, heavy rain, the outer edge.
    spoilt: Booleans
    #: 0 no rain, 1 probable, 2 rain.
    rain_flag: npt.NDArray[np.uint8]
    #: Bits of :class:`Quality` for the heights.
    bits: npt.NDArray[np.uint32]
    #: The same for a value that needs the radiometer, which land and rain spoil.
    radiometer_bits: npt.NDArray[np.uint32]


def judge(swath: Swath, coast: Coast, rain_rate: npt.NDArray[np.floating]) -> Verdict:
    """Return which pixels are seen, spoilt and flagged, and why."""
    reach = np.abs(swath.distance)
    in_swath = (reach >= NEAR_EDGE_M) & (reach <= OUTER_EDGE_M)
    inland = coast.land & (coast.distance > INLAND_M)
    edge = in_swath & (reach > FAR_EDGE_M)
    rain_flag = ((rain_rate >= PROBABLE_RAIN).astype(np.uint8) + (rain_rate >= RAIN)).astype(np.uint8)
    coastal = ~coast.land & (coast.distance < COASTAL_M)

    bits = np.zeros(swath.shape, dtype=np.uint32)
    for where, quality in (
        (coastal, Quality.SUSPECT_PIXEL_USED | Quality.SUSPECT_NUM_PT_AVG),
        (rain_flag == 1, Quality.SUSPECT_LARGE_SSH_STD),
        (rain_flag == 2, Quality.SUSPECT_LARGE_SSH_STD | Quality.DEGRADED),
        (edge, Quality.SUSPECT_NUM_PT_AVG | Quality.DEGRADED),
        (coast.land, Quality.BAD_NOT_USABLE),
        (~in_swath | inland, Quality.BAD_OUTSIDE_OF_RANGE | Quality.BAD_NOT_USABLE),
    ):
        bits[where] |= np.uint32(quality)
    # The radiometer looks at 20 km and more at once.
    blind = (coast.land | (coast.distance < 5 * COASTAL_M) | (rain_flag == 2)) & in_swath
    return Verdict(
        observed=in_swath & ~inland,
        spoilt=edge | coast.land | (rain_flag == 2),
        rain_flag=rain_flag,
        bits=bits,
        radiometer_bits=bits | np.where(blind, np.uint32(Quality.DEGRADED_MEDIA_DELAYS_MISSING), np.uint32(0)),
    )
