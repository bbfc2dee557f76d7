"""What the index knows of every file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: Status of a whole file that is not used because another has the same granule and version.
DUPLICATE = "duplicate"


@dataclass(frozen=True)
class FileRecord:
    """One file: which it is, whether it is whole, and what its content says."""

    #: Path below the datalake.
    path: str
    size_bytes: int
    #: Time of the last change, nanoseconds since 1970; 0 in an object store.
    modified_ns: int
    #: Entity tag of an object store, else empty.
    etag: str
    #: ``ok``, ``truncated``, ``corrupt``, ``unreadable`` or ``duplicate``.
    status: str
    #: Why it is not ``ok``, in words.
    reason: str
    #: Footprint as WKB, None if unknown.
    geometry: bytes | None
    #: Equal for files with the same positions, 0 if unknown.
    fingerprint: int
    #: Period that the file itself gives, where its name gives none.
    begin: datetime | None
    end: datetime | None
    #: Checksum as a multihash in hexadecimal digits, empty if unknown.
    checksum: str

    @property
    def identity(self) -> tuple[str, int, int, str]:
        """What stays the same as long as the file is not written anew."""
        return (self.path, self.size_bytes, self.modified_ns, self.etag)
