"""The real files of the sample: where they come from, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DUACS_MAP = "dt_global_allsat_phy_l4_20190101_20190515.nc"

#: The fill value that the DUACS map holds without declaring it.
DUACS_FILL = -2147483647


@dataclass(frozen=True)
class RealFile:
    """One file of the sample that holds measurements."""

    #: Path below the datalake.
    path: str
    #: Name among the inputs of this package.
    source: str
    label: str
    #: What it holds, for the reader of README.md.
    content: str
    credit: str
    licence: str
    #: How it is written: copied, or by one of the converters.
    treatment: Literal["as it is", "DUACS map", "mean sea surface", "tide gauge"] = "as it is"


_HYDROCRON = "NASA/CNES SWOT mission, distributed by PO.DAAC; file from podaac/hydrocron"
_RIVERSP = "SWOT_L2_HR_RiverSP_Reach_049_058_AU_20260419T185249_20260419T190852_PID0_01.zip"
_LAKESP = "SWOT_L2_HR_LakeSP_Prior_033_506_AU_20250605T225724_20250605T230824_PID0_01.zip"

REAL_FILES = (
    RealFile(
        "swot/l2_hr/pixc/SWOT_L2_HR_PIXC_015_033_163R_20240509T115817_20240509T115828_PIC0_01.nc",
        "swot_pixc.nc",
        "L2_HR_PIXC 015/033 tile 163R",
        "pixel cloud, French Guiana, 2024-05-09: 10,001 points and 8 variables of group pixel_cloud",
        "NASA/CNES SWOT mission; crop from SWOT-community/PixCDust",
        "Apache-2.0",
    ),
    RealFile(
        f"swot/l2_hr/riversp/{_RIVERSP}",
        _RIVERSP,
        "L2_HR_RiverSP Reach 049/058",
        "52 river reaches, New Zealand, 2026-04-19",
        _HYDROCRON,
        "Apache-2.0",
    ),
    RealFile(
        f"swot/l2_hr/lakesp/{_LAKESP}",
        _LAKESP,
        "L2_HR_LakeSP Prior 033/506",
        "723 lakes, 2025-06-05",
        _HYDROCRON,
        "Apache-2.0",
    ),
    RealFile(
        f"duacs/{DUACS_MAP}",
        DUACS_MAP,
        "DUACS map 2019-01-01",
        "absolute dynamic topography, global, 0.25 degree; the land is now declared as _FillValue",
        "Generated using E.U. Copernicus Marine Service information; file from CNES/swot_simulator",
        "BSD-3-Clause",
        "DUACS map",
    ),
    RealFile(
        "mss/mss_cnes-cls.nc",
        "mss.nc",
        "Mean sea surface",
        "mean sea surface, global, 0.25 degree, in whole metres; a scale factor that did not belong to it removed",
        "CNES CLS; file from CNES/pangeo-pyinterp",
        "BSD-3-Clause",
        "mean sea surface",
    ),
    RealFile(
        "insitu/drifters/aoml_v2019.nc",
        "aoml_v2019.nc",
        "AOML drifters",
        "surface drifters, Black Sea, 17,775 observations",
        "NOAA AOML; file from CNES/pangeo-pyinterp",
        "BSD-3-Clause",
    ),
    RealFile(
        "insitu/tide_gauges/honolulu_2010.nc",
        "HNL2010.mat",
        "Tide gauge Honolulu 2010",
        "hourly sea level, written as netCDF; station inferred from the name of the source",
        "test data of wesleybowman/UTide",
        "MIT",
        "tide gauge",
    ),
)
