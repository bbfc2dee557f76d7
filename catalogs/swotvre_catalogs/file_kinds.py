"""What a file is by its first bytes, and words for one that is none of what was expected."""

from __future__ import annotations

import os
from typing import IO

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")

#: Bytes that are looked at.
LENGTH = 8


def first_bytes(source: str | os.PathLike[str] | IO[bytes]) -> bytes | None:
    """Return the first bytes of a file, None if they cannot be read."""
    try:
        if isinstance(source, str | os.PathLike):
            with open(source, "rb") as file:  # noqa: PTH123  any name that open takes
                return file.read(LENGTH)
        source.seek(0)
        return source.read(LENGTH)
    except (OSError, ValueError):
        return None


def reason_against(start: bytes | None) -> str:
    """Return in words why a file that begins so is no granule; empty if it may be one, or cannot be told."""
    if start is None or start == HDF5 or start[:4] in (ZIP, *CLASSIC):
        return ""
    if len(start) < LENGTH:
        return f"it has only {len(start)} bytes"
    return f"it is neither netCDF nor a zipped shapefile: it begins with {start!r}"
