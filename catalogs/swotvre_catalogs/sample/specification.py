"""The variables of the products: names, types, scales, fills and units, and how values become stored numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.errors import SampleError


@dataclass(frozen=True)
class Variable:
    """One variable of a product, as it is stored."""

    name: str
    #: NumPy type of the stored numbers, e.g. ``i4``.
    dtype: str
    dimensions: tuple[str, ...]
    fill: float | int
    scale_factor: float | None = None
    #: Attributes of the netCDF variable beside ``_FillValue`` and ``scale_factor``.
    attributes: dict[str, Any] = field(default_factory=dict)

    def pack(self, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the stored numbers for physical ``values``; what is not finite becomes the fill value.

        Raises:
            SampleError: a value does not fit the stored type.
        """
        array = np.asarray(values)
        dtype = np.dtype(self.dtype)
        if dtype.kind == "f":
            return np.where(np.isfinite(array), array, self.fill).astype(dtype)
        if array.dtype.kind in "iu":
            return array.astype(dtype)
        finite = np.isfinite(array)
        stored = np.rint(np.where(finite, array, 0) / (self.scale_factor or 1.0))
        limits = np.iinfo(dtype)
        if stored.size and (stored.min() < limits.min or stored.max() > limits.max):
            raise SampleError(f"{self.name}: {stored.min():g} to {stored.max():g} do not fit {dtype}")
        return np.where(finite, stored, self.fill).astype(dtype)

    def empty(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return fill values of a shape."""
        return np.full(shape, self.fill, dtype=self.dtype)


@lru_cache
def product_variables(product: str) -> tuple[Variable, ...]:
    """Return the variables of ``Basic``, ``WindWave``, ``Expert`` or ``Unsmoothed`` (of one side), in their order."""
    text = (files("swotvre_catalogs.sample") / "inputs" / "l2_lr_ssh_specification.json").read_text("utf-8")
    notes = json.loads((files("swotvre_catalogs.sample") / "inputs" / "variable_notes.json").read_text("utf-8"))
    specification = json.loads(text)
    rows = specification[product]
    if isinstance(rows[0], str):  # WindWave: names of variables that Expert describes
        expert = {row["name"]: row for row in specification["Expert"]}
        rows = [expert[name] for name in rows]
    variables = []
    for row in rows:
        attributes: dict[str, Any] = {key: row[key] for key in ("long_name", "units") if key in row}
        attributes |= notes.get(row["name"], {})
        for key in ("flag_values", "flag_masks"):
            if key in attributes:
                attributes[key] = np.array(attributes[key], dtype=row["dtype"])
        if "num_pixels" in row["dimensions"] and row["name"] not in ("latitude", "longitude"):
            attributes["coordinates"] = "longitude latitude"
        variables.append(
            Variable(
                name=row["name"],
                dtype=row["dtype"],
                dimensions=tuple(row["dimensions"]),
                fill=row["fill"],
                scale_factor=row.get("scale_factor"),
                attributes=attributes,
            )
        )
    return tuple(variables)


@lru_cache
def nadir_variables() -> dict[str, tuple[Variable, ...]]:
    """Return the variables of the nadir altimeter's data record by group (``data_01``, ``data_01/ku``)."""
    text = (files("swotvre_catalogs.sample") / "inputs" / "nadir_gdr_specification.json").read_text("utf-8")
    groups: dict[str, list[Variable]] = {}
    for row in json.loads(text):
        attributes: dict[str, Any] = {key: row[key] for key in ("long_name", "units") if key in row}
        if row["name"] in ("time", "time_tai"):
            attributes |= {"standard_name": "time", "calendar": "gregorian"}
        elif row["name"] in ("latitude", "longitude"):
            attributes["standard_name"] = row["name"]
        else:
            attributes["coordinates"] = "longitude latitude"
        fill = row["fill"] if row["fill"] is not None else 9.969209968386869e36
        variable = Variable(row["name"], row["dtype"], ("time",), fill, row.get("scale_factor"), attributes)
        groups.setdefault(row["group"], []).append(variable)
    return {group: tuple(variables) for group, variables in groups.items()}
