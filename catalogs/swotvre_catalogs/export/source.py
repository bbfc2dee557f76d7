"""What is copied: cycles and passes of a cube, and of these the lines that cross a box."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from swotvre_catalogs.errors import MissingGranuleError
from swotvre_catalogs.export.packing import CYCLE, PASS
from swotvre_catalogs.index.bbox import Box

LINES = "num_lines"


@dataclass(frozen=True)
class Source:
    """A part of a cube."""

    cube: xarray.Dataset
    #: Positions along ``cycle_number`` and ``pass_number`` of the cube.
    cycles: NDArray[numpy.int64]
    passes: NDArray[numpy.int64]
    #: Which lines of these passes cross the box, shape (passes, lines); None without a box.
    lines: NDArray[numpy.bool_] | None

    @classmethod
    def select(
        cls, cube: xarray.Dataset, bbox: Sequence[float] | None = None, cycles: Collection[int] | None = None
    ) -> Source:
        """Choose by a box and by numbers of cycles.

        Raises:
            MissingGranuleError: If nothing is left.
        """
        there = cube[CYCLE].to_numpy()
        chosen = numpy.flatnonzero(numpy.isin(there, list(cycles)) if cycles is not None else numpy.ones_like(there))
        everything = cls(cube, chosen, numpy.arange(cube.sizes.get(PASS, 0)), None)
        if not chosen.size:
            raise MissingGranuleError(f"the cube has no cycle of {sorted(cycles or [])}; it has {there.tolist()}")
        if bbox is None:
            return everything
        box = Box.parse(bbox)
        lines = numpy.concatenate([everything._inside(box, number) for number in everything.passes])
        crossing = numpy.flatnonzero(lines.any(axis=1))
        if not crossing.size:
            raise MissingGranuleError(f"no pass of the cube crosses the box {tuple(bbox)}")
        return cls(cube, chosen, crossing, lines[crossing])

    def _inside(self, box: Box, number: int) -> NDArray[numpy.bool_]:
        inside = box.contains(self.read("longitude", None, number), self.read("latitude", None, number))
        return inside.reshape(*inside.shape[:2], -1).any(axis=2)

    @property
    def cycle_numbers(self) -> list[int]:
        """Numbers of the chosen cycles."""
        numbers: list[int] = self.cube[CYCLE].to_numpy()[self.cycles].tolist()
        return numbers

    def variable(self, name: str) -> xarray.Variable:
        """Return the chosen part of a variable, lazily."""
        variable = self.cube.variables[name]
        chosen = {CYCLE: self.cycles, PASS: self.passes}
        return variable.isel({dimension: at for dimension, at in chosen.items() if dimension in variable.dims})

    def read(self, name: str, cycle: int | None, number: int | None) -> NDArray[Any]:
        """Read one cycle (by its number) and one pass (by its position among the chosen) of a variable; None is all.

        Every dimension stays.
        """
        dimensions = self.cube.variables[name].dims
        key: list[Any] = [slice(None)] * len(dimensions)
        if cycle is not None:
            at = int(numpy.flatnonzero(self.cube[CYCLE].to_numpy() == cycle)[0])
            key[dimensions.index(CYCLE)] = slice(at, at + 1)
        if number is not None:
            at = int(self.passes[number])
            key[dimensions.index(PASS)] = slice(at, at + 1)
        values = numpy.asarray(self._arrays[name][tuple(key)])
        if number is None and PASS in dimensions:
            return values.take(self.passes, axis=dimensions.index(PASS))
        return values

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        return {str(name): _below_dask(variable) for name, variable in self.cube.variables.items()}


def _below_dask(variable: xarray.Variable) -> Any:
    """Return the array that a variable's Dask array was made from.

    A Dask block of a cube holds all cycles of a pass. Dask reads it whole for a slice of one cycle, so that a copy by
    cycles would read every file as often as there are cycles.
    """
    if variable.chunks is None:
        return variable.to_numpy() if variable.ndim < 2 else variable
    data = variable.data
    below = data.dask.get(f"original-{data.name}")
    below = getattr(below, "value", below)
    return below if getattr(below, "shape", None) == variable.shape else _Computed(data)


class _Computed:
    """A Dask array that is computed when it is sliced, in the thread that asks."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def __getitem__(self, key: Any) -> Any:
        return self._data[key].compute(scheduler="synchronous")
