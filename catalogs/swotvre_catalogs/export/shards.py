"""Arrays of Zarr format 3 whose shards are written as a stream, one inner chunk after the other.

zarr itself holds a whole shard in memory, which for a cycle of a swath product is gigabytes. The layout of a shard is
that of the specification (Zarr v3, codec ``sharding_indexed`` 1.0): the inner chunks one after the other, then offset
and size of each as little-endian 64-bit integers, then the CRC-32C of that index.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import numcodecs
import numpy
from numpy.typing import NDArray

_MISSING = 2**64 - 1
#: Of zstd, after a shuffle of the bytes: on heights, 5 takes four times as long for 2 % less.
_LEVEL = 3


@dataclass(frozen=True)
class ArrayLayout:
    """One array of a copy, without the length of its first dimension where that grows."""

    name: str
    dimensions: tuple[str, ...]
    #: Of one shard: all of it, but one cycle of an array that grows by cycles.
    shard_shape: tuple[int, ...]
    #: The dimension along which a shard has several inner chunks, each of length 1; None for one chunk.
    split: int | None
    dtype: numpy.dtype[Any]
    fill_value: int | float | bool
    #: Whether the first dimension grows, one shard per index.
    grows: bool
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of an inner chunk."""
        return tuple(1 if axis == self.split else size for axis, size in enumerate(self.shard_shape))

    @property
    def chunk_count(self) -> int:
        """Number of inner chunks of a shard."""
        return 1 if self.split is None else self.shard_shape[self.split]

    @property
    def fills_with_nan(self) -> bool:
        """Whether a value that is missing is NaN."""
        return isinstance(self.fill_value, float) and math.isnan(self.fill_value)

    def key(self, index: int) -> str:
        """Return the key of the shard of a cycle; of the only one where the array does not grow."""
        numbers = [index if self.grows else 0, *(0 for _ in self.shard_shape[1:])]
        return "/".join([self.name, "c", *(map(str, numbers) if self.shard_shape else ())])

    def metadata(self, length: int) -> dict[str, Any]:
        """Return the content of the array's ``zarr.json`` when its first dimension has this length."""
        chunk_codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        chunk_codecs.append(
            {
                "name": "blosc",
                "configuration": {
                    "typesize": self.dtype.itemsize,
                    "cname": "zstd",
                    "clevel": _LEVEL,
                    "shuffle": "shuffle",
                    "blocksize": 0,
                },
            }
        )
        codecs = chunk_codecs
        if self.split is not None:
            index_codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
            settings = {"chunk_shape": self.chunk_shape, "codecs": chunk_codecs, "index_codecs": index_codecs}
            codecs = [{"name": "sharding_indexed", "configuration": {**settings, "index_location": "end"}}]
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [length, *self.shard_shape[1:]] if self.grows else list(self.shard_shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.shard_shape}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN"
            if isinstance(self.fill_value, float) and math.isnan(self.fill_value)
            else self.fill_value,
            "codecs": codecs,
            "attributes": self.attributes,
            "dimension_names": self.dimensions,
            "storage_transformers": [],
        }

    def is_fill(self, block: NDArray[Any]) -> bool:
        """Tell whether a block holds nothing but the fill value, so that it need not be stored."""
        if self.fills_with_nan:
            return bool(numpy.isnan(block).all())
        return bool((block == self.fill_value).all())

    def compress(self, block: NDArray[Any]) -> bytes:
        """Return an inner chunk as it is stored."""
        codec = numcodecs.Blosc(cname="zstd", clevel=_LEVEL, shuffle=numcodecs.Blosc.SHUFFLE)
        little = numpy.ascontiguousarray(block, dtype=self.dtype.newbyteorder("<"))
        return bytes(codec.encode(little))


def shard_stream(chunks: Iterable[bytes | None]) -> Iterator[bytes]:
    """Give out a shard piece by piece; None stands for an inner chunk that is not stored."""
    index: list[tuple[int, int]] = []
    offset = 0
    for chunk in chunks:
        if chunk is None:
            index.append((_MISSING, _MISSING))
            continue
        index.append((offset, len(chunk)))
        offset += len(chunk)
        yield chunk
    table = numpy.array(index, dtype="<u8").tobytes()
    yield table + google_crc32c.value(table).to_bytes(4, "little")
