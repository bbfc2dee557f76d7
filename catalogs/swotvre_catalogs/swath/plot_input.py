"""What of a dataset is drawn: the variable, its pixels, and the words beside the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray

from swotvre_catalogs.swath.errors import SwathError, SwathGeometryError
from swotvre_catalogs.swath.lines import LINE, PIXEL, find_field, find_places
from swotvre_catalogs.swath.plot_projection import Floats

#: What is drawn when no variable is named: the first of these that the dataset has.
USUAL_VARIABLES = (
    "ssha_karin_2",
    "ssha_karin",
    "ssha_filtered",
    "ssha_unfiltered",
    "ssha",
    "ssh_karin_2",
    "ssh_karin",
    "sig0_karin_2",
    "swh_karin",
)
#: More than a week of passes; 13 bytes each.
MOST_PIXELS = 200_000_000
PASS, CYCLE = "pass_number", "cycle_number"


@dataclass(frozen=True)
class Drawing:
    """Pixels to draw, all passes one below the other, and their description."""

    name: str
    #: Degrees and values, shape (lines, pixels).
    longitude: Floats
    latitude: Floats
    value: Floats
    #: A number per line that changes from one pass to the next.
    segment: Any
    #: What the values are, with their unit.
    label: str
    #: Empty where they have none.
    unit: str
    title: str
    #: Whether values are flags: numbers that cannot be averaged.
    is_flag: bool


def choose_variable(dataset: xarray.Dataset, name: str | None) -> xarray.DataArray:
    """Return the variable to draw.

    Raises:
        UnknownVariableError: The dataset has none of that name.
        SwathGeometryError: The variable has no value per pixel.
        SwathError: The variable has several cycles, is no number, or no variable can be chosen.
    """
    if name is None:
        numbers = [str(key) for key, field in dataset.data_vars.items() if {LINE, PIXEL} <= set(field.dims)]
        if not numbers:
            raise SwathError(f"the dataset has no variable on ({LINE}, {PIXEL}): there is nothing to draw")
        name = next((usual for usual in USUAL_VARIABLES if usual in numbers), numbers[0])
    field = find_field(dataset, name)
    if field.dtype.kind not in "fiub":
        raise SwathError(f"{name} is of type {field.dtype}, expected numbers: it has no colours")
    for dimension in [dim for dim in field.dims if dim not in (LINE, PIXEL, PASS)]:
        if field.sizes[dimension] != 1:
            raise SwathError(_several(field, str(dimension)))
        field = field.isel({dimension: 0})
    if field.size > MOST_PIXELS:
        raise SwathError(
            f"{name} has {field.size / 1e6:,.0f} million pixels, expected at most {MOST_PIXELS / 1e6:,.0f} million; "
            f"draw fewer passes or lines: dataset.isel({PASS if PASS in field.dims else LINE}=slice(...))"
        )
    return field


def read_drawing(dataset: xarray.Dataset, name: str | None) -> Drawing:
    """Return what is to be drawn, read into memory all at once.

    Raises:
        CatalogError: As ``choose_variable``; or the places of the pixels are not on the dimensions of the variable.
    """
    field = choose_variable(dataset, name)
    places = []
    for place in find_places(dataset):
        for dimension in [dim for dim in place.dims if dim not in (LINE, PIXEL, PASS)]:
            if place.sizes[dimension] != 1:
                raise SwathError(_several(place, str(dimension)))
            place = place.isel({dimension: 0})
        more = [str(dim) for dim in place.dims if dim not in field.dims]
        if more:
            raise SwathGeometryError(
                f"{place.name} has the dimension {more[0]}, {field.name} has not: take one first, "
                f"dataset.isel({more[0]}=0)"
            )
        places.append(place)
    is_flag = bool({"flag_masks", "flag_values", "flag_meanings"} & set(field.attrs))
    exact = (is_flag and field.dtype.itemsize > 2) or (field.dtype.kind in "iu" and field.dtype.itemsize > 2)
    time = dataset.get("time")
    has_time = time is not None and time.dtype.kind == "M" and set(time.dims) <= set(field.dims)
    parts = [*(place.astype("float32") for place in places), field.astype("float64" if exact else "float32")]
    longitude, latitude, value, *times = _computed([*parts, time] if has_time and time is not None else parts)
    dims = tuple(dim for dim in (PASS, LINE, PIXEL) if dim in field.dims)
    longitude, latitude = (
        place.expand_dims({dim: field.sizes[dim] for dim in dims if dim not in place.dims})
        for place in (longitude, latitude)
    )
    pixels = field.sizes[PIXEL]
    flat = [part.transpose(*dims).to_numpy().reshape(-1, pixels) for part in (longitude, latitude, value)]
    return Drawing(
        name=str(field.name),
        longitude=flat[0],
        latitude=flat[1],
        value=flat[2],
        segment=_segments(dataset, field, len(flat[2])),
        label=_label(field),
        unit=_unit(field),
        title=_title(dataset, times[0].to_numpy() if times else None),
        is_flag=is_flag,
    )


def _computed(arrays: list[xarray.DataArray]) -> list[xarray.DataArray]:
    if not any(array.chunks for array in arrays):
        return [array.compute() for array in arrays]
    import dask.array

    # Each block is put where it belongs by the thread that read it; to put them together afterwards takes one as long.
    filled = [np.empty(array.shape, array.dtype) for array in arrays]
    dask.array.store([dask.array.asarray(array.data) for array in arrays], filled, lock=False)
    return [array.copy(data=values) for array, values in zip(arrays, filled, strict=True)]


def _several(array: xarray.DataArray, dimension: str) -> str:
    size = array.sizes[dimension]
    known = [str(value) for value in array[dimension].to_numpy()[:6]] if dimension in array.coords else []
    which = f" ({', '.join(known)}{', ...' if size > len(known) else ''})" if known else ""
    take = f"dataset.sel({dimension}={known[0]})" if known else f"dataset.isel({dimension}=0)"
    word = {CYCLE: "cycles"}.get(dimension, f"values of {dimension}")
    return (
        f"{array.name} has {size} {word}{which}, a picture shows one: take one, {take}.swot.plot(...), "
        f"or their mean, dataset.mean({dimension!r})"
    )


def _segments(dataset: xarray.Dataset, field: xarray.DataArray, lines: int) -> Any:
    """Return a number per line that changes from one pass to the next."""
    if PASS in field.dims:
        return np.repeat(np.arange(field.sizes[PASS]), field.sizes[LINE])
    result = np.zeros(lines, np.int64)
    for number in (CYCLE, PASS):
        if number in dataset.variables and dataset[number].dims == (LINE,):
            values = np.nan_to_num(dataset[number].to_numpy().astype(float)).astype(np.int64)
            result = result * 10_000 + values
    return result


def _label(field: xarray.DataArray) -> str:
    unit = _unit(field)
    long_name = str(field.attrs.get("long_name", field.name)).strip()
    text = long_name if len(long_name) <= 60 else str(field.name)
    return f"{text} [{unit}]" if unit else text


def _unit(field: xarray.DataArray) -> str:
    unit = str(field.attrs.get("units", "")).strip()
    return unit if unit not in ("1", "-") else ""


def _title(dataset: xarray.Dataset, time: Any) -> str:
    """Return product, cycle, pass and time, as far as they are known."""
    product = str(dataset.attrs.get("short_name") or dataset.attrs.get("title") or "")
    for words, short in (("Level ", "L"), (" Low Rate", " LR"), (" Sea Surface Height", " SSH"), (" Data Product", "")):
        product = product.replace(words, short)
    cycles = _numbers(dataset, CYCLE, ("cycle", "cycles"))
    passes = _numbers(dataset, PASS, ("pass", "passes"))
    # A pass of no cycle is a mean over cycles: the mean of their times is the time of none.
    period = "" if passes and not cycles else _period(dataset, time)
    return ", ".join(part for part in (product[:60], cycles, passes, period) if part)


def _numbers(dataset: xarray.Dataset, name: str, words: tuple[str, str]) -> str:
    source = dataset[name].to_numpy() if name in dataset.variables else dataset.attrs.get(name)
    if source is None:
        return ""
    values = np.asarray(source, dtype=float).ravel()
    found = np.unique(values[np.isfinite(values)]).astype(int)
    if found.size == 0:
        return ""
    if found.size == 1:
        return f"{words[0]} {found[0]}"
    if found.size <= 4:
        return f"{words[1]} {', '.join(map(str, found))}"
    together = found[-1] - found[0] + 1 == found.size
    return f"{words[1]} {found[0]} to {found[-1]}" if together else f"{found.size} {words[1]}"


def _period(dataset: xarray.Dataset, time: Any) -> str:
    if time is not None and not np.isnat(time).all():
        known = time[~np.isnat(time)]
        begin, end = (str(np.datetime64(edge, "m")).replace("T", " ") for edge in (known.min(), known.max()))
    else:
        edges = [str(dataset.attrs.get(f"time_coverage_{edge}", "")) for edge in ("start", "end")]
        if not all(edges):
            return ""
        begin, end = (edge[:16].replace("T", " ") for edge in edges)
    return f"{begin} to {end[11:] if end[:10] == begin[:10] else end}"
