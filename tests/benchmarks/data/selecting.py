"""Selections from an index of 100,000 granules."""

from __future__ import annotations

import time
from pathlib import Path

import fast
import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import shapely  # its import is no part of the measurement
from trial import Answer, Job

from swotvre_catalogs import open_catalog

GRANULES = 100_000
CYCLE_HOURS = 501
#: The Agulhas, and a month of the first year.
BOX, MONTH = (15.0, -45.0, 30.0, -33.0), "2024-03"

__all__ = ["shapely"]


def _lengthened(job: Job) -> Path:
    """Write the lake's index with its rows again and again, as later cycles, into a place of its own; return that."""
    address = Path(fast.entry(job).place.index_address(fast.PRODUCT))
    place = address.parents[2] / "many"
    target = place / "index" / address.name
    target.parent.mkdir(parents=True, exist_ok=True)
    stored = pyarrow.parquet.read_table(address)
    parts = []
    for again in range(-(-GRANULES // len(stored))):
        later = {"cycle_number": pyarrow.scalar(again * len(job.cycles), pyarrow.int32())}
        span = pyarrow.scalar(np.timedelta64(again * len(job.cycles) * CYCLE_HOURS, "h").astype("timedelta64[us]"))
        later |= dict.fromkeys(("start_datetime", "end_datetime"), span)
        part = stored
        for name, added in later.items():
            shifted = pyarrow.compute.add(stored[name], added).cast(stored.schema.field(name).type)
            part = part.set_column(part.schema.get_field_index(name), part.schema.field(name), shifted)
        parts.append(part)
    table = pyarrow.concat_tables(parts).sort_by([("cycle_number", "ascending"), ("pass_number", "ascending")])
    pyarrow.parquet.write_table(table.replace_schema_metadata(stored.schema.metadata), target, compression="zstd")
    return place


def select_of_many(job: Job) -> Answer:
    """Open the index, select a box and a month, then the same box in all months; ``parts`` has the seconds of each."""
    product = open_catalog(job.lake, dict(job.storage_options), index=_lengthened(job))[fast.PRODUCT]
    marks = [time.perf_counter()]
    index = product.index()
    marks.append(time.perf_counter())
    in_month = len(index.select(bbox=BOX, time=MONTH))
    marks.append(time.perf_counter())
    in_all = len(index.select(bbox=BOX))
    marks.append(time.perf_counter())
    names = ("opening", "box and month", "box")
    return Answer(np.array([len(index), in_month, in_all]), dict(zip(names, np.diff(marks).tolist(), strict=True)))
