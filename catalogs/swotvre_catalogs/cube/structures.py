"""Know the structure of a netCDF-4 file again by its bytes: what the HDF5 library told of one is true of the next.

What the library says of a file depends on the bytes that it reads of it, and on nothing else. Of a file that it looked
into, these bytes are kept; a file that holds the same ones at the same places is stored in the same way. The few fields
that differ from file to file are left out of the comparison: the end of the file, the attributes of the file as a
whole, the times of groups, where the chunks of each variable are listed, and that list itself, which is read here. The
checksums of what they stand in are verified. Whatever else differs, be it a single bit, is for the library to judge.

Source: HDF5 File Format Specification Version 3.0, sections II.A (superblock), III.A.1 (version 1 B-trees),
IV.A.1.b (version 2 object headers), IV.A.2.i (data layout message).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import imagecodecs

from swotvre_catalogs.cube.layout import FileLayout

#: A structure that reaches further into the file is not kept: it lies behind data whose size differs anyway.
_MOST_BYTES = 1 << 18

#: Structures that are remembered, the last ones.
_MOST_STRUCTURES = 48

#: So many structures are learned before one must have been met again.
_FIRST_STRUCTURES = 24

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = (1 << 64) - 1

#: Of a superblock of version 2 or 3 with addresses of 8 bytes: its size, and where the end of the file and the address
#: of the root group stand.
_SUPERBLOCK_BYTES, _END_OF_FILE, _ROOT = 48, 28, 36

#: Flag of an object header that holds when the object was changed, and their size.
_WITH_TIMES, _TIMES_BYTES = 0x20, 16

#: Types of messages of an object header, and classes of data layout.
_DATA_LAYOUT, _ATTRIBUTE, _CONTINUATION = 0x08, 0x0C, 0x10
_CONTIGUOUS, _CHUNKED = 1, 2

_ADDRESS = struct.Struct("<Q")
_CHECKSUM_BYTES = 4

#: Of a node of a B-tree: signature, type, level, entries, siblings.
_NODE = struct.Struct("<4sBBHQQ")

#: By variable, position and size of each chunk in bytes, C order.
Places = Mapping[str, tuple[list[int], list[int]]]


class _NotKnownError(Exception):
    """The file is not stored as the one before, or not in a way that is read here."""


class RecordedFile(io.RawIOBase):
    """A file that notes which of its bytes are read."""

    def __init__(self, source: Any) -> None:
        self._source = source
        #: Position and number of bytes of each read.
        self.reads: list[tuple[int, int]] = []

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that its position can be set."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, as of the file."""
        return int(self._source.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._source.tell())

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, and note what."""
        first = self.tell()
        count = int(self._source.readinto(buffer) or 0)
        self.reads.append((first, count))
        return count


class _Region(NamedTuple):
    """Bytes first to last (without the last) of a file."""

    first: int
    last: int


@dataclass(frozen=True)
class _Chunks:
    """Where the places of a variable's chunks stand."""

    name: str
    #: Position of the address of the first node of the list, or of the data themselves where they are in one piece.
    field: int
    #: Key of a chunk and address of the chunk; None for data in one piece.
    entry: struct.Struct | None
    #: The part of each chunk's key that says which it is; they are listed in C order.
    keys: tuple[bytes, ...]
    #: The first bytes of the node, and its last key.
    head: bytes
    tail: bytes
    #: Sizes of data in one piece.
    sizes: tuple[int, ...]

    def places(self, address: int, content: _Content) -> tuple[list[int], list[int]]:
        """Return position and size of each chunk.

        Raises:
            _NotKnownError: They are listed otherwise than in the file before.
        """
        if self.entry is None:
            return [address], list(self.sizes)
        length = len(self.head) + len(self.keys) * self.entry.size + len(self.tail)
        node = content.read(address, length)
        if not node.startswith(self.head) or not node.endswith(self.tail):
            raise _NotKnownError
        offsets, sizes = [], []
        listed = self.entry.iter_unpack(node[len(self.head) : length - len(self.tail)])
        for expected, (size, mask, key, offset) in zip(self.keys, listed, strict=True):
            # A chunk without a filter that the others have, or never written, is read otherwise.
            if mask or not size or offset == _UNDEFINED or key != expected:
                raise _NotKnownError
            offsets.append(offset)
            sizes.append(size)
        return offsets, sizes


class _Content:
    """The bytes of a file: its beginning, read at once, and the rest."""

    def __init__(self, source: IO[bytes] | Any, count: int) -> None:
        self._source = source
        self.head = b""
        self.head = self.read(0, count)

    def read(self, first: int, count: int) -> bytes:
        """Return bytes.

        Raises:
            _NotKnownError: The file has not as many.
        """
        if first + count <= len(self.head):
            return self.head[first : first + count]
        self._source.seek(first)
        found = bytes(self._source.read(count))
        if len(found) != count:
            raise _NotKnownError
        return found


@dataclass(frozen=True)
class _Structure:
    """What the library read of one file, and what it told."""

    layout: FileLayout
    #: Bytes at the beginning of the file that hold all of it but the lists of chunks.
    size_bytes: int
    #: Position and content of what must be the same.
    same: tuple[tuple[int, int, bytes], ...]
    #: Regions that end with their checksum.
    checked: tuple[_Region, ...]
    chunks: tuple[_Chunks, ...]

    def places(self, content: _Content, size_bytes: int) -> Places:
        """Return where the chunks of a file of this structure lie.

        Raises:
            _NotKnownError: It is of another one, or damaged.
        """
        head = content.head
        for first, last, expected in self.same:
            if head[first:last] != expected:
                raise _NotKnownError
        if _ADDRESS.unpack_from(head, _END_OF_FILE)[0] > size_bytes:
            raise _NotKnownError
        for first, last in self.checked:
            stored = head[last - _CHECKSUM_BYTES : last]
            if imagecodecs.h5checksum_metadata(head[first : last - _CHECKSUM_BYTES]).to_bytes(4, "little") != stored:
                raise _NotKnownError
        found = {}
        for one in self.chunks:
            offsets, sizes = one.places(_ADDRESS.unpack_from(head, one.field)[0], content)
            if any(offset + size > size_bytes for offset, size in zip(offsets, sizes, strict=True)):
                raise _NotKnownError
            found[one.name] = offsets, sizes
        return found


class Structures:
    """The structures of the files that were met, the last one first."""

    def __init__(self) -> None:
        self._known: list[_Structure] = []
        self._learned = self._met_again = 0

    @property
    def wants_more(self) -> bool:
        """Tell whether it pays to learn the structure of a file that is not known: not if none ever comes again."""
        return self._learned < _FIRST_STRUCTURES + self._met_again

    def find(self, source: IO[bytes] | Any, size_bytes: int) -> tuple[FileLayout, Places] | None:
        """Return layout and chunks of a file whose structure is known; None for another one.

        Args:
            source: The file, open.
            size_bytes: Its size.
        """
        known = self._known
        if not known:
            return None
        try:
            content = _Content(source, min(max(one.size_bytes for one in known), size_bytes))
        except _NotKnownError:
            return None
        for number, structure in enumerate(known):
            if structure.size_bytes > len(content.head):
                continue
            try:
                found = structure.places(content, size_bytes)
            except _NotKnownError:
                continue
            self._met_again += 1
            if number:
                self._remember(structure)
            return structure.layout, found
        return None

    def learn(
        self, recorded: RecordedFile, size_bytes: int, headers: Mapping[str, int], layout: FileLayout, places: Places
    ) -> None:
        """Remember the structure of a file that the library looked into.

        Args:
            recorded: What it read.
            size_bytes: Size of the file.
            headers: Address of the object header of each variable.
            layout: What it told.
            places: The same of the chunks.
        """
        self._learned += 1
        reads = [_Region(first, first + count) for first, count in recorded.reads if count]
        try:
            content = _Content(recorded, min(_MOST_BYTES, size_bytes))
            structure = _structure_of(content, reads, headers, layout)
            # What is read here must be what the library says.
            if structure.places(content, size_bytes) == places:
                self._remember(structure)
        except (_NotKnownError, struct.error, IndexError, KeyError, ValueError, StopIteration):
            return

    def _remember(self, structure: _Structure) -> None:
        # A list of its own each time: another thread may be going through the one before.
        others = [one for one in self._known if one is not structure]
        self._known = [structure, *others[: _MOST_STRUCTURES - 1]]


def _structure_of(
    content: _Content, reads: Sequence[_Region], headers: Mapping[str, int], layout: FileLayout
) -> _Structure:
    head = content.head
    if head[:8] != _SIGNATURE or head[8] not in (2, 3) or head[9] != 8 or head[12:20] != bytes(8):
        raise _NotKnownError
    chunks, checked, fields = [], [_Region(0, _SUPERBLOCK_BYTES)], [_Region(_END_OF_FILE, _END_OF_FILE + 8)]
    for name, variable in layout.variables.items():
        messages = _messages(head, headers[name])
        block, message = next((block, message) for block, kind, message in messages if kind == _DATA_LAYOUT)
        found = _chunks_of(content, name, message.first, variable.chunk_count)
        if found is None:
            raise _NotKnownError
        chunks.append(found)
        checked.append(block)
        fields.append(_Region(found.field, found.field + _ADDRESS.size))
    for block, kind, message in _messages(head, _ADDRESS.unpack_from(head, _ROOT)[0]):
        if kind == _ATTRIBUTE:  # of the file as a whole: it tells nothing of how its variables are stored
            checked.append(block)
            fields.append(message)
    for first, _ in reads:
        if head[first : first + 4] == b"OHDR" and head[first + 5] & _WITH_TIMES:
            checked.append(_header_block(head, first)[0])
            fields.append(_Region(first + 6, first + 6 + _TIMES_BYTES))
    lists = {_ADDRESS.unpack_from(head, one.field)[0] for one in chunks if one.entry is not None}
    needed = _joined(_used(head, read) for read in reads if read.first not in lists)
    left_out = sorted([*fields, *(_Region(last - _CHECKSUM_BYTES, last) for _, last in checked)])
    same = tuple((*region, head[region.first : region.last]) for region in _without(needed, left_out))
    size_bytes = max([last for _, last, _ in same] + [last for _, last in checked])
    if size_bytes > len(head):
        raise _NotKnownError
    return _Structure(layout, size_bytes, same, tuple(dict.fromkeys(checked)), tuple(chunks))


def _used(head: bytes, read: _Region) -> _Region:
    """Return the part of what was read that was used: of an object header the library reads too much at first."""
    if head[read.first : read.first + 4] != b"OHDR":
        return read
    return _Region(read.first, min(read.last, _header_block(head, read.first)[0].last))


def _header_block(head: bytes, address: int) -> tuple[_Region, int, int]:
    """Return the first block of an object header, where its messages begin, and the size of a message's head."""
    if head[address : address + 5] != b"OHDR\x02":
        raise _NotKnownError
    flags = head[address + 5]
    first = address + 6 + _TIMES_BYTES * bool(flags & _WITH_TIMES) + 4 * bool(flags & 0x10)
    width = 1 << (flags & 3)
    size = int.from_bytes(head[first : first + width], "little")
    first += width
    return _Region(address, first + size + _CHECKSUM_BYTES), first, 4 + 2 * bool(flags & 4)


def _messages(head: bytes, address: int) -> Iterator[tuple[_Region, int, _Region]]:
    """Return the messages of an object header: the block that each stands in, its type and where its content is."""
    block, first, width = _header_block(head, address)
    blocks = [(block, first)]
    for block, at in blocks:
        while at + width <= block.last - _CHECKSUM_BYTES:
            kind, size = head[at], int.from_bytes(head[at + 1 : at + 3], "little")
            at += width
            if kind == _CONTINUATION:
                start, length = struct.unpack_from("<QQ", head, at)
                if head[start : start + 4] != b"OCHK":
                    raise _NotKnownError
                blocks.append((_Region(start, start + length), start + 4))
            yield block, kind, _Region(at, at + size)
            at += size


def _chunks_of(content: _Content, name: str, message: int, count: int) -> _Chunks | None:
    """Return where the places of a variable's chunks stand, None if not in a way that is read here."""
    version, kind = content.head[message : message + 2]
    if version != 3 or kind not in (_CONTIGUOUS, _CHUNKED):
        return None
    if kind == _CONTIGUOUS:
        address, size = struct.unpack_from("<QQ", content.head, message + 2)
        if address == _UNDEFINED:
            return None
        return _Chunks(name, message + 2, None, (), b"", b"", (size,))
    rank, field = content.head[message + 2], message + 3
    address = _ADDRESS.unpack_from(content.head, field)[0]
    if address == _UNDEFINED:
        return None
    head = content.read(address, _NODE.size)
    signature, node, level, entries, left, right = _NODE.unpack(head)
    if (signature, node, level, entries, left, right) != (b"TREE", 1, 0, count, _UNDEFINED, _UNDEFINED):
        return None
    entry = struct.Struct(f"<II{8 * rank}sQ")
    key_bytes = entry.size - _ADDRESS.size
    node_bytes = content.read(address, _NODE.size + count * entry.size + key_bytes)
    keys = tuple(one[2] for one in entry.iter_unpack(node_bytes[_NODE.size : -key_bytes]))
    return _Chunks(name, field, entry, keys, head, node_bytes[-key_bytes:], ())


def _joined(regions: Iterable[_Region]) -> Iterator[_Region]:
    """Return regions in their order, those that touch as one."""
    current: _Region | None = None
    for region in sorted(regions):
        if current is None or region.first > current.last:
            if current is not None:
                yield current
            current = region
        else:
            current = _Region(current.first, max(current.last, region.last))
    if current is not None:
        yield current


def _without(regions: Iterable[_Region], left_out: Sequence[_Region]) -> Iterator[_Region]:
    """Return what remains of regions; both in their order."""
    for first, last in regions:
        at = first
        for gap in left_out:
            if gap.last <= at or gap.first >= last:
                continue
            if gap.first > at:
                yield _Region(at, gap.first)
            at = gap.last
        if at < last:
            yield _Region(at, last)
