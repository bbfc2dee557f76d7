"""Copies beside the files: export to sharded Zarr, and zcollections that exist already."""

from swotvre_catalogs.export.errors import (
    ExportError,
    ExportTargetError,
    ExportVerificationError,
    NoSpaceError,
    ZcollectionError,
)
from swotvre_catalogs.export.zarr_copy import ExportReport, export_dataset, export_zarr
from swotvre_catalogs.export.zcollection import open_zcollection

__all__ = [
    "ExportError",
    "ExportReport",
    "ExportTargetError",
    "ExportVerificationError",
    "NoSpaceError",
    "ZcollectionError",
    "export_dataset",
    "export_zarr",
    "open_zcollection",
]
